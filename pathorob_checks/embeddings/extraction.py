"""The embeddings of a cohort by a foundation model, extracted once.

The first process extracts while others wait for the store's lock and then read its embeddings. After an
interruption only the missing shards are extracted.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pathorob_checks.canonical import plain
from pathorob_checks.console import logger_of
from pathorob_checks.cpus import available_cpus
from pathorob_checks.embeddings.batch_sizes import BatchSizes
from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.collected_rows import unique_patch_keys
from pathorob_checks.embeddings.identity import embedding_key
from pathorob_checks.embeddings.normalizing import WITHOUT_TISSUE, count_without_tissue, image_method_of
from pathorob_checks.embeddings.pipeline import Pipeline
from pathorob_checks.embeddings.shards import Float32, ShardPlan, ShardRows, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore, StoredEmbeddings
from pathorob_checks.embeddings.tally import Tally
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.models.devices import give_back_memory, name_of
from pathorob_checks.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.embeddings.repaired import FittedRepair
    from pathorob_checks.models.foundation_model import FoundationModel

MAX_THREADS = 32
MANY_PATCHES = 5000  # as many as threads read while processes start

NO_MODEL = (
    "It is given by its embeddings: no model was run, so how it embeds was not tested, and nothing but the "
    "patch keys ties the embeddings to the images."
)

Details = dict[str, object]

logger = logger_of(__name__)


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
    """Embeds the missing shards of an extraction and puts them into the store."""

    def __call__(
        self,
        prepared: Prepared,
        shards: ShardRows,
        missing: Sequence[int],
        store: EmbeddingStore,
        progress: Progress | None,
    ) -> Details:
        """Returns details to store with the embeddings."""
        ...


@dataclass(frozen=True)
class Embeddings:
    """A cohort's patches as embedded by a foundation model.

    Attributes
    ----------
    values : (N, D) float32, read-only; row i is patch i of the cohort.
    patches : the cohort's table, N rows.
    key : under which the embeddings are stored.
    identity : the model's identity.
    details : how they were extracted (seconds, threads, ...), in this call or before.
    extracted : whether this call extracted them; False when they come from the store.
    notes : sentences about them that a report must show.
    repair : what repaired given embeddings, if it was fitted on slides of the cohort; else None.
    """

    values: Float32
    patches: pd.DataFrame
    key: str
    identity: dict[str, object]
    details: dict[str, object]
    extracted: bool
    notes: tuple[str, ...] = ()
    repair: FittedRepair | None = None


def given(folder: Path, name: str, cohort: Cohort) -> Embeddings:
    """The embeddings of `cohort` that the user computed, from a folder, without images or a model.

    Parameters
    ----------
    name : of the cohort in the folder.

    Raises
    ------
    EmbeddingError : they are missing, incomplete, damaged, or carry no information.
    """
    from pathorob_checks.embeddings import precomputed

    loaded = precomputed.read(folder, name, cohort.patches)
    repair = loaded.repair
    notes = (*([repair.note] if repair else []), NO_MODEL, *loaded.notes)
    identity: dict[str, object] = {"kind": "embeddings", "sha256": loaded.digest}
    details: dict[str, object] = {"layout": loaded.layout, "files": list(loaded.files)}
    if loaded.origin is not None:
        details["import"] = loaded.origin.facts()
    if repair is not None:
        details["repair"] = repair.facts
    return Embeddings(
        loaded.values,
        cohort.patches,
        loaded.digest,
        identity,
        details,
        extracted=False,
        notes=notes,
        repair=repair,
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
    """The embeddings of `cohort`: from the store, or else extracted now.

    Parameters
    ----------
    prepared : its `load()` is called only when something must be extracted.
    engine : embeds the patches; None: this process does.
    progress : wraps the patches as they are embedded: `lambda items, total, desc: tqdm(items, desc, total)`.
    waiting : called about once a second with the progress of another process that embeds the cohort.

    Raises
    ------
    CacheError : the store cannot be written.
    CohortError : an image cannot be decoded.
    EmbeddingError : the embeddings carry no information (see `check_embeddings`), and nothing is stored; or
        patches of the cohort have the same key.
    ModelError : the model fails on an image or a batch.
    """
    unique_patch_keys(cohort.patches)  # rows are found again by their keys
    key = embedding_key(prepared.identity, cohort)
    store.use(key)
    stored = store.load(key, cohort.keys)
    if stored is not None:
        return _from_store(stored, cohort, key)
    store.check_writable()
    plan = plan_of(cohort, key)

    def wait() -> None:
        if waiting is not None:
            done = f"{store.count_shards(key)} of {len(plan)} {'shard' if len(plan) == 1 else 'shards'}"
            waiting(f"{prepared.name} on {cohort.name}: another process is embedding it, {done} done")

    with store.lock(key, wait):
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
    """Embed the missing shards -> (N, D) float32 in the cohort's order, and the details to store."""
    plan = shards.plan
    whole = store.whole_shards(plan)
    missing = sorted(set(range(len(plan))) - set(whole))
    if whole:
        logger.info("%d of %d patches were already embedded", plan.count(whole), len(plan.names))
    details: Details = {
        "fm": prepared.name,
        "cohort": shards.cohort.name,
        "resumed_patches": plan.count(whole),
    }
    method = image_method_of(prepared)
    try:
        if missing:
            details |= engine(prepared, shards, missing, store, progress)
        if method is not None:
            # Nobody has counted them among the patches that were embedded before an interruption.
            uncounted = whole if WITHOUT_TISSUE in details else range(len(plan))
            rows = [row for shard in uncounted for row in shards.rows(shard)]
            counted = int(str(details.get(WITHOUT_TISSUE, 0)))
            details[WITHOUT_TISSUE] = counted + count_without_tissue(method, shards.cohort, rows)
        values, files = store.assemble(plan, shards.cohort.keys)
        check_embeddings(values, shards.cohort.keys)
    except EmbeddingError:
        store.remove(plan.key)  # the same shards would be refused again
        raise
    store.finish(plan, files, values.shape[1], prepared.identity, details)
    return values, details


def in_process(
    prepared: Prepared,
    shards: ShardRows,
    missing: Sequence[int],
    store: EmbeddingStore,
    progress: Progress | None,
    *,
    readers: str = "auto",
) -> Details:
    """The engine that embeds in this process, on one device; on a GPU only one model runs at a time.

    `readers` of images are `threads` or `processes`; `auto`: processes for a GPU that gets many patches.
    """
    processes = readers == "processes" or (
        readers == "auto" and _suit_processes(prepared.device, shards.plan.count(missing))
    )
    exclusive = (
        store.locks.hold(name_of(prepared.device)) if prepared.device != "cpu" else contextlib.nullcontext()
    )
    with exclusive:
        try:
            return embed_shards(prepared, shards, missing, store, progress, processes=processes)
        finally:
            give_back_memory(prepared.device)


def _suit_processes(device: str, patches: int) -> bool:
    return device != "cpu" and patches >= MANY_PATCHES and hasattr(os, "memfd_create")


def embed_shards(
    prepared: Prepared,
    shards: ShardRows,
    missing: Sequence[int],
    store: EmbeddingStore,
    progress: Progress | None = None,
    threads: int | None = None,
    *,
    processes: bool = False,
) -> Details:
    """Load the model, embed the missing shards and put them into the store; see `Engine`.

    `threads` images are read at a time; None: one per CPU of this process. They are read in threads or
    `processes`.
    """
    started = time.monotonic()
    model = prepared.load()
    loaded = time.monotonic()
    sizes = BatchSizes(store.root, prepared.identity)
    threads = min(MAX_THREADS, threads or available_cpus())
    size = sizes.usable(model.batch_size)
    pipeline = Pipeline(prepared.name, model, shards, threads, size, processes=processes)
    without_tissue: Tally | None = getattr(model, "without_tissue", None)
    before = 0 if without_tissue is None else without_tissue.count
    with (
        contextlib.closing(_Writer(store, shards.plan)) as writer,
        contextlib.closing(pipeline.run(missing, writer.put)) as steps,
    ):
        text = f"{prepared.name} on {shards.cohort.name}: embedding"
        for _ in (progress or no_progress)(steps, shards.plan.count(missing), text):
            pass
        writer.finish()
    if not pipeline.was_crowded:
        sizes.remember(pipeline.batch_size, instead_of=model.batch_size)
    return {
        "model": plain(getattr(model, "description", {})),
        "model_seconds": round(loaded - started, 3),
        "seconds": round(time.monotonic() - loaded, 3),
        "seconds_without_images": round(pipeline.seconds_without_images, 3),
        "seconds_held_up": round(pipeline.seconds_held_up, 3),
        "batch_size": pipeline.batch_size,
        "threads": threads,
        **pipeline.readers,
        **({} if without_tissue is None else {WITHOUT_TISSUE: without_tissue.count - before}),
    }


class _Writer:
    """Writes shards in a thread; at most two of them wait to be written."""

    def __init__(self, store: EmbeddingStore, plan: ShardPlan) -> None:
        self._store = store
        self._plan = plan
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._pending: list[Future[None]] = []

    def put(self, shard: int, values: Float32) -> None:
        """Begin to write a shard; raises the error of an earlier one."""
        self._pending.append(self._pool.submit(self._store.put, self._plan, shard, values))
        while len(self._pending) > 2 or (self._pending and self._pending[0].done()):
            self._pending.pop(0).result()

    def finish(self) -> None:
        """Wait until all shards are written; raises the first error."""
        while self._pending:
            self._pending.pop(0).result()

    def close(self) -> None:
        """End the thread; pending shards are still written, their errors are ignored."""
        self._pool.shutdown(wait=True)
