"""Criteria files before a run: whether they are valid, and what changed between two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pathorob_checks.cohorts.registry import (
    BENCHMARK,
    BUILT_IN,
    cohort_names,
)
from pathorob_checks.criteria.comparison import WEAKENED, differences
from pathorob_checks.criteria.document import read
from pathorob_checks.criteria.files import load_profile, load_profiles
from pathorob_checks.criteria.mistakes import CriteriaFileError
from pathorob_checks.criteria.remarks import other_cohorts, unfilled, unmeasured_margins, upside_down
from pathorob_checks.errors import CriteriaError
from pathorob_checks.results.text import wrapped
from pathorob_checks.wording import counted

WIDTH = 80


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
