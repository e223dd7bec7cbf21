"""How many integrity checks a run has made, in words: what does not apply or was left out is not made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.environment import Completeness
from pathorob_checks.wording import counted

_MADE = (Verdict.PASS, Verdict.FAIL)


def integrity_counted(integrity: Sequence[IntegrityCheck], completeness: Completeness) -> str:
    """How many of the planned integrity checks were made, and what became of the others.

    Parameters
    ----------
    integrity : the records of a run.
    completeness : how many were planned, and how many of them have no record.

    Returns
    -------
    Clauses with semicolons between them, such as `5 of 11 integrity checks made; 6 do not apply to given
    embeddings`.
    """
    planned = max(completeness.integrity_planned, len(integrity))
    others = [one for one in integrity if one.verdict not in _MADE]
    inapplicable = Counter(one.inapplicable for one in others if one.inapplicable)
    rest = Counter(one.verdict for one in others if not one.inapplicable)
    left_out, missing = completeness.integrity_left_out, completeness.integrity_missing
    clauses = [f"{len(integrity) - len(others)} of {counted(planned, 'integrity check')} made"]
    clauses += [
        f"{number} {'does' if number == 1 else 'do'} not apply to {to}" for to, number in inapplicable.items()
    ]
    counts = (
        (rest[Verdict.SKIPPED], "skipped"),
        (rest[Verdict.ERROR], "could not be made"),
        (left_out, "left out"),
        (missing, "never ran"),
    )
    return "; ".join([*clauses, *(f"{number} {words}" for number, words in counts if number > 0)])
