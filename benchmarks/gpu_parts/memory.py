"""Little memory on the device: smaller batches, metrics in smaller steps, and two workers on one GPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gpu_parts import gate_times, images, machine, models, parity, predicted, views
from gpu_parts.record import Record, Task
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.models.loading import PreparedModel

_LEFT_MIB = (4000, 1000, 300)  # free memory of the device, with the model in it
_BATCH, _PATCHES, _SMALL_PATCHES = 1024, 1024, 180
_PIECE = 64 << 20  # bytes by which the device is filled
_LEFT_FOR_METRICS_MIB = 3000


def measure(record: Record, task: Task) -> None:
    network = models.SMALL if task.small else models.VIT_L
    patches = _SMALL_PATCHES if task.small else _PATCHES
    images.write_images(task)
    cohort = models.write_cohort(task.work, patches, "jpg")
    fms = [models.write_model(task.work / name, network, task.device) for name in (network.name, "other")]
    if task.on_gpu:
        _embed_with_little(record, task, fms[0], cohort)
        _measure_with_little(record, task)
    else:
        record.note("a CPU: the device is not filled, its memory not measured")
    row = record.row(what="two workers, two FMs")
    with record.attempt(row), _watched(task) as peak:
        record.update(row, **gate_times.run(task, cohort, fms, "-n", "2"))
    record.update(row, device_peak_MiB=max(peak, default=None))


def _embed_with_little(record: Record, task: Task, fm: Path, folder: Path) -> None:
    """A cohort with plenty of memory, then with less and less."""
    prepared = models.prepared(fm, task, precision="bf16", batch_size=_BATCH)
    cohort, loaded = load_folder(folder), prepared.load()
    plenty = None
    for left in (None, *_LEFT_MIB):
        row = record.row(what=f"embed, batches of {_BATCH}", left_MiB=left)
        machine.forget_peak(task.device)
        with record.attempt(row), _filled(left):
            began = time.monotonic()
            model = PreparedModel(prepared.name, prepared.identity, lambda: loaded, device=task.device)
            embedded = obtain(model, cohort, EmbeddingStore(task.work / f"store-{left}"))
            record.update(
                row,
                batch=embedded.details["batch_size"],
                seconds=round(time.monotonic() - began, 1),
                peak_MiB=None if left else machine.peak_mib(task.device),
            )
            plenty = embedded.values if plenty is None else plenty
            record.update(row, largest_difference=float(np.abs(embedded.values - plenty).max()))


def _measure_with_little(record: Record, task: Task) -> None:
    """The metrics of one cohort with plenty of memory and with little: equal values."""
    for view in (view for view in views.of_all_metrics() if view.cohort == "tolkach_esca"):
        x, table = view.data(predicted.DIMENSION)
        results: list[dict[str, Any]] = []
        for left in (None, _LEFT_FOR_METRICS_MIB):
            row = record.row(what=f"{view.computation.name}, {view.cohort}", left_MiB=left)
            machine.forget_peak(task.device)
            with record.attempt(row), _filled(left):
                began = time.monotonic()
                result = view.compute(x, table, device=task.device)
                results.append(dict(parity.numbers(result)))
                record.update(
                    row,
                    seconds=round(time.monotonic() - began, 1),
                    peak_MiB=None if left else machine.peak_mib(task.device),
                    largest_difference=parity.compared(results[0], results[-1])["largest difference"],
                )


@contextmanager
def _filled(left_mib: float | None) -> Iterator[None]:
    """All of the device's memory is taken but so many MiB; None takes nothing."""
    import torch

    taken: list[torch.Tensor] = []
    torch.cuda.empty_cache()
    while left_mib is not None:
        free = torch.cuda.mem_get_info()[0] - int(left_mib * 2**20)
        if free < _PIECE:
            break
        # Large pieces first; the allocator keeps none of them, because all are in use.
        taken.append(torch.empty(max(_PIECE, free // 2 // _PIECE * _PIECE), dtype=torch.uint8, device="cuda"))
    try:
        yield
    finally:
        taken.clear()
        torch.cuda.empty_cache()


@contextmanager
def _watched(task: Task) -> Iterator[list[float]]:
    """MiB of the device in use by all processes, ten times a second."""
    seen: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while task.on_gpu and not ended.wait(0.1):
            seen.append(machine.used_mib())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
