"""Folders and files near a path that does not hold what it should: what the user probably meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from pathorob_checks.wording import nearest

_MOST_ENTRIES = 1_000  # of a folder; more would take time on network storage


def folder_nearby(folder: Path, holds: Callable[[Path], bool], *, below: int = 1) -> Path | None:
    """The one folder below, or the folder above, that holds what `folder` does not.

    Parameters
    ----------
    holds : whether a folder holds it; an OSError means that it does not.
    below : how many levels down are looked at; each only where the levels before it have nothing.

    Returns
    -------
    None where there is no such folder, or more than one at the same level.
    """

    def is_meant(path: Path) -> bool:
        try:
            return holds(path)
        except OSError:
            return False

    level = [folder]
    for _ in range(below):
        level = [inner for outer in level for inner in _folders_in(outer)][:_MOST_ENTRIES]
        if matching := [path for path in level if is_meant(path)]:
            return matching[0] if len(matching) == 1 else None
    above = Path(os.path.normpath(folder.absolute())).parent
    return above if is_meant(above) else None


def named_like(path: Path, accepts: Callable[[os.DirEntry[str]], bool]) -> Path | None:
    """What stands beside the place where nothing is, and has a similar name.

    Parameters
    ----------
    path : does not exist.
    accepts : whether an entry of its folder could be meant.
    """
    names = [entry.name for entry in _entries(path.parent) if accepts(entry)]
    near = nearest(path.name, names)
    return None if near is None else path.parent / near


def _folders_in(folder: Path) -> list[Path]:
    return [folder / one.name for one in _entries(folder) if one.is_dir() and not one.name.startswith(".")]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(islice(entries, _MOST_ENTRIES), key=lambda entry: entry.name)
    except (OSError, ValueError):
        return
