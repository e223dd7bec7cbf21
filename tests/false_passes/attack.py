"""A small gate to attack: a cohort, embeddings that earn a pass and embeddings that do not, one criterion."""

from __future__ import annotations

import csv
import json
import subprocess as processes
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cohort_folders import CENTERS, CLASSES, write_cohort
from terminal import Run, Terminal

Row = dict[str, str]
INDEX = """schema = "pathorob-checks/criteria/1"
name = "index-only"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.5
rationale = "A test."
"""


def write_inputs(folder: Path) -> Path:
    """`coh` (a cohort), `good` and `bad` (embeddings: of classes, of centers), `index.toml`."""
    write_cohort(folder / "coh", slides=6, patches=2, side=8)
    (folder / "coh" / "cohort.toml").write_text("k = 5\n")
    for name, biology, center in (("good", 1.5, 0.3), ("bad", 0.3, 1.5)):
        write_embeddings(folder / name, rows_of(folder / "coh"), biology=biology, center=center)
    (folder / "index.toml").write_text(INDEX)
    return folder


def rows_of(cohort: Path) -> list[Row]:
    """The rows of a cohort's manifest."""
    with (cohort / "manifest.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def write_rows(cohort: Path, rows: Iterable[Row]) -> None:
    """Replace a cohort's manifest."""
    rows = list(rows)
    with (cohort / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def made_embeddings(
    rows: Iterable[Row], *, biology: float, center: float, dimension: int = 16
) -> npt.NDArray[np.float32]:
    """Embeddings in which class and center have the weights given; slides differ a little in both."""
    rng = np.random.default_rng(1)
    classes = dict(zip(CLASSES, rng.normal(size=(len(CLASSES), dimension)), strict=True))
    centers = dict(zip(CENTERS, rng.normal(size=(len(CENTERS), dimension)), strict=True))
    slides: dict[str, npt.NDArray[np.float64]] = {}
    values = []
    for row in rows:
        slide = slides.setdefault(row["slide_id"], rng.normal(size=dimension) * 0.3)
        mean = biology * classes[row["biological_class"]] + center * centers[row["medical_center"]]
        values.append(mean + slide + rng.normal(size=dimension) * 0.5)
    return np.array(values, dtype=np.float32)


def write_embeddings(
    folder: Path,
    rows: list[Row],
    values: npt.NDArray[Any] | None = None,
    *,
    biology: float = 1.5,
    center: float = 0.3,
    cohort: str = "coh",
) -> None:
    """`embeddings.npy` and `manifest.csv` of a cohort."""
    if values is None:
        values = made_embeddings(rows, biology=biology, center=center)
    target = folder / cohort
    target.mkdir(parents=True, exist_ok=True)
    np.save(target / "embeddings.npy", values)
    write_rows(target, [{key: row[key] for key in ("slide_id", "patch_id")} for row in rows])


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, output, last headline and results file (None: there is none)."""

    run: Run
    results: Mapping[str, Any] | None

    @property
    def code(self) -> int:
        """The exit code."""
        return self.run.code

    @property
    def output(self) -> str:
        """What was printed."""
        return self.run.output

    @property
    def headline(self) -> str:
        """The sentence in which the outcome leads; "" without one."""
        return self.run.headline

    @property
    def is_clean(self) -> bool:
        """Whether it ended without a traceback of Python's or pytest's own."""
        return "Traceback (most recent" not in self.output and "INTERNALERROR" not in self.output


@dataclass(frozen=True)
class Attack:
    """A folder with the inputs of `write_inputs`, in which the gate can be run."""

    terminal: Terminal

    @property
    def folder(self) -> Path:
        """Where the inputs are and commands run."""
        return self.terminal.folder

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def program(self, name: str) -> int:
        """The exit code of a program of the folder."""
        environment = self.terminal.process_environment({})
        done = processes.run([sys.executable, name], cwd=self.folder, env=environment, check=False)
        return done.returncode

    def run(
        self,
        *arguments: str,
        fm: str | None = "embeddings:bad",
        cohort: str | None = "coh",
        criteria: str | None = "index.toml",
        results: str | None = "results.json",
        subprocess: bool = False,
        **environment: str,
    ) -> Outcome:
        """`pytest --fm=... --fm-cohort=... --fm-criteria=... --fm-json=...`; None leaves an option out."""
        options = {"--fm": fm, "--fm-cohort": cohort, "--fm-criteria": criteria, "--fm-json": results}
        given = [f"{flag}={value}" for flag, value in options.items() if value is not None]
        run = self.terminal.pytest(*given, "--tb=short", *arguments, subprocess=subprocess, **environment)
        try:
            content = json.loads((self.folder / (results or "results.json")).read_text())
        except (OSError, ValueError):
            content = None
        return Outcome(run, content)


def assert_not_passed(outcome: Outcome) -> None:
    """The run did not end with 0, says no PASS, and left no file that claims a complete pass."""
    assert outcome.is_clean, outcome.output
    assert outcome.code != 0, outcome.output
    assert not outcome.headline.startswith("PASS"), outcome.output
    if outcome.results is not None:
        assert outcome.results["outcome"] != "pass", outcome.results["summary"]
