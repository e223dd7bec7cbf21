"""Whether results contradict themselves: value, interval and verdict follow from what is beside them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from pathorob_checks.criteria.verdict import Verdict, judge
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.registry import added_metrics, metrics
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.outcome import summarize
from pathorob_checks.results.releases import releases_of
from pathorob_checks.wording import named

_CLOSE = 1e-6  # other versions of numpy and scipy differ by less
_BEYOND = 0.05  # an adjusted Rand index can pass the ends of its scale by a hair


def contradictions(results: ResultsDocument) -> Iterator[str]:
    """A clause for each contradiction; values are computed again from what they were measured on."""
    yield from _repeated("check", (_key(check) for check in results.checks))
    yield from _repeated("run", ((run.fm.name, run.method, run.cohort.name) for run in results.runs))
    protocols = results.environment.criteria.protocol.get("metrics")
    for check in results.checks:
        for problem in _of_check(check, protocols if isinstance(protocols, dict) else {}):
            yield f"{check.metric} of {fm_and_method(check.fm, check.method)} on {check.cohort}: {problem}"
    yield from _of_the_run(results)


def _of_the_run(results: ResultsDocument) -> Iterator[str]:
    """Counts, outcome and completeness, worked out again from the records."""
    terms = results.environment.criteria
    counts = terms.completeness
    measured = sum(check.verdict.is_measured for check in results.checks)
    if measured != counts.measured:
        yield f"it counts {counts.measured} measured criteria and holds {measured}"
    made = {check.id for check in results.integrity} & set(terms.planned)
    if terms.planned and len(made) != counts.integrity_recorded:
        yield f"it counts {counts.integrity_recorded} integrity checks and holds {len(made)}"
    if results.complete != (counts.complete and not results.problems):
        yield f"it says complete: {str(results.complete).lower()}, and its records say the opposite"
    lacking = [check.id for check in results.checks if check.interval is not None and check.p_value is None]
    if results.releases and lacking:
        yield f"{named(lacking, 'check', 'checks')} with an interval has no p-value"
    planned = {(release.fm, release.method): release.planned for release in results.releases}
    releases = releases_of(
        results.checks,
        planned,
        terms.profile,
        integrity=results.integrity,
        other_failures=results.other_failures,
        problems=results.problems,
        completeness=counts,
    )
    if releases != results.releases:
        yield "its verdicts on the FMs do not follow from those on the criteria"
    outcome = summarize(
        results.checks,
        counts,
        releases=results.releases,
        integrity=results.integrity,
        other_failures=results.other_failures,
        problems=results.problems,
        require_complete=terms.require_complete,
    ).outcome
    if outcome is not results.outcome:
        yield f"its outcome is {results.outcome}, and its records say {outcome}"


def _key(check: Check) -> Hashable:
    """What no two checks share: a user's own test may make several."""
    registered = (check.fm, check.method, check.cohort, check.criterion)
    return registered if check.registered else (check.id, check.metric, check.value, check.bound)


def _repeated(noun: str, keys: Iterable[Hashable]) -> Iterator[str]:
    repeated = [str(key) for key, count in Counter(keys).items() if count > 1]
    if repeated:
        yield f"{named(repeated, noun, noun + 's')} stand twice"


def _of_check(check: Check, protocols: Mapping[str, Any]) -> Iterator[str]:
    value = check.value
    if value is None:
        return
    definition = metrics().get(check.metric)
    if definition is not None and check.quantity != "difference":
        low, high = definition.lowest - _BEYOND, definition.highest + _BEYOND
        if not low <= value <= high:
            yield f"the value {value:g} is outside of the metric's scale"
    if check.interval is not None and check.interval[0] > check.interval[1]:
        yield "the interval's ends are in the wrong order"
    if check.resampling is not None:
        yield from _of_resampling(check, protocols)
    verdict = _judged(check)
    is_skipped = (check.verdict, verdict) == (Verdict.SKIPPED, Verdict.ERROR) and not check.required
    if check.verdict is not verdict and not is_skipped:
        comparison = f"{value:g} against {check.bound:g} is {verdict or 'nothing'}"
        yield f"the verdict is {check.verdict}, but {comparison}"
    if check.p_value is not None and not _p_value_fits(check, check.p_value):
        yield f"the p-value {check.p_value:g} and the interval contradict each other"


def _of_resampling(check: Check, protocols: Mapping[str, Any]) -> Iterator[str]:
    """The value and the interval, computed again from the effects of the slides or repetitions."""
    side = check.resampling
    assert side is not None  # noqa: S101 (the caller looked)
    if (side.metric, side.value) != (check.metric, check.value):
        yield f"the value is {check.value}, but that of its {side.drawn} is {side.value} ({side.metric})"
        return
    if len(set(zip(side.units, side.cells, strict=True))) < len(side.units):
        yield f"some of its {side.drawn} stand twice"
    shared = set(side.protocol) & set(check.protocol)
    if any(side.protocol[key] != check.protocol[key] for key in shared):
        yield f"the settings of the value differ from those of its {side.drawn}"
    if check.metric not in metrics() or check.metric in added_metrics():
        return  # only the package's own metrics are known to draw their intervals from this alone
    computation = metrics()[check.metric].computation
    known = protocols.get(computation.name)
    if not isinstance(known, Mapping) or known.get("version") != computation.version:
        return  # another version may draw them in another way; as a baseline it is refused for that
    if not _alike(check.interval, _interval(check)):
        yield f"the interval does not follow from its {side.drawn}"


def _p_value_fits(check: Check, p_value: float) -> bool:
    """Whether the p-value is small just where the whole interval lies on one side of the bound."""
    if check.interval is None or check.value is None:
        return False
    drift = check.drift or 0.0
    nearest = min(check.interval[0] - drift, check.value), max(check.interval[1] + drift, check.value)
    if min(abs(end - check.bound) for end in nearest) < _CLOSE:
        return True
    is_clear = not nearest[0] <= check.bound <= nearest[1]
    return is_clear == (p_value <= (1 - (check.confidence or 0.95)) / 2)


def _interval(check: Check) -> tuple[float, float] | None:
    import numpy as np

    from pathorob_checks.metrics.ends import own_interval
    from pathorob_checks.metrics.intervals import CONFIDENCE, DRAWS, SEED

    assert check.resampling is not None  # noqa: S101 (the caller looked)
    try:
        with np.errstate(all="ignore"):
            return own_interval(check.resampling, check.confidence or CONFIDENCE, DRAWS, SEED)
    except (ArithmeticError, ValueError, IndexError):
        return (math.nan, math.nan)  # values that no metric has, such as 1 on the scale of log-odds


def _alike(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _CLOSE for a, b in zip(one, other, strict=True))


def _judged(check: Check) -> Verdict | None:
    """The verdict that follows from what the check holds; None where nothing does."""
    assert check.value is not None  # noqa: S101 (the caller looked)
    measurement = Measurement(
        metric=check.metric,
        value=check.value,
        interval=check.interval,
        confidence=check.confidence or 0.95,
        support=check.support,
        rows=0,
    )
    try:
        return judge(
            check.bound,
            check.direction,
            measurement,
            check.rule,
            drift=check.drift,
            minimum_support=check.minimum_support,
        ).verdict
    except PathorobChecksError:
        return None
