"""Attacks on the gate: each test is one way to end with 0 unearned, and the gate must not.

A module is a kind of attack; its tests are the ways that were tried.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from attack import Attack, write_inputs
from terminal import Terminal


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every attack starts from, made once."""
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def attack(lone_terminal: Terminal, inputs: Path) -> Attack:
    """A fresh copy of the inputs with a cache of its own."""
    shutil.copytree(inputs, lone_terminal.folder, dirs_exist_ok=True)
    return Attack(lone_terminal)
