"""The tests that need a GPU: passed, failed, and the first lines of what failed."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from defusedxml.ElementTree import parse

from gpu_parts.record import Record, Task

_ROOT = Path(__file__).parents[2]
_MENTIONS = re.compile(r"skipif\([^)]*cuda\.is_available|mark\.(cuda|gpu)\b")
_SHOWN = 5  # failures of a file


def measure(record: Record, task: Task) -> None:
    files = [
        path for path in sorted((_ROOT / "tests").rglob("test_*.py")) if _MENTIONS.search(path.read_text())
    ]
    if not files:
        raise RuntimeError("no test file mentions a GPU")
    for path in files:
        row = record.row(file=str(path.relative_to(_ROOT / "tests")))
        with record.attempt(row):
            record.update(row, **_run(path))
            if row["failed"]:
                raise AssertionError(f"{row['failed']} failed")
            if task.on_gpu and row["skipped"]:
                raise AssertionError(f"{row['skipped']} skipped on a machine with a GPU")


def _run(path: Path) -> dict[str, Any]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        options = [
            "-q",
            "--tb=short",
            "-p",
            "no:cacheprovider",
            "-p",
            "gpu_parts.only_gpu",
            f"--junitxml={junit}",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, str(path)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(done.stdout[-3000:], flush=True)
        if done.returncode not in (0, 1, 5):  # 5: no test left
            raise RuntimeError(
                f"pytest ended with {done.returncode}: {' / '.join(done.stdout.splitlines()[-3:])}"
            )
        cases = list(parse(junit).getroot().iter("testcase"))
    failures = [(case, found) for case in cases for found in (*case.iter("failure"), *case.iter("error"))]
    skipped = sum(case.find("skipped") is not None for case in cases)
    failed = len({id(case) for case, _ in failures})
    return {
        "passed": len(cases) - failed - skipped,
        "failed": failed,
        "skipped": skipped,
        "seconds": round(time.monotonic() - began, 1),
        "failures": "; ".join(
            f"{case.get('name')}: {(found.get('message') or '').partition(chr(10))[0][:160]}"
            for case, found in failures[:_SHOWN]
        ),
    }
