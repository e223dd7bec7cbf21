"""On what terms FMs and cohorts may be used, and what a reader of the numbers has to know about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pathorob_checks.results.cohort_design import design_lines
from pathorob_checks.results.subject_facts import CohortFacts, FMFacts, Run
from pathorob_checks.results.text import wrapped


def render_sources(runs: Iterable[Run], left_out: Iterable[str], width: int, *, whole: bool) -> str:
    """Notes first, because they can change what a number means; then what was left out, then the cohorts.

    Licenses are last.

    Parameters
    ----------
    runs : FM and cohort of each subject.
    left_out : a sentence for each FM, cohort or comparison that the options left out.
    whole : whether each class of a cohort and each license is told; else a cohort has one sentence, and of
        licenses it is told what they do not allow.
    """
    sources: dict[str, FMFacts | CohortFacts] = {}
    notes: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, facts in ((f"FM {run.fm.name}", run.fm), (f"cohort {run.cohort.name}", run.cohort)):
            sources[name] = facts
            for note in facts.notes:
                notes.setdefault(note, {})[name] = None
    blocks = []
    if notes:
        lines = [
            wrapped(f"- {', '.join(names)}: {note}", width=width, indent="  ")
            for note, names in notes.items()
        ]
        blocks.append("\n".join(["NOTE:", *lines]))
    blocks += [wrapped(sentence, width=width, indent="  ") for sentence in left_out]
    cohorts = [
        _design(facts, width, whole=whole) for facts in sources.values() if isinstance(facts, CohortFacts)
    ]
    blocks += cohorts if whole else filter(None, ["\n".join(cohorts)])
    if sources:
        licenses = _licenses(sources) if whole else _restrictions(sources)
        blocks.append(wrapped(f"Licenses: {licenses}.", width=width, indent="  "))
    return "\n\n".join(blocks)


def _design(cohort: CohortFacts, width: int, *, whole: bool) -> str:
    first, *classes = design_lines(cohort)
    lines = [wrapped(first[0].upper() + first[1:], width=width, indent="  ")]
    if whole:
        lines += [wrapped(line.strip(), width=width, lead="  ", indent="    ") for line in classes]
    return "\n".join(lines)


def _licenses(sources: Mapping[str, FMFacts | CohortFacts]) -> str:
    return "; ".join(f"{name}: {_terms(facts)}" for name, facts in sources.items())


def _terms(facts: FMFacts | CohortFacts) -> str:
    return (facts.license or "unknown") + (" (no commercial use)" if facts.commercial is False else "")


def _restrictions(sources: Mapping[str, FMFacts | CohortFacts]) -> str:
    """Which FMs and cohorts are not known to allow commercial use."""
    restricted = {
        "no commercial use": [name for name, facts in sources.items() if facts.commercial is False],
        "unknown": [name for name, facts in sources.items() if facts.commercial is None],
    }
    parts = [f"{text}: {', '.join(names)}" for text, names in restricted.items() if names]
    return ("; ".join(parts) or "all allow commercial use") + " (named with -v)"
