"""What a run is held to: fixed before anything is measured, and equal in every process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pathorob_checks.canonical import digest_of
from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.files import load_profiles, under_own_name
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.protocol import protocol_of
from pathorob_checks.errors import CriteriaError, MetricError
from pathorob_checks.evaluation.baseline import Baseline, baseline_of_this_run, read_baseline
from pathorob_checks.evaluation.subjects import Subject, Subjects, subject_id
from pathorob_checks.metrics.registry import added_metrics, metric

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings


class Key(NamedTuple):
    """Identifies a planned check within a run; `cohort` joins several for a mean."""

    fm: str
    method: str
    cohort: str
    criterion: str


@dataclass(frozen=True, kw_only=True)
class PlannedCheck:
    """One criterion that a run must apply to one FM.

    Attributes
    ----------
    id : of its test.
    fm, method : the FM, and what repairs its embeddings; the criterion has the cohorts.
    """

    fm: str
    method: str
    criterion: Criterion
    id: str = ""

    @property
    def key(self) -> Key:
        """Identifies it within the run."""
        return Key(self.fm, self.method, self.criterion.cohort, self.criterion.id)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The subjects that it needs: one, or several for a mean."""
        return tuple(Subject(self.fm, self.method, cohort) for cohort in self.criterion.cohorts)


class Terms:
    """Criteria, protocol and baseline of a run, the checks that follow, and the digest over all of it.

    Parameters
    ----------
    profile : the criteria.
    subjects : what the run is about.
    baseline : what the FMs are compared with.

    Raises
    ------
    CriteriaError : a bound refers to published values that do not exist, a cohort has no criterion, or the
        baseline was measured by another protocol.
    """

    def __init__(self, profile: Profile, subjects: Subjects, baseline: Baseline | None = None) -> None:
        from pathorob_checks.cohorts.cohort import VIEWS
        from pathorob_checks.cohorts.designs import view_designs

        self.profile, self.baseline = profile, baseline
        checks = planned_checks(profile, subjects, baseline)
        self.checks: Mapping[Key, PlannedCheck] = {check.key: check for check in checks}
        metrics = dict.fromkeys([*profile.metrics, *(check.criterion.metric for check in checks)])
        for definition in map(metric, metrics):
            view = definition.computation.view
            if view not in VIEWS:
                raise MetricError(
                    f"the metric {definition.name} reads the view {view!r} of a cohort, which does not exist",
                    remedy=f"let it read one of {', '.join(VIEWS)}",
                )
        designs = {name: view_designs(text) for name, text in subjects.cohorts.items()}
        self.protocol = protocol_of(profile, metrics, designs)
        self.digest = digest_of(
            {
                "criteria": profile.content,
                "protocol": self.protocol,
                "baseline": baseline.digest if baseline else None,
            }
        )
        if baseline is not None:
            baseline.check_protocol(self.protocol)
            self._refuse_different_k()

    def of_quantity(self, quantity: str) -> tuple[PlannedCheck, ...]:
        """The checks of a kind: `mean` over cohorts, `difference` from a baseline."""
        return tuple(check for check in self.checks.values() if check.criterion.quantity == quantity)

    def of_metric(self, subject: Subject, name: str) -> tuple[PlannedCheck, ...]:
        """The checks of one metric of one subject, without means and differences."""
        return tuple(
            check
            for check in self.checks.values()
            if check.subjects == (subject,)
            and check.criterion.metric == name
            and check.criterion.quantity not in ("mean", "difference")
        )

    def demand(self, digest: str | None) -> None:
        """Refuse to run by other terms than those that were agreed on.

        Raises
        ------
        CriteriaError : the run's digest is not `digest`.
        """
        if digest is not None and digest != self.digest:
            raise CriteriaError(
                f"the digest of criteria, protocol and baseline is {self.digest}, but --fm-criteria-digest "
                f"requires {digest}",
                remedy="compare them with 'pathorob-checks criteria show' and 'criteria diff'",
            )

    @property
    def not_compared(self) -> tuple[str, ...]:
        """A sentence about what the profile is about and the baseline does not have."""
        if self.baseline is None:
            return ()
        values = [check.criterion for check in self.checks.values() if check.criterion.quantity == "value"]
        lacking = self.baseline.lacking((one.cohort, one.metric) for one in values)
        if not lacking:
            return ()
        names = ", ".join(f"{name} of {cohort}" for cohort, name in lacking)
        return (f"Not compared, because the baseline {self.baseline.source} has no value: {names}.",)

    def to_json(self) -> str:
        """For workers: the profile as it was read, and the digest."""
        return json.dumps({"profile": self.profile.model_dump(mode="json"), "digest": self.digest})

    @staticmethod
    def handed_over(text: str) -> tuple[Profile, str]:
        """Undo `to_json`: workers never read the criteria files again."""
        content: dict[str, Any] = json.loads(text)
        return Profile.model_validate(content["profile"]), content["digest"]

    def _refuse_different_k(self) -> None:
        for check in self.of_quantity("difference"):
            definition = metric(check.criterion.metric)
            design = self.protocol["cohorts"][check.criterion.cohort].get(definition.computation.view, {})
            if "k" in definition.computation.design and design.get("k", 0) is None:
                raise CriteriaError(
                    f"cohort {check.criterion.cohort} has no k of its own, so that each FM may have another "
                    f"one, and values of the {definition.label} at different k cannot be compared",
                    remedy="write k = 11 or another number into its cohort.toml and measure both again",
                )


def terms_of(settings: Settings, subjects: Subjects, profile: Profile | None = None) -> Terms:
    """The terms of a run; `profile` is what a controller handed over, None reads the files.

    Raises
    ------
    CriteriaError : the criteria cannot be used on these cohorts, or the baseline cannot be used.
    """
    if profile is None:
        chosen = settings.criteria
        profile = chosen if isinstance(chosen, Profile) else load_profiles(chosen)
        profile = under_own_name(profile)
    baseline = _baseline(settings, subjects, profile)
    return Terms(profile, subjects, baseline)


def _baseline(settings: Settings, subjects: Subjects, profile: Profile) -> Baseline | None:
    """What `--fm-baseline` names: a results file, or an FM of this run."""
    name = settings.baseline
    if name is None:
        return None
    if name not in subjects.specs:
        return read_baseline(name, settings.baseline_fm)
    if Path(name).is_file():
        raise CriteriaError(
            f"the baseline {name} is both an FM of this run and a file in this folder",
            remedy=f"write ./{name} for the file, or rename it for the FM",
        )
    criteria = profile.criteria_for([subject.cohort for subject in subjects.of_fm(name)])
    return baseline_of_this_run(
        name, [(one.cohort, one.metric) for one in criteria if one.quantity == "value"]
    )


def planned_checks(profile: Profile, subjects: Subjects, baseline: Baseline | None) -> list[PlannedCheck]:
    """Every criterion applied to every FM, with the ids of their tests.

    Raises
    ------
    CriteriaError : as `Terms`.
    """
    checks = []
    for fm, method in dict.fromkeys((subject.fm, subject.method) for subject in subjects.subjects):
        cohorts = tuple(one.cohort for one in subjects.of_fm(fm) if one.method == method)
        criteria = [one for one in profile.criteria_for(cohorts) if set(one.cohorts) & set(cohorts)]
        for cohort in cohorts:
            if not any(cohort in criterion.cohorts for criterion in criteria):
                raise CriteriaError(
                    f"profile {profile.name} has no criterion for cohort {cohort}",
                    remedy="give another profile with --fm-criteria, or add one to the file",
                )
        if baseline is not None:
            criteria += baseline.criteria(fm, cohorts, profile)
        checks += [PlannedCheck(fm=fm, method=method, criterion=one) for one in criteria]
    return _with_ids(checks)


_OWN_SUITES: Mapping[str, str] = {"mean": "mean_over_cohorts", "difference": "not_worse_than_baseline"}
FURTHER_METRICS = "further_metrics"


def _with_ids(checks: Iterable[PlannedCheck]) -> list[PlannedCheck]:
    """Test ids as pytest makes them of the packaged suites."""
    checks = list(checks)
    further = added_metrics()
    tests = [_test(check, further) for check in checks]
    subjects = [subject_id(check.fm, check.method, check.criterion.cohort) for check in checks]
    alike = Counter(zip(subjects, tests, strict=True))
    named = []
    for check, (file, test), subject in zip(checks, tests, subjects, strict=True):
        alone = alike[subject, (file, test)] == 1
        always = file in (*_OWN_SUITES.values(), FURTHER_METRICS)
        suffix = f"-{check.criterion.id}" if always or not alone else ""
        named.append(replace(check, id=f"suites/test_{file}.py::test_{test}[{subject}{suffix}]"))
    return named


def _test(check: PlannedCheck, further: tuple[str, ...]) -> tuple[str, str]:
    """The suite and the test that make a check."""
    suite = _OWN_SUITES.get(check.criterion.quantity)
    name = check.criterion.metric
    if suite is not None:
        return suite, suite
    if name in further:
        return FURTHER_METRICS, FURTHER_METRICS
    return metric(name).computation.name, name
