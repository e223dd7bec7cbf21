"""Several FMs beside each other, from the results of one run or of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathorob_checks.criteria.published import BENCHMARK_COHORTS, is_average_over_cohorts
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import MetricError, ResultsError
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.aggregate import mean_over_cohorts
from pathorob_checks.metrics.differences import difference
from pathorob_checks.metrics.intervals import CONFIDENCE
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.check import Check
from pathorob_checks.results.comparison import Change, ComparedFM, ComparedValue, Comparison, Says
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.document import MetricFacts, ResultsDocument
from pathorob_checks.results.finished import why_unfinished
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.published_places import Place, place_of
from pathorob_checks.results.results import Results
from pathorob_checks.results.same_cohort import differing_fact
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.wording import brief, hint, printable, quoted, shortened

# Of several verdicts on one value the gravest is shown.
_GRAVITY = (Verdict.SKIPPED, Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL)
_JOINED_BY = "+"
_NAMED = 10


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
        kept_checks: dict[tuple[str, str], Check] = {}
        for check in self.document.checks:
            own = check.registered and (check.fm, check.method) == (self.fm, self.method)
            place = check.cohort, check.metric
            if own and check.quantity in ("value", "mean") and _is_graver(check, kept_checks.get(place)):
                kept_checks[place] = check
        return kept_checks


def compare(
    results: Results | str | Path | Iterable[Results | str | Path], *, to: str | None = None
) -> Comparison:
    """Put foundation models beside each other: values, paired differences, places and verdicts.

    Nothing is measured again: the differences are made of what the results hold of each slide and repetition.

    Parameters
    ----------
    results : Results, str, path-like, or iterable of these
        Results, or files that `--fm-json` or `Results.save` wrote; each may have several FMs.
    to : str, optional
        Name of the FM that the others are compared with; by default the first. Where several files have an FM
        of this name, with the file: `"ours (new.json)"`.

    Returns
    -------
    Comparison
        `.table()` is a tidy table, `.changes` are the differences; a notebook shows it as tables.

    Raises
    ------
    ResultsError
        A file cannot be read or contradicts itself, is given twice, or is of a run that did not finish; there
        is no FM, or none is called `to`.

    See Also
    --------
    pathorob_checks.metrics.difference : The paired difference of two measurements.

    Examples
    --------
    >>> from pathorob_checks import compare
    >>> comparison = compare(["released.json", "new.json"], to="released")  # doctest: +SKIP
    >>> comparison.table()[["fm", "metric", "change", "change_says"]]  # doctest: +SKIP
    """
    given = [results] if isinstance(results, Results | str | Path) else list(results)
    documents = [one if isinstance(one, Results) else _read(one) for one in given]
    sources = [str(n) if isinstance(one, Results) else str(one) for n, one in enumerate(given, 1)]
    for source, document in zip(sources, documents, strict=True):
        if reason := why_unfinished(document):
            raise ResultsError(
                brief(printable(f"the results {shortened(source)} are not compared, because {reason}"), 400),
                remedy="let that run finish",
            )
    return comparison_of(documents, sources, to=to)


def _read(path: str | Path) -> Results:
    results = Results.read(path)
    for contradiction in contradictions(results):
        raise ResultsError(
            brief(printable(f"the results file {path} contradicts itself: {contradiction}"), 400),
            remedy="do not use it; run the gate again",
        )
    return results


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
    return _beside(entries, _chosen(entries, to))


def comparisons_within(results: ResultsDocument) -> list[Comparison]:
    """The FMs of a run beside each other, and each beside its own methods.

    FMs are compared without a method; where a run has none without, by the same method. An FM that is not
    there without a method is not compared with itself.
    """
    if not (results.checks or results.runs):
        return []
    entries = _entries([results], [])
    bare = {one.fm: one for one in entries if one.method == NO_METHOD}
    methods = [NO_METHOD] if bare else dict.fromkeys(one.method for one in entries)
    alike = [[one for one in entries if one.method == method] for method in methods]
    own = [[one for one in entries if one.fm == fm] for fm in bare]
    references = [*(group[0] for group in alike), *bare.values()]
    return [
        _beside(group, reference)
        for group, reference in zip([*alike, *own], references, strict=True)
        if len(group) > 1
    ]


def _beside(entries: Sequence[_Entry], reference: _Entry) -> Comparison:
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
    columns_of_fms = []
    for source, document in zip(named, documents, strict=True):
        short = short_names(document.checks)
        subjects = [(one.fm, one.method) for one in document.checks]
        subjects += [(run.fm.name, run.method) for run in document.runs]
        for fm, method in dict.fromkeys(subjects):
            columns_of_fms.append((fm_and_method(short.get(fm, fm), method), source, document, fm, method))
    count = Counter(name for name, *_ in columns_of_fms)
    entries = [
        _Entry(name if count[name] == 1 else f"{name} ({source})", source, document, fm, method)
        for name, source, document, fm, method in columns_of_fms
    ]
    if not entries:
        raise ResultsError(
            f"there is no FM in the results {quoted(named[:3])}" if named else "there are no results",
            remedy="give results of runs that started",
        )
    return entries


def _chosen(entries: Sequence[_Entry], to: str | None) -> _Entry:
    if to is None:
        return entries[0]
    matching_entries = [one for one in entries if to in (one.name, one.fm)]
    exact = [one for one in matching_entries if one.name == to]
    if len(matching_entries) == 1 or exact:
        return (exact or matching_entries)[0]
    names = [one.name for one in matching_entries or entries][:_NAMED]
    problem = "is the name of several FMs" if matching_entries else "is no FM of these results"
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
    facts = _facts(entry, check.metric)
    definition = metrics().get(check.metric)
    is_unclear = definition is not None and any(
        map(definition.is_beyond_best, (check.interval, base.interval))
    )
    return Change(
        value=change.value,
        interval=change.interval,
        confidence=change.confidence,
        note=change.note,
        says="undecided" if is_unclear else says(change.interval, higher_is_better=facts.higher_is_better),
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


def says(interval: tuple[float, float] | None, *, higher_is_better: bool) -> Says:
    """What the interval of a change says."""
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
