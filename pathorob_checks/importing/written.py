"""The folder that an import writes: complete or not at all, and never over somebody else's files."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathorob_checks.cohorts.design import Patch
from pathorob_checks.embeddings.imported import EMBEDDINGS, FILE, MANIFEST
from pathorob_checks.errors import CacheError
from pathorob_checks.files import shown
from pathorob_checks.wording import quoted

OWN = frozenset((EMBEDDINGS, FILE, MANIFEST))
KEPT = "cohort.toml"  # the user's settings of the cohort, such as k: a new import takes them over


def check_target(folder: Path) -> None:
    """Refuse a place where something lies that no import has written.

    Raises
    ------
    CacheError : it is a file, a link, or a folder with other files.
    """
    above = next(path for path in folder.parents if path.exists())
    if not above.is_dir():
        raise CacheError(f"'{shown(above)}' is not a folder", remedy="name another one with --out")
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise CacheError(
            f"'{shown(folder)}' is not a folder", remedy="name another one with --out or --cohort"
        )
    names = sorted(path.name for path in folder.iterdir() if not _is_kept(path))
    others = [name for name in names if name not in OWN]
    if others or (names and FILE not in names):
        raise CacheError(
            f"'{shown(folder)}' holds what no import has written: {quoted((others or names)[:3])}",
            remedy="name another folder with --out or --cohort, or move these files",
        )


def _is_kept(path: Path) -> bool:
    return path.name == KEPT and path.is_file() and not path.is_symlink()


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place when the block ends without an error.

    Raises
    ------
    CacheError : it cannot be written.
    """
    token = f"{os.getpid()}.{secrets.token_hex(8)}.tmp"
    temporary, old = (folder.with_name(f".{folder.name}.{kind}.{token}") for kind in ("new", "old"))
    missing = [path for path in folder.parents if not path.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        check_target(folder)  # it may be there since
        if _is_kept(folder / KEPT):
            shutil.copyfile(folder / KEPT, temporary / KEPT)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise CacheError(
            f"'{shown(folder)}' cannot be written: {error.strerror or error}",
            remedy="give a writable folder with enough space with --out",
        ) from error
    finally:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)
        for path in missing if not folder.exists() else ():
            with contextlib.suppress(OSError):
                path.rmdir()


def manifest_of(patches: Sequence[Patch], columns: Sequence[str]) -> bytes:
    """The cohort's table, which also names the rows of the embeddings.

    Parameters
    ----------
    columns : labels and optional columns that it has.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ("slide_id", "patch_id", *columns)
    writer.writerow(header)
    writer.writerows([getattr(patch, name) for name in header] for patch in patches)
    return text.getvalue().encode()
