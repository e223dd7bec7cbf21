"""What an FM is compared with: another FM, from a results file or of the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import CacheError, CriteriaError
from pathorob_checks.metrics.registry import metric, metrics
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.results.document import Check, CohortFacts
from pathorob_checks.results.results import Results
from pathorob_checks.wording import counted, printable

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
    cohorts : the file's facts of each cohort.
    protocol : by which it was measured; None for this run's.
    """

    fm: str
    source: str
    digest: str
    measured: Mapping[tuple[str, str], Resampling | None]
    cohorts: Mapping[str, CohortFacts]
    protocol: Mapping[str, Any] | None = None

    def criteria(self, fm: str, cohorts: Iterable[str], profile: Profile) -> list[Criterion]:
        """ "Not worse than the baseline" for every cohort and metric that the baseline has."""
        if self.protocol is None and fm == self.fm:
            return []
        return [
            self._criterion(cohort, name, profile)
            for cohort in cohorts
            for name in metrics()
            if (cohort, name) in self.measured and "difference" in metric(name).quantities
        ]

    def _criterion(self, cohort: str, name: str, profile: Profile) -> Criterion:
        margin = profile.baseline.margin_of(name)
        definition = metric(name)
        return Criterion(
            id=f"not-worse-{name.replace('_', '-')}",
            metric=name,
            cohort=cohort,
            cohorts=(cohort,),
            quantity="difference",
            bound=-definition.sign * margin + 0.0,
            direction=definition.good_direction,
            rule=profile.baseline.rule or profile.rule,
            rationale=f"Not worse than {self.fm} ({self.source}) by more than {margin:g}.",
        )

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
                f"the baseline {self.source} has no cohort of this run (it has {known})",
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
                        f"({name}: {_differing(theirs.get(name), protocol[part][name])})",
                        remedy=_MEASURE_AGAIN,
                    )

    def _measured_by(self, computation: str) -> bool:
        """Whether the file has a value of a metric that this computation measures."""
        return any(metric(name).computation.name == computation for _, name in self.measured)

    def check_cohort(self, ours: CohortFacts) -> None:
        """Raise CriteriaError where the file's cohort of this name holds other patches than the run's."""
        theirs = self.cohorts.get(ours.name)
        if theirs is None:
            return
        # Precomputed embeddings come without the images' revision; then the tables say which patches.
        without_images = any(one.tables and "@" not in one.source for one in (theirs, ours))
        for key in ("tables", "patches") if without_images else ("digest", "tables", "patches"):
            if getattr(theirs, key) != getattr(ours, key):
                raise CriteriaError(
                    f"the baseline {self.source} was measured on another cohort {ours.name} ({key} "
                    f"{_short(getattr(theirs, key))}, here {_short(getattr(ours, key))})",
                    remedy="measure the baseline again on this cohort",
                )


def baseline_of_this_run(fm: str, places: Iterable[tuple[str, str]]) -> Baseline:
    """An FM of this run as the baseline of the others; `places` are its cohorts and metrics."""
    return Baseline(fm=fm, source="this run", digest=f"fm:{fm}", measured=dict.fromkeys(places), cohorts={})


def read_baseline(path: str | Path, fm: str | None = None) -> Baseline:
    """An FM of a results file.

    Parameters
    ----------
    fm : its name; needed where the file has several.

    Raises
    ------
    CriteriaError : the file cannot be read, is not a results file, or has no such FM.
    """
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CriteriaError(
            f"the baseline {path} cannot be read ({error.strerror})",
            remedy="give a results file (--fm-json) or the name of an FM of this run",
        ) from None
    try:
        results = Results.from_json(content, f"the baseline {path}")
    except CacheError as error:
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
            f"the baseline {path} has no measured value of {printable(name)}", remedy=_MEASURE_AGAIN
        )
    return Baseline(
        fm=name,
        source=Path(path).name,
        digest=hashlib.sha256(content).hexdigest(),
        measured=measured,
        cohorts={run.cohort.name: run.cohort for run in results.runs},
        protocol=results.environment.criteria.protocol,
    )


def _is_plain(check: Check) -> bool:
    """A value of the whole cohort by the registered protocol."""
    return check.registered and check.quantity == "value" and check.value is not None


def _chosen(path: str | Path, names: Sequence[str], fm: str | None) -> str:
    known = list(dict.fromkeys(names))
    if fm is not None and fm not in known:
        raise CriteriaError(
            f"the baseline {path} has no FM {fm!r}", remedy=f"it has {', '.join(known) or 'none'}"
        )
    if fm is None and len(known) != 1:
        raise CriteriaError(
            f"the baseline {path} has {counted(len(known), 'FM')}",
            remedy=f"name one with --fm-baseline-fm: {', '.join(known)}" if known else _MEASURE_AGAIN,
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
