"""From a foundation model and a cohort to embeddings, once.

Whoever comes first extracts while the others wait at the store's lock and then read. An extraction that
is interrupted goes on with the shards that are missing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pathorob_checks.embeddings.batch_sizes import BatchSizes
from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.identity import embedding_key, plain
from pathorob_checks.embeddings.pipeline import Pipeline
from pathorob_checks.embeddings.shards import Float32, ShardPlan, ShardRows, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore, StoredEmbeddings
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.models.devices import name_of

if TYPE_CHECKING:
    import pandas as pd

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.models.foundation_model import FoundationModel

MAX_THREADS = 32

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
Details = dict[str, object]

logger = logging.getLogger(__name__)


class Prepared(Protocol):
    """A foundation model that is identified but not loaded, as `models.loading` prepares it."""

    @property
    def name(self) -> str:
        """Short name for messages."""
        ...

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything in the model that decides an embedding; part of the store's key."""
        ...

    @property
    def device(self) -> str:
        """Where the model will live: `cpu`, `cuda` or `cuda:N`."""
        ...

    def load(self) -> FoundationModel:
        """Read the weights and put them on the device."""
        ...


class Engine(Protocol):
    """What embeds the missing shards of an extraction and puts them into the store."""

    def __call__(
        self,
        prepared: Prepared,
        shards: ShardRows,
        missing: Sequence[int],
        store: EmbeddingStore,
        progress: Progress | None,
    ) -> Details:
        """Returns what to note about it."""
        ...


@dataclass(frozen=True)
class Embeddings:
    """A cohort as a foundation model sees it.

    Attributes
    ----------
    values : (N, D) float32, read-only; row i is patch i of the cohort.
    patches : the cohort's table, N rows.
    key : what the embeddings are stored under.
    identity : the model's identity.
    details : how they were extracted (seconds, threads, ...), then or now.
    extracted : whether this call extracted them; False when they were in the store.
    notes : sentences about them that a report must show.
    """

    values: Float32
    patches: pd.DataFrame
    key: str
    identity: dict[str, object]
    details: dict[str, object]
    extracted: bool
    notes: tuple[str, ...] = ()


def given(folder: Path, name: str, cohort: Cohort) -> Embeddings:
    """The embeddings of `cohort` that the user computed, from a folder; no image and no model is needed.

    Parameters
    ----------
    name : what the folder may call the cohort.

    Raises
    ------
    EmbeddingError : they are missing, incomplete, damaged, or carry no information.
    """
    from pathorob_checks.embeddings import precomputed

    found = precomputed.read(folder, name, cohort.patches)
    identity: dict[str, object] = {"kind": "embeddings", "sha256": found.digest}
    details: dict[str, object] = {"layout": found.layout, "files": list(found.files)}
    return Embeddings(
        found.values, cohort.patches, found.digest, identity, details, extracted=False, notes=found.notes
    )


def obtain(
    prepared: Prepared,
    cohort: Cohort,
    store: EmbeddingStore,
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Embeddings:
    """The embeddings of `cohort`, from the store or, if it has none, from the model.

    Parameters
    ----------
    prepared : its `load()` is called only when something must be extracted.
    engine : what embeds; None: this process.
    progress : wraps the patches as they are embedded: `lambda items, total, desc: tqdm(items, desc, total)`.
    waiting : told about once a second how far another process is that embeds the same.

    Raises
    ------
    CacheError : the store cannot be written.
    CohortError : an image cannot be decoded.
    EmbeddingError : the embeddings carry no information (see `check_embeddings`); nothing is stored.
    ModelError : the model fails on an image or a batch.
    """
    key = embedding_key(prepared.identity, cohort)
    store.use(key)
    stored = store.load(key, cohort.keys)
    if stored is not None:
        return _from_store(stored, cohort, key)
    store.check_writable()
    plan = plan_of(cohort, key)
    what = f"{prepared.name} on {cohort.name}"

    def tell() -> None:
        if waiting is not None:
            done = store.count_shards(key)
            waiting(f"{what}: another process embeds it, {done} of {len(plan)} shards done")

    with store.lock(key, tell):
        stored = store.load(key, cohort.keys)  # another process may have been faster
        if stored is not None:
            return _from_store(stored, cohort, key)
        values, details = _extract(prepared, ShardRows(plan, cohort), store, engine or in_process, progress)
    values.flags.writeable = False
    identity = {name: plain(value) for name, value in prepared.identity.items()}
    return Embeddings(values, cohort.patches, key, identity, details, extracted=True)


def _from_store(stored: StoredEmbeddings, cohort: Cohort, key: str) -> Embeddings:
    return Embeddings(stored.values, cohort.patches, key, stored.identity, stored.details, extracted=False)


def _extract(
    prepared: Prepared, shards: ShardRows, store: EmbeddingStore, engine: Engine, progress: Progress | None
) -> tuple[Float32, Details]:
    """Embed what is missing -> (N, D) float32 in the cohort's order, and what is noted about it."""
    plan = shards.plan
    whole = store.whole_shards(plan)
    missing = sorted(set(range(len(plan))) - set(whole))
    if whole:
        logger.info("%d of %d patches were embedded before", plan.count(whole), len(plan.names))
    details: Details = {
        "fm": prepared.name,
        "cohort": shards.cohort.name,
        "resumed_patches": plan.count(whole),
    }
    try:
        if missing:
            details |= engine(prepared, shards, missing, store, progress)
        values, told = store.assemble(plan, shards.cohort.keys)
        check_embeddings(values, shards.cohort.keys)
    except EmbeddingError:
        store.remove(plan.key)  # they would fail again without a chance to be better
        raise
    store.finish(plan, told, values.shape[1], prepared.identity, details)
    return values, details


def in_process(
    prepared: Prepared,
    shards: ShardRows,
    missing: Sequence[int],
    store: EmbeddingStore,
    progress: Progress | None,
) -> Details:
    """The engine that embeds in this process, on one device; on a GPU one model at a time does."""
    alone = (
        store.locks.hold(name_of(prepared.device)) if prepared.device != "cpu" else contextlib.nullcontext()
    )
    with alone:
        return embed_shards(prepared, shards, missing, store, progress)


def embed_shards(
    prepared: Prepared,
    shards: ShardRows,
    missing: Sequence[int],
    store: EmbeddingStore,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Details:
    """Load the model, embed the missing shards and put them into the store; see `Engine`.

    `threads` images are read at a time; None: one per CPU of this process.
    """
    started = time.monotonic()
    model = prepared.load()
    loaded = time.monotonic()
    sizes = BatchSizes(store.root, prepared.identity)
    threads = min(MAX_THREADS, threads or available_cpus())
    pipeline = Pipeline(prepared.name, model, shards, threads, sizes.usable(model.batch_size))
    with (
        contextlib.closing(_Writer(store, shards.plan)) as writer,
        contextlib.closing(pipeline.run(missing, writer.put)) as steps,
    ):
        work: Iterable[Any] = steps
        if progress is not None:
            text = f"{prepared.name} on {shards.cohort.name}"
            work = progress(work, shards.plan.count(missing), text)
        for _ in work:
            pass
        writer.finish()
    sizes.remember(pipeline.batch_size, instead_of=model.batch_size)
    return {
        "model": plain(getattr(model, "description", {})),
        "model_seconds": round(loaded - started, 3),
        "seconds": round(time.monotonic() - loaded, 3),
        "batch_size": pipeline.batch_size,
        "threads": threads,
    }


class _Writer:
    """Writes shards in a thread, at most two behind the model."""

    def __init__(self, store: EmbeddingStore, plan: ShardPlan) -> None:
        self._store = store
        self._plan = plan
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._pending: list[Future[None]] = []

    def put(self, shard: int, values: Float32) -> None:
        """Keep a shard soon; raises what went wrong with an earlier one."""
        self._pending.append(self._pool.submit(self._store.put, self._plan, shard, values))
        while len(self._pending) > 2 or (self._pending and self._pending[0].done()):
            self._pending.pop(0).result()

    def finish(self) -> None:
        """Wait until all is written; raises what went wrong."""
        while self._pending:
            self._pending.pop(0).result()

    def close(self) -> None:
        """End the thread; what was handed over is still written, its errors are not looked at."""
        self._pool.shutdown(wait=True)


def available_cpus() -> int:
    """CPUs that this process may use; containers and xdist often allow fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1
