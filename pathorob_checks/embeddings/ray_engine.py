"""The same extraction on a Ray cluster: Ray Data deals the missing shards to actors.

    this process   holds the entry's lock, deals the shards and counts the patches that are done
    actors         load the model once each, embed whole shards in the batches of the local engine, and put
                   them into the store, a folder that all machines see

Only shard numbers, counts and messages travel; embeddings do not. The shards of an actor that died are
dealt again, and what it had stored of them is kept. An error that a user can act on is not tried again: it
travels back as data and is raised here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import platform
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks import errors
from pathorob_checks.embeddings.extraction import embed_shards
from pathorob_checks.embeddings.identity import decoder, plain
from pathorob_checks.embeddings.ray_cluster import (
    Pool,
    check_usable,
    import_ray,
    joined,
    one_line,
    pool_on,
)
from pathorob_checks.embeddings.shards import ShardRows
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import EngineError, PathorobChecksError

if TYPE_CHECKING:
    from pathorob_checks.embeddings.extraction import Details, Prepared, Progress
    from pathorob_checks.models.foundation_model import FoundationModel

CPUS_PER_ACTOR = 8  # where the model runs on CPUs; more threads pay little for one forward pass
RETRIES = 3  # of what an actor died of: Ray by itself would go round for ever
TASKS_PER_ACTOR = 16  # so that fast machines take over from slow ones at the end
MOST_SHARDS_PER_TASK = 64  # the pipeline runs empty between tasks; progress is counted by tasks


@dataclass(frozen=True)
class RayEngine:
    """An `Engine` on Ray Data.

    Parameters
    ----------
    rebuild : makes the prepared model anew in another process; can be pickled, and names no GPU but `cuda`,
        because an actor sees only its own.
    address : of a running cluster (`auto`, `HOST:PORT`); None: one on this machine for as long as it takes.
        A cluster that this process has joined before is used in any case.
    cpus : CPUs of an actor where the model runs on CPUs; as many threads compute.
    retries : how often the same shard is begun anew after an actor died of it.
    """

    rebuild: Callable[[], Prepared]
    address: str | None = None
    cpus: int = CPUS_PER_ACTOR
    retries: int = RETRIES

    def __call__(
        self,
        prepared: Prepared,
        shards: ShardRows,
        missing: Sequence[int],
        store: EmbeddingStore,
        progress: Progress | None,
    ) -> Details:
        """Embed the missing shards; see `Engine`.

        Raises
        ------
        EngineError : Ray is not installed, the cluster cannot be joined or lacks what the model needs, a
            machine would give other embeddings, or actors died too often.
        PathorobChecksError : what the local engine raises, in the same words.
        """
        check_usable(self.address)
        ray = import_ray()
        started = time.monotonic()
        told = _Told()
        plan = shards.plan
        with joined(ray, self.address, store.locks, len(plan.names)):
            pool = pool_on(ray.nodes(), on_gpu=prepared.device != "cpu", cpus=self.cpus)
            dealt = deal(missing, pool.actors)
            job = _Job(
                self.rebuild,
                _all_of(prepared),
                ShardRows(plan, replace(shards.cohort, views={})),  # what metrics read need not travel
                store.root.absolute(),
                pool,
                ray.remote(_Attempts).options(num_cpus=0).remote(),
                self.retries,
            )
            with warnings.catch_warnings(), contextlib.closing(_rows(ray, job, dealt)) as rows:
                warnings.filterwarnings("ignore", module="ray")  # it warns of what it does itself
                work: Iterable[Any] = itertools.chain.from_iterable(map(told.patches, rows))
                if progress is not None:
                    work = progress(work, plan.count(missing), f"{prepared.name} on {shards.cohort.name}")
                for _ in work:
                    pass
        seconds = round(time.monotonic() - started, 3)
        return {**told.details(), "seconds": seconds, "engine": "ray", "ray": ray.__version__}


def deal(missing: Sequence[int], actors: int) -> list[list[int]]:
    """Shards in runs, each the work of one task: several for every actor, none too long."""
    size = max(1, min(MOST_SHARDS_PER_TASK, len(missing) // (actors * TASKS_PER_ACTOR)))
    return [list(missing[start : start + size]) for start in range(0, len(missing), size)]


@dataclass(frozen=True)
class _Job:
    """What an actor must know. Sent once to each machine; images stay where they are.

    The cohort travels as its table and digests of its images: to read it anew, every actor would have to
    hash every image.
    """

    rebuild: Callable[[], Prepared]
    identity: dict[str, Any]
    shards: ShardRows
    root: Path
    pool: Pool
    attempts: Any
    retries: int


class _Attempts:
    """Counts what was begun and not ended, by actors that live or died."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, what: int) -> int:
        """How often `what` was begun, this time included."""
        self._begun[what] += 1
        return self._begun[what]

    def end(self, what: int) -> None:
        """One attempt at `what` came to its end."""
        self._begun[what] -= 1


class _Loaded:
    """A prepared model that is loaded already."""

    def __init__(self, prepared: Prepared) -> None:
        self.name, self.identity, self.device = prepared.name, prepared.identity, prepared.device
        self._model = prepared.load()

    def load(self) -> FoundationModel:
        """The model."""
        return self._model


_AFTER_A_DEATH = "see in Ray's logs why (memory is the usual reason) and run again: what is done is kept"
_MODEL = -1  # among the numbers of shards, what is begun when a model is loaded


class _Embedder:
    """The actor.

    Parameters
    ----------
    paths : where this machine is to look for Python modules as well: a user's own model lies there.
    job : reference to the `_Job`.
    """

    def __init__(self, paths: Sequence[str], job: Any) -> None:
        sys.path.extend(path for path in paths if path not in sys.path)
        self._get = import_ray().get
        self._job: _Job = self._get(job[0])
        self._store = EmbeddingStore(self._job.root)
        self._failure: PathorobChecksError | None = None
        started = time.monotonic()
        try:
            self._load()
        except PathorobChecksError as error:  # raised here it would be Ray's to report
            self._failure = error
        self._model_seconds = round(time.monotonic() - started, 3)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Embed and store the shards of a row -> how many patches they have, and what is told of them."""
        shards = [int(shard) for shard in row["shards"]]
        try:
            told = self._embed(shards)
        except PathorobChecksError as error:
            return {"patches": 0, "told": json.dumps({"error": _packed(error)})}
        return {"patches": self._job.shards.plan.count(shards), "told": json.dumps(told)}

    def _load(self) -> None:
        import torch

        job = self._job
        # Of those begun as many may still be at it as there are actors, and so many may have been preempted.
        if (begun := self._begin(_MODEL)) > 2 * job.pool.actors + job.retries:
            raise _gone(begun - job.pool.actors, "while the model was loaded")
        torch.set_num_threads(job.pool.cpus)
        prepared = job.rebuild()
        _check_alike(job.identity, _all_of(prepared))
        self._prepared = _Loaded(prepared)
        job.attempts.end.remote(_MODEL)

    def _embed(self, shards: list[int]) -> Details:
        if self._failure is not None:
            raise self._failure
        job = self._job
        whole = set(self._store.whole_shards(job.shards.plan, shards))  # by an actor that died
        missing = [shard for shard in shards if shard not in whole]
        if missing and (begun := self._begin(missing[0])) > 1 + job.retries:
            first = job.shards.plan.patches(missing[0])[0]
            raise _gone(begun - 1, f"at patch '{first}' or soon after it")
        details = embed_shards(self._prepared, job.shards, missing, self._store, threads=job.pool.cpus)
        return {
            **details,
            "model_seconds": self._model_seconds,
            "actor": f"{platform.node()}:{os.getpid()}",
            "machine": platform.node(),
        }

    def _begin(self, what: int) -> int:
        return int(self._get(self._job.attempts.begin.remote(what)))


def _gone(actors: int, when: str) -> EngineError:
    return EngineError(
        f"{actors} {'actor' if actors == 1 else 'actors'} of the Ray cluster died {when}",
        remedy=_AFTER_A_DEATH,
    )


def _all_of(prepared: Prepared) -> dict[str, Any]:
    """What decides an embedding, apart from the images."""
    return {**prepared.identity, "decoder": decoder()}


def _check_alike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse a machine whose embeddings would be stored under a key that is not theirs."""
    here, there = _flat(ours), _flat(theirs)
    differing = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if differing:
        shown = ", ".join(f"{name} {there.get(name)!r}, not {here.get(name)!r}" for name in differing[:3])
        raise EngineError(
            f"machine '{platform.node()}' of the Ray cluster would give other embeddings ({shown})",
            remedy="give all machines the same software and the same files of the model",
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    if not isinstance(value, Mapping):
        return {prefix: plain(value)}
    return {
        name: leaf
        for key, inner in value.items()
        for name, leaf in _flat(inner, f"{prefix}.{key}" if prefix else key).items()
    }


def _rows(ray: Any, job: _Job, dealt: Sequence[list[int]]) -> Generator[dict[str, Any]]:
    """What the actors return, in the order in which they finish."""
    pool = job.pool
    data = ray.data.from_items([{"shards": shards} for shards in dealt], override_num_blocks=len(dealt)).map(
        _Embedder,
        fn_constructor_args=([str(Path(path).absolute()) for path in sys.path], [ray.put(job)]),
        compute=ray.data.ActorPoolStrategy(
            size=min(pool.actors, len(dealt)), max_tasks_in_flight_per_actor=2
        ),
        **({"num_gpus": pool.gpus} if pool.gpus else {"num_cpus": pool.cpus}),
    )
    data.context.enable_progress_bars = False
    data.context.print_on_execution_start = False
    data.context.execution_no_progress_timeout_s = -1  # a slow model needs its time
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield from data.iter_rows()
    except ray.exceptions.RayTaskError:
        raise  # a mistake in a model's code or in ours, with its traceback
    except ray.exceptions.RayError as error:
        raise EngineError(f"Ray gave up: {one_line(error)}", remedy=_AFTER_A_DEATH) from error
    finally:
        logger.setLevel(level)


class _Told:
    """What the actors told of their work."""

    def __init__(self) -> None:
        self._told: list[dict[str, Any]] = []

    def patches(self, row: Mapping[str, Any]) -> Iterable[None]:
        """One item per patch of a row; raises the error that it tells instead."""
        told = json.loads(row["told"])
        if "error" in told:
            raise _unpacked(told["error"])
        self._told.append(told)
        return itertools.repeat(None, int(row["patches"]))

    def details(self) -> Details:
        """What to note about all of them."""
        return {
            "model": self._told[0]["model"],
            "model_seconds": max(told["model_seconds"] for told in self._told),
            "batch_size": min(told["batch_size"] for told in self._told),
            "threads": self._told[0]["threads"],
            "actors": len({told["actor"] for told in self._told}),
            "machines": len({told["machine"] for told in self._told}),
        }


def _packed(error: PathorobChecksError) -> dict[str, str]:
    """An error as text, by the class that `errors` has for it."""
    kind = next(base for base in type(error).__mro__ if base.__module__ == errors.__name__)
    return {"kind": kind.__name__, "problem": error.problem, "remedy": error.remedy}


def _unpacked(told: Mapping[str, str]) -> PathorobChecksError:
    kind: type[PathorobChecksError] = getattr(errors, told["kind"])
    return kind(told["problem"], remedy=told["remedy"])
