"""A comparison as rows: tidy for programs, and as the cells of a table for readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby, islice
from typing import Any

from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.comparison import ComparedValue, Comparison
from pathorob_checks.results.numbers import change_and_interval, interval_text
from pathorob_checks.results.published_places import not_validated
from pathorob_checks.wording import counted, percent, printable

COLUMNS = (
    "fm",
    "cohort",
    "metric",
    "quantity",
    "value",
    "low",
    "high",
    "confidence",
    "support",
    "k",
    "verdict",
    "reason",
    "reference",
    "change",
    "change_low",
    "change_high",
    "change_says",
    "not_compared",
    "place",
    "place_best",
    "place_worst",
    "places",
    "caveats",
    "release",
    "source",
    "revision",
)
NUMBERS = ("value", "low", "high", "confidence", "support", "change", "change_low", "change_high")
WHOLE_NUMBERS = ("k", "place", "place_best", "place_worst", "places")
HEADINGS = ("FM", "value", "interval", "change", "its interval", "it is", "verdict", "place")
_ALWAYS = ("FM", "value", "verdict")
_NOTHING = "-"
_REFERENCE = "reference"
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Group:
    """One metric on one cohort, of all FMs; `title` says which."""

    title: str
    values: tuple[ComparedValue, ...]


def groups(comparison: Comparison) -> Iterator[Group]:
    """In the order of the comparison."""
    for (cohort, _, quantity), values in groupby(
        comparison.values, key=lambda one: (one.cohort, one.metric, one.quantity)
    ):
        own = tuple(values)
        places = cohort.split("+") if quantity == "mean" else [cohort]
        where = f"mean over {', '.join(places)}" if quantity == "mean" else cohort
        neighbors = sorted({one.k for one in own if one.k is not None})
        k = f", k = {' or '.join(map(str, neighbors))}" if neighbors else ""
        direction = "" if own[0].higher_is_better else " (lower is more robust)"
        yield Group(title=f"{own[0].label}, {where}{k}{direction}", values=own)


def table_of(comparison: Comparison) -> tuple[list[str], list[tuple[Group, list[list[str]]]]]:
    """The headings of a table, and for each group its rows; without columns that hold nothing."""
    reference = comparison.reference.name
    rows = [_cells(one, reference) for one in comparison.values]
    shown = [
        name
        for name in HEADINGS
        if name in _ALWAYS or any(row[name] not in (_NOTHING, _REFERENCE) for row in rows)
    ]
    lines = iter([[row[name] for name in shown] for row in rows])
    level = _level(one.confidence for one in comparison.values)
    headers = [f"{level} {name}".strip() if name == "interval" else name for name in shown]
    return headers, [(group, list(islice(lines, len(group.values)))) for group in groups(comparison)]


def _cells(one: ComparedValue, reference: str) -> dict[str, str]:
    """By the heading of their columns."""
    change, place = one.change, one.place
    changed, its_interval = change_and_interval(change.value, change.interval) if change else ("", "")
    ranks = f" ({place.best}-{place.worst})" if place and place.best < place.worst else ""
    cells = (
        one.fm,
        _NOTHING if one.value is None else f"{one.value:.3f}",
        interval_text(one.interval) if one.interval else _NOTHING,
        changed or _NOTHING,
        its_interval or _NOTHING,
        change.says if change else _REFERENCE if one.fm == reference else _NOTHING,
        one.verdict.upper() if one.verdict else _NOTHING,
        f"{place.rank} of {place.of}{ranks}" if place else _NOTHING,
    )
    return dict(zip(HEADINGS, cells, strict=True))


def _level(confidences: Iterable[float | None]) -> str:
    """`95 %` where all intervals have that confidence; "" else."""
    levels = {one for one in confidences if one is not None}
    return percent(levels.pop()) if len(levels) == 1 else ""


def verdicts(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Each FM, and the sentence of its release verdict."""
    for one in comparison.fms:
        yield (
            one.name,
            one.release.sentence if one.release else f"no verdict; its run was {one.outcome.upper()}",
        )


def notes(comparison: Comparison) -> Iterator[str]:
    """Sentences that a reader of the table needs."""
    reference, values = comparison.reference.name, comparison.values
    if changes := comparison.changes:
        level = _level(one.change.confidence for one in changes if one.change)
        yield (
            f"Changes are values minus those of {reference} on the same slides; their {level} intervals are "
            f"paired, and not corrected for their number ({len(changes)})."
        )
    for reason, places in _by_text((one.not_compared, one) for one in values):
        yield f"No change, because {reason}: {places}."
    placed = [(one, one.place) for one in values if one.place]
    if placed:
        others = counted(not_validated([one.metric for one, _ in placed]), "published FM")
        yield (
            "Places are among the published FMs and the FM itself; in brackets are those that its interval "
            f"leaves open. The benchmark's authors did not validate the values of {others}."
        )
    for caveat, places in _by_text((text, one) for one, place in placed for text in place.caveats):
        yield f"Not quite comparable with the published values ({caveat}): {places}."
    for reason, places in _by_text((one.not_placed, one) for one in values):
        yield f"No place, because {reason}: {places}."
    for text, places in _by_text((_beyond_best(one), one) for one in values):
        yield f"{text}: {places}."
    for reason, places in _by_text((one.reason, one) for one in values):
        yield f"Not measured: {places}: {reason}"


def _beyond_best(one: ComparedValue) -> str:
    """A clause on a value that is clearly beyond the best one."""
    definition = metrics().get(one.metric)
    if definition is None or not definition.is_beyond_best(one.interval):
        return ""
    return (
        f"Not more robust, because the whole interval is beyond {definition.neutral:g}, the value of a guess"
    )


def _by_text(texts: Iterable[tuple[str, ComparedValue]]) -> Iterator[tuple[str, str]]:
    """Each text once, with the metrics, cohorts and FMs that it is about."""
    fms_with: dict[str, dict[str, dict[str, None]]] = {}
    for text, one in texts:
        if text:
            place = fms_with.setdefault(text, {}).setdefault(one.fm, {})
            place[f"{one.label} of {one.cohort}"] = None
    for text, fms in fms_with.items():
        alike: dict[str, list[str]] = {}
        for fm, places in fms.items():
            alike.setdefault(_several(list(places)), []).append(fm)
        yield text, "; ".join(f"{', '.join(names)} ({places})" for places, names in alike.items())


def _several(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def rows_of(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """A row for each FM, cohort and metric, with the keys `COLUMNS`; None where there is nothing."""
    fms = {one.name: one for one in comparison.fms}
    for one in comparison.values:
        fm, change, place = fms[one.fm], one.change, one.place
        low, high = one.interval or (None, None)
        change_low, change_high = (change.interval if change else None) or (None, None)
        yield {
            "fm": one.fm,
            "cohort": one.cohort,
            "metric": one.metric,
            "quantity": one.quantity,
            "value": one.value,
            "low": low,
            "high": high,
            "confidence": one.confidence,
            "support": one.support,
            "k": one.k,
            "verdict": one.verdict and str(one.verdict),
            "reason": one.reason or None,
            "reference": comparison.reference.name,
            "change": change.value if change else None,
            "change_low": change_low,
            "change_high": change_high,
            "change_says": change.says if change else None,
            "not_compared": one.not_compared or None,
            "place": place.rank if place else None,
            "place_best": place.best if place else None,
            "place_worst": place.worst if place else None,
            "places": place.of if place else None,
            "caveats": "; ".join(place.caveats) or None if place else None,
            "release": str(fm.release.verdict) if fm.release else None,
            "source": fm.source,
            "revision": fm.revision,
        }


def html_of(comparison: Comparison) -> str:
    """The comparison as a table for each metric and cohort, which Jupyter shows by itself."""
    headers, tables = table_of(comparison)
    head = "".join(f'<th style="text-align:left">{_text(name)}</th>' for name in headers)
    parts = [
        f"<p><strong>{_text(name)}</strong>: {_text(sentence)}</p>" for name, sentence in verdicts(comparison)
    ]
    for group, rows in tables:
        body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
        parts.append(
            f'<table><caption style="text-align:left">{_text(group.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
    parts += [f"<p>{_text(note)}</p>" for note in notes(comparison)]
    return f"<div>{''.join(parts)}</div>"


def _text(text: str) -> str:
    return escape(printable(text))
