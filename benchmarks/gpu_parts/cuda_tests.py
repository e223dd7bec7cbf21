"""The tests that need a GPU: passed, failed, and the first lines of what failed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_parts.only_gpu import OUTCOMES
from gpu_parts.record import Record, Task
from pathorob_checks.cpus import available_cpus

_ROOT = Path(__file__).parents[2]
_MENTIONS = re.compile(r"skipif\([^)]*cuda\.is_available|mark\.(cuda|gpu)\b")
_SHOWN = 5  # failures of a file
_FOR_THE_TABLE_S = 3.0
_MOST_WORKERS = 6  # they share the GPU; what they compare with is computed on the CPU


def measure(record: Record, task: Task) -> None:
    files = files_with_gpu_tests(_ROOT / "tests")
    if not files:
        raise RuntimeError("no test file mentions a GPU")
    outcomes = task.work / "outcomes.jsonl"
    complete = _run(files, outcomes, task)
    records = [json.loads(line) for line in outcomes.read_text().splitlines()] if outcomes.exists() else []
    for path in files:
        name = path.relative_to(_ROOT).as_posix()
        of_file = [test for test in records if test["test"].partition("::")[0] == name]
        row = record.row(file=name, **_counts(of_file))
        with record.attempt(row):
            if row["failed"]:
                raise AssertionError(f"{row['failed']} failed")
            if task.on_gpu and (row["skipped"] or not row["passed"]):
                raise AssertionError("tests were skipped, or none ran, on a machine with a GPU")
    if not complete:
        raise TimeoutError(f"pytest was stopped after {len(records)} tests")


def files_with_gpu_tests(folder: Path) -> list[Path]:
    """Test files with a mark that skips a test where there is no GPU."""
    return [path for path in sorted(folder.rglob("test_*.py")) if _MENTIONS.search(path.read_text())]


def _run(files: Sequence[Path], outcomes: Path, task: Task) -> bool:
    """Whether pytest came to its end; the outcomes of all tests until then are in the file."""
    workers = min(_MOST_WORKERS, available_cpus() // 2)
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-p", "gpu_parts.only_gpu", f"-n{workers}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *map(str, files)],
        cwd=_ROOT,
        env={**os.environ, OUTCOMES: str(outcomes)},
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        if process.wait(task.left - _FOR_THE_TABLE_S) not in (0, 1, 5):  # 5: no test is left
            raise RuntimeError(f"pytest ended with exit code {process.returncode}")
        return True
    process.terminate()
    return False


def _counts(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each test is as bad as its worst phase."""
    failed = {test["test"]: test for test in reversed(tests) if test["outcome"] == "failed"}
    skipped = {test["test"] for test in tests if test["outcome"] == "skipped"} - set(failed)
    passed = {test["test"] for test in tests} - set(failed) - skipped
    lines = [f"{name.partition('::')[2]}: {test['message'][:160]}" for name, test in failed.items()]
    return {
        "passed": len(passed),
        "failed": len(failed),
        "skipped": len(skipped),
        "seconds of tests": round(sum(test["seconds"] for test in tests), 1),
        "failures": "; ".join(lines[:_SHOWN]),
    }
