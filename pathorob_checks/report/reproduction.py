"""The command that makes a run again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.environment import Terms
from pathorob_checks.results.subject_facts import CohortFacts, FMFacts
from pathorob_checks.wording import printable

_COMMIT_SIGN = "@"
_PARTS = re.compile(r"[:/\\@]")
# Settings of an FM's identity that are options of the gate, with what they are without the option.
_DEFAULTS = {"precision": "fp32", "pooling": "default"}


def command_of(results: ResultsDocument) -> str:
    """The command for a shell, with the revisions that were measured and the terms that were fixed.

    It has no settings that the results do not know, such as the folder of the cache. "" where no FM has
    embedded a cohort.
    """
    if not results.runs:
        return ""
    return " ".join(["pytest", *map(shlex.quote, map(printable, dict.fromkeys(_options(results))))])


def _options(results: ResultsDocument) -> Iterator[str]:
    terms = results.environment.criteria
    fms = list({run.fm.name: run.fm for run in results.runs}.values())
    for fm in fms:
        yield f"--fm={_pinned(fm)}"
    if not all(map(_is_called_so, fms)):
        for fm in fms:
            yield f"--fm-name={fm.name}"
    for run in results.runs:
        yield f"--fm-cohort={_cohort(run.cohort, terms)}"
    for name in terms.files or (terms.name,):
        yield f"--fm-criteria={name}"
    yield f"--fm-criteria-digest={terms.digest}"
    if terms.baseline is not None:
        of_this_run = terms.baseline.source == "this run"
        yield f"--fm-baseline={terms.baseline.fm if of_this_run else terms.baseline.source}"
        if not of_this_run:
            yield f"--fm-baseline-fm={terms.baseline.fm}"
    if isinstance(repetitions := dict(terms.profile or {}).get("repetitions"), int):
        yield f"--fm-repetitions={repetitions}"
    for setting in _DEFAULTS:
        for value in dict.fromkeys(str(fm.identity.get(setting, "")) for fm in fms):
            if value not in ("", _DEFAULTS[setting]):
                yield f"--fm-{setting}={value}"
    methods = [one for one in dict.fromkeys(run.method for run in results.runs) if one != NO_METHOD]
    if methods:
        yield f"--fm-method={','.join(methods)}"
    known = terms.protocol.get("methods")
    if isinstance(known, dict):
        if known.get("only") is True:
            yield "--fm-method-only"
        if known.get("out_of_domain") == "unlabeled":
            yield "--fm-method-ood=unlabeled"
    if terms.require_complete:
        yield "--fm-require-complete"


def _pinned(fm: FMFacts) -> str:
    if fm.revision is None or fm.spec.endswith(_COMMIT_SIGN + fm.revision):
        return fm.spec
    return fm.spec.partition(_COMMIT_SIGN)[0] + _COMMIT_SIGN + fm.revision


def _cohort(cohort: CohortFacts, terms: Terms) -> str:
    """A cohort of the benchmark at its commit, a generated one by its name, another as it was given."""
    if cohort.tables:
        _, sign, commit = cohort.source.rpartition(_COMMIT_SIGN)
        return f"{cohort.name.partition(_COMMIT_SIGN)[0]}@{commit}" if sign else cohort.name
    cohorts = terms.protocol.get("cohorts")
    made_by = cohorts.get(cohort.name) if isinstance(cohorts, dict) else None
    return cohort.name if isinstance(made_by, dict) and "recipe" in made_by else cohort.source


def _is_called_so(fm: FMFacts) -> bool:
    """Whether the name is a part of what was given as `--fm`, as names are that nobody gave."""
    return fm.name in _PARTS.split(fm.spec)
