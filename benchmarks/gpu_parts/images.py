"""Patches of 256 px as PNG and JPEG files, written by as many processes as there are cores.

    python -m gpu_parts.images FOLDER PATCHES WORKERS WORKER

is one of them. Nothing heavy is imported here, as 16 processes do it at the same time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from gpu_parts.record import Task
from pathorob_checks.cohorts import demo
from pathorob_checks.cpus import available_cpus

FORMS = ("png", "jpg")
_PATCHES, _SMALL_PATCHES = 4000, 180
_SIDE = 256  # pixels, as the benchmark's patches


def write_images(task: Task) -> int:
    """All images in both forms, no two alike, in `task.work / "images"`, once for all parts; their number."""
    folder, patches = task.work / "images", _SMALL_PATCHES if task.small else _PATCHES
    if not (folder / "written").exists():
        folder.mkdir(exist_ok=True)
        workers = max(1, min(available_cpus(), patches // 16))
        command = [sys.executable, "-m", "gpu_parts.images", str(folder), str(patches), str(workers)]
        processes = [subprocess.Popen([*command, str(worker)]) for worker in range(workers)]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError("an image could not be written")
        (folder / "written").touch()
    return patches


def table(patches: int) -> pd.DataFrame:
    """The rows of these images: those of the demo, of which image number n is the n-th, again and again.

    A patch of every slide comes first, so that a few patches are of all classes and centers. Every time the
    slides are others.
    """
    rows = _rows()
    number = np.arange(patches)
    repeated = rows.iloc[number % len(rows)].reset_index(drop=True)
    again = pd.Series(number // len(rows)).astype(str)
    repeated["slide_id"] += "." + again
    return repeated


def _rows() -> pd.DataFrame:
    rows = demo.load().views["performance_drop"].patches
    return rows.sample(frac=1, random_state=0).sort_values("patch_id", kind="stable")


def _write(folder: Path, patches: int, workers: int, worker: int) -> None:
    source, rows = demo.load(), _rows().index
    for number in range(worker, patches, workers):
        image = source.read_image(rows[number % len(rows)]).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        noise = np.random.default_rng(number).integers(-6, 7, (_SIDE, _SIDE, 3))
        noisy = Image.fromarray((np.asarray(image, dtype=np.int16) + noise).clip(0, 255).astype(np.uint8))
        for form in FORMS:
            noisy.save(folder / f"{number:05}.{form}", quality=90)


if __name__ == "__main__":
    _write(Path(sys.argv[1]), *map(int, sys.argv[2:]))
