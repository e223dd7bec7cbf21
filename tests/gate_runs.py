"""Runs of the real command in a folder of its own, and a small cohort of real images to run it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("stroma", "tumor")
CENTERS = {"north": "ID", "south": "ID", "west": "OOD"}


@dataclass(frozen=True)
class Run:
    """What one command said."""

    code: int
    output: str

    @property
    def errors(self) -> list[str]:
        """pytest's one-line usage errors."""
        return [line for line in self.output.splitlines() if line.startswith("ERROR: ")]


@dataclass(frozen=True)
class Terminal:
    """A folder to run `pytest` in, with a cache of its own."""

    folder: Path
    cache: Path

    def pytest(self, *arguments: str, **environment: str) -> Run:
        """Run `python -m pytest` as a user would, with the plugin found by its entry point."""
        # Under xdist these commands run beside each other; threads that fight for cores multiply the time.
        one_thread = {"OMP_NUM_THREADS": "1"} if "PYTEST_XDIST_WORKER" in os.environ else {}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "HF_", "PATHOROB_"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            # The cache last: other helpers pass on the whole environment they run in.
            env={
                **inherited,
                **one_thread,
                "COLUMNS": "80",
                **environment,
                "PATHOROB_CHECKS_CACHE": str(self.cache),
            },
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr)

    def results(self, name: str = "results.json") -> dict[str, Any]:
        """The results file, read as strict JSON."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} in the results file")

        document: dict[str, Any] = json.loads((self.folder / name).read_text(), parse_constant=refuse)
        return document


def write_cohort(folder: Path, *, slides: int = 11, patches: int = 2, side: int = 40, seed: int = 0) -> Path:
    """A folder with manifest.csv: two classes that differ in brightness, centers that differ in hue."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center,subset"]
    for center, (name, subset) in enumerate(CENTERS.items()):
        for cls, label in enumerate(CLASSES):
            for slide in range(slides if subset == "ID" else 2):
                for patch in range(patches):
                    color = np.array([150 - 60 * cls, 110 - 40 * cls, 150 - 50 * cls]) + np.eye(3)[center] * 8
                    # Enough jitter that a patch's neighbors are not all of its own class and center.
                    noise = rng.normal(0, 12, 3) + rng.normal(0, 10, (side, side, 3))
                    path = f"images/{name}_{label}_{slide}_{patch}.png"
                    pixels = np.clip(color + noise, 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / path)
                    lines.append(f"{path},{name}-{label}-{slide},p{patch},{label},{name},{subset}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder
