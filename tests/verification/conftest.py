"""Evidence folders of two real runs, made once, and copies of them to tamper with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from sealed_folders import Sealed
from terminal import WITHOUT


@pytest.fixture(scope="session")
def runs(gate_inputs: Path, session_folder: Path) -> Path:
    """A folder with the evidence `good` of a run that passed and `bad` of one that failed, unsigned.

    It is made once, by the first of xdist's workers that needs it.
    """
    folder, complete = session_folder / "runs", session_folder / "runs.complete"
    with FileLock(session_folder / "runs.lock"):
        if not complete.exists():
            run_twice(shutil.copytree(gate_inputs, folder / "inputs"), folder)
            complete.touch()
    return folder


def run_twice(inputs: Path, folder: Path) -> None:
    """Run the gate on good and on bad embeddings, each with its evidence in the folder."""
    criteria = inputs / "index.toml"
    criteria.write_text(criteria.read_text() + 'requirements = ["SRS-1", "SRS-2"]\n')
    for name, code in (("good", 0), ("bad", 1)):
        options = (f"--fm=embeddings:{name}", "--fm-cohort=coh", "--fm-criteria=index.toml",
                   f"--fm-cache={folder / 'cache'}", f"--fm-evidence={folder / name}")  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *WITHOUT, *options],
            cwd=inputs, capture_output=True, text=True, check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr


@pytest.fixture
def sealed(runs: Path, tmp_path: Path) -> Sealed:
    """A copy of the evidence of the run that failed, to tamper with."""
    return Sealed(Path(shutil.copytree(runs / "bad", tmp_path / "bad")))


@pytest.fixture
def other(runs: Path, tmp_path: Path) -> Sealed:
    """A copy of the evidence of the run that passed."""
    return Sealed(Path(shutil.copytree(runs / "good", tmp_path / "good")))
