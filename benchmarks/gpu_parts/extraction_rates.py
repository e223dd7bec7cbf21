"""Patches per second: the pipeline from files to the store, the model alone, and a plain loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import extraction
import torch

from gpu_parts import images, machine, models
from gpu_parts.record import Record, Task
from pathorob_checks.cohorts.manifest import load_folder

_SIZES = (256, 1000, 4000)  # patches: the first for the plain loop, which is slow
_SMALL_SIZES = (32, 90)
_MOST_S = 5.0  # for all patches, by the rate of the model alone; else fewer
_LEAST_S = 15.0  # a measurement is not begun with less time left
_NETWORKS = (models.VIT_L, models.VIT_S, models.VIT_G)


def measure(record: Record, task: Task) -> None:
    networks, sizes = ((models.SMALL,), _SMALL_SIZES) if task.small else (_NETWORKS, _SIZES)
    began = time.monotonic()
    images.write_images(task)
    record.note(f"the patches, of 256 px, were written in {time.monotonic() - began:.0f} s")
    for precision in ("bf16", "fp32"):
        for network in networks:
            for form in images.FORMS:
                row = record.row(model=network.name, precision=precision, files=form)
                with record.attempt(row):
                    if task.left < _LEAST_S:
                        raise TimeoutError(f"left out, because {task.left:.0f} s were left")
                    record.update(row, **_measure(network, precision, form, sizes, task))


def _measure(
    network: models.Network, precision: str, form: str, sizes: Sequence[int], task: Task
) -> dict[str, Any]:
    folder = models.write_model(task.work / network.name, network, task.device)
    machine.forget_peak(task.device)
    prepared = models.prepared(folder, task, precision=precision)
    run = task.work / f"{network.name}-{precision}-{form}"
    run.mkdir()
    subject = extraction.Subject(prepared, models.write_cohort(task.work, sizes[0], form), run)
    subject.bare()  # warm
    rate, loop = subject.bare(), subject.loop()
    affordable = max(sizes[0], min(network.patches, int(_MOST_S * rate)))
    size = max(size for size in sizes if size <= affordable)
    subject.cohort = load_folder(models.write_cohort(task.work, size, form))
    bare, pipeline = subject.bare(), subject.pipeline()
    waiting = getattr(subject, "waiting", None)
    result = {
        "patches": len(subject.cohort),
        "batch": subject.model.batch_size,
        "pipeline, 1/s": round(pipeline, 1),
        "model alone, 1/s": round(bare, 1),
        "loop, 1/s": round(loop, 1),
        "pipeline / model": round(pipeline / bare, 3),
        "waits for images": None if waiting is None else round(waiting, 3),
        "peak_MiB": machine.peak_mib(task.device),
    }
    del subject
    if task.on_gpu:
        torch.cuda.empty_cache()
    return result
