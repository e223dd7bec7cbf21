"""What a report tells about FMs, cohorts and terms, as tables of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pathorob_checks.metrics.definition import Metric
from pathorob_checks.metrics.measurement import CellValue, GroupValue, SlideValue
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import MetricFacts, ResultsDocument
from pathorob_checks.results.environment import Completeness
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.numbers import interval_text
from pathorob_checks.results.subject_facts import CohortFacts, FMFacts, Run
from pathorob_checks.wording import counted, rounded_percent

SIGNS: Mapping[str, str] = {">=": "≥", "<=": "≤"}
Rows = tuple[tuple[str, ...], ...]
_COUNTS = {
    "planned": "criteria planned",
    "measured": "of them measured",
    "deselected": "left out on the command line",
    "excluded": "left out by an option, or about a cohort that the run does not have",
    "never_ran": "without any record",
    "missing": "required, not left out on purpose, and not measured",
    "absent": "required and not measured, for whatever reason",
    "integrity_planned": "integrity checks planned",
    "integrity_recorded": "of them with a record",
    "integrity_left_out": "of them left out on purpose",
}


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of texts with a title."""

    title: str
    columns: tuple[str, ...]
    rows: Rows


@dataclass(frozen=True, kw_only=True)
class FMSheet:
    """An FM: its facts, and how it embedded each cohort."""

    name: str
    facts: FMFacts
    embedded: tuple[tuple[str, FMFacts], ...]


@dataclass(frozen=True, kw_only=True)
class BoundSheet:
    """A bound and where it comes from."""

    demand: str
    cohorts: tuple[str, ...]
    check: Check


def listed(names: Iterable[str], most: int = 6) -> str:
    """The first of some names and how many more there are; `none` without any.

    >>> listed("abc"), listed("abc", most=1)
    ('a, b, c', 'a and 2 more')
    """
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested mappings, each with the names on its way joined by a full stop."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list) for item in value):
        for number, item in enumerate(value, 1):
            yield from flat(item, f"{path} {number}")
    else:
        yield path, _text(value)


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def fm_sheets(runs: Iterable[Run]) -> list[FMSheet]:
    """Each FM once, with its cohorts."""
    runs_of: dict[str, list[Run]] = {}
    for run in runs:
        runs_of.setdefault(fm_and_method(run.fm.name, run.method), []).append(run)
    return [
        FMSheet(name=name, facts=own[0].fm, embedded=tuple((run.cohort.name, run.fm) for run in own))
        for name, own in runs_of.items()
    ]


def cohorts_of(runs: Iterable[Run]) -> list[CohortFacts]:
    """Each cohort once."""
    return list({(run.cohort.name, run.cohort.digest): run.cohort for run in runs}.values())


def design_sheet(cohort: CohortFacts) -> Sheet:
    """Slides and patches of each biological class (and paired subset) by center, more rows than columns."""
    sides = {
        cell.medical_center: ("out-of-domain" if cell.subset == "OOD" else "in-domain")
        for cell in cohort.cells
    }
    centers = sorted(sides, key=lambda center: (sides[center] == "out-of-domain", center))
    table: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cohort.cells:
        paired = "" if cell.subset in ("ID", "OOD") else cell.subset
        content = f"{counted(cell.slides, 'slide')}, {counted(cell.patches, 'patch', 'patches')}"
        table.setdefault((cell.biological_class, paired), {})[cell.medical_center] = content
    kinds = sorted(table)
    whole = (
        (
            "biological class" if len(kinds) >= len(centers) else "medical center",
            *(f"{center} ({sides[center]})" for center in centers),
        ),
        *(
            (
                f"{name} ({paired})" if paired else name,
                *(table[name, paired].get(one, "-") for one in centers),
            )
            for name, paired in kinds
        ),
    )
    if len(centers) > len(kinds):
        whole = tuple(zip(*whole, strict=True))
    columns, *rows = whole
    return Sheet(title=f"Slides and patches of cohort {cohort.name}", columns=columns, rows=tuple(rows))


def bound_sheets(checks: Iterable[Check]) -> list[BoundSheet]:
    """Each bound once with the cohorts that it holds for."""
    held: dict[tuple[object, ...], list[Check]] = {}
    for check in checks:
        key = (check.label, check.direction, check.bound, check.criterion, check.rule, check.rationale)
        held.setdefault(key, []).append(check)
    return [
        BoundSheet(
            demand=f"{own[0].label} {SIGNS[own[0].direction]} {own[0].bound:.3f}",
            cohorts=tuple(dict.fromkeys(check.cohort for check in own)),
            check=own[0],
        )
        for own in held.values()
    ]


def notes_of(runs: Iterable[Run]) -> list[tuple[str, str]]:
    """Notes on FMs and cohorts, each once, with what it is about."""
    notes: dict[tuple[str, str], None] = {}
    for run in runs:
        for about, facts in ((f"FM {run.fm.name}", run.fm), (f"cohort {run.cohort.name}", run.cohort)):
            notes.update(dict.fromkeys((about, note) for note in facts.notes))
    return list(notes)


def count_rows(counts: Completeness) -> Rows:
    """How much of the plan was recorded; without the counts of what did not happen."""
    always = ("planned", "measured", "integrity_planned")
    rows = [
        (text, f"{getattr(counts, name):,}")
        for name, text in _COUNTS.items()
        if name in always or getattr(counts, name)
    ]
    return (*rows, *([("a worker process was lost", "yes")] if counts.crashed else []))


def metric_rows(facts: Mapping[str, MetricFacts]) -> Rows:
    """How to read each metric: its scale, its neutral value, and what that stands for."""
    known = metrics()
    return tuple((one.label, _reading(one, known.get(name))) for name, one in facts.items())


def _reading(facts: MetricFacts, metric: Metric | None) -> str:
    better = "higher" if facts.higher_is_better else "lower"
    text = f"from {facts.lowest:g} to {facts.highest:g}; {better} is more robust; neutral: {facts.neutral:g}"
    if metric is None:
        return text
    return "; ".join(filter(None, (f"{text}, that is, {metric.meaning(facts.neutral)}", metric.beyond)))


def environment_rows(results: ResultsDocument) -> Rows:
    """Where the values were computed."""
    own = results.environment
    rows = [
        ("Python", f"{own.python} ({own.implementation})"),
        ("platform", f"{own.platform}, {own.machine}"),
    ]
    return (*rows, *((name, version) for name, version in own.packages.items() if version is not None))


def extraction_rows(facts: FMFacts) -> list[tuple[str, str]]:
    """How an FM embedded a cohort, and how it embedded a few patches in several ways."""
    return [
        ("stored under", facts.embeddings),
        *flat(facts.extraction, "extraction"),
        *flat(facts.integrity or {}, "integrity"),
    ]


def license_of(facts: FMFacts | CohortFacts) -> str:
    """On what terms an FM or a cohort may be used."""
    return (facts.license or "unknown") + (" (no commercial use)" if facts.commercial is False else "")


def cell_sheet(cells: Sequence[CellValue]) -> Sheet:
    """The weakest centers x classes; a column without a value is left out."""
    units = {cell.unit for cell in cells}
    one_unit = units.pop() if len(units) == 1 else ""
    rows = [
        (
            cell.medical_center,
            cell.biological_class,
            f"{cell.value:.3f}" if one_unit else " ".join(filter(None, (f"{cell.value:.3f}", cell.unit))),
            "" if cell.same_center is None else rounded_percent(cell.same_center),
            cell.meaning,
        )
        for cell in cells
    ]
    value = f"change {one_unit}" if one_unit else "value"
    columns = ("medical center", "biological class", value, "neighbors from its own center", "counted")
    kept = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    return Sheet(
        title="Where it is weakest",
        columns=tuple(columns[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in rows),
    )


def slide_sheet(slides: Sequence[SlideValue]) -> Sheet:
    """The slides that are most responsible for a value."""
    return Sheet(
        title="Slides most responsible",
        columns=("slide", "medical center", "biological class", "value", "counted"),
        rows=tuple(
            (one.slide_id, one.medical_center, one.biological_class, f"{one.value:.3f}", one.meaning)
            for one in slides
        ),
    )


def group_sheet(groups: Mapping[str, Sequence[GroupValue]]) -> Sheet:
    """Every medical center and every biological class with its own value, worst first."""
    rows = tuple(
        (
            group.name,
            kind.replace("_", " "),
            f"{group.value:.3f}",
            interval_text(group.interval) if group.interval else "-",
            "-" if group.support is None else rounded_percent(group.support),
            f"{group.rows:,}",
        )
        for kind, own in groups.items()
        for group in own
    )
    columns = ("name", "kind", "value of the metric", "interval", "informative patches", "patches")
    return Sheet(title="Every medical center and biological class", columns=columns, rows=rows)
