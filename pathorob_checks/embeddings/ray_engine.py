"""Extraction on a Ray cluster: Ray Data distributes the missing shards among actors.

    this process   holds the entry's lock, distributes the shards and counts the embedded patches
    actors         load the model once each, embed whole shards in the same batches as the local engine, and
                   put them into the store, a folder that all machines can reach

Only shard numbers, counts and messages are sent; embeddings are not. The shards of an actor that died are
distributed again, except those that it had already stored. An error that a user can act on is not retried:
it is sent back as data and raised here.
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
from pathorob_checks.canonical import plain
from pathorob_checks.embeddings.extraction import embed_shards
from pathorob_checks.embeddings.identity import decoder
from pathorob_checks.embeddings.normalizing import WITHOUT_TISSUE
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
from pathorob_checks.progress import Progress, no_progress

if TYPE_CHECKING:
    from pathorob_checks.embeddings.extraction import Details, Prepared
    from pathorob_checks.models.foundation_model import FoundationModel

CPUS_PER_ACTOR = 8  # where the model runs on CPUs; more threads gain little for one forward pass
RETRIES = 3  # of a shard at which actors die: Ray would retry it without end
TASKS_PER_ACTOR = 16  # so that fast machines take over the last shards from slow ones
# The pipeline drains after every task, so not too few; progress is counted by tasks, so not too many.
MOST_SHARDS_PER_TASK = 64


@dataclass(frozen=True)
class RayEngine:
    """An `Engine` on Ray Data.

    Parameters
    ----------
    rebuild : makes the prepared model again in another process. It can be pickled, and its GPU is `cuda`
        without a number, because an actor sees only its own.
    address : of a running cluster (`auto`, `HOST:PORT`); None: one is started on this machine and ended
        after the extraction. If this process already belongs to a cluster, that one is used.
    cpus : CPUs of an actor, and its number of threads, where the model runs on CPUs.
    retries : how often the same shard is begun again after an actor died at it.
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
        EngineError : Ray is not installed, the cluster cannot be joined or lacks a CPU or GPU for the model,
            a machine would give other embeddings, or actors died too often.
        PathorobChecksError : the errors of the local engine, with the same text.
        """
        check_usable(self.address)
        ray = import_ray()
        started = time.monotonic()
        reports = _Reports()
        plan = shards.plan
        with joined(ray, self.address, store.locks, len(plan.names)):
            pool = pool_on(ray.nodes(), on_gpu=prepared.device != "cpu", cpus=self.cpus)
            tasks = tasks_of(missing, pool.actors)
            job = _Job(
                self.rebuild,
                _whole_identity(prepared),
                ShardRows(plan, replace(shards.cohort, views={})),  # actors do not need the views
                store.root.absolute(),
                pool,
                ray.remote(_Attempts).options(num_cpus=0).remote(),
                self.retries,
            )
            with warnings.catch_warnings(), contextlib.closing(_rows(ray, job, tasks)) as rows:
                warnings.filterwarnings("ignore", module="ray")  # it warns of its own internals
                steps = itertools.chain.from_iterable(map(reports.patches, rows))
                text = f"{prepared.name} on {shards.cohort.name}: embedding"
                for _ in (progress or no_progress)(steps, plan.count(missing), text):
                    pass
        seconds = round(time.monotonic() - started, 3)
        return {**reports.details(), "seconds": seconds, "engine": "ray", "ray": ray.__version__}


def tasks_of(missing: Sequence[int], actors: int) -> list[list[int]]:
    """The shards of each task: several tasks for every actor, none too long."""
    size = max(1, min(MOST_SHARDS_PER_TASK, len(missing) // (actors * TASKS_PER_ACTOR)))
    return [list(missing[start : start + size]) for start in range(0, len(missing), size)]


@dataclass(frozen=True)
class _Job:
    """The data that every actor needs. It is sent once to each machine; images are not sent.

    The cohort is sent as its table and the digests of its images: to load it again, every actor would have
    to hash every image.
    """

    rebuild: Callable[[], Prepared]
    identity: dict[str, Any]
    shards: ShardRows
    root: Path
    pool: Pool
    attempts: Any
    retries: int


class _Attempts:
    """Counts, over all actors, attempts that were begun and not ended: they go on, or the actor died."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """How many attempts at this shard (or `_MODEL`) were begun and not ended, this one included."""
        self._begun[number] += 1
        return self._begun[number]

    def end(self, number: int) -> None:
        """One attempt at this shard (or `_MODEL`) has ended."""
        self._begun[number] -= 1


class _Loaded:
    """A prepared model that is loaded already."""

    def __init__(self, prepared: Prepared) -> None:
        self.name, self.identity, self.device = prepared.name, prepared.identity, prepared.device
        self._model = prepared.load()

    def load(self) -> FoundationModel:
        """The model."""
        return self._model


_AFTER_A_DEATH = (
    "see Ray's logs for the reason (usually memory) and run again; the shards that are stored are kept"
)
_MODEL = -1  # stands for loading the model, among the numbers of shards


class _Embedder:
    """The actor.

    Parameters
    ----------
    paths : further folders to import Python modules from, such as a user's own model.
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
        except PathorobChecksError as error:  # raised in `__init__`, it would be reported by Ray
            self._failure = error
        self._model_seconds = round(time.monotonic() - started, 3)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Embed and store the shards of a row -> their number of patches, and a report."""
        shards = [int(shard) for shard in row["shards"]]
        try:
            report = self._embed(shards)
        except PathorobChecksError as error:
            return {"patches": 0, "report": json.dumps({"error": _packed(error)})}
        return {"patches": self._job.shards.plan.count(shards), "report": json.dumps(report)}

    def _load(self) -> None:
        import torch

        job = self._job
        # Besides failures, every actor may be loading now, and every actor may have been preempted once.
        if (begun := self._begin(_MODEL)) > 2 * job.pool.actors + job.retries:
            raise _died(begun - job.pool.actors, "while the model was loaded")
        torch.set_num_threads(job.pool.cpus)
        prepared = job.rebuild()
        _check_alike(job.identity, _whole_identity(prepared))
        self._prepared = _Loaded(prepared)
        job.attempts.end.remote(_MODEL)

    def _embed(self, shards: list[int]) -> Details:
        if self._failure is not None:
            raise self._failure
        job = self._job
        whole = set(self._store.whole_shards(job.shards.plan, shards))  # stored by an actor that died
        missing = [shard for shard in shards if shard not in whole]
        if missing and (begun := self._begin(missing[0])) > 1 + job.retries:
            first = job.shards.plan.patches(missing[0])[0]
            raise _died(begun - 1, f"at patch '{first}' or soon after it")
        details = embed_shards(self._prepared, job.shards, missing, self._store, threads=job.pool.cpus)
        if whole:  # the actor that died did not report what it counted
            details.pop(WITHOUT_TISSUE, None)
        return {
            **details,
            "model_seconds": self._model_seconds,
            "actor": f"{platform.node()}:{os.getpid()}",
            "machine": platform.node(),
        }

    def _begin(self, number: int) -> int:
        return int(self._get(self._job.attempts.begin.remote(number)))


def _died(actors: int, when: str) -> EngineError:
    return EngineError(
        f"{actors} {'actor' if actors == 1 else 'actors'} of the Ray cluster died {when}",
        remedy=_AFTER_A_DEATH,
    )


def _whole_identity(prepared: Prepared) -> dict[str, Any]:
    """All that decides an embedding, apart from the images."""
    return {**prepared.identity, "decoder": decoder()}


def _check_alike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse a machine whose embeddings would belong under another key."""
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


def _rows(ray: Any, job: _Job, tasks: Sequence[list[int]]) -> Generator[dict[str, Any]]:
    """The rows that the actors return, in the order in which they finish."""
    pool = job.pool
    data = ray.data.from_items([{"shards": shards} for shards in tasks], override_num_blocks=len(tasks)).map(
        _Embedder,
        fn_constructor_args=([str(Path(path).absolute()) for path in sys.path], [ray.put(job)]),
        compute=ray.data.ActorPoolStrategy(
            size=min(pool.actors, len(tasks)), max_tasks_in_flight_per_actor=2
        ),
        **({"num_gpus": pool.gpus} if pool.gpus else {"num_cpus": pool.cpus}),
    )
    data.context.enable_progress_bars = False
    data.context.print_on_execution_start = False
    data.context.execution_no_progress_timeout_s = -1  # none: a model may be slow
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield from data.iter_rows()
    except ray.exceptions.RayTaskError:
        raise  # a bug in the model's code or in this package; the traceback is needed
    except ray.exceptions.RayError as error:
        raise EngineError(f"the Ray cluster failed: {one_line(error)}", remedy=_AFTER_A_DEATH) from error
    finally:
        logger.setLevel(level)


class _Reports:
    """The reports of the actors."""

    def __init__(self) -> None:
        self._reports: list[dict[str, Any]] = []

    def patches(self, row: Mapping[str, Any]) -> Iterable[None]:
        """One item per patch of a row; raises the error in its report, if there is one."""
        report = json.loads(row["report"])
        if "error" in report:
            raise _unpacked(report["error"])
        self._reports.append(report)
        return itertools.repeat(None, int(row["patches"]))

    def details(self) -> Details:
        """Details to store with the embeddings."""
        counted = [report[WITHOUT_TISSUE] for report in self._reports if WITHOUT_TISSUE in report]
        all_counted = len(counted) == len(self._reports)
        return {
            "model": self._reports[0]["model"],
            "model_seconds": max(report["model_seconds"] for report in self._reports),
            "batch_size": min(report["batch_size"] for report in self._reports),
            "threads": self._reports[0]["threads"],
            "actors": len({report["actor"] for report in self._reports}),
            "machines": len({report["machine"] for report in self._reports}),
            **({WITHOUT_TISSUE: sum(counted)} if all_counted else {}),
        }


def _packed(error: PathorobChecksError) -> dict[str, str]:
    """An error as data, with the name of its class in `errors`."""
    kind = next(base for base in type(error).__mro__ if base.__module__ == errors.__name__)
    return {"kind": kind.__name__, "problem": error.problem, "remedy": error.remedy}


def _unpacked(packed: Mapping[str, str]) -> PathorobChecksError:
    kind: type[PathorobChecksError] = getattr(errors, packed["kind"])
    return kind(packed["problem"], remedy=packed["remedy"])
