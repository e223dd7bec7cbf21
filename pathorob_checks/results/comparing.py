"""Several FMs beside each other, from the results of one run or of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pathorob_checks.criteria.published import BENCHMARK_COHORTS, is_average_over_cohorts
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import MetricError, ResultsError
from pathorob_checks.metrics.aggregate import mean_over_cohorts
from pathorob_checks.metrics.differences import difference
from pathorob_checks.metrics.intervals import CONFIDENCE
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.document import (
    Check,
    Document,
    Finite,
    MetricFacts,
    Outcome,
    Release,
    ResultsDocument,
    Run,
)
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.published_places import Place, place_of
from pathorob_checks.results.same_cohort import differing_fact
from pathorob_checks.wording import hint, quoted, shortened

if TYPE_CHECKING:
    import pandas as pd

Says = Literal["more robust", "less robust", "undecided"]
# Of several verdicts on one value the gravest is shown.
_GRAVITY = (Verdict.SKIPPED, Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL)
_JOINED_BY = "+"


class Change(Document):
    """The paired difference to the reference FM: positive where this FM has the higher value.

    Attributes
    ----------
    value : in the metric's unit.
    interval : paired, at `confidence`; None where nothing can be drawn.
    note : how the interval was made.
    says : `more robust` or `less robust` where the whole interval is on one side of 0.
    """

    value: Finite
    interval: tuple[Finite, Finite] | None
    confidence: Finite
    note: str
    says: Says


class ComparedFM(Document):
    """An FM of a comparison.

    Attributes
    ----------
    name : of the FM within the comparison: with its file where several files have an FM of this name.
    fm, method : as in its file.
    source : the file; "" for results that were not read from one.
    revision : full commit on the hub; None for a model that is on no hub.
    outcome : of its run.
    release : the verdict on it; None in files of older versions.
    """

    name: str
    fm: str
    method: str
    source: str
    revision: str | None
    outcome: Outcome
    release: Release | None


class ComparedValue(Document):
    """One metric of one FM on one cohort, or its mean over several.

    Attributes
    ----------
    fm : name of the FM within the comparison.
    cohort : name of the cohort; of a mean those of all, joined by `+`.
    metric, label : name of the metric, and what tables call it.
    quantity : `value` or `mean`.
    value, interval, confidence, support : as in a check; None where it was not measured.
    k : number of neighbors; None for a metric without.
    higher_is_better : False where lower values are more robust.
    verdict : the gravest of its criteria; None for a mean that is no criterion.
    reason : of that verdict, where nothing was measured.
    change : difference to the reference; None for the reference itself, and where there is none.
    not_compared : why there is none, as a clause.
    place : among the published FMs; None where nothing comparable is published.
    not_placed : why there is none although the cohort is one of the benchmark, as a clause.
    """

    fm: str
    cohort: str
    metric: str
    label: str
    quantity: Literal["value", "mean"]
    value: Finite | None
    interval: tuple[Finite, Finite] | None
    confidence: Finite | None
    support: Finite | None
    k: int | None
    higher_is_better: bool
    verdict: Verdict | None
    reason: str = ""
    change: Change | None = None
    not_compared: str = ""
    place: Place | None = None
    not_placed: str = ""


class Comparison(Document):
    """Several FMs beside each other; every report on the comparison is made from it.

    Attributes
    ----------
    fms : tuple of ComparedFM
        The reference first.
    values : tuple of ComparedValue
        By cohort and metric, those of all FMs one after the other; means over cohorts last.
    reference : ComparedFM
        The FM that the others are compared with.
    changes : tuple of ComparedValue
        The values that have a difference to the reference.

    See Also
    --------
    pathorob_checks.compare : The function that makes it.
    """

    fms: tuple[ComparedFM, ...] = Field(min_length=1)
    values: tuple[ComparedValue, ...]

    @property
    def reference(self) -> ComparedFM:
        """The FM that the others are compared with."""
        return self.fms[0]

    @property
    def changes(self) -> tuple[ComparedValue, ...]:
        """The values with a difference to the reference."""
        return tuple(one for one in self.values if one.change is not None)

    def table(self) -> pd.DataFrame:
        """Return the comparison as a tidy table, a row for each FM, cohort and metric.

        Returns
        -------
        pandas.DataFrame
            With the columns of `comparison_rows`: numbers are float64, k and places Int64.
        """
        import pandas as pd

        from pathorob_checks.results.comparison_rows import COLUMNS, NUMBERS, WHOLE_NUMBERS, rows_of

        table = pd.DataFrame(rows_of(self), columns=list(COLUMNS))
        kinds = {**dict.fromkeys(NUMBERS, "float64"), **dict.fromkeys(WHOLE_NUMBERS, "Int64")}
        return table.astype(kinds)

    def _repr_html_(self) -> str:
        from pathorob_checks.results.comparison_rows import html_of

        return html_of(self)


@dataclass(frozen=True)
class _Entry:
    """An FM of one document."""

    name: str
    source: str
    document: ResultsDocument
    fm: str
    method: str

    @property
    def runs(self) -> Mapping[str, Run]:
        """By cohort."""
        runs = self.document.runs
        return {run.cohort.name: run for run in runs if (run.fm.name, run.method) == (self.fm, self.method)}

    @property
    def places(self) -> Mapping[tuple[str, str], Check]:
        """By cohort and metric, the check of the value or mean that has the gravest verdict."""
        found: dict[tuple[str, str], Check] = {}
        for check in self.document.checks:
            own = check.registered and (check.fm, check.method) == (self.fm, self.method)
            place = check.cohort, check.metric
            if own and check.quantity in ("value", "mean") and _is_graver(check, found.get(place)):
                found[place] = check
        return found


def comparison_of(
    documents: Sequence[ResultsDocument], sources: Sequence[str] = (), *, to: str | None = None
) -> Comparison:
    """Put the FMs of some results beside each other.

    Parameters
    ----------
    documents : results; each may have several FMs.
    sources : their names, in messages and where two have an FM of one name; by default numbers from 1.
    to : name of the reference, with its file where several have it; None for the first FM.

    Raises
    ------
    ResultsError : there is no FM, two are the same, or none is called `to`.
    """
    entries = _entries(documents, sources)
    reference = _chosen(entries, to)
    entries = [reference, *(one for one in entries if one is not reference)]
    values = [value for entry in entries for value in _values(entry, reference)]
    cohorts = _in_order(value.cohort for value in values)
    order = {name: place for place, name in enumerate(metrics())}

    def place(one: ComparedValue) -> tuple[bool, int, int, str]:
        return (
            one.quantity == "mean",
            cohorts[one.cohort],
            order.get(one.metric, len(order)),
            one.metric,
        )

    return Comparison(
        fms=tuple(_compared_fm(entry) for entry in entries), values=tuple(sorted(values, key=place))
    )


def _entries(documents: Sequence[ResultsDocument], sources: Sequence[str]) -> list[_Entry]:
    named = list(sources) or [str(number) for number in range(1, len(documents) + 1)]
    if twice := [name for name, count in Counter(named).items() if count > 1]:
        raise ResultsError(f"{shortened(twice[0])} is given twice", remedy="give each file once")
    found = []
    for source, document in zip(named, documents, strict=True):
        short = short_names(document.checks)
        subjects = [(one.fm, one.method) for one in document.checks]
        subjects += [(run.fm.name, run.method) for run in document.runs]
        for fm, method in dict.fromkeys(subjects):
            found.append((fm_and_method(short.get(fm, fm), method), source, document, fm, method))
    count = Counter(name for name, *_ in found)
    entries = [
        _Entry(name if count[name] == 1 else f"{name} ({source})", source, document, fm, method)
        for name, source, document, fm, method in found
    ]
    if not entries:
        raise ResultsError(
            f"there is no FM in {quoted(named[:3]) or 'no results'}",
            remedy="give results of runs that started",
        )
    return entries


def _chosen(entries: Sequence[_Entry], to: str | None) -> _Entry:
    if to is None:
        return entries[0]
    found = [one for one in entries if to in (one.name, one.fm)]
    exact = [one for one in found if one.name == to]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    names = [one.name for one in found or entries]
    problem = "is the name of several FMs" if found else "is no FM of these results"
    raise ResultsError(f"{shortened(to)} {problem}", remedy=hint(to, names, "name one of {known}"))


def _compared_fm(entry: _Entry) -> ComparedFM:
    runs = list(entry.runs.values())
    releases = [one for one in entry.document.releases if (one.fm, one.method) == (entry.fm, entry.method)]
    return ComparedFM(
        name=entry.name,
        fm=entry.fm,
        method=entry.method,
        source=entry.source,
        revision=runs[0].fm.revision if runs else None,
        outcome=entry.document.outcome,
        release=releases[0] if releases else None,
    )


def _values(entry: _Entry, reference: _Entry) -> list[ComparedValue]:
    places = entry.places
    values = [_value(entry, reference, check) for check in places.values()]
    averaged = [name for name in metrics() if is_average_over_cohorts(name)]
    for name in averaged:
        joined = [cohort for cohort, metric in places if metric == name and _JOINED_BY in cohort]
        if not any(set(cohort.split(_JOINED_BY)) == set(BENCHMARK_COHORTS) for cohort in joined):
            values += _mean_as_published(entry, name)
    return values


def _value(entry: _Entry, reference: _Entry, check: Check) -> ComparedValue:
    change, reason = None, ""
    if entry is not reference:
        try:
            change = _change(entry, reference, check)
        except MetricError as error:
            reason = error.problem
    return ComparedValue(
        fm=entry.name,
        cohort=check.cohort,
        metric=check.metric,
        label=_facts(entry, check.metric).label,
        quantity="mean" if check.quantity == "mean" else "value",
        value=check.value,
        interval=check.interval,
        confidence=check.confidence,
        support=check.support,
        k=check.neighbors,
        higher_is_better=_facts(entry, check.metric).higher_is_better,
        verdict=check.verdict,
        reason="" if check.verdict.is_measured else check.reason,
        change=change,
        not_compared=reason,
        place=_place(entry, check.metric, check.cohort, check.value, check.interval, check.neighbors),
        not_placed=_not_placed(entry, check.cohort),
    )


def _facts(entry: _Entry, name: str) -> MetricFacts:
    """Of a metric: by its definition here, or else as the file has them."""
    known = metrics().get(name)
    if known is not None:
        return MetricFacts.of(known)
    unknown = MetricFacts(label=name, lowest=0, highest=1, neutral=0, higher_is_better=True, version=0)
    return entry.document.metrics.get(name, unknown)


def _place(
    entry: _Entry,
    name: str,
    cohort: str,
    value: float | None,
    interval: tuple[float, float] | None,
    neighbors: int | None = None,
) -> Place | None:
    definition = metrics().get(name)
    runs = [entry.runs.get(one) for one in cohort.split(_JOINED_BY)]
    known = [run for run in runs if run is not None]
    if definition is None or value is None or len(known) < len(runs):
        return None
    terms = entry.document.environment.criteria
    return place_of(definition, value, interval, known, terms, neighbors=neighbors)


def _not_placed(entry: _Entry, cohort: str) -> str:
    runs = [entry.runs[one] for one in cohort.split(_JOINED_BY) if one in entry.runs]
    own = [table for run in runs for table in run.cohort.own_tables]
    return f"{', '.join(own)} of --fm-metadata is not what was published" if own else ""


def _mean_as_published(entry: _Entry, name: str) -> list[ComparedValue]:
    """The mean over the benchmark's cohorts of a metric that is published only so."""
    places = entry.places
    checks = [places.get((cohort, name)) for cohort in BENCHMARK_COHORTS]
    parts = [one.resampling for one in checks if one is not None and one.resampling is not None]
    if len(parts) < len(checks):
        return []
    confidence = _confidence(*(one for one in checks if one is not None))
    mean = mean_over_cohorts(parts, confidence=confidence)
    cohort = _JOINED_BY.join(BENCHMARK_COHORTS)
    return [
        ComparedValue(
            fm=entry.name,
            cohort=cohort,
            metric=name,
            label=metrics()[name].label,
            quantity="mean",
            value=mean.value,
            interval=mean.interval,
            confidence=mean.confidence if mean.interval else None,
            support=None,
            k=None,
            higher_is_better=metrics()[name].higher_is_better,
            verdict=None,
            place=_place(entry, name, cohort, mean.value, mean.interval),
        )
    ]


def _change(entry: _Entry, reference: _Entry, check: Check) -> Change | None:
    """The difference to the reference; raises MetricError where there is none, and None for means."""
    if check.quantity == "mean" or check.value is None:
        return None
    base = reference.places.get((check.cohort, check.metric))
    if base is None or base.value is None:
        raise _incomparable(f"{reference.name} has no value of it")
    here, there = entry.runs.get(check.cohort), reference.runs.get(check.cohort)
    if here is None or there is None:
        raise _incomparable("a file does not say what FM and cohort were")
    if fact := differing_fact(there.cohort, here.cohort):
        raise _incomparable(f"{reference.name} was measured on another cohort of this name ({fact} differs)")
    same = here.fm.embeddings == there.fm.embeddings or here.fm.identity == there.fm.identity
    if same and here.method == there.method:
        raise _incomparable(f"it has the same embeddings as {reference.name}")
    if part := _other_protocol(entry, reference, check):
        raise _incomparable(f"{reference.name} was measured by another protocol ({part} differs)")
    if check.resampling is None or base.resampling is None:
        raise _incomparable("a file has no slides or repetitions from which an interval could be drawn")
    change = difference(check.resampling, base.resampling, confidence=_confidence(check, base))
    return Change(
        value=change.value,
        interval=change.interval,
        confidence=change.confidence,
        note=change.note,
        says=_says(change.interval, higher_is_better=_facts(entry, check.metric).higher_is_better),
    )


def _incomparable(reason: str) -> MetricError:
    return MetricError(reason, remedy="measure both in one run")


def _other_protocol(entry: _Entry, reference: _Entry, check: Check) -> str:
    """The part of the protocol in which two values differ: the computation's, or how the cohort is read."""
    definition = metrics().get(check.metric)
    computation = definition.computation.name if definition else check.metric
    for part, name in (("metrics", computation), ("cohorts", check.cohort)):
        sides = [one.document.environment.criteria.protocol.get(part) for one in (entry, reference)]
        here, there = (side.get(name) if isinstance(side, dict) else None for side in sides)
        if here != there:
            return name
    return ""


def _says(interval: tuple[float, float] | None, *, higher_is_better: bool) -> Says:
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "undecided"
    return "more robust" if (interval[0] > 0) == higher_is_better else "less robust"


def _confidence(*checks: Check) -> float:
    """The highest of some intervals' confidences."""
    return max((one.confidence for one in checks if one.confidence is not None), default=CONFIDENCE)


def _is_graver(check: Check, other: Check | None) -> bool:
    return other is None or _GRAVITY.index(check.verdict) > _GRAVITY.index(other.verdict)


def _in_order(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
