"""A run on two cohorts, and the same run in two jobs of one cohort each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attack import rows_of, write_embeddings
from cohort_folders import write_cohort

from pathorob_checks import Results, evaluate

COHORTS = ("north", "south")
CRITERIA = """schema = "pathorob-checks/criteria/1"
name = "sharded"
family = "holm"
repetitions = 3
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.5
rationale = "A test."
[[criteria]]
id = "worst"
metric = "robustness_index"
group = "worst-class"
at_least = 0.1
rationale = "A test."
[[criteria]]
id = "drop"
metric = "performance_drop_id"
at_least = -0.5
rationale = "A test."
"""


def write_run(folder: Path) -> Path:
    """The cohorts, embeddings of FMs (`good`, `fine`: of classes, `bad`: of centers) and `sharded.toml`."""
    for number, cohort in enumerate(COHORTS):
        write_cohort(folder / cohort, slides=11, patches=2, side=8, seed=number)
        (folder / cohort / "cohort.toml").write_text("k = 5\n")
        for name, biology, center in (("good", 1.5, 0.3), ("fine", 1.5, 0.3), ("bad", 0.3, 1.5)):
            rows = rows_of(folder / cohort)
            write_embeddings(folder / name, rows, biology=biology, center=center, cohort=cohort)
    (folder / "sharded.toml").write_text(CRITERIA)
    return folder


def evaluated(folder: Path, *fms: str, cohorts: tuple[str, ...] = COHORTS, **settings: Any) -> Results:
    """`evaluate` in a folder."""
    with _in(folder):
        return evaluate(
            [f"embeddings:{name}" for name in fms or ("good",)],
            **{
                "cohorts": cohorts,
                "criteria": "sharded.toml",
                "cache": folder / "cache",
                "progress": False,
                **settings,
            },
        )


@contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
