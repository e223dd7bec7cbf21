"""What a run must record: every criterion and every integrity check of every FM, fixed before it starts.

The plan follows from the profile, the FMs and the cohorts alone. What pytest collects, and what an option
leaves out, changes nothing about it: it only decides what is later missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pathorob_checks.canonical import digest_of
from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import CriteriaError, SpecError
from pathorob_checks.evaluation.biology import kept_biology
from pathorob_checks.evaluation.integrity import INTEGRITY_CHECKS, integrity_id
from pathorob_checks.evaluation.subjects import LeftOut, Subject, Subjects
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.registry import added_metrics, metric
from pathorob_checks.results.names import subject_id
from pathorob_checks.wording import hint, quoted, shortened

if TYPE_CHECKING:
    from pathorob_checks.evaluation.baseline import Baseline


ABSENT_COHORT = "a cohort that this run does not have"


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
    left_out : why it will not be measured; None for what must be.
    beside_unrepaired : whether it is the difference that the method makes.
    """

    fm: str
    method: str
    criterion: Criterion
    id: str = ""
    left_out: LeftOut | None = None
    beside_unrepaired: bool = False

    @property
    def kind(self) -> str:
        """What makes it: `repair` beside embeddings without a method, else the criterion's quantity."""
        return "repair" if self.beside_unrepaired else self.criterion.quantity

    @property
    def key(self) -> Key:
        """Identifies it within the run."""
        return Key(self.fm, self.method, self.criterion.cohort, self.criterion.id)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The subjects that it needs: one, or several for a mean."""
        return tuple(Subject(self.fm, self.method, cohort) for cohort in self.criterion.cohorts)


@dataclass(frozen=True, kw_only=True)
class PlannedIntegrity:
    """One integrity check that a run must make of one subject; `left_out` as in `PlannedCheck`."""

    subject: Subject
    name: str
    left_out: LeftOut | None = None

    @property
    def id(self) -> str:
        """Of its test."""
        return integrity_id(self.subject, self.name)


@dataclass(frozen=True)
class Plan:
    """Everything that a run must record.

    Attributes
    ----------
    checks : by key, criteria that are left out included.
    integrity : by the id of the test.
    """

    checks: Mapping[Key, PlannedCheck]
    integrity: Mapping[str, PlannedIntegrity]

    @property
    def measurable(self) -> Mapping[Key, PlannedCheck]:
        """The checks that nothing leaves out."""
        return {key: check for key, check in self.checks.items() if check.left_out is None}

    @property
    def ids(self) -> tuple[str, ...]:
        """The id of every check, criteria first."""
        return (*(check.id for check in self.checks.values()), *self.integrity)

    @property
    def left_out(self) -> Mapping[str, LeftOut]:
        """By id, what leaves it out."""
        planned: list[PlannedCheck | PlannedIntegrity] = [*self.checks.values(), *self.integrity.values()]
        return {one.id: one.left_out for one in planned if one.left_out is not None}

    @property
    def absent_cohorts(self) -> tuple[str, ...]:
        """A sentence for each criterion about a cohort that the run does not have."""
        return tuple(
            f"Criterion {check.criterion.id} is left out: this run does not have {check.criterion.cohort}."
            for check in self.checks.values()
            if check.left_out is not None and check.left_out.why == ABSENT_COHORT
        )

    def digest(self, terms: str) -> str:
        """SHA-256 over the checks, and over the terms by their digest."""
        return digest_of({"terms": terms, "checks": list(self.ids)})


def plan_of(
    profile: Profile, subjects: Subjects, baseline: Baseline | None, *, cohorts_chosen: bool = True
) -> Plan:
    """The plan of a run.

    Parameters
    ----------
    cohorts_chosen : whether the caller of the run named its cohorts, so that a criterion of another one is
        left out on purpose.

    Raises
    ------
    SpecError : two FMs on two cohorts have one id.
    CriteriaError : a bound refers to published values that do not exist, a cohort has no criterion, a
        criterion is about a cohort that nobody knows, or two criteria cannot be told apart.
    """
    _check_ids(subjects)
    _check_names(profile, subjects)
    absent = LeftOut(ABSENT_COHORT, cohorts_chosen)
    checks = _with_ids(
        check
        for fm, method in dict.fromkeys((one.fm, one.method) for one in subjects.wanted)
        for check in _checks_of(fm, method, profile, subjects, baseline, absent)
    )
    repeated = [key for key, count in Counter(check.key for check in checks).items() if count > 1]
    if repeated:
        raise CriteriaError(
            f"two criteria of {repeated[0].cohort} have the id {repeated[0].criterion!r}",
            remedy="give the one in the criteria file another id",
        )
    integrity = [
        PlannedIntegrity(subject=subject, name=name, left_out=subjects.excluded.get(subject))
        for subject in subjects.wanted
        for name in INTEGRITY_CHECKS
    ]
    _check_tests((check.id, *check.key) for check in checks)
    return Plan({check.key: check for check in checks}, {check.id: check for check in integrity})


def _check_tests(named: Iterable[tuple[str, ...]]) -> None:
    """Refuse two checks with one test id, of which one record would hide the other."""
    seen: dict[str, tuple[str, ...]] = {}
    for name in named:
        first = seen.setdefault(name[0], name)
        if first != name:
            raise CriteriaError(
                f"two checks have the test id {name[0]}: {quoted(first[1:])} and {quoted(name[1:])}",
                remedy="rename an FM's folder, a cohort or a criterion, or check them in two runs",
            )


def _check_ids(subjects: Subjects) -> None:
    """Refuse subjects that test ids do not tell apart: FM `a` on cohort `b-c`, FM `a-b` on cohort `c`."""
    known: dict[str, Subject] = {}
    for subject in subjects.wanted:
        other = known.setdefault(subject.id, subject)
        if other != subject:
            one, two = (f"FM {shortened(it.fm)} on cohort {shortened(it.cohort)}" for it in (other, subject))
            raise SpecError(
                f"{one} and {two} have the same id {shortened(subject.id)}",
                remedy="rename a folder, or check them in runs of their own",
            )


def _check_names(profile: Profile, subjects: Subjects) -> None:
    """Refuse a criterion about a cohort that nobody knows: a misspelled name must not end its criterion."""
    from pathorob_checks.cohorts.registry import BENCHMARK, BUILT_IN

    present = tuple(dict.fromkeys(subject.cohort for subject in subjects.wanted))
    known = (*present, *BENCHMARK, *BUILT_IN)
    for entry in profile.criteria:
        for name in entry.cohorts or ():
            if name not in known:
                raise CriteriaError(
                    f"criterion {entry.id!r} is about the cohort {shortened(name)}, but this run has "
                    f"{quoted(present)}",
                    remedy=hint(name, known, "correct the name, or add the cohort with --fm-cohort"),
                )


def _checks_of(
    fm: str,
    method: str,
    profile: Profile,
    subjects: Subjects,
    baseline: Baseline | None,
    absent: LeftOut,
) -> Iterator[PlannedCheck]:
    """The checks of one FM; what the options leave out is among them."""
    cohorts = tuple(one.cohort for one in subjects.wanted if (one.fm, one.method) == (fm, method))
    criteria = profile.criteria_for(cohorts)
    for cohort in cohorts:
        if not any(cohort in criterion.cohorts for criterion in criteria):
            raise CriteriaError(
                f"profile {profile.name} has no criterion for cohort {cohort}",
                remedy=f"name another profile or file with --fm-criteria, or add a criterion for {cohort} to "
                "the file",
            )
    present = {subject.cohort for subject in subjects.wanted}
    for criterion in criteria:
        if set(criterion.cohorts) & set(cohorts):
            yield _check(fm, method, criterion, subjects)
        elif not set(criterion.cohorts) & present:
            yield PlannedCheck(fm=fm, method=method, criterion=criterion, left_out=absent)
    for criterion in profile.criteria_elsewhere(present):
        yield PlannedCheck(fm=fm, method=method, criterion=criterion, left_out=absent)
    if baseline is not None:
        for criterion in baseline.criteria(fm, cohorts, profile):
            yield _check(fm, method, criterion, subjects)
    if method != NO_METHOD:
        for cohort in cohorts:
            for criterion in kept_biology(cohort, profile):
                yield replace(_check(fm, method, criterion, subjects), beside_unrepaired=True)


def _check(fm: str, method: str, criterion: Criterion, subjects: Subjects) -> PlannedCheck:
    check = PlannedCheck(fm=fm, method=method, criterion=criterion)
    reasons = [subjects.excluded[one] for one in check.subjects if one in subjects.excluded]
    return replace(check, left_out=reasons[0]) if reasons else check


_OWN_SUITES: Mapping[str, str] = {
    "mean": "mean_over_cohorts",
    "difference": "not_worse_than_baseline",
    "repair": "repair_keeps_biology",
}
FURTHER_METRICS = "further_metrics"


def _with_ids(checks: Iterable[PlannedCheck]) -> list[PlannedCheck]:
    """Test ids as pytest shows them."""
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
    suite = _OWN_SUITES.get(check.kind)
    name = check.criterion.metric
    if suite is not None:
        return suite, suite
    if name in further:
        return FURTHER_METRICS, FURTHER_METRICS
    return metric(name).computation.name, name
