"""A pytest plugin that keeps the tests that a machine without a GPU skips, and writes outcomes at once."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

OUTCOMES = "GPU_TEST_OUTCOMES"  # names the file of the outcomes: a line of JSON for each test
_GPU = re.compile(r"\b(cuda|gpu)\b", re.IGNORECASE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if needs_gpu(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def needs_gpu(item: pytest.Item) -> bool:
    """Whether a mark is named after a GPU, or skips the test because there is none."""
    skips = [str(mark.kwargs.get("reason", "")) for mark in item.iter_markers("skipif")]
    names = [mark.name for mark in item.iter_markers()]
    return any(_GPU.search(text) for text in [*skips, *names])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test's outcome; of its setup and teardown only what went wrong or skipped it."""
    if "PYTEST_XDIST_WORKER" in os.environ or (report.when != "call" and report.passed):
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash else str(report.longrepr or "")
    line = {
        "test": report.nodeid,
        "outcome": report.outcome,
        "seconds": round(report.duration, 2),
        "message": said.strip().partition("\n")[0],
    }
    with Path(os.environ[OUTCOMES]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
