"""What a run is held to: fixed before anything is measured, and equal in every process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.canonical import digest_of
from pathorob_checks.criteria.files import load_profiles, under_own_name
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.protocol import protocol_of
from pathorob_checks.errors import CriteriaError, MetricError
from pathorob_checks.evaluation.baseline import Baseline, baseline_of_this_run, read_baseline
from pathorob_checks.evaluation.plan import Key, PlannedCheck, plan_of
from pathorob_checks.evaluation.subjects import Subject, Subjects
from pathorob_checks.methods.chain import chain_of
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.registry import metric
from pathorob_checks.wording import brief, printable

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings


class Terms:
    """Criteria, protocol and baseline of a run, the plan that follows, and the digest over all of it.

    Parameters
    ----------
    profile : the criteria.
    subjects : what the run is about.
    baseline : what the FMs are compared with.
    cohorts_chosen : see `plan_of`.
    protocol : that of a results file; None reads how the cohorts are read.

    Attributes
    ----------
    plan : all that must be recorded.
    checks : the part of the plan that can be measured, by key.
    contents : digest of each cohort of the user's own; empty until `fix`.

    Raises
    ------
    CriteriaError : as `plan_of`, or the baseline was measured by another protocol.
    """

    def __init__(
        self,
        profile: Profile,
        subjects: Subjects,
        baseline: Baseline | None = None,
        *,
        cohorts_chosen: bool = True,
        protocol: Mapping[str, Any] | None = None,
    ) -> None:
        from pathorob_checks.cohorts.cohort import VIEWS

        self.profile, self.baseline = profile, baseline
        self.plan = plan_of(profile, subjects, baseline, cohorts_chosen=cohorts_chosen)
        self.checks: Mapping[Key, PlannedCheck] = self.plan.measurable
        planned = [check.criterion.metric for check in self.plan.checks.values()]
        metrics = dict.fromkeys([*profile.metrics, *planned])
        for definition in map(metric, metrics):
            view = definition.computation.view
            if view not in VIEWS:
                raise MetricError(
                    f"the metric {definition.name} reads the view {view!r} of a cohort, which does not exist",
                    remedy=f"let it read one of {', '.join(VIEWS)}",
                )
        self.protocol = (
            dict(protocol)
            if protocol
            else protocol_of(profile, metrics, _designs(subjects), _methods(subjects))
        )
        self.contents: dict[str, str] = {}
        if baseline is not None:
            baseline.check_protocol(self.protocol)

    def fix(self, contents: Mapping[str, str]) -> None:
        """Take in what the user's own cohorts hold; from here on the digest is that of the run."""
        self.contents = dict(contents)

    @property
    def content(self) -> dict[str, Any]:
        """What the digest is taken of: criteria, protocol, baseline and the user's own cohorts."""
        return {
            "criteria": self.profile.content,
            "protocol": self.protocol,
            "baseline": self.baseline.digest if self.baseline else None,
            "cohorts": self.contents,
        }

    @property
    def digest(self) -> str:
        """SHA-256 over criteria, protocol, baseline and the content of the user's own cohorts."""
        return digest_of(self.content)

    def of_kind(self, kind: str) -> tuple[PlannedCheck, ...]:
        """The checks of a kind: a `mean`, a `difference` from a baseline, what a `repair` may not destroy."""
        return tuple(check for check in self.checks.values() if check.kind == kind)

    def of_metric(self, subject: Subject, name: str) -> tuple[PlannedCheck, ...]:
        """The checks of one metric of one subject, without means and differences."""
        return tuple(
            check
            for check in self.checks.values()
            if check.subjects == (subject,)
            and check.criterion.metric == name
            and check.criterion.quantity not in ("mean", "difference")
        )

    def demand(self, digest: str | None, command: str) -> None:
        """Refuse to run by other terms than those that were agreed on.

        Parameters
        ----------
        digest : that was agreed on; None demands nothing.
        command : what prints the digest of these criteria, cohorts and baseline beforehand.

        Raises
        ------
        CriteriaError : the run's digest is not `digest`.
        """
        if digest is not None and digest != self.digest:
            raise CriteriaError(
                f"the digest of criteria, protocol, baseline and cohorts is {self.digest}, but "
                f"--fm-criteria-digest requires {digest}",
                remedy=f"agree on the digest of this run's cohorts and baseline, which '{command}' prints, "
                "or see with 'pathorob-checks criteria diff' what has changed in the criteria",
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
        """For workers: the profile as it was read, what the cohorts hold, and the digest."""
        profile = self.profile.model_dump(mode="json")
        return json.dumps({"profile": profile, "contents": self.contents, "digest": self.digest})

    @staticmethod
    def handed_over(text: str) -> tuple[Profile, dict[str, str], str]:
        """Undo `to_json`: workers never read the criteria files again."""
        content: dict[str, Any] = json.loads(text)
        return Profile.model_validate(content["profile"]), content["contents"], content["digest"]


def _methods(subjects: Subjects) -> dict[str, Any]:
    """How embeddings are repaired; empty where they are not."""
    versions: dict[str, int] = {}
    for name in dict.fromkeys(one.method for one in subjects.wanted):
        versions |= chain_of(name).versions
    target = {"target": subjects.method_target} if subjects.method_target else {}
    if not versions:
        return {}
    only = {} if any(one.method == NO_METHOD for one in subjects.wanted) else {"only": True}
    return {"out_of_domain": subjects.method_ood, "versions": versions, **target, **only}


def _designs(subjects: Subjects) -> dict[str, Any]:
    from pathorob_checks.cohorts.designs import view_designs

    return {name: view_designs(text) for name, text in subjects.cohorts.items()}


def terms_of(settings: Settings, subjects: Subjects, profile: Profile | None = None) -> Terms:
    """The terms of a run; `profile` is what a controller handed over, None reads the files.

    Raises
    ------
    CriteriaError : the criteria cannot be used on these cohorts, or the baseline cannot be used.
    """
    if profile is None:
        chosen = settings.criteria
        profile = chosen if isinstance(chosen, Profile) else load_profiles(chosen)
        profile = with_repetitions(under_own_name(profile), settings.repetitions)
    baseline = _baseline(settings, subjects, profile)
    terms = Terms(profile, subjects, baseline, cohorts_chosen=settings.chose("cohorts"))
    if baseline is not None and not terms.of_kind("difference"):
        raise CriteriaError(
            f"nothing of this run is compared with the baseline {brief(printable(baseline.fm))} "
            f"({printable(baseline.source)})",
            remedy="name another FM beside it, and a cohort and a metric of it, or leave the baseline out",
        )
    return terms


def with_repetitions(profile: Profile, repetitions: int | None) -> Profile:
    """The profile with the repetitions of a run; None leaves those that it has."""
    return profile if repetitions is None else profile.model_copy(update={"repetitions": repetitions})


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
