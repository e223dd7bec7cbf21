"""How xdist's workers run the project's own tests: each on one thread, and long files first."""

from __future__ import annotations

import os

import pytest
from long_files import FOLDER, LONG_FILES, place
from threadpoolctl import threadpool_info


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="this process is no worker")
def test_every_library_of_a_worker_has_one_thread() -> None:
    import numpy as np  # noqa: F401 - has threads
    import torch  # noqa: F401 - has threads of its own

    threads = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert threads
    assert set(threads.values()) == {1}


def test_long_files_begin_first(request: pytest.FixtureRequest) -> None:
    places = [place(item.path) for item in request.session.items]
    assert places == sorted(places)
    assert places[-1] == len(LONG_FILES)


@pytest.mark.parametrize("name", LONG_FILES)
def test_a_long_file_is_there(name: str) -> None:
    assert (FOLDER / name).is_file()
