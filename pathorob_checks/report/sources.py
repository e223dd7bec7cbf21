"""On what terms FMs and cohorts may be used, and what a reader of the numbers has to know about them."""

from __future__ import annotations

from collections.abc import Iterable

from pathorob_checks.results.cohort_design import design_lines
from pathorob_checks.results.document import CohortFacts, FMFacts, Run
from pathorob_checks.results.text import wrapped


def render_sources(runs: Iterable[Run], left_out: Iterable[str], width: int) -> str:
    """Notes first, because they can change what a number means; then what was left out, then the cohorts.

    Licenses are last.

    Parameters
    ----------
    runs : FM and cohort of each subject.
    left_out : a sentence for each FM, cohort or comparison that the options left out.
    """
    sources: dict[str, FMFacts | CohortFacts] = {}
    for run in runs:
        sources[f"FM {run.fm.name}"] = run.fm
        sources[f"cohort {run.cohort.name}"] = run.cohort
    notes = dict.fromkeys(f"{name}: {note}" for name, facts in sources.items() for note in facts.notes)
    blocks = []
    if notes:
        lines = [wrapped(f"- {note}", width=width, indent="  ") for note in notes]
        blocks.append("\n".join(["NOTE:", *lines]))
    blocks += [wrapped(sentence, width=width, indent="  ") for sentence in left_out]
    for facts in sources.values():
        if isinstance(facts, CohortFacts):
            first, *classes = design_lines(facts)
            lines = [wrapped(first[0].upper() + first[1:], width=width, indent="  ")]
            lines += [wrapped(line.strip(), width=width, lead="  ", indent="    ") for line in classes]
            blocks.append("\n".join(lines))
    if sources:
        terms = "; ".join(f"{name}: {_terms(facts)}" for name, facts in sources.items())
        blocks.append(wrapped(f"Licenses: {terms}.", width=width, indent="  "))
    return "\n\n".join(blocks)


def _terms(facts: FMFacts | CohortFacts) -> str:
    return (facts.license or "unknown") + (" (no commercial use)" if facts.commercial is False else "")
