"""A key for the cache of a CI server: known before weights or images are downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pathorob_checks.canonical import digest_of

if TYPE_CHECKING:
    from pathorob_checks.commands.ci import Job
    from pathorob_checks.evaluation.inputs import Inputs

_SETTINGS = tuple(f"PATHOROB_CHECKS_{name}" for name in ("DEVICE", "POOLING", "PRECISION"))


def cache_key(inputs: Inputs, also: Iterable[str] = ()) -> str:
    """A SHA-256 that changes when a run would embed something that an earlier one did not.

    It follows the keys of the embeddings, but is known sooner: for an FM on the hub it takes the commit
    instead of the weights, for a cohort on the hub the commit instead of the images. The gate still compares
    what was restored under an equal key with the FM.

    Parameters
    ----------
    inputs : FMs and cohorts of the run.
    also : further texts that decide what is embedded.

    Raises
    ------
    PathorobChecksError : an FM or a cohort cannot be used.
    """
    from pathorob_checks.models.devices import resolve_device
    from pathorob_checks.version import version

    return digest_of(
        {
            "code": version(),
            "device": resolve_device(inputs.settings.device).partition(":")[0],
            "fms": sorted(map(digest_of, _fms(inputs))),
            "cohorts": sorted(map(digest_of, _cohorts(inputs))),
            "also": list(also),
        }
    )


def key_of_job(job: Job) -> str:
    """The key of what a job of a CI server runs.

    Raises
    ------
    PathorobChecksError : an FM or a cohort cannot be used.
    """
    inputs = _inputs(job.options["FM"], job.options["COHORTS"])
    settings = (f"{name}={value}" for name, value in os.environ.items() if name.startswith(_SETTINGS))
    return cache_key(inputs, [*job.arguments, *sorted(settings)])


def _inputs(fms: Sequence[str], cohorts: Sequence[str]) -> Inputs:
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.observer import Observer
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.evaluation.subjects import subjects_of

    settings = Settings(fms=tuple(fms), cohorts=tuple(cohorts))
    return Inputs(settings, subjects_of(settings), Observer())


def _fms(inputs: Inputs) -> Iterator[object]:
    from pathorob_checks.models.loading import repository_of
    from pathorob_checks.models.provenance import versions

    for name, spec in inputs.subjects.specs.items():
        repository = repository_of(spec)
        if repository is None:
            yield inputs.model(name).identity
        else:
            packages = {**versions("transformers"), **versions("open_clip")}
            yield {"repository": repository, "commit": inputs.resolved(name).revision, "versions": packages}


def _cohorts(inputs: Inputs) -> Iterator[object]:
    from pathorob_checks.cohorts.registry import is_own

    for name, text in inputs.subjects.cohorts.items():
        commit = None if is_own(text) else inputs.commit(name)
        yield {"name": name, "commit": commit} if commit else {"digest": inputs.cohort(name).digest}
