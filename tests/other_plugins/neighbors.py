"""Plugins of others, and runs with one of them at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions

import pytest

# What differs between two runs of the same tests.
VOLATILE = re.compile(r"\bin \d+\.\d+ ?s(econds)?\b|\d+\.\d+ ?s\b")


@dataclass(frozen=True)
class Neighbor:
    """A plugin of others.

    Attributes
    ----------
    distribution : what is installed.
    options : with which its work shows.
    needs : other distributions with plugins that it does not work without.
    tty : whether it works on a terminal only.
    """

    distribution: str
    options: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    tty: bool = False


NEIGHBORS = {
    one.distribution.removeprefix("pytest-"): one
    for one in (
        Neighbor("pytest-asyncio", ("--asyncio-mode=auto",)),
        Neighbor("pytest-check", ("--check-max-fail=1",)),
        Neighbor("pytest-html", ("--html=report.html", "--self-contained-html"), needs=("pytest-metadata",)),
        Neighbor("pytest-randomly", ("--randomly-seed=7",)),
        Neighbor("pytest-rerunfailures", ("--reruns=1",)),
        Neighbor("pytest-rich", ("--rich",), tty=True),
        Neighbor("pytest-sugar", ("--force-sugar",)),
        Neighbor("pytest-timeout", ("--timeout=200",)),
        Neighbor("pytest-xdist", ("-n2",)),
    )
}


def entry_points() -> Iterator[tuple[str, str]]:
    """The distribution and the name of every installed plugin of pytest."""
    for distribution in distributions():
        for point in distribution.entry_points:
            if point.group == "pytest11":
                yield distribution.name, point.name


def alone(neighbor: Neighbor | None) -> list[str]:
    """Options with which pytest loads this plugin of the table and none of the others.

    A test that needs a plugin that is not installed is skipped.
    """
    installed = list(entry_points())
    wanted = {neighbor.distribution, *neighbor.needs} if neighbor else set()
    missing = wanted - {distribution for distribution, _ in installed}
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed; tests/other_plugins/requirements.txt has it")
    others = {one for each in NEIGHBORS.values() for one in (each.distribution, *each.needs)} - wanted
    return [f"-pno:{name}" for distribution, name in installed if distribution in others]
