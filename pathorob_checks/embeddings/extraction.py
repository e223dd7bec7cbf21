"""From a foundation model and a cohort to embeddings, once.

Whoever comes first extracts while the others wait at the store's lock and then read. An extraction that
is interrupted goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from pathorob_checks.embeddings.checks import check_embeddings, check_rows
from pathorob_checks.embeddings.identity import embedding_key, plain
from pathorob_checks.embeddings.store import EmbeddingStore, StoredEmbeddings
from pathorob_checks.errors import EmbeddingError, ModelError, PathorobChecksError

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.models.foundation_model import FoundationModel

MAX_THREADS = 4
# A piece is kept this often: an interruption costs at most so much, and short extractions write none.
SECONDS_PER_PART = 60.0

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
_T = TypeVar("_T")
_R = TypeVar("_R")

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

    def load(self) -> FoundationModel:
        """Read the weights and put them on the device."""
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

    values: npt.NDArray[np.float32]
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
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, *, progress: Progress | None = None
) -> Embeddings:
    """The embeddings of `cohort`, from the store or, if it has none, from the model.

    Parameters
    ----------
    prepared : its `load()` is called only when something must be extracted.
    progress : wraps the patches as they are read, e.g. `lambda items, total, desc: tqdm(items, desc, total)`.

    Raises
    ------
    CacheError : the store cannot be written.
    CohortError : an image cannot be decoded.
    EmbeddingError : the embeddings carry no information (see `check_embeddings`); nothing is stored.
    ModelError : the model fails on an image or a batch.
    """
    key = embedding_key(prepared.identity, cohort)
    stored = store.load(key, cohort.keys)
    if stored is not None:
        return _from_store(stored, cohort, key)
    store.check_writable()
    with store.lock(key):
        stored = store.load(key, cohort.keys)  # another process may have been faster
        if stored is not None:
            return _from_store(stored, cohort, key)
        values, details = _extract(prepared, cohort, store, key, progress)
        store.save(key, cohort.keys, values, prepared.identity, details)
    values.flags.writeable = False
    identity = {name: plain(value) for name, value in prepared.identity.items()}
    return Embeddings(values, cohort.patches, key, identity, details, extracted=True)


def _from_store(stored: StoredEmbeddings, cohort: Cohort, key: str) -> Embeddings:
    return Embeddings(stored.values, cohort.patches, key, stored.identity, stored.details, extracted=False)


def _extract(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, key: str, progress: Progress | None
) -> tuple[npt.NDArray[np.float32], dict[str, object]]:
    """Embed all patches -> (N, D) float32 in the cohort's order, and what to note about it."""
    keys = cohort.keys
    done = store.load_parts(key)
    rows = [row for row in _reading_order(cohort) if keys[row] not in done]
    resumed = len(keys) - len(rows)
    if resumed:
        logger.info("%d of %d patches were embedded before an interruption", resumed, len(keys))
    started = time.monotonic()
    details: dict[str, object] = {"resumed_patches": resumed}
    if rows:
        model = prepared.load()
        loaded = time.monotonic()
        threads = min(MAX_THREADS, _available_cpus())
        fresh: dict[str, npt.NDArray[np.float32]] = {}
        kept = loaded
        batches = _embedded(prepared.name, model, cohort, rows, threads, progress)
        with contextlib.closing(batches):
            for names, values in batches:
                check_rows(values, names)
                fresh.update(zip(names, values, strict=True))
                if time.monotonic() - kept > SECONDS_PER_PART:
                    store.save_part(key, list(fresh), np.stack(list(fresh.values())))
                    done.update(fresh)
                    fresh, kept = {}, time.monotonic()
        done.update(fresh)
        details |= {
            "model": plain(getattr(model, "description", {})),
            "model_seconds": round(loaded - started, 3),
            "seconds": round(time.monotonic() - loaded, 3),
            "batch_size": model.batch_size,
            "threads": threads,
        }
    try:
        values = _stacked([done[name] for name in keys])
        check_embeddings(values, keys)
    except EmbeddingError:
        store.drop_parts(key)  # they would fail again without a chance to be better
        raise
    return values, details


def _reading_order(cohort: Cohort) -> list[int]:
    """Never the table's order: batches, and with them the last bits, must not depend on it."""
    if cohort.reading_order is not None:
        return [int(row) for row in cohort.reading_order()]
    return sorted(range(len(cohort)), key=cohort.keys.__getitem__)


def _embedded(
    name: str,
    model: FoundationModel,
    cohort: Cohort,
    rows: Sequence[int],
    threads: int,
    progress: Progress | None,
) -> Generator[tuple[list[str], npt.NDArray[np.float32]], None, None]:
    """Batches of patch keys and their embeddings, (B, D) of whatever dtype the model gives."""
    keys = cohort.keys

    def preprocess(row: int) -> tuple[int, torch.Tensor]:
        image = cohort.read_image(row)
        try:
            return row, model.preprocess(image)
        except PathorobChecksError:
            raise
        except Exception as error:
            raise ModelError(
                f"preprocessing of {name} failed on patch '{keys[row]}' "
                f"({image.width} x {image.height} pixels): {_one_line(error)}",
                remedy="let preprocess() take RGB images of any size",
            ) from error

    # Two batches: one is embedded while the next is read.
    tensors = _in_order(preprocess, rows, threads=threads, window=max(threads, 2 * model.batch_size))
    with contextlib.closing(tensors):
        shown = iter(
            tensors if progress is None else progress(tensors, len(rows), f"{name} on {cohort.name}")
        )
        while batch := list(itertools.islice(shown, model.batch_size)):
            names = [keys[row] for row, _ in batch]
            yield names, _embed(name, model, names, [tensor for _, tensor in batch])


def _embed(
    name: str, model: FoundationModel, names: Sequence[str], tensors: list[torch.Tensor]
) -> npt.NDArray[np.float32]:
    import torch

    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        found = ", ".join(map(str, sorted(shapes)))
        raise ModelError(
            f"preprocessing of {name} gives tensors of different shapes: {found}",
            remedy="let preprocess() resize and crop to one size",
        )
    try:
        with torch.inference_mode():
            embedded = model.embed(torch.stack(tensors))
    except PathorobChecksError:
        raise
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{name} ran out of device memory with {len(tensors)} patches per batch",
            remedy=f"try --fm-batch-size={max(1, len(tensors) // 4)} or --fm-precision=bf16",
        ) from error
    except Exception as error:
        raise ModelError(
            f"{name} failed on the batch that starts with patch '{names[0]}': {_one_line(error)}",
            remedy="check that embed() takes a (B, C, H, W) tensor as preprocess() makes them",
        ) from error
    if not isinstance(embedded, torch.Tensor):
        raise ModelError(
            f"embed() of {name} returned {type(embedded).__name__}, not a tensor",
            remedy="let it return a (B, D) float32 tensor",
        )
    if tuple(embedded.shape) != (len(names), model.dimension):
        raise EmbeddingError(
            f"{name} gives embeddings of the shape {tuple(embedded.shape)} where "
            f"({len(names)}, {model.dimension}) is needed",
            remedy="let embed() return one vector of `dimension` values per image, or try --fm-pooling",
        )
    if embedded.dtype == torch.bfloat16:  # NumPy has none; the float32 of it is exact
        embedded = embedded.float()
    values: npt.NDArray[np.float32] = embedded.detach().cpu().numpy()
    return values


def _in_order(
    function: Callable[[_T], _R], items: Iterable[_T], *, threads: int, window: int
) -> Generator[_R, None, None]:
    """`map` in threads: results in order, at most `window` of them begun and not yet taken.

    An error is raised when its item's turn comes, at most `window` items after it occurred, so the
    same input always names the same item; what is still waiting is then cancelled.
    """
    remaining = iter(items)
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="preprocess")
    try:
        pending: deque[Future[_R]] = deque(
            pool.submit(function, item) for item in itertools.islice(remaining, window)
        )
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in itertools.islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _stacked(rows: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    if len({row.shape for row in rows}) > 1:
        raise EmbeddingError(
            "embeddings have different numbers of columns from batch to batch",
            remedy="let embed() return `dimension` values per image",
        )
    return np.stack(rows)


def _available_cpus() -> int:
    """CPUs that this process may use; containers and xdist often allow fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
