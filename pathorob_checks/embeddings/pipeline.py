"""Images become embeddings at the model's speed: reading, copying and embedding overlap.

    threads      read and preprocess the next images
    one thread   stacks them into a batch and sends it to the model's device
    this thread  begins to embed a batch, then waits for the embeddings of the one before: a GPU always
                 has the next batch queued

A batch never contains patches of two shards, so that an embedding does not depend on which shards are
requested.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pathorob_checks.embeddings.checks import check_rows
from pathorob_checks.embeddings.reading import ENDS, Reader, one_line
from pathorob_checks.embeddings.shards import Float32, ShardRows
from pathorob_checks.embeddings.threads import ahead
from pathorob_checks.errors import EmbeddingError, ModelError, PathorobChecksError
from pathorob_checks.models import devices

if TYPE_CHECKING:
    import torch

    from pathorob_checks.models.foundation_model import FoundationModel


# Share of a device's memory; a process takes some for itself before its first tensor.
_CROWDED = 0.1


@dataclass(frozen=True)
class _Batch:
    """Patches of one shard.

    Attributes
    ----------
    shard : its number.
    names : B patch keys.
    images : (B, C, H, W), on the model's device if that has enough memory.
    ends_shard : whether they are the last patches of the shard.
    """

    shard: int
    names: Sequence[str]
    images: torch.Tensor
    ends_shard: bool


@dataclass(frozen=True)
class _Begun:
    """A batch that was given to the model.

    Attributes
    ----------
    batch : kept until its embeddings are there, as it may have to be embedded again.
    state : `running` on the device while this process can go on, `done`, `failed`, or without embeddings, as
        the device was `out of memory` or the batch is `too large` for it, which was known before.
    outcome : what the model gave: the embeddings, or what they arrive in; the error with which it failed.
    """

    batch: _Batch
    state: Literal["running", "done", "failed", "out of memory", "too large"]
    outcome: Any = None


class Pipeline:
    """Embeds the patches of a cohort with a model.

    Parameters
    ----------
    name : the model's name for messages.
    threads : number of images that are read at the same time.
    batch_size : patches per batch at the beginning.
    processes : whether images are read in as many processes instead, where the model takes 8-bit pixels.

    Attributes
    ----------
    batch_size : patches per batch now; halved each time the device runs out of memory.
    was_crowded : whether other processes held much of the device's memory when it was too small.
    seconds_without_images : how long the thread that runs the model waited for images after the first batch.
    seconds_held_up : how long that thread stood still while it gave batches to a device that works on its
        own. It does not wait for the device then, but for Python's lock, which the threads that read images
        hold, or for a core.
    """

    def __init__(
        self,
        name: str,
        model: FoundationModel,
        shards: ShardRows,
        threads: int,
        batch_size: int,
        *,
        processes: bool = False,
    ) -> None:
        self.batch_size = batch_size
        self.was_crowded = False
        self.seconds_without_images = 0.0
        self.seconds_held_up = 0.0
        self._name = name
        self._model = model
        self._shards = shards
        self._threads = threads
        self._processes = processes
        self._reader = Reader(name, model, shards.cohort)

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
            contextlib.closing(self._embedded(ready)) as embedded,
        ):
            values: list[Float32] = []
            for batch, rows in embedded:
                values.append(rows)
                yield from itertools.repeat(None, len(rows))
                if batch.ends_shard:
                    keep(batch.shard, np.concatenate(values))
                    values = []

    def _batches(self, shards: Sequence[int]) -> Generator[_Batch, None, None]:
        rows = [row for shard in shards for row in self._shards.rows(shard)]
        window = self._threads + 2 * self.batch_size  # one batch is embedded while the next is read
        images = self._reader.images(rows, threads=self._threads, window=window, processes=self._processes)
        with contextlib.closing(images) as read:
            for shard in shards:
                left = self._shards.rows(shard)
                while left:
                    some = list(itertools.islice(read, min(self.batch_size, len(left))))
                    names = [self._shards.cohort.keys[row] for row in left[: len(some)]]
                    left = left[len(some) :]
                    yield _Batch(shard, names, self._reader.batch(some), ends_shard=not left)

    @property
    def readers(self) -> dict[str, str]:
        """What read the images at the end, and why not processes where they were to."""
        cannot = self._reader.cannot
        if cannot is not None:
            return {"readers": "threads", "no_processes": cannot}
        return {"readers": "processes" if self._processes else "threads"}

    def preprocess(self, row: int) -> Any:
        """The image of a row of the cohort as the model takes it; raises as `run`."""
        return self._reader.of_rows.read(row)

    def _embedded(self, ready: Iterator[_Batch]) -> Generator[tuple[_Batch, Float32], None, None]:
        """Each batch and its (B, D) embeddings, in order; the next one is begun before it is waited for."""
        running: _Begun | None = None
        for batch, failure in self._timed(ready):
            begun = None if batch is None else self._begin(batch)
            if running is not None:
                yield running.batch, self._finish(running)
                running = None
            if failure is not None:
                raise failure
            if begun is None:
                continue
            if begun.state == "running":
                running = begun
            else:
                yield begun.batch, self._finish(begun)
        if running is not None:
            yield running.batch, self._finish(running)

    def _timed(self, ready: Iterator[_Batch]) -> Iterator[tuple[_Batch | None, BaseException | None]]:
        """Each batch, or the error of reading it: it comes after the batches that are embedded by then."""
        first = True
        while True:
            begin = time.monotonic()
            try:
                batch = next(ready)
            except StopIteration:
                return
            except Exception as error:
                yield None, error
                return
            if not first:
                self.seconds_without_images += time.monotonic() - begin
            first = False
            yield batch, None

    def _begin(self, batch: _Batch) -> _Begun:
        """Start the model; an error, whatever it is, waits until the batches before are kept."""
        from pathorob_checks.models.transfers import Arriving

        if len(batch.names) > self.batch_size:
            return _Begun(batch, "too large")
        wall, at_work = time.monotonic(), time.thread_time()
        try:
            outcome = self._started(batch.images)
        except ENDS as error:
            if is_out_of_memory(error):  # not kept: its traceback holds what fills the memory
                return _Begun(batch, "out of memory")
            return _Begun(batch, "failed", error)
        running = isinstance(outcome, Arriving) and outcome.event is not None
        if running:
            stood_still = time.monotonic() - wall - (time.thread_time() - at_work)
            self.seconds_held_up += max(0.0, stood_still)
        return _Begun(batch, "running" if running else "done", outcome)

    def _started(self, images: torch.Tensor) -> Any:
        """The embeddings of (B, C, H, W) images, or what gives them when the device is done."""
        import torch

        with torch.inference_mode():
            # A copy: embed() may change what it is given, and the batch may have to be embedded again. 8-bit
            # pixels are copied when they are scaled.
            given = images if images.dtype == torch.uint8 else images.clone()
            begin = getattr(self._model, "begin", None)
            return self._model.embed(given) if begin is None else begin(given)

    def _finish(self, begun: _Begun) -> Float32:
        """(B, D) float32; a batch that exceeds the device's memory is embedded in smaller pieces."""
        batch = begun.batch
        embedded = self._result(begun)
        if embedded is None:
            if begun.state != "too large":
                self._shrink(len(batch.names))
            embedded = self._in_pieces(batch)
        check_rows(embedded, batch.names)
        return embedded

    def _in_pieces(self, batch: _Batch) -> Float32:
        done: list[Float32] = []
        start = 0
        while start < len(batch.names):
            piece = slice(start, start + self.batch_size)
            part = replace(batch, names=batch.names[piece], images=batch.images[piece])
            if (embedded := self._result(self._begin(part))) is None:
                self._shrink(len(part.names))
                continue
            done.append(embedded)
            start += len(part.names)
        return np.concatenate(done)

    def _shrink(self, tried: int) -> None:
        device = self._model.device
        self.was_crowded |= devices.share_held_by_others(device) > _CROWDED
        if tried == 1:
            raise ModelError(
                f"{self._name} ran out of device memory with a single patch",
                remedy="free the device, try --fm-precision=bf16, or name another with --fm-device",
            )
        self.batch_size = min(self.batch_size, tried // 2)
        devices.give_back_memory(str(device))

    def _result(self, begun: _Begun) -> Float32 | None:
        """(B, D) in the dtype that the model gives; None where the device has too little memory."""
        import torch

        from pathorob_checks.models.transfers import Arriving

        if begun.state in ("out of memory", "too large"):
            return None
        names, outcome = begun.batch.names, begun.outcome
        try:
            if begun.state == "failed":
                raise outcome
            embedded = outcome.result() if isinstance(outcome, Arriving) else outcome
        except PathorobChecksError:
            raise
        except ENDS as error:
            if is_out_of_memory(error):
                return None
            raise ModelError(
                f"{self._name} failed on the batch that starts with patch '{names[0]}': {one_line(error)}",
                remedy="check that embed() takes a (B, C, H, W) tensor as preprocess() makes them",
            ) from error
        if not isinstance(embedded, torch.Tensor):
            raise ModelError(
                f"embed() of {self._name} returned {type(embedded).__name__}, not a tensor",
                remedy="let it return a (B, D) float32 tensor",
            )
        if tuple(embedded.shape) != (len(names), self._model.dimension):
            raise EmbeddingError(
                f"{self._name} gives embeddings of the shape {tuple(embedded.shape)} where "
                f"({len(names)}, {self._model.dimension}) is needed",
                remedy="let embed() return one vector of `dimension` values per image, or try --fm-pooling",
            )
        try:
            if embedded.dtype == torch.bfloat16:  # NumPy has no bfloat16; the conversion to float32 is exact
                embedded = embedded.float()
            # A copy: embed() may fill the same tensor again for the next batch.
            return np.array(embedded.detach().cpu().numpy())
        except (TypeError, RuntimeError, NotImplementedError) as error:  # sparse, quantized, without values
            raise ModelError(
                f"embed() of {self._name} returned a tensor that cannot be read: {one_line(error)}",
                remedy="let it return a plain (B, D) float32 tensor",
            ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the CPU's allocator ran out of memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
