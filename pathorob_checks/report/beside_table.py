"""What stands below the table of checks: whole names, supports, and reasons of open verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.report.table import ALLOWED, full_name
from pathorob_checks.results.check import Check
from pathorob_checks.results.remarks import remarks
from pathorob_checks.results.text import wrapped
from pathorob_checks.wording import counted, printable, rounded_percent


def render_names(names: Mapping[str, str], width: int) -> str:
    """The whole name of each FM that the table shortens.

    Parameters
    ----------
    names : each FM's name as the table shows it, by its whole name.
    """
    legend = [f"{name}: {fm}" for fm, name in names.items() if name != printable(fm)]
    return "\n".join(wrapped(line, width=width, indent="  ") for line in legend)


def render_allowance(checks: Sequence[Check], width: int, source: str | None, *, allowed: bool) -> str:
    """That an inconclusive verdict passes, where one does."""
    if not allowed or all(check.verdict is not Verdict.INCONCLUSIVE for check in checks):
        return ""
    sentence = f"{ALLOWED} allowed: {source or 'the criteria'} lets an inconclusive verdict pass."
    return wrapped(sentence, width=width)


def render_support(checks: Sequence[Check], width: int, names: Mapping[str, str]) -> str:
    """How many neighbors were read, and how many patches the value rests on; for each cohort and metric."""
    supports: dict[tuple[str, str, int | None], list[str]] = {}
    for check in checks:
        if check.value is not None and check.support is not None and check.quantity != "difference":
            named = supports.setdefault((check.label, check.cohort, check.neighbors), [])
            named.append(f"{rounded_percent(check.support)} ({names[full_name(check)]})")
    if not supports:
        return ""
    lines = ["Support (patches that the value rests on):"]
    for (label, cohort, k), named in supports.items():
        neighbors = f", {counted(k, 'neighbor')} (k = {k})" if k is not None else ""
        sentence = f"- {label} of {cohort}{neighbors}: {', '.join(named)}"
        lines.append(wrapped(sentence, width=width, indent="  "))
    return "\n".join(lines)


def render_chance(checks: Sequence[Check], width: int) -> str:
    """Which drops say nothing, because the classifier was at chance to begin with."""
    lines = [wrapped(f"- {sentence}", width=width, indent="  ") for sentence in remarks(checks)]
    return "\n".join(["At chance:", *lines]) if lines else ""


def render_undecided(checks: Sequence[Check], width: int) -> str:
    """Why a criterion has no verdict, where the table does not show it; each reason once."""
    reasons: dict[tuple[Verdict, str], list[str]] = {}
    for check in checks:
        if not check.verdict.is_measured or (check.verdict is Verdict.INCONCLUSIVE and check.drift):
            where = f"{check.label} of {full_name(check)} on {check.cohort}"
            reasons.setdefault((check.verdict, check.reason), []).append(where)
    if not reasons:
        return ""
    lines = ["Not decided:"]
    for (verdict, reason), places in reasons.items():
        sentence = f"- {verdict.upper()} {', '.join(places)}: {reason or 'no reason was given'}"
        lines.append(wrapped(sentence, width=width, indent="  "))
    return "\n".join(lines)
