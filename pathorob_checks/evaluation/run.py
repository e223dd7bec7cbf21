"""One run: its subjects, terms and inputs, and the checks that follow from them.

The gate and `evaluate` are both made of this class; only who calls it, and when, differs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable
from typing import Any

from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.baseline import Baseline
from pathorob_checks.evaluation.facts import cohort_facts, run_of
from pathorob_checks.evaluation.inputs import Inputs
from pathorob_checks.evaluation.integrity import integrity_check
from pathorob_checks.evaluation.judging import judged
from pathorob_checks.evaluation.measuring import Measured, Measuring, drawn_of, mean_drift
from pathorob_checks.evaluation.needs import Unmet, refuse_unmet_needs, unmet_needs
from pathorob_checks.evaluation.observer import Observer
from pathorob_checks.evaluation.plan import Key, PlannedCheck
from pathorob_checks.evaluation.published_bounds import check_published_bounds
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import Subject, subjects_of
from pathorob_checks.evaluation.terms import Terms, terms_of
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.version import version
from pathorob_checks.wording import printable


class Evaluation:
    """A run, planned and with its terms fixed; nothing is measured yet.

    Parameters
    ----------
    settings : the caller's choices.
    observer : follows long work.
    handed_over : what another process's `hand_over` gave, to measure the same by the same terms.

    Raises
    ------
    SpecError : a SPEC names no FM.
    CohortError : two cohorts have one name, or a settings file cannot be used.
    CriteriaError : the criteria cannot be used on these cohorts, or have another digest than required.
    """

    def __init__(
        self, settings: Settings, observer: Observer | None = None, handed_over: str | None = None
    ) -> None:
        version()  # that of now: the code may be replaced on disk while the run lasts
        self.settings = settings
        self.subjects = subjects_of(settings)
        content: dict[str, Any] = json.loads(handed_over) if handed_over else {}
        self.inputs = Inputs(settings, self.subjects, observer or Observer())
        if content:
            profile, contents, digest = Terms.handed_over(content["terms"])
            self.terms = terms_of(settings, self.subjects, profile)
            self.terms.fix(contents)
            self.terms.demand(digest, self._showing_command())
            self.inputs.take_over(content)
        else:
            self.terms = terms_of(settings, self.subjects)
        self._measuring = Measuring(self.inputs, self.terms)
        self._runs: dict[Subject, tuple[object, Run]] = {}

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence for everything that the options leave out."""
        sentences = self.subjects.left_out + self.terms.plan.absent_cohorts + self.terms.not_compared
        return tuple(dict.fromkeys(sentences))

    @property
    def require_complete(self) -> bool:
        """Whether a required criterion that is not measured is an error, even if it was deselected."""
        return self.settings.require_complete or self.terms.profile.require_complete

    def _showing_command(self) -> str:
        """The command that prints the digest of this run's criteria, cohorts and baseline."""
        settings, chosen = self.settings, self.settings.criteria
        names = [chosen.name] if isinstance(chosen, Profile) else list(map(str, chosen))
        options = [f"--fm-cohort={text}" for text in self.subjects.cohorts.values()]
        if settings.baseline is not None and settings.baseline not in self.subjects.specs:
            options.append(f"--fm-baseline={settings.baseline}")
            options += [f"--fm-baseline-fm={settings.baseline_fm}"] if settings.baseline_fm else []
        options += [f"--fm-repetitions={settings.repetitions}"] if settings.repetitions else []
        options += [f"--fm-method={name}" for name in settings.methods]
        options += ["--fm-method-only"] if settings.method_only else []
        options += [f"--fm-method-ood={settings.method_ood}"] if settings.method_ood != "unseen" else []
        options += [f"--fm-method-target={settings.method_target}"] if settings.method_target else []
        return printable(shlex.join(["pathorob-checks", "criteria", "show", *names, *options]))

    def preflight(self, *, left_out: Collection[str] = (), keyword: str = "") -> None:
        """Everything that can be known to be wrong before a model is loaded; fixes the digest of the run.

        Parameters
        ----------
        left_out : ids of planned checks that the command line leaves out: what a cohort lacks for these
            refuses nothing.
        keyword : the expression of `-k` that the command line has.

        Raises
        ------
        PathorobChecksError : an FM, a cohort, the criteria, the cache folder or the baseline cannot be used,
            the digest is not the one that the settings require, or a required criterion can have no value.
        """
        self.inputs.preflight()
        self.terms.fix(self.inputs.own_contents())
        self.terms.demand(self.settings.criteria_digest, self._showing_command())
        cohorts = {name: self.inputs.cohort(name) for name in self.subjects.cohorts}
        check_published_bounds(self.terms.profile, cohorts)
        if self.terms.baseline is not None:
            for name in self.subjects.cohorts:
                self.terms.baseline.check_cohort(cohort_facts(name, self.inputs.cohort(name)))
            self._refuse_unchanged(self.terms.baseline)
        wanted = [check for check in self.terms.checks.values() if check.id not in left_out]
        ids = [name for name in self.terms.plan.ids if name not in left_out]
        refuse_unmet_needs(unmet_needs(wanted, self.inputs.known_cohorts()), ids, keyword)

    def _refuse_unchanged(self, baseline: Baseline) -> None:
        """Refuse an FM that is its own baseline, as far as that is seen before it is loaded."""
        for subject in self.subjects.subjects:
            run = baseline.runs.get(subject.cohort)
            if run is not None and subject.method == NO_METHOD:
                identity = self.inputs.identity_ahead(subject, run.fm.identity)
                if identity is not None:
                    baseline.check_subject(subject.cohort, None, identity)

    def unmet_needs(self) -> list[Unmet]:
        """What required criteria need of the cohorts that this process has loaded, and these lack."""
        unmet = unmet_needs(self.terms.checks.values(), self.inputs.known_cohorts())
        return [one for one in unmet if one.required]

    def hand_over(self) -> str:
        """What another process needs to measure the same by the same terms, as JSON."""
        return json.dumps({**self.inputs.hand_over(), "terms": self.terms.to_json()})

    def measure(self, subject: Subject, metric: str, **settings: Any) -> Measurement:
        """One metric by the cohort's protocol, some settings replaced; raises MetricError without a value."""
        return self._measuring.value(subject, metric, **settings)

    def measure_check(self, planned: PlannedCheck) -> Measured:
        """What a planned check is about, by the registered protocol; raises MetricError without a value."""
        return self._measuring.check(planned)

    def check(self, planned: PlannedCheck) -> Check:
        """Measure and judge a planned check; raises MetricError without a value."""
        return self.judge(planned.id, planned.subjects[0], planned.criterion, None)

    def judge(
        self, check_id: str, subject: Subject, criterion: Criterion, measurement: Measurement | None
    ) -> Check:
        """Hold a measurement against a criterion; None measures it by the registered protocol.

        Raises
        ------
        MetricError : the criterion is one of the profile and the measurement is not what it is about.
        """
        planned = self.terms.checks.get(Key(subject.fm, subject.method, criterion.cohort, criterion.id))
        registered = planned is not None and planned.criterion == criterion
        if registered and planned is not None:
            measured = self.measure_check(planned)
            if measurement is not None and measurement != measured.measurement:
                raise MetricError(
                    f"criterion {criterion.id} of {criterion.cohort} was not measured by the registered "
                    "protocol",
                    remedy="use measure(criterion), or give the test its own bound, check(..., at_least=...)",
                )
            subjects = planned.subjects
        elif measurement is None:
            raise MetricError(
                f"criterion {criterion.id} is not one of the profile", remedy="give a measurement to judge"
            )
        else:
            measured = Measured(measurement=measurement, drawn=drawn_of([measurement]))
            subjects = tuple(subject._replace(cohort=cohort) for cohort in criterion.cohorts)
        return judged(
            check_id,
            subject.fm,
            subject.method,
            criterion,
            measured,
            drift=self._drift(subjects, criterion.metric),
            registered=registered,
            has_images=self.inputs.subjects.specs[subject.fm].kind != "embeddings",
        )

    def integrity(self, subject: Subject, name: str) -> IntegrityCheck:
        """Make one of `integrity.INTEGRITY_CHECKS`."""
        return integrity_check(self.inputs, subject, name)

    def runs(self, subjects: Iterable[Subject]) -> list[Run]:
        """FM and cohort of those subjects that this process has embeddings of."""
        return [run for subject in subjects if (run := self._run(subject))]

    def _run(self, subject: Subject) -> Run | None:
        """Made anew when there is more to say of the subject: its integrity, or another metric's patches."""
        measured = self._measuring.by_protocol(subject)
        known = (len(measured), self.inputs.known_integrity(subject) is not None)
        made = self._runs.get(subject)
        if made is None or made[0] != known:
            run = run_of(self.inputs, subject, measured)
            if run is None:
                return None
            self._runs[subject] = made = (known, run)
        return made[1]

    def _drift(self, subjects: tuple[Subject, ...], metric: str) -> float | None:
        """How far the precision moves the value: of a mean, the mean of its parts; None where unknown."""
        return mean_drift(self.inputs.drift(subject).get(metric) for subject in subjects)
