"""Criteria files before a run: what they require, whether they are valid, and what changed between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

from pathorob_checks.cohorts.registry import (
    BENCHMARK,
    BUILT_IN,
    check_cohort_text,
    cohort_names,
    is_own,
    load_cohort,
)
from pathorob_checks.criteria.comparison import WEAKENED, differences
from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.document import is_built_in, read
from pathorob_checks.criteria.files import load_profile, load_profiles
from pathorob_checks.criteria.mistakes import CriteriaFileError
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.remarks import other_cohorts, unfilled, unmeasured_margins, upside_down
from pathorob_checks.errors import CriteriaError
from pathorob_checks.evaluation.baseline import Baseline, read_baseline
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import Subject, subjects_of
from pathorob_checks.evaluation.terms import Terms
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.registry import metric
from pathorob_checks.results.explanation import QUANTITY_LABELS
from pathorob_checks.results.text import wrapped
from pathorob_checks.wording import counted, percent, printable

WIDTH = 80
_METRIC_WIDTH = 16  # in lines of their own what stands after it: "out-of-domain", "worst center"
_DEMAND = (
    "With --fm-criteria-digest=DIGEST a run starts only with these criteria, protocol, cohorts and baseline."
)


def show(
    names: Sequence[str],
    cohorts: Sequence[str],
    baseline: str | None = None,
    baseline_fm: str | None = None,
) -> str:
    """What profiles or files require of cohorts, and the digest that a run on them will have.

    Raises
    ------
    CriteriaError : the criteria cannot be used on these cohorts.
    CohortError : there is no such cohort.
    """
    profile = load_profiles(names)
    for text in cohorts:
        check_cohort_text(text)
    subjects = subjects_of(Settings(fms=(), cohorts=tuple(cohorts)))
    names_of_cohorts = tuple(subjects.cohorts)
    compared = read_baseline(baseline, baseline_fm) if baseline else None
    if not any(set(one.cohorts) & set(names_of_cohorts) for one in profile.criteria_for(names_of_cohorts)):
        raise CriteriaError(
            f"profile {profile.name} has no criterion for {', '.join(names_of_cohorts)}",
            remedy="name a cohort that it has criteria for with --fm-cohort",
        )
    any_fm = tuple(Subject("", NO_METHOD, name) for name in names_of_cohorts)
    terms = Terms(profile, replace(subjects, wanted=any_fm), compared)
    terms.fix({name: _content(text) for name, text in subjects.cohorts.items() if is_own(text)})
    criteria = [check.criterion for check in terms.checks.values()]
    head = f"{profile.name}: {profile.description}" if profile.description else profile.name
    parts = [
        wrapped(head, width=WIDTH),
        wrapped(f"From {', '.join(map(_source, names))}.", width=WIDTH),
        wrapped(_terms(profile), width=WIDTH),
        _table(criteria),
        "\n".join(wrapped(f"- {reason}", width=WIDTH, indent="  ") for reason in _reasons(criteria)),
        *_unused_margins(profile, compared),
        f"digest: {terms.digest}",
        wrapped(_covered(names_of_cohorts, compared.source if compared else None), width=WIDTH),
        wrapped(_DEMAND, width=WIDTH),
    ]
    return "\n\n".join(parts)


def _covered(cohorts: Sequence[str], baseline: str | None) -> str:
    """What the digest is of, so that it is not demanded of a run on other cohorts."""
    shown = ", ".join(map(printable, cohorts))
    other = f"the baseline {printable(baseline)}" if baseline else "no baseline"
    noun = "cohort" if len(cohorts) == 1 else "cohorts"
    return f"This digest is that of a run on the {noun} {shown}, with {other}; any other run has another one."


def _content(cohort: str) -> str:
    """The digest of what a cohort of the user's own holds."""
    settings = Settings(fms=())
    return load_cohort(cohort, settings.sources(), needs_images=False).digest


def mistakes(names: Sequence[str], cohorts: Sequence[str] = ()) -> list[str]:
    """Every mistake of the files, each with its line; also where files do not fit together.

    Parameters
    ----------
    cohorts : of a run, as for `--fm-cohort`; a criterion of another cohort is then a mistake.
    """
    try:
        load_profiles(names)
    except CriteriaFileError as error:
        return [str(mistake) for mistake in error.mistakes]
    except CriteriaError as error:
        return [str(error)]
    known = tuple(cohort_names(cohorts))
    return [str(one) for name in names for one in other_cohorts(read(name), known, "this run") if known]


def conclusion(names: Sequence[str]) -> str:
    """What a check of files without a mistake ends with: also how many places are still to be filled in."""
    number = sum(1 for name in names for _ in unfilled(read(name)))
    places = counted(number, "place is", "places are")
    return f"no mistakes; {places} still to be filled in" if number else "no mistakes"


def remarks(names: Sequence[str]) -> list[str]:
    """What is valid in the files and seldom meant, each with its line; the files have no mistake."""
    documents, known = [read(name) for name in names], (*BENCHMARK, *BUILT_IN)
    all_remarks = [
        one for document in documents for find in (upside_down, unfilled) for one in find(document)
    ]
    all_remarks += [one for document in documents for one in other_cohorts(document, known, "the benchmark")]
    measured = load_profiles(names).metrics
    all_remarks += [one for document in documents for one in unmeasured_margins(document, measured)]
    return [str(one) for one in all_remarks]


def diff(before: str | Path, after: str | Path) -> tuple[list[str], bool]:
    """How `after` differs from `before`, a line each, and whether it is less strict anywhere.

    Raises
    ------
    CriteriaError : one of them cannot be read.
    """
    changes = differences(load_profile(before), load_profile(after))
    lines = []
    for one in changes:
        texts = [text for text in (one.before, one.after) if text]
        change = " -> ".join(texts) if len(set(texts)) > 1 else texts[0]
        lines.append(
            wrapped(f"{one.subject}: {change}", width=WIDTH, lead=f"{one.change:<10} ", indent=" " * 11)
        )
    return lines, any(one.change in WEAKENED for one in changes)


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
