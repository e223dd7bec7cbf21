"""Copies between memory and a model's device that leave the device at work.

A GPU computes while the CPU prepares the next batch only as long as nothing waits for it. So batches are sent
from pinned memory on a stream of their own, and embeddings are fetched into pinned memory and waited for when
they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch


class Cuda:
    """What `Transfers` needs of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Memory that the device copies from and to by itself; torch keeps it for the next batch."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def new_stream(self) -> Any:
        """A queue of work beside that of the model."""
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def using(self, stream: Any) -> AbstractContextManager[Any]:
        """Work in this block goes to `stream`."""
        return torch.cuda.stream(stream)

    def used_by_model(self, tensor: torch.Tensor) -> None:
        """The tensor's memory is not given away before the model's work with it is done."""
        tensor.record_stream(torch.cuda.default_stream(self.device))

    def mark(self) -> Any:
        """An event that occurs when all work of the model that is queued now is done."""
        # Who waits leaves its core to the readers.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event


class Arriving:
    """A tensor on its way to memory.

    Attributes
    ----------
    event : occurs when it has arrived; None where it is there already.
    """

    def __init__(self, tensor: torch.Tensor, event: Any = None) -> None:
        self._tensor = tensor
        self.event = event

    def result(self) -> torch.Tensor:
        """The tensor, on the CPU; waits for it."""
        if self.event is not None:
            self.event.synchronize()
        return self._tensor


class Transfers:
    """Copies between memory and one device.

    Parameters
    ----------
    device : of the model.
    cuda : how the device is used if it is a GPU; None where it is the CPU.
    """

    def __init__(self, device: torch.device, cuda: Cuda | None = None) -> None:
        self._device = device
        self._cuda = cuda or (Cuda(device) if device.type == "cuda" else None)
        self._stream: Any = None

    def buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Memory for a batch, pinned if that speeds up its copy and there is enough of it."""
        if self._cuda is not None:
            try:
                return self._cuda.pinned(shape, dtype)
            except RuntimeError:  # the system limits pinned memory, and a copy from other memory works too
                pass
        return torch.empty(tuple(shape), dtype=dtype)

    def send(self, batch: torch.Tensor) -> torch.Tensor:
        """The batch on the device, from any thread; itself if the device has too little memory left.

        Only the calling thread waits; the model goes on.
        """
        if self._cuda is None:
            return batch
        if self._stream is None:
            self._stream = self._cuda.new_stream()
        try:
            with self._cuda.using(self._stream):
                sent = batch.to(self._device, non_blocking=True)
            self._stream.synchronize()
        except torch.OutOfMemoryError:
            return batch
        self._cuda.used_by_model(sent)
        return sent

    def fetch(self, tensor: torch.Tensor) -> Arriving:
        """Begin to copy a result of the model to memory, after the work that is queued now."""
        if self._cuda is None:
            return Arriving(tensor.cpu())
        fetched = self.buffer(tensor.shape, tensor.dtype)
        fetched.copy_(tensor, non_blocking=True)
        return Arriving(fetched, self._cuda.mark())
