"""Results files of the jobs of one run, as the results that the whole run would have had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import MetricError, PathorobChecksError, ResultsError
from pathorob_checks.evaluation.assembling import Frame, Records, assembled
from pathorob_checks.evaluation.baseline import Baseline
from pathorob_checks.evaluation.completeness import Collected
from pathorob_checks.evaluation.judging import judged, not_measured
from pathorob_checks.evaluation.measuring import mean_drift, mean_of
from pathorob_checks.evaluation.part import Part, terms_of_subjects
from pathorob_checks.evaluation.plan import PlannedCheck
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.evaluation.terms import Terms
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.results.check import Check
from pathorob_checks.results.environment import Environment
from pathorob_checks.results.results import Results
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.wording import brief, printable, quoted

# Of packages that decide neither a value nor a verdict, jobs may have several versions.
_ANY_VERSION = ("huggingface-hub", "pytest", "pytest-xdist")
_SAME_CRITERIA = "run all jobs with the same criteria, settings and baseline"
_SAME_PACKAGES = "run all jobs with the same versions, such as one image or one lock file"
_SHOWN = 3
_GIVEN = "embeddings"


def merged(parts: Sequence[Part], cohorts: Iterable[str] = ()) -> Results:
    """The results of all parts together.

    Outcome, verdicts on the FMs, completeness and means over cohorts are worked out again over the union of
    all records. Every FM must have been checked on every cohort: what no part has, is missing.

    Parameters
    ----------
    parts : of one run, in the order of its cohorts; one at least.
    cohorts : names of cohorts of the run; each must be in a part.

    Raises
    ------
    ResultsError : the parts are not of one run, hold the same cohort twice, or lack one of `cohorts`.
    """
    first = parts[0]
    for other in parts[1:]:
        _refuse_other_terms(first, other)
        _refuse_other_packages(first, other)
    for one, other in combinations(parts, 2):
        _refuse_shared_subjects(one, other)
        _refuse_other_facts(one, other)
    fms = dict.fromkeys((one.fm, one.method) for part in parts for one in part.subjects)
    present = dict.fromkeys(one.cohort for part in parts for one in part.subjects)
    if missing := [name for name in cohorts if name not in present]:
        raise ResultsError(
            f"none of the files has the cohort {printable(missing[0])}",
            remedy="give the file of the job that checked it",
        )
    subjects = tuple(Subject(fm, method, cohort) for fm, method in fms for cohort in present)
    terms = _terms(parts, subjects)
    records = _records(parts, terms)
    left_out = [*terms.plan.absent_cohorts, *terms.not_compared]
    for part in parts:
        known = {*part.terms.plan.absent_cohorts, *part.terms.not_compared}
        left_out += [one for one in part.results.environment.left_out if one not in known]
    frame = Frame(
        terms=terms,
        subjects=subjects,
        require_complete=any(part.results.environment.criteria.require_complete for part in parts),
        files=_each(parts, lambda part: part.results.environment.criteria.files),
        left_out=tuple(dict.fromkeys(left_out)),
        settings=_each(parts, lambda part: part.results.environment.settings),
        machine=_machine([part.results.environment for part in parts]),
    )
    return assembled(frame, records, max(part.results.created for part in parts))


def _terms(parts: Sequence[Part], subjects: tuple[Subject, ...]) -> Terms:
    """Those of a run on all subjects."""
    first = parts[0]
    protocol: dict[str, Any] = {**first.terms.protocol, "metrics": {}, "cohorts": {}}
    measured: dict[tuple[str, str], Resampling | None] = {}
    contents: dict[str, str] = {}
    for part in parts:
        for name in ("metrics", "cohorts"):
            protocol[name] |= part.terms.protocol[name]
        contents |= part.contents
        measured |= part.terms.baseline.measured if part.terms.baseline else {}
    baseline = first.terms.baseline
    if baseline is not None:
        baseline = Baseline(
            fm=baseline.fm,
            source=baseline.source,
            digest=baseline.digest,
            measured=measured,
            runs={},
            protocol=baseline.protocol and protocol,
        )
    for name in ("metrics", "cohorts"):
        protocol[name] = dict(sorted(protocol[name].items()))
    try:
        return terms_of_subjects(
            first.profile,
            subjects,
            baseline,
            contents,
            protocol=protocol,
            cohorts_chosen=all(part.cohorts_chosen for part in parts),
        )
    except PathorobChecksError as error:
        raise ResultsError(
            f"the files cannot be one run ({error.problem})", remedy="merge fewer of them"
        ) from None


def _records(parts: Sequence[Part], terms: Terms) -> Records:
    """What all parts recorded, and the means over cohorts that no part could have."""
    records = Records(collected=_left_out(parts), crashed=False)
    for number, part in enumerate(parts):
        records.crashed |= part.results.environment.criteria.completeness.crashed
        records.problems += part.results.problems
        records.other_failures += part.results.other_failures
        records.runs |= part.runs
        for check in part.results.checks:
            if not (check.registered and check.quantity == "mean"):
                records.add_check(check, number)
        for one in part.results.integrity:
            records.add_integrity(one)
    for mean in terms.of_kind("mean"):
        if made := _mean(mean, parts, terms):
            records.add_check(made)
    return records


def _left_out(parts: Sequence[Part]) -> Collected:
    """What the command line of every part that plans it left out."""
    planned = {one for part in parts for one in part.terms.plan.ids}
    chosen = tuple(
        one
        for one in sorted(planned)
        if all(one in part.collected.chosen for part in parts if one in part.terms.plan.ids)
    )
    return Collected(deselected={one: one for one in chosen}, chosen=chosen)


def _mean(planned: PlannedCheck, parts: Sequence[Part], terms: Terms) -> Check | None:
    """The check of a mean: a part's own, or made of the values that several parts have.

    None where the command lines left it out and not all of its values are there.
    """
    criterion = planned.criterion
    checks = [check for part in parts for check in part.results.checks if check.registered]
    same = [check for check in checks if _place(check) == (*planned.key[:3], criterion.metric)]
    own = [one for one in same if one.quantity == "mean" and one.criterion == criterion.id]
    if measured := [one for one in own if one.verdict.is_measured]:
        return measured[0]
    values = {
        check.cohort: check
        for check in checks
        if check.quantity == "value"
        and check.metric == criterion.metric
        and check.value is not None
        and Subject(check.fm, check.method, check.cohort) in planned.subjects
    }
    lacking = [name for name in criterion.cohorts if name not in values]
    if lacking and not own and planned.id in _left_out(parts).chosen:
        return None
    try:
        if lacking:
            raise MetricError(
                f"{criterion.metric}: the mean needs a value on {', '.join(lacking)}, which none of the "
                "merged files has",
                remedy="measure it there, by a criterion of its own",
            )
        mean = mean_of(
            criterion.metric,
            {name: _measurement(values[name]) for name in criterion.cohorts},
            terms.profile.confidence,
        )
        drift = mean_drift(values[name].drift for name in criterion.cohorts)
        fms = [run.fm for part in parts for run in part.results.runs if run.fm.name == planned.fm]
        return judged(
            planned.id,
            planned.fm,
            planned.method,
            criterion,
            mean,
            drift=drift,
            has_images=all(fm.identity.get("kind") != _GIVEN for fm in fms),
        )
    except MetricError as error:
        verdict = Verdict.ERROR if criterion.required else Verdict.SKIPPED
        return not_measured(planned.id, planned, str(error), verdict)


def _place(check: Check) -> tuple[str, str, str, str]:
    return (check.fm, check.method, check.cohort, check.metric)


def _measurement(check: Check) -> Measurement:
    """What a mean needs of a value."""
    assert check.value is not None  # noqa: S101 (the caller looked)
    return Measurement(
        metric=check.metric,
        value=check.value,
        support=check.support,
        rows=0,
        protocol=check.protocol,
        cells=check.cells,
        resampling=check.resampling,
        unstable=check.resampling.unstable if check.resampling else "",
    )


def _refuse_other_terms(one: Part, other: Part) -> None:
    both = f"{one.source} and {other.source}"
    contents = one.profile.content, other.profile.content
    if differing := _differing(*contents):
        raise _refused(f"{both} were judged by different criteria ({differing})", _SAME_CRITERIA)
    protocols = one.terms.protocol["metrics"], other.terms.protocol["metrics"]
    shared = [{name: of[name] for name in protocols[0] if name in protocols[1]} for of in protocols]
    if differing := _differing(*shared):
        raise _refused(f"{both} were measured by different protocols ({differing})", _SAME_CRITERIA)
    methods = [part.terms.protocol.get("methods") or {} for part in (one, other)]
    if methods[0] != methods[1]:
        named = [quoted(sorted(known.get("versions", {}))) or "none" for known in methods]
        raise _refused(
            f"{both} were measured with different methods, or by other settings of them "
            f"({' and '.join(named)})",
            "run all jobs with the same --fm-method and the options that begin with it",
        )
    baselines = [part.results.environment.criteria.baseline for part in (one, other)]
    if baselines[0] != baselines[1]:
        names = [f"{facts.fm} ({facts.source})" if facts else "none" for facts in baselines]
        raise _refused(f"{both} have different baselines ({' and '.join(names)})", _SAME_CRITERIA)


def _refuse_other_packages(one: Part, other: Part) -> None:
    here, there = (part.results.environment.packages for part in (one, other))
    for name in sorted({*here, *there}):
        versions = here.get(name), there.get(name)
        if name not in _ANY_VERSION and versions[0] != versions[1]:
            had = " and ".join(f"{version or 'none'}" for version in versions)
            raise _refused(
                f"{one.source} and {other.source} were computed with different versions of {name} ({had})",
                _SAME_PACKAGES,
            )


def _refuse_shared_subjects(one: Part, other: Part) -> None:
    shared = [subject for subject in one.subjects if subject in other.subjects]
    if not shared:
        return
    fm, _, cohort = shared[0]
    values = [
        {
            (check.criterion, check.id): (check.value, check.verdict)
            for check in part.results.checks
            if (check.fm, check.cohort) == (fm, cohort)
        }
        for part in (one, other)
    ]
    what = " with different values" if values[0] != values[1] else ""
    raise _refused(
        f"{one.source} and {other.source} both hold {fm} on {cohort}{what}",
        "give one file for each FM and cohort",
    )


def _refuse_other_facts(one: Part, other: Part) -> None:
    """Refuse two FMs, or two cohorts, of one name."""
    for ours in one.results.runs:
        for theirs in other.results.runs:
            same_fm = (ours.fm.name, ours.method) == (theirs.fm.name, theirs.method)
            if same_fm and (differing := _differing(_identity(ours), _identity(theirs))):
                raise _refused(
                    f"{ours.fm.name} is one FM in {one.source} and another in {other.source} ({differing})",
                    "merge files of one FM, embedded in one way, or rename one of them",
                )
            same_cohort = ours.cohort.name == theirs.cohort.name
            if same_cohort and ours.cohort.digest != theirs.cohort.digest:
                raise _refused(
                    f"the cohort {ours.cohort.name} of {one.source} is not that of {other.source}",
                    "run all jobs on the same cohort, or rename one of them",
                )


def _identity(run: Run) -> dict[str, Any]:
    """What is equal in all runs of one FM: given embeddings are others for every cohort."""
    content = dict(run.fm.identity)
    if content.get("kind") == _GIVEN:
        content.pop("sha256", None)
    return {**content, "revision": run.fm.revision, "dimension": run.fm.dimension}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The keys in which two mappings differ, at most three of them; "" where they are equal."""
    names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    return quoted(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _each(parts: Sequence[Part], texts: Callable[[Part], Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for part in parts for text in texts(part)))


def _machine(environments: Sequence[Environment]) -> dict[str, Any]:
    """Where the parts were computed; of machines that differ, all are named."""

    def all_of(values: Iterator[str | None]) -> str:
        return "; ".join(dict.fromkeys(value or "none" for value in values))

    first = environments[0]
    packages = {
        name: all_of(one.packages.get(name) for one in environments)
        if any(one.packages.get(name) != version for one in environments)
        else version
        for name, version in first.packages.items()
    }
    names = ("python", "implementation", "platform", "machine")
    machine = {name: all_of(getattr(one, name) for one in environments) for name in names}
    return {**machine, "packages": packages}


def _refused(problem: str, remedy: str) -> ResultsError:
    return ResultsError(brief(printable(problem), 400), remedy=remedy)
