"""Fixtures that test modules share.

It is also read by `pytest --fm=SPEC` in a checkout, so nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from long_files import place
from terminal import Terminal, library_modules

if TYPE_CHECKING:
    from attack import Attack

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """One thread for each of xdist's workers, because threads that fight for cores multiply the time.

    The workers inherit the variable when they start. Later would be too late: a plugin that zarr brings
    imports numpy, which reads it, before a worker has read this file. Files begin as `long_files` says.
    """
    if config.getoption("--fm") or not config.getoption("numprocesses", None):
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place(item.path))


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same one for all of xdist's workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "session"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def session_cache(session_folder: Path) -> Path:
    """A cache of embeddings that keeps what any command of this session has embedded."""
    return session_folder / "cache"


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of two classes and three centers, one of them out-of-domain, in a folder called `slides`."""
    from cohort_folders import write_cohort

    return write_cohort(tmp_path_factory.mktemp("data") / "slides")


@pytest.fixture(scope="session")
def code_of_repositories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of this session that transformers copies the code of repositories to and imports it from.

    Every test that runs such code in this process needs it: a package `transformers_modules` is imported from
    one folder only, the first in `sys.path`, and without the fixture that is a folder in the user's home.
    """
    if importlib.util.find_spec("transformers") is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("code"))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", folder)
        patch.setattr(sys, "path", [folder, *sys.path])
        for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
            patch.delitem(sys.modules, name)
        yield


@pytest.fixture
def libraries() -> Iterator[dict[str, ModuleType]]:
    """Modules that stay imported where pytester, set up after this and torn down before, forgets them."""
    kept: dict[str, ModuleType] = {}
    yield kept
    sys.modules.update(kept)


@pytest.fixture
def terminal(
    libraries: dict[str, ModuleType], pytester: pytest.Pytester, session_cache: Path
) -> Iterator[Terminal]:
    """A folder to run the real commands in; its cache is the session's."""
    yield Terminal(pytester.path, session_cache, pytester, libraries)
    libraries |= library_modules(pytester.path)


@pytest.fixture
def lone_terminal(terminal: Terminal) -> Terminal:
    """The same with a cache of its own, in the folder."""
    return dataclasses.replace(terminal, cache=terminal.folder / "cache")


@pytest.fixture(scope="session")
def gate_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, embeddings that earn a pass and some that do not, and one criterion."""
    from attack import write_inputs

    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def small_gate(lone_terminal: Terminal, gate_inputs: Path) -> Attack:
    """A copy of them in a folder where the gate can be run, with a cache of its own."""
    from attack import Attack

    shutil.copytree(gate_inputs, lone_terminal.folder, dirs_exist_ok=True)
    return Attack(lone_terminal)
