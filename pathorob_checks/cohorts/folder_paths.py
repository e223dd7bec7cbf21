"""Which file of a cohort's folder a relative path means."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

_Form = Callable[[str], str]


def is_inside(root: Path, path: Path) -> bool:
    """Whether a path, with all links followed, is in `root`, so that a copy of the folder is complete.

    Parameters
    ----------
    root : the folder, with its own links followed (`os.path.realpath`).
    """
    # realpath and not Path.resolve, which raises for a loop of symbolic links.
    return Path(os.path.realpath(path)).is_relative_to(root)


class FolderPaths:
    """The files of a folder; folders are listed only for paths that lead to no file.

    Parameters
    ----------
    root : the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[tuple[str, _Form], Mapping[str, Sequence[str]]] = {}

    def file(self, path: str) -> str | None:
        """The path of the file that is meant; None where there is none.

        A Mac writes the names of files with letters and accents apart (NFD), a table has them composed (NFC).
        Where exactly one file has the name in another of these forms, it is meant.

        Raises
        ------
        OSError : the path is not one of this system, such as one that is too long.
        """
        if (self._root / path).is_file():
            return path
        actual = None if path.isascii() else self._matching(path, _composed)
        return actual if actual is not None and (self._root / actual).is_file() else None

    def similar(self, path: str) -> str | None:
        """The path of the only file whose name differs in case or encoding; None without one."""
        return self._matching(path, _folded)

    def _matching(self, path: str, form: _Form) -> str | None:
        actual: list[str] = []
        for part in PurePosixPath(path).parts:
            names = self._names("/".join(actual), form).get(form(part), ())
            if part in names:
                actual.append(part)
            elif len(names) == 1:
                actual.append(names[0])
            else:
                return None
        return "/".join(actual)

    def _names(self, folder: str, form: _Form) -> Mapping[str, Sequence[str]]:
        """A folder's entries by their names in a form."""
        if (folder, form) not in self._listed:
            names: defaultdict[str, list[str]] = defaultdict(list)
            try:
                for name in os.listdir(self._root / folder):  # noqa: PTH208 (names, no paths)
                    names[form(name)].append(name)
            except OSError:  # no folder
                names.clear()
            self._listed[folder, form] = names
        return self._listed[folder, form]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())
