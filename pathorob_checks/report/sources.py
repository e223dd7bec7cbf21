"""On what terms FMs and cohorts may be used, and what a reader of the numbers has to know about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pathorob_checks.report.explain import wrapped


def render_sources(runs: Iterable[Mapping[str, Any]], left_out: Iterable[str], width: int) -> str:
    """Notes first, because they can change what a number means; then what was left out, then licenses.

    Parameters
    ----------
    runs : mappings `{"fm": {...}, "cohort": {...}}` as in the results file.
    left_out : a sentence for each FM or cohort that was not checked on purpose.
    """
    things = {}
    for run in runs:
        for kind, name in (("fm", "FM"), ("cohort", "cohort")):
            things[f"{name} {run[kind]['name']}"] = run[kind]
    notes = {f"{name}: {note}": None for name, thing in things.items() for note in thing.get("notes", ())}
    blocks = []
    if notes:
        lines = [wrapped(f"- {note}", width=width, indent="  ") for note in notes]
        blocks.append("\n".join(["NOTE:", *lines]))
    blocks += [wrapped(sentence, width=width, indent="  ") for sentence in left_out]
    if things:
        terms = "; ".join(f"{name}: {_terms(thing)}" for name, thing in things.items())
        blocks.append(wrapped(f"Licenses: {terms}.", width=width, indent="  "))
    return "\n\n".join(blocks)


def _terms(thing: Mapping[str, Any]) -> str:
    license_ = str(thing.get("license") or "unknown")
    return license_ + (" (no commercial use)" if thing.get("commercial") is False else "")
