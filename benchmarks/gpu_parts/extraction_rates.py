"""Patches per second: the pipeline from files to the store, the model alone, and a plain loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import extraction

from gpu_parts import images, machine, models
from gpu_parts.record import Record, Task
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.models.loading import PreparedModel

_SIZES = (256, 1000, 4000)  # patches: the first for the plain loop, which is slow
_SMALL_SIZES = (32, 90)
_MOST_S = 4.0  # for all patches, by the rate of the model alone; else fewer
_LEAST_S = 15.0  # a measurement is not begun with less time left
_NETWORKS = (models.VIT_L, models.VIT_S, models.VIT_G)


def measure(record: Record, task: Task) -> None:
    networks, sizes = ((models.SMALL,), _SMALL_SIZES) if task.small else (_NETWORKS, _SIZES)
    began = time.monotonic()
    images.write_images(task)
    record.note(f"the patches, of 256 px, were written in {time.monotonic() - began:.0f} s")
    for precision in ("bf16", "fp32"):
        for network in networks:
            loaded = None
            for form in images.FORMS:
                row = record.row(model=network.name, precision=precision, files=form)
                with record.attempt(row):
                    if task.left < _LEAST_S:
                        raise TimeoutError(f"left out, because {task.left:.0f} s were left")
                    loaded = loaded or _loaded(network, precision, task)
                    record.update(row, **_measure(loaded, network, form, sizes, task))


def _loaded(network: models.Network, precision: str, task: Task) -> PreparedModel:
    """The model on the device, which loading it again returns."""
    folder = models.write_model(task.work / network.name, network, task.device)
    machine.forget_peak(task.device)
    prepared = models.prepared(folder, task, precision=precision)
    model = prepared.load()
    return PreparedModel(prepared.name, prepared.identity, lambda: model, device=task.device)


def _measure(
    loaded: PreparedModel, network: models.Network, form: str, sizes: Sequence[int], task: Task
) -> dict[str, Any]:
    run = Path(tempfile.mkdtemp(dir=task.work))  # of the store
    subject = extraction.Subject(loaded, models.write_cohort(task.work, sizes[0], form), run)
    subject.bare()  # warm
    rate, loop = subject.bare(), subject.loop()
    affordable = max(sizes[0], min(network.patches, int(_MOST_S * rate)))
    size = max(size for size in sizes if size <= affordable)
    subject.cohort = load_folder(models.write_cohort(task.work, size, form))
    bare, pipeline = subject.bare(), subject.pipeline()
    return {
        "patches": size,
        "batch": subject.model.batch_size,
        "pipeline, 1/s": round(pipeline, 1),
        "model alone, 1/s": round(bare, 1),
        "loop, 1/s": round(loop, 1),
        "pipeline / model": round(pipeline / bare, 3),
        "waits for images": round(subject.waiting, 3),
        "peak_MiB": machine.peak_mib(task.device),
    }
