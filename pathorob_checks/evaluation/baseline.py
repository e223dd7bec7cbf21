"""What an FM is compared with: another FM, from a results file or of the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathorob_checks.criteria.criterion import DIFFERENCE_IDS, Criterion
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import CriteriaError, ResultsError
from pathorob_checks.files import expanded, read_limited
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.registry import metric, metrics
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.results.check import Check
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.part import builtin
from pathorob_checks.results.results import LARGEST, Results
from pathorob_checks.results.same_cohort import differing_fact
from pathorob_checks.results.subject_facts import CohortFacts, Run
from pathorob_checks.wording import brief, counted, printable

_MEASURE_AGAIN = "measure the baseline again with this version and these settings"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An FM that others must not be worse than.

    Attributes
    ----------
    fm : its name.
    source : the results file, or "this run".
    digest : of the file's content, or the name of the FM of this run.
    measured : by cohort and metric, its measurement; None where this run has yet to measure it.
    runs : the file's facts of the FM and of each cohort, by the name of the cohort.
    protocol : by which it was measured; None for this run's.
    """

    fm: str
    source: str
    digest: str
    measured: Mapping[tuple[str, str], Resampling | None]
    runs: Mapping[str, Run]
    protocol: Mapping[str, Any] | None = None

    def criteria(self, fm: str, cohorts: Iterable[str], profile: Profile) -> list[Criterion]:
        """ "Not worse than the baseline" for every cohort and metric that the baseline has."""
        if self.protocol is None and fm == self.fm:
            return []
        rationale = f"Not worse than {self.fm} ({self.source}) by more than {{margin}}."
        return [
            profile.difference_criterion(DIFFERENCE_IDS, name, cohort, rationale)
            for cohort in cohorts
            for name in metrics()
            if (cohort, name) in self.measured and "difference" in metric(name).quantities
        ]

    def lacking(self, wanted: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The wanted cohorts and metrics that the baseline does not have."""
        return [place for place in dict.fromkeys(wanted) if place not in self.measured]

    def check_protocol(self, protocol: Mapping[str, Any]) -> None:
        """Raise CriteriaError where the file's values were measured by another protocol than this run's."""
        if self.protocol is None:
            return
        shared = [name for name in protocol["cohorts"] if any(name == cohort for cohort, _ in self.measured)]
        if not shared:
            known = ", ".join(dict.fromkeys(cohort for cohort, _ in self.measured)) or "none"
            raise CriteriaError(
                f"the baseline {self.source} has no cohort of this run (it has {brief(known)})",
                remedy="name one of its cohorts with --fm-cohort, or another baseline",
            )
        for part, names in (("metrics", list(protocol["metrics"])), ("cohorts", shared)):
            theirs = self.protocol.get(part, {})
            for name in names:
                if part == "metrics" and name not in theirs and not self._measured_by(name):
                    continue
                if theirs.get(name) != protocol[part][name]:
                    raise CriteriaError(
                        f"the baseline {self.source} was measured by another protocol "
                        f"({name}: {brief(_differing(theirs.get(name), protocol[part][name]))})",
                        remedy=_MEASURE_AGAIN,
                    )

    def _measured_by(self, computation: str) -> bool:
        """Whether the file has a value of a metric that this computation measures."""
        return any(metric(name).computation.name == computation for _, name in self.measured)

    def check_cohort(self, ours: CohortFacts) -> None:
        """Raise CriteriaError where the file's cohort of this name holds other patches than the run's."""
        if ours.name not in self.runs:
            return  # nothing of it is compared
        theirs = self.runs[ours.name].cohort
        if key := differing_fact(theirs, ours):
            raise CriteriaError(
                f"the baseline {self.source} was measured on another cohort {ours.name} ({key} "
                f"{_short(getattr(theirs, key))}, here {_short(getattr(ours, key))})",
                remedy="measure the baseline again on this cohort",
            )

    def check_subject(self, cohort: str, key: str | None, identity: Mapping[str, Any]) -> None:
        """Raise CriteriaError where an FM of the run has the embeddings of the file's FM.

        `key` is that of its embeddings, None where they are not there yet.
        An FM is never worse than itself: such a comparison would pass whatever the FM is.
        """
        run = self.runs.get(cohort)
        if run is not None and (key == run.fm.embeddings or builtin(identity) == run.fm.identity):
            raise self.same_subject(cohort)

    def same_subject(self, cohort: str) -> CriteriaError:
        """The error for an FM that is its own baseline."""
        return CriteriaError(
            f"the baseline {self.fm} ({self.source}) has the same embeddings of {cohort} as the FM that is "
            "compared with it",
            remedy="name the results of another FM, such as the release before, or leave --fm-baseline out "
            "where the FM has not changed",
        )


def baseline_of_this_run(fm: str, places: Iterable[tuple[str, str]]) -> Baseline:
    """An FM of this run as the baseline of the others; `places` are its cohorts and metrics."""
    return Baseline(fm=fm, source="this run", digest=f"fm:{fm}", measured=dict.fromkeys(places), runs={})


def read_baseline(path: str | Path, fm: str | None = None) -> Baseline:
    """An FM of a results file.

    Parameters
    ----------
    fm : its name; needed where the file has several.

    Raises
    ------
    CriteriaError : the file cannot be read, is not a results file, is incomplete, contradicts itself, or has
        no such FM.
    """
    try:
        content = read_limited(expanded(path), LARGEST)
        results = Results.from_json(content, f"the baseline {path}")
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CriteriaError(
            f"the baseline {path} cannot be read ({reason})",
            remedy="give a results file (--fm-json) or the name of an FM of this run",
        ) from None
    except ResultsError as error:
        raise CriteriaError(error.problem, remedy=error.remedy) from None
    checks = [check for check in results.checks if _is_plain(check)]
    name = _chosen(path, [check.fm for check in checks], fm)
    measured = {
        (check.cohort, check.metric): check.resampling
        for check in checks
        if check.fm == name and check.resampling is not None and check.metric in metrics()
    }
    without = sorted({check.metric for check in checks if check.fm == name and check.metric in metrics()})
    if without and not measured:
        raise CriteriaError(
            f"the baseline {path} has only values without an interval of slides or repetitions "
            f"({', '.join(without)}), from which no interval of a difference can be drawn",
            remedy="leave the baseline out",
        )
    if not measured:
        raise CriteriaError(
            f"the baseline {path} has no measured value of {brief(printable(name))}", remedy=_MEASURE_AGAIN
        )
    runs = {run.cohort.name: run for run in results.runs if (run.fm.name, run.method) == (name, NO_METHOD)}
    if fault := next(_faults(results, name, runs, [cohort for cohort, _ in measured]), None):
        raise CriteriaError(
            f"the baseline {path} cannot be relied on: {brief(fault, 300)}", remedy=_MEASURE_AGAIN
        )
    return Baseline(
        fm=name,
        source=Path(path).name,
        digest=hashlib.sha256(content).hexdigest(),
        measured=measured,
        runs=runs,
        protocol=results.environment.criteria.protocol,
    )


def _faults(results: Results, fm: str, runs: Mapping[str, Run], cohorts: Iterable[str]) -> Iterator[str]:
    """Clauses that say why a file proves nothing of its FM."""
    counts = results.environment.criteria.completeness
    # A criterion that is optional and could not be measured takes nothing from the others.
    optional = sum(one.verdict is Verdict.SKIPPED and not one.required for one in results.checks)
    if not counts.model_copy(update={"measured": counts.measured + optional}).complete or results.problems:
        yield f"it is of a run that was not complete ({counts.measured} of {counts.planned} criteria)"
    yield from contradictions(results)
    protocol = results.environment.criteria.protocol
    for part in ("metrics", "cohorts"):
        content = protocol.get(part)
        if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
            yield f"it does not say by which protocol its {part} were measured"
    for cohort in cohorts:
        if cohort not in runs or not runs[cohort].cohort.digest or not runs[cohort].fm.embeddings:
            yield f"it does not say what {printable(fm)} and the cohort {printable(cohort)} were"
    for check in results.integrity:
        if check.fm == fm and check.verdict in (Verdict.FAIL, Verdict.ERROR):
            yield f"its embeddings are not sound ({check.name} of {check.cohort}: {check.verdict})"


def _is_plain(check: Check) -> bool:
    """A value of the whole cohort by the registered protocol."""
    plain = check.registered and check.quantity == "value" and check.method == NO_METHOD
    return plain and check.value is not None


def _chosen(path: str | Path, names: Sequence[str], fm: str | None) -> str:
    known = list(dict.fromkeys(names))
    if fm is not None and fm not in known:
        raise CriteriaError(
            f"the baseline {path} has no FM {fm!r}",
            remedy=f"name one with --fm-baseline-fm: {brief(', '.join(known))}" if known else _MEASURE_AGAIN,
        )
    if fm is None and len(known) != 1:
        raise CriteriaError(
            f"the baseline {path} has {counted(len(known), 'FM')}",
            remedy=f"name one with --fm-baseline-fm: {brief(', '.join(known))}" if known else _MEASURE_AGAIN,
        )
    return fm or known[0]


def _differing(theirs: object, ours: Mapping[str, Any]) -> str:
    if not isinstance(theirs, Mapping):
        return "not in the file"
    keys = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    return ", ".join(f"{key} {_short(theirs.get(key))}, here {_short(ours.get(key))}" for key in keys)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:20] + "..."
