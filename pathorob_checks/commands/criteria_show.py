"""What criteria require of cohorts, and the digest that a run by them will have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tabulate import tabulate

from pathorob_checks.cohorts.registry import check_cohort_text, is_own, load_cohort
from pathorob_checks.commands.criteria import WIDTH
from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.document import is_built_in
from pathorob_checks.criteria.files import load_profiles
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import CriteriaError
from pathorob_checks.evaluation.baseline import Baseline, read_baseline
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import Subject, methods_of, subjects_of
from pathorob_checks.evaluation.terms import Terms, with_repetitions
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.registry import metric
from pathorob_checks.results.explanation import QUANTITY_LABELS
from pathorob_checks.results.text import wrapped
from pathorob_checks.wording import percent, printable

_METRIC_WIDTH = 16  # in lines of their own what stands after it: "out-of-domain", "worst center"
_DEMAND = (
    "With --fm-criteria-digest=DIGEST a run starts only with these criteria, protocol, cohorts and baseline."
)


def show(names: Sequence[str], settings: Settings) -> str:
    """What profiles or files require of cohorts, and the digest that a run on them will have.

    Parameters
    ----------
    settings : of the run, without FMs: cohorts, baseline, methods and repetitions decide the digest.

    Raises
    ------
    CriteriaError : the criteria cannot be used on these cohorts.
    CohortError : there is no such cohort.
    MethodError : there is no such method.
    """
    profile = with_repetitions(load_profiles(names), settings.repetitions)
    for text in settings.cohorts:
        check_cohort_text(text)
    subjects = subjects_of(settings)
    names_of_cohorts = tuple(subjects.cohorts)
    compared = read_baseline(settings.baseline, settings.baseline_fm) if settings.baseline else None
    if not any(set(one.cohorts) & set(names_of_cohorts) for one in profile.criteria_for(names_of_cohorts)):
        raise CriteriaError(
            f"profile {profile.name} has no criterion for {', '.join(names_of_cohorts)}",
            remedy="name a cohort that it has criteria for with --fm-cohort",
        )
    methods = methods_of(settings, {})
    any_fm = tuple(Subject("", method, name) for method in methods for name in names_of_cohorts)
    terms = Terms(profile, replace(subjects, wanted=any_fm), compared)
    terms.fix({name: _content(text) for name, text in subjects.cohorts.items() if is_own(text)})
    # The last has all criteria: a method is held to what it may not destroy, too.
    criteria = [check.criterion for check in terms.checks.values() if check.method == methods[-1]]
    head = f"{profile.name}: {profile.description}" if profile.description else profile.name
    parts = [
        wrapped(head, width=WIDTH),
        wrapped(f"From {', '.join(map(_source, names))}.", width=WIDTH),
        wrapped(_terms(profile), width=WIDTH),
        _table(criteria),
        "\n".join(wrapped(f"- {reason}", width=WIDTH, indent="  ") for reason in _reasons(criteria)),
        *_unused_margins(profile, compared),
        f"digest: {terms.digest}",
        wrapped(_covered(names_of_cohorts, methods, compared.source if compared else None), width=WIDTH),
        wrapped(_DEMAND, width=WIDTH),
    ]
    return "\n\n".join(parts)


def _covered(cohorts: Sequence[str], methods: Sequence[str], baseline: str | None) -> str:
    """What the digest is of, so that it is not demanded of a run on other cohorts or with other methods."""
    shown = ", ".join(map(printable, cohorts))
    other = f"the baseline {printable(baseline)}" if baseline else "no baseline"
    noun = "cohort" if len(cohorts) == 1 else "cohorts"
    repaired = [one for one in methods if one != NO_METHOD]
    only = "" if NO_METHOD in methods else " only"
    how = f" and the {'method' if len(repaired) == 1 else 'methods'} {', '.join(repaired)}{only}"
    return (
        f"This digest is that of a run on the {noun} {shown}, with {other}{how if repaired else ''}; any "
        "other run has another one."
    )


def _content(cohort: str) -> str:
    """The digest of what a cohort of the user's own holds."""
    settings = Settings(fms=())
    return load_cohort(cohort, settings.sources(), needs_images=False).digest


def _unused_margins(profile: Profile, baseline: Baseline | None) -> list[str]:
    """A sentence about the margins of the file that this baseline has no value for."""
    known = {name for _, name in baseline.measured} if baseline else set()
    unused = [name for name in profile.baseline.margin if name not in known]
    if baseline is None or not unused:
        return []
    sentence = f"The baseline {baseline.source} has no value of {', '.join(unused)}: the margin is not used."
    return [wrapped(printable(sentence), width=WIDTH)]


def _source(name: str) -> str:
    """What a name stands for: `the profile floor of this package`, `the file ours.toml`."""
    return f"the profile {name} of this package" if is_built_in(name) else f"the file {printable(name)}"


def _terms(profile: Profile) -> str:
    effect = {"fail": "fails", "warn": "warns", "xfail": "is an xfail"}[profile.inconclusive]
    complete = "; required criteria may not be left out" if profile.require_complete else ""
    if profile.family == "holm":
        complete += "; a release fails only by a criterion that fails after Holm's correction for all of them"
    if profile.pass_confidence is not None:
        confidence = percent(profile.pass_confidence)
        complete += f"; a release passes with every criterion met at a one-sided confidence of {confidence}"
    return f"{percent(profile.confidence)} intervals; an inconclusive verdict {effect}{complete}."


def _table(criteria: Sequence[Criterion]) -> str:
    rows = [
        (
            printable(criterion.cohort).replace("+", "+\n"),
            (metric(criterion.metric).label + QUANTITY_LABELS[criterion.quantity]).replace(", ", ",\n"),
            f"{criterion.direction} {criterion.bound:.3f}",
            criterion.rule,
            criterion.id if criterion.required else f"{criterion.id}\n(optional)",
        )
        for criterion in criteria
    ]
    headers = ("cohort", "metric", "bound", "rule", "criterion")
    widths = (None, _METRIC_WIDTH, None, None, None)
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, maxcolwidths=widths)


def _reasons(criteria: Sequence[Criterion]) -> list[str]:
    """Each criterion's reason once, with its requirements, owner and source."""
    reasons: dict[str, None] = {}
    for one in criteria:
        traced = "; ".join(filter(None, (", ".join(one.requirements), one.owner, one.source)))
        reasons[f"{one.id}: {one.rationale}" + (f" [{traced}]" if traced else "")] = None
    return list(reasons)
