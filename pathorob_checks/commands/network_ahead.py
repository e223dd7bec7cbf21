"""`doctor` on the network: whether the hub and the tables' host answer, asked once and for seconds only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pathorob_checks import hub
from pathorob_checks.commands.findings import FAIL, PASS, WARN, Ahead, Finding
from pathorob_checks.errors import HubError

if TYPE_CHECKING:
    from pathorob_checks.evaluation.inputs import Inputs


def needs_hub(inputs: Inputs) -> bool:
    """Whether an FM or the images of a cohort are on the hub."""
    from pathorob_checks.cohorts.registry import BENCHMARK
    from pathorob_checks.models.loading import repository_of

    subjects = inputs.subjects
    return any(repository_of(spec) is not None for spec in subjects.specs.values()) or any(
        name in BENCHMARK and subjects.needs_images(name) for name in subjects.cohorts
    )


def token() -> Iterator[Finding]:
    """Whether there is one, and whether it can be one."""
    if hub.has_token():
        yield Finding(PASS, "token", "a token is set")
    else:
        yield Finding(
            WARN,
            "token",
            "no token is set; public repositories need none",
            "for gated FMs accept their terms on their page and set HF_TOKEN",
        )


def error_of(address: str, silent: set[str]) -> HubError | None:
    """Why a host does not answer, None if it does; one that does not is added to `silent`."""
    try:
        hub.probe(address)
    except hub.OfflineError as error:
        silent.add(str(hub.host_of(address)))
        return error
    except HubError as error:
        return error
    return None


def tables(inputs: Inputs, silent: set[str]) -> Iterator[Finding]:
    """Whether the tables of the benchmark can be had; nothing to say where they are on this machine."""
    from pathorob_checks.cohorts import benchmark
    from pathorob_checks.cohorts.registry import BENCHMARK
    from pathorob_checks.cohorts.tables import URL_VARIABLE

    source = benchmark.tables(inputs.sources.metadata, inputs.sources.cache)
    views = [
        view
        for name in inputs.subjects.cohorts
        if name in BENCHMARK
        for view in benchmark.facts().cohorts[name].views.values()
    ]
    if hub.is_offline() or not source.to_download(view.table for view in views):
        return
    if (error := error_of(source.address, silent)) is not None:
        remedy = (
            f"give the folder of the tables with --fm-metadata, or the address of a mirror in {URL_VARIABLE}"
        )
        yield Finding(FAIL, "tables", error.problem, f"check the network, {remedy}")


def unanswered(error: HubError, ahead: Ahead) -> Finding:
    """What it means for the run that the hub does not answer."""
    stops = ahead.misses_hub or not isinstance(error, hub.OfflineError)
    known = "" if stops else "; what the run needs is in the cache"
    return Finding(FAIL if stops else WARN, "hub", error.problem + known, error.remedy)
