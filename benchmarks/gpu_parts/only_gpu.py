"""A pytest plugin that keeps the tests that a machine without a GPU skips."""

from __future__ import annotations

import re

import pytest

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
