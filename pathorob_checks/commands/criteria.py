"""Criteria files looked at: what they ask, whether they are valid, and what changed between two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from pathorob_checks.cohorts.readings import readings
from pathorob_checks.cohorts.registry import check_cohort_text, cohort_name
from pathorob_checks.criteria.comparison import differences
from pathorob_checks.criteria.criterion import Criterion
from pathorob_checks.criteria.files import load_profile, load_profiles
from pathorob_checks.criteria.mistakes import CriteriaFileError
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.protocol import registration_digest
from pathorob_checks.criteria.verdict import percent
from pathorob_checks.errors import CriteriaError
from pathorob_checks.report.baseline import read_baseline
from pathorob_checks.report.explain import QUANTITY_LABELS, label, printable, wrapped

WIDTH = 80
WEAKENED = ("removed", "loosened", "changed")


def show(
    names: Sequence[str],
    cohorts: Sequence[str],
    baseline: str | None = None,
    baseline_fm: str | None = None,
) -> str:
    """What profiles or files ask of cohorts, and the digest that a run on them will have.

    Raises
    ------
    CriteriaError : the criteria cannot be used on these cohorts.
    CohortError : there is no such cohort.
    """
    profile = load_profiles(names)
    texts: dict[str, str] = {}
    for text in cohorts:
        check_cohort_text(text)
        texts[cohort_name(text)] = text
    compared = read_baseline(baseline, baseline_fm) if baseline else None
    asked = list(profile.asked_of(texts))
    if compared:
        asked += compared.criteria("", texts, profile)
    if not asked:
        raise CriteriaError(
            f"profile {profile.name} asks nothing of {', '.join(texts)}", remedy="name other cohorts"
        )
    digest = registration_digest(
        profile, {name: readings(text) for name, text in texts.items()}, compared.digest if compared else None
    )
    head = f"{profile.name}: {profile.description}" if profile.description else profile.name
    parts = [
        wrapped(head, width=WIDTH),
        wrapped(_terms(profile), width=WIDTH),
        _table(asked),
        "\n".join(wrapped(f"- {said}", width=WIDTH, indent="  ") for said in _reasons(asked)),
        f"digest: {digest}",
        wrapped("A run with --fm-criteria-digest and this digest refuses any other criteria, protocol, "
                "cohorts or baseline.", width=WIDTH),
    ]  # fmt: skip
    return "\n\n".join(parts)


def mistakes(names: Sequence[str]) -> list[str]:
    """Every mistake of the files, each with its line; files that do not fit together have some, too."""
    try:
        load_profiles(names)
    except CriteriaFileError as error:
        return [str(mistake) for mistake in error.mistakes]
    except CriteriaError as error:
        return [str(error)]
    return []


def diff(before: str | Path, after: str | Path) -> tuple[list[str], bool]:
    """What `after` asks otherwise than `before`, a line each, and whether it asks less anywhere.

    Raises
    ------
    CriteriaError : one of them cannot be read.
    """
    found = differences(load_profile(before), load_profile(after))
    lines = []
    for one in found:
        texts = [text for text in (one.before, one.after) if text]
        said = " -> ".join(texts) if len(set(texts)) > 1 else texts[0]
        lines.append(
            wrapped(f"{one.subject}: {said}", width=WIDTH, lead=f"{one.change:<10} ", indent=" " * 11)
        )
    return lines, any(one.change in WEAKENED for one in found)


def _terms(profile: Profile) -> str:
    said = {"fail": "fails", "warn": "warns", "xfail": "is an xfail"}[profile.inconclusive]
    complete = "; what is required may not be left out" if profile.require_complete else ""
    return f"{percent(profile.confidence)} intervals; an inconclusive verdict {said}{complete}."


def _table(asked: Sequence[Criterion]) -> str:
    rows = [
        (
            printable(criterion.cohort).replace("+", "+\n"),
            (label(criterion.metric) + QUANTITY_LABELS[criterion.quantity]).replace(", ", ",\n"),
            f"{criterion.direction} {criterion.bound:.3f}",
            criterion.rule,
            criterion.id if criterion.required else f"{criterion.id}\n(optional)",
        )
        for criterion in asked
    ]
    headers = ("cohort", "metric", "bound", "rule", "criterion")
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def _reasons(asked: Sequence[Criterion]) -> list[str]:
    """Each criterion's reason once, with who answers for it."""
    told: dict[str, None] = {}
    for one in asked:
        traced = "; ".join(filter(None, (", ".join(one.requirements), one.owner, one.source)))
        told[f"{one.id}: {one.rationale}" + (f" [{traced}]" if traced else "")] = None
    return list(told)
