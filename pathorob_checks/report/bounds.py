"""The bounds of a run with their reasons, as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pathorob_checks.results.check import Check
from pathorob_checks.results.text import wrapped
from pathorob_checks.wording import printable

_CUT = " ..."


def render_bounds(checks: Sequence[Check], width: int, source: str | None, *, whole: bool) -> str:
    """Each bound once with its reason; cohorts are named where their bounds differ.

    Parameters
    ----------
    source : where the bounds come from, such as `profile floor`.
    whole : whether a reason may take several lines; else each bound has one line, and its reason what is left
        of it.
    """
    every = {check.cohort for check in checks}
    rules = {check.rule for check in checks}
    held: dict[tuple[str, ...], list[str]] = {}
    for check in checks:
        demand = f"{check.label} {check.direction} {check.bound:.3f}"
        traced = "; ".join(filter(None, (", ".join(check.requirements), check.owner)))
        rule = f"rule {check.rule}" if len(rules) > 1 else ""
        cohorts = held.setdefault((demand, check.criterion, check.rationale, rule, traced), [])
        if check.cohort not in cohorts:
            cohorts.append(check.cohort)
    lines, is_cut = [], False
    for (demand, _, rationale, rule, traced), cohorts in held.items():
        where = "" if set(cohorts) == every else ", ".join(cohorts)
        notes = "; ".join(filter(None, (where, rule, traced)))
        bound = f"- {demand}{f' ({notes})' if notes else ''}:"
        full = " ".join(printable(rationale).split())
        reason = full if whole else _cut(full, width - len(printable(bound)) - 1)
        is_cut = is_cut or reason != full
        lines.append(wrapped(f"{bound} {reason}", width=width, indent="  "))
    terms = ", ".join(
        filter(
            None,
            (
                printable(source) if source else "",
                f"rule {rules.pop()}" if len(rules) == 1 else "",
            ),
        )
    )
    more = "; whole with -v" if is_cut else ""
    title = f"Bounds ({terms}{more}):" if terms else f"Bounds{more}:"
    return "\n".join([title, *lines])


def _cut(text: str, width: int) -> str:
    """The words that fit into a line; of a text that is cut, at least the sign that it is."""
    return textwrap.shorten(text, max(width, len(_CUT)), placeholder=_CUT, break_on_hyphens=False)
