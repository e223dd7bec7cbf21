"""A results file taken apart again: what had to be recorded, held against what was.

Nothing that a file says of itself is believed: its plan, its digest and its counts are worked out again from
its criteria and records, by the functions of a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from pathorob_checks.canonical import digest_of
from pathorob_checks.cohorts.registry import BUILT_IN
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import PathorobChecksError, ResultsError
from pathorob_checks.evaluation.baseline import Baseline
from pathorob_checks.evaluation.completeness import Collected, completeness, key_of
from pathorob_checks.evaluation.integrity import FIRST, integrity_id
from pathorob_checks.evaluation.plan import plan_of
from pathorob_checks.evaluation.subjects import Subject, Subjects
from pathorob_checks.evaluation.terms import Terms
from pathorob_checks.metrics.registry import metric, metrics
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.environment import Terms as TermsFacts
from pathorob_checks.results.outcome import UNFINISHED
from pathorob_checks.results.results import Results
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.wording import brief, printable

_AGAIN = "run that job again with this version"


@dataclass(frozen=True)
class Part:
    """A results file that can become a part of a whole.

    Attributes
    ----------
    source : its name, for messages.
    results : its content.
    profile : its criteria.
    subjects : the FMs and cohorts of its records.
    contents : digests of the user's own cohorts, as in `Terms`.
    terms : worked out again from its criteria, and equal to what it says.
    collected : what its command line left out.
    cohorts_chosen : see `plan_of`.
    """

    source: str
    results: Results
    profile: Profile
    subjects: tuple[Subject, ...]
    contents: Mapping[str, str]
    terms: Terms
    collected: Collected
    cohorts_chosen: bool

    @property
    def runs(self) -> Mapping[Subject, Run]:
        """The FM and the cohort of each subject."""
        return {Subject(run.fm.name, run.method, run.cohort.name): run for run in self.results.runs}


def part_of(source: str, results: Results) -> Part:
    """Take a results file apart.

    Raises
    ------
    ResultsError : it contradicts itself, is of a run that has not finished, or of another version; or its
        plan, digest or counts do not follow from what is in it.
    """

    def refused(problem: str, remedy: str = _AGAIN) -> ResultsError:
        return ResultsError(brief(printable(f"{source} {problem}"), 400), remedy=remedy)

    said = results.environment.criteria
    if UNFINISHED in results.problems:
        raise refused("is of a run that did not finish")
    if not said.planned and results.problems:
        raise refused(f"is of a run that did not start ({brief(results.problems[0])})")
    if not said.planned:
        raise refused("does not say what its run had to measure, because an older version wrote it")
    for contradiction in contradictions(results):
        raise refused(f"contradicts itself: {contradiction}", "do not use it; run that job again")
    subjects = _subjects(results)
    lacking = sorted({one.cohort for one in subjects} - {run.cohort.name for run in results.runs})
    try:
        profile = Profile.model_validate(
            {name: value for name, value in said.profile.items() if name in Profile.model_fields}
        )
        contents = dict(_contents(results))
        baseline = _baseline(said, profile, subjects)
        both = [
            terms_of_subjects(
                profile, subjects, baseline, contents, protocol=said.protocol, cohorts_chosen=chosen
            )
            for chosen in (True, False)
        ]
    except (PathorobChecksError, ValueError) as error:
        problem = error.problem if isinstance(error, PathorobChecksError) else str(error)
        raise refused(f"has criteria that this version cannot read ({brief(problem)})") from None
    if both[0].profile.content != said.profile:
        raise refused("has criteria that this version reads in another way")
    if both[0].plan.ids != said.planned:
        raise refused(
            "has a plan that does not follow from its criteria and records",
            f"{_AGAIN}, and without --fm-commercial",
        )
    if both[0].digest != said.digest and lacking:
        raise refused(f"does not say what the cohort {lacking[0]} held, because nothing of it was embedded")
    if both[0].digest != said.digest:
        raise refused("has a digest that does not follow from its criteria, protocol and cohorts")
    for terms, collected in product(both, _collected(both[0], results)):
        counts = completeness(
            terms.plan,
            collected,
            results.checks,
            results.integrity,
            crashed=said.completeness.crashed,
        )
        if counts == said.completeness:
            return Part(source, results, profile, subjects, contents, terms, collected, terms is both[0])
    raise refused(
        "has counts that do not follow from its records, as where some tests of a run were left out and "
        "others never ran"
    )


def terms_of_subjects(
    profile: Profile,
    subjects: tuple[Subject, ...],
    baseline: Baseline | None,
    contents: Mapping[str, str],
    *,
    protocol: Mapping[str, object],
    cohorts_chosen: bool,
) -> Terms:
    """The terms of a run on these subjects; raises as `Terms`."""
    terms = Terms(profile, _given(subjects), baseline, cohorts_chosen=cohorts_chosen, protocol=protocol)
    terms.fix(contents)
    return terms


def _given(subjects: tuple[Subject, ...]) -> Subjects:
    cohorts = {one.cohort: one.cohort for one in subjects}
    return Subjects(specs={}, cohorts=cohorts, wanted=subjects, excluded={}, left_out=())


def _subjects(results: Results) -> tuple[Subject, ...]:
    """Those of all records, in the order of the plan."""
    checks = [one for one in results.checks if one.quantity != "mean" and one.registered]
    subjects = {Subject(run.fm.name, run.method, run.cohort.name) for run in results.runs}
    subjects |= {Subject(one.fm, one.method, one.cohort) for one in checks}
    subjects |= {Subject(one.fm, one.method, one.cohort) for one in results.integrity}
    places = {name: place for place, name in enumerate(results.environment.criteria.planned)}
    return tuple(sorted(subjects, key=lambda one: (places.get(integrity_id(one, FIRST), len(places)), one)))


def _contents(results: Results) -> Iterator[tuple[str, str]]:
    """What the digest covers of the user's own cohorts, and of the user's own tables of others."""
    read = results.environment.criteria.protocol.get("cohorts")
    for run in results.runs:
        cohort = run.cohort
        how = read.get(cohort.name) if isinstance(read, dict) else None
        is_built_in = cohort.name in BUILT_IN and isinstance(how, dict) and "recipe" in how
        if cohort.own_tables:
            yield cohort.name, digest_of(dict(cohort.tables))
        elif not cohort.tables and not is_built_in:
            yield cohort.name, cohort.digest


def _baseline(said: TermsFacts, profile: Profile, subjects: tuple[Subject, ...]) -> Baseline | None:
    """What a run was compared with: the cohorts and metrics of which its plan has a difference."""
    facts = said.baseline
    if facts is None:
        return None
    every = Baseline(
        fm=facts.fm,
        source=facts.source,
        digest=facts.digest,
        measured={(one.cohort, name): None for one in subjects for name in metrics()},
        runs={},
        protocol=None if facts.digest == f"fm:{facts.fm}" else said.protocol,
    )
    compared = {
        (check.criterion.cohort, check.criterion.metric)
        for check in plan_of(profile, _given(subjects), every).checks.values()
        if check.criterion.quantity == "difference" and check.id in said.planned
    }
    never = {place for place in every.measured if "difference" not in metric(place[1]).quantities}
    return replace(every, measured=dict.fromkeys([*compared, *never]))


def _collected(terms: Terms, results: Results) -> tuple[Collected, ...]:
    """What the command line may have left out: nothing, or all that has no record."""
    planned = {key: check.id for key, check in terms.plan.checks.items()}
    recorded = {planned[key] for check in results.checks if (key := key_of(check)) in planned}
    recorded |= {check.id for check in results.integrity}
    without = tuple(one for one in terms.plan.ids if one not in recorded)
    left_out = Collected(deselected={one: one for one in without}, chosen=without)
    return (Collected(), left_out) if without else (Collected(),)
