"""Images become embeddings at the model's speed: reading, copying and embedding overlap.

    threads      read and preprocess the next images
    one thread   stacks them into a batch and sends it to the model's device
    this thread  runs the model, one batch after the other

A batch never contains patches of two shards, so that an embedding does not depend on which shards are
requested.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from pathorob_checks.embeddings.checks import check_rows
from pathorob_checks.embeddings.shards import Float32, ShardRows
from pathorob_checks.errors import EmbeddingError, ModelError, PathorobChecksError

if TYPE_CHECKING:
    import torch

    from pathorob_checks.models.foundation_model import FoundationModel

# sys.exit() in a model's code must not end the process, whose exit code is the gate's.
_ENDS = (Exception, SystemExit)

_T = TypeVar("_T")
_R = TypeVar("_R")


class Pipeline:
    """Embeds the patches of a cohort with a model.

    Parameters
    ----------
    name : the model's name for messages.
    threads : number of images that are read at the same time.
    batch_size : patches per batch at the beginning.

    Attributes
    ----------
    batch_size : patches per batch now; halved each time the device runs out of memory.
    """

    def __init__(
        self, name: str, model: FoundationModel, shards: ShardRows, threads: int, batch_size: int
    ) -> None:
        self.batch_size = batch_size
        self._name = name
        self._model = model
        self._shards = shards
        self._threads = threads
        self._feed = _Feed(model)

    def run(self, shards: Sequence[int], keep: Callable[[int, Float32], None]) -> Generator[None, None, None]:
        """Embed these shards; yields once per patch.

        `keep` is called with each shard's number and (n, D) float32 embeddings as soon as they are complete.

        Raises
        ------
        CohortError : an image cannot be decoded.
        EmbeddingError : embeddings have the wrong shape or are not finite.
        ModelError : the model fails on an image or a batch.
        """
        with (
            contextlib.closing(self._batches(shards)) as batches,
            contextlib.closing(ahead(batches)) as ready,
        ):
            for shard, parts in itertools.groupby(ready, key=lambda batch: batch[0]):
                values = []
                for _, names, batch in parts:
                    embedded = self._embed(names, batch)
                    check_rows(embedded, names)
                    values.append(embedded)
                    yield from itertools.repeat(None, len(names))
                keep(shard, np.concatenate(values))

    def _batches(self, shards: Sequence[int]) -> Generator[tuple[int, list[str], torch.Tensor], None, None]:
        """Shard, patch keys and (B, C, H, W) images on the model's device."""
        rows = [row for shard in shards for row in self._shards.rows(shard)]
        window = self._threads + 2 * self.batch_size  # one batch is embedded while the next is read
        images = in_order(self.preprocess, rows, threads=self._threads, window=window)
        with contextlib.closing(images) as read:
            for shard in shards:
                left = len(self._shards.rows(shard))
                while left:
                    items = list(itertools.islice(read, min(self.batch_size, left)))
                    left -= len(items)
                    names = [self._shards.cohort.keys[row] for row, _ in items]
                    yield shard, names, self._feed.batch(self._same_shape([tensor for _, tensor in items]))

    def preprocess(self, row: int) -> tuple[int, torch.Tensor]:
        """The row of the cohort and its image as a (C, H, W) tensor; raises as `run`."""
        import torch

        cohort = self._shards.cohort
        image = cohort.read_image(row)
        where = f"patch '{cohort.keys[row]}' ({image.width} x {image.height} pixels)"
        try:
            tensor = self._model.preprocess(image)
        except PathorobChecksError:
            raise
        except _ENDS as error:
            raise ModelError(
                f"preprocessing of {self._name} failed on {where}: {_one_line(error)}",
                remedy="let preprocess() take RGB images of any size",
            ) from error
        if not isinstance(tensor, torch.Tensor) or tensor.ndim != 3:
            shape = f" of the shape {tuple(tensor.shape)}" if isinstance(tensor, torch.Tensor) else ""
            raise ModelError(
                f"preprocessing of {self._name} returned {type(tensor).__name__}{shape} for {where}",
                remedy="let preprocess() return a (C, H, W) tensor",
            )
        return row, tensor

    def _same_shape(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            shown = ", ".join(map(str, sorted(shapes)))
            raise ModelError(
                f"preprocessing of {self._name} gives tensors of different shapes: {shown}",
                remedy="let preprocess() resize and crop to one size",
            )
        return tensors

    def _embed(self, names: Sequence[str], batch: torch.Tensor) -> Float32:
        """(B, C, H, W) -> (B, D); a batch that exceeds the device's memory is embedded in smaller pieces."""
        done: list[Float32] = []
        start = 0
        while start < len(batch):
            piece = batch[start : start + self.batch_size]
            if (embedded := self._try(names[start:], piece)) is None:
                self._shrink(len(piece))
                continue
            done.append(embedded)
            start += len(piece)
        return np.concatenate(done) if len(done) > 1 else done[0]

    def _shrink(self, tried: int) -> None:
        import torch

        if tried == 1:
            raise ModelError(
                f"{self._name} ran out of device memory with a single patch",
                remedy="free the device, try --fm-precision=bf16, or name another with --fm-device",
            )
        self.batch_size = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _try(self, names: Sequence[str], batch: torch.Tensor) -> Float32 | None:
        """(B, D) in the dtype that the model gives; None where the device runs out of memory."""
        import torch

        try:
            with torch.inference_mode():
                # A copy: embed() may change what it is given, and the batch may have to be embedded again.
                embedded = self._model.embed(batch.clone())
        except PathorobChecksError:
            raise
        except _ENDS as error:
            if is_out_of_memory(error):
                return None
            raise ModelError(
                f"{self._name} failed on the batch that starts with patch '{names[0]}': {_one_line(error)}",
                remedy="check that embed() takes a (B, C, H, W) tensor as preprocess() makes them",
            ) from error
        if not isinstance(embedded, torch.Tensor):
            raise ModelError(
                f"embed() of {self._name} returned {type(embedded).__name__}, not a tensor",
                remedy="let it return a (B, D) float32 tensor",
            )
        if tuple(embedded.shape) != (len(batch), self._model.dimension):
            raise EmbeddingError(
                f"{self._name} gives embeddings of the shape {tuple(embedded.shape)} where "
                f"({len(batch)}, {self._model.dimension}) is needed",
                remedy="let embed() return one vector of `dimension` values per image, or try --fm-pooling",
            )
        try:
            if embedded.dtype == torch.bfloat16:  # NumPy has no bfloat16; the conversion to float32 is exact
                embedded = embedded.float()
            # A copy: embed() may fill the same tensor again for the next batch.
            return np.array(embedded.detach().cpu().numpy())
        except (TypeError, RuntimeError, NotImplementedError) as error:  # sparse, quantized, without values
            raise ModelError(
                f"embed() of {self._name} returned a tensor that cannot be read: {_one_line(error)}",
                remedy="let it return a plain (B, D) float32 tensor",
            ) from error


class _Feed:
    """Stacks images and copies them to a GPU from pinned memory while the previous batch is embedded."""

    def __init__(self, model: FoundationModel) -> None:
        import torch

        self._device = model.device
        on_gpu = self._device.type == "cuda"
        self._stream: Any = torch.cuda.Stream(self._device) if on_gpu else None  # type: ignore[no-untyped-call]

    def batch(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        """(B, C, H, W) on the model's device; on the CPU if the device has too little memory left."""
        import torch

        stacked = torch.stack(tensors)
        if self._stream is None:
            return stacked
        try:
            with torch.cuda.stream(self._stream):
                sent = stacked.pin_memory().to(self._device, non_blocking=True)
            self._stream.synchronize()  # only this thread waits; the model's stream continues
        except torch.OutOfMemoryError:
            return stacked
        sent.record_stream(torch.cuda.default_stream(self._device))
        return sent


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the CPU's allocator ran out of memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def in_order(
    function: Callable[[_T], _R], items: Iterable[_T], *, threads: int, window: int
) -> Generator[_R, None, None]:
    """`map` in threads: results in order; at most `window` items are in work or wait to be consumed.

    An error is raised when its item's turn comes, so that the same input always gives the error of the
    same item. Items that have not begun by then are cancelled.
    """
    remaining = iter(items)
    pool = _threads(threads)
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


def ahead(items: Iterator[_T]) -> Generator[_T, None, None]:
    """The same items, each made in a thread while the previous one is used."""
    done = object()
    with _threads(1) as pool:
        waiting: Future[Any] = pool.submit(next, items, done)
        try:
            while (item := waiting.result()) is not done:
                waiting = pool.submit(next, items, done)
                yield item
        finally:
            with contextlib.suppress(Exception):
                waiting.cancel() or waiting.result()  # so that the thread no longer uses the iterator


def _threads(count: int) -> ThreadPoolExecutor:
    """Threads that start no further threads: torch would use several even to scale one image."""
    return ThreadPoolExecutor(
        max_workers=count,
        thread_name_prefix="preprocess",
        initializer=_limit_openmp,
        initargs=(threading.local(),),
    )


def _limit_openmp(kept: threading.local) -> None:
    kept.limit = threadpool_limits(1, user_api="openmp")  # for this thread


def _one_line(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it would have ended the process (sys.exit({error.code!r}))"
    return " ".join(str(error).split()) or type(error).__name__
