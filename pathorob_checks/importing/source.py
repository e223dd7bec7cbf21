"""Where features are read from: a folder or a file, out of which no link leads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pathorob_checks.embeddings.imported import sha256_of
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import shown
from pathorob_checks.progress import Progress


@dataclass
class Source:
    """A folder with features, or one file of it.

    Attributes
    ----------
    root : the folder.
    entries : files and folders in it that may hold features, sorted by name.
    used : files that were opened, relative to `root`.
    """

    root: Path
    entries: list[Path]
    used: dict[str, Path] = field(default_factory=dict)

    def open(self, path: Path) -> Path:
        """The real path of a file that may be read.

        Raises
        ------
        EmbeddingError : it is missing, no regular file, or a link that leads out of the folder.
        """
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(self.root)):
            raise EmbeddingError(
                f"'{shown(path)}' is a link that leads out of the folder '{shown(self.root)}'",
                remedy="copy the file into the folder, or give the folder that really holds it",
            )
        if not real.is_file():
            problem = "is not a file" if real.exists() else "does not exist"
            raise EmbeddingError(f"'{shown(path)}' {problem}", remedy="put the file of features there")
        self.used.setdefault(path.relative_to(self.root).as_posix(), real)
        return real

    def with_suffix(self, suffixes: Iterable[str]) -> list[Path]:
        """The entries whose name ends so."""
        ends = tuple(suffixes)
        return [path for path in self.entries if path.name.lower().endswith(ends)]

    def digests(self, progress: Progress) -> dict[str, str]:
        """SHA-256 (hex) of each file that was opened, by its path in the folder."""
        files = sorted(self.used.items())
        return {name: sha256_of(path) for name, path in progress(files, len(files), "computing digests")}


def source_at(path: Path, *, without: Iterable[Path] = ()) -> Source:
    """The source that a user names.

    Parameters
    ----------
    without : files of the folder that hold no features, such as the manifest of the import.

    Raises
    ------
    EmbeddingError : there is none, or it cannot be listed.
    """
    if not path.exists():
        raise EmbeddingError(
            f"'{shown(path)}' does not exist", remedy="give the folder that holds the features"
        )
    if path.is_file() or is_store(path):
        return Source(path.absolute().parent, [path.absolute()])
    left_out = {os.path.realpath(one) for one in without}
    try:
        entries = sorted(path.absolute().iterdir())
    except OSError as error:
        raise EmbeddingError(
            f"'{shown(path)}' cannot be listed: {error.strerror}", remedy="make it a readable folder"
        ) from error
    visible = [
        one for one in entries if not one.name.startswith(".") and os.path.realpath(one) not in left_out
    ]
    return Source(path.absolute(), visible)


def is_store(path: Path) -> bool:
    """Whether a folder is a zarr store, of version 2 or 3."""
    return path.is_dir() and any((path / name).is_file() for name in (".zgroup", ".zattrs", "zarr.json"))
