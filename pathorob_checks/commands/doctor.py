"""What would stop a run: a look ahead in seconds, without downloading weights or images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pathorob_checks import hub
from pathorob_checks.commands import machine_ahead, network_ahead, subjects_ahead, torch_ahead
from pathorob_checks.commands.findings import FAIL, PASS, WARN, Ahead, Finding, attempt
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    from pathorob_checks.errors import HubError
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.terms import Terms

__all__ = ["FAIL", "PASS", "WARN", "Finding", "examine"]


def examine(inputs: Inputs) -> Iterator[Finding]:
    """Examine everything that a run of these FMs on these cohorts needs; without any, this machine alone."""
    ahead = Ahead()
    if not inputs.subjects.specs and not inputs.subjects.cohorts:
        yield from torch_ahead.findings()
        yield from attempt("device", partial(machine_ahead.device, inputs, ahead), ahead)
        yield from attempt("cache", partial(machine_ahead.cache, inputs), ahead)
        return
    with hub.unreachable() as silent:
        yield from attempt("hub", partial(_network, inputs, silent, ahead), ahead)
    terms: list[Terms] = []
    yield from attempt("criteria", partial(_criteria, inputs, ahead, terms), ahead)
    for name in ahead.cohorts:
        for held in terms:
            needed = partial(subjects_ahead.metrics, name, ahead.cohorts, held)
            yield from attempt(f"cohort {name}", needed, ahead)
    yield from torch_ahead.findings()
    for subject, look in (
        ("device", partial(machine_ahead.device, inputs, ahead)),
        ("disk", partial(machine_ahead.disk, inputs, ahead)),
        ("cache", partial(machine_ahead.cache, inputs)),
        ("time", partial(machine_ahead.duration, inputs, ahead, terms[0] if terms else None)),
    ):
        yield from attempt(subject, look, ahead)


def _network(inputs: Inputs, silent: set[str], ahead: Ahead) -> Iterator[Finding]:
    """The hub, and what is on it: a hub that does not answer is asked once, not again for each FM."""
    hub.check_addresses()
    from huggingface_hub import constants

    error: HubError | None = None
    known: list[Finding] = []  # what is shown before the subjects
    if not network_ahead.needs_hub(inputs):
        known.append(Finding(PASS, "hub", "nothing of this run is on a hub"))
    else:
        token = list(attempt("token", network_ahead.token, ahead))
        if hub.is_offline():
            text = "HF_HUB_OFFLINE is set: only what is in the cache can be used"
            known.append(Finding(WARN, "hub", text, "unset it to look for newer revisions"))
        elif "token" not in ahead.failed:  # without a token that can be sent nothing can be asked
            error = network_ahead.error_of(constants.ENDPOINT, silent)
            if error is None:
                known.append(Finding(PASS, "hub", f"{hub.host_of(constants.ENDPOINT)} answers"))
        known += token
    known += attempt("tables", partial(network_ahead.tables, inputs, silent), ahead)
    looked = _subjects(inputs, silent, ahead)
    if error is not None:
        looked = iter(list(looked))  # whether the run would stop depends on what is in the cache
        yield network_ahead.unanswered(error, ahead)
    yield from known
    yield from looked


def _subjects(inputs: Inputs, silent: set[str], ahead: Ahead) -> Iterator[Finding]:
    from huggingface_hub import constants

    subjects = inputs.subjects
    for name in subjects.specs:
        yield from attempt(f"FM {name}", partial(subjects_ahead.fm, inputs, name, ahead), ahead)
        if ahead.misses_hub:
            silent.add(str(hub.host_of(constants.ENDPOINT)))
    for name in subjects.cohorts:
        yield from attempt(f"cohort {name}", partial(subjects_ahead.cohort, inputs, name, ahead), ahead)
        if ahead.misses_hub:
            silent.add(str(hub.host_of(constants.ENDPOINT)))
    for one in subjects.subjects:
        is_given = subjects.specs[one.fm].kind == "embeddings"
        if is_given and one.cohort in ahead.cohorts and f"FM {one.fm}" not in ahead.failed:
            yield from attempt(f"FM {one.fm}", partial(subjects_ahead.given, inputs, one), ahead)


def _criteria(inputs: Inputs, ahead: Ahead, held: list[Terms]) -> Iterator[Finding]:
    """Whether criteria and baseline fit the cohorts; `held` gets the terms."""
    from pathorob_checks.evaluation.facts import cohort_facts
    from pathorob_checks.evaluation.subjects import Subject
    from pathorob_checks.evaluation.terms import terms_of
    from pathorob_checks.methods.names import NO_METHOD

    subjects = inputs.subjects
    if not subjects.specs:
        any_fm = tuple(Subject("any FM", NO_METHOD, name) for name in subjects.cohorts)
        subjects = replace(subjects, wanted=any_fm)
    terms = terms_of(inputs.settings, subjects)
    if terms.baseline is not None:
        for name, cohort in ahead.cohorts.items():
            terms.baseline.check_cohort(cohort_facts(name, cohort))
    held.append(terms)
    yield Finding(
        PASS,
        "criteria",
        f"{counted(len(terms.checks), 'check')} by {terms.profile.name}"
        + (f", compared with {terms.baseline.fm}" if terms.baseline else ""),
    )
