"""A cache folder is believed only where no other user of the machine can have written to it.

A digest beside a value proves nothing if both are from the same hand. So the folders from the cache's root
down to an entry, and the files of the entry, must belong to this user (or to the administrator) and must
not be writable by others. A folder with the sticky bit, such as `/tmp`, lets others add files but not
replace ours, and what they add is theirs and is refused. Windows has no such modes; there nothing is checked.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from pathorob_checks.embeddings.files import cache_errors
from pathorob_checks.errors import CacheError

FOLDER_MODE, FILE_MODE = 0o755, 0o644  # of what the store makes, whatever the umask adds for a group


def check_private(root: Path, paths: Iterable[Path]) -> None:
    """Refuse paths that another user owns or can write to, or that are no files; absent ones are left out.

    Parameters
    ----------
    root : the cache folder, for the message.

    Raises
    ------
    CacheError : it names the first such path.
    """
    if sys.platform == "win32":
        return
    trusted = {0, os.geteuid()}
    for path in paths:
        try:
            with cache_errors(root, "read"):
                link, target = path.lstat(), path.stat()
        except CacheError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                continue  # what cannot be there is refused by those who need it
            raise
        if not (stat.S_ISDIR(target.st_mode) or stat.S_ISREG(target.st_mode)):  # reading a pipe never ends
            raise CacheError(
                f"'{path}' of the cache folder is neither a file nor a folder",
                remedy="delete it, or give another folder with --fm-cache=DIR",
            )
        strangers = {link.st_uid, target.st_uid} - trusted
        if strangers:
            raise CacheError(
                f"'{path}' of the cache folder belongs to another user (number {min(strangers)}), who may "
                "have put any embeddings there",
                remedy="give a folder of your own with --fm-cache=DIR",
            )
        writable = stat.S_IMODE(target.st_mode) & (stat.S_IWGRP | stat.S_IWOTH)
        sticky = stat.S_ISDIR(target.st_mode) and target.st_mode & stat.S_ISVTX
        if writable and not sticky:
            raise CacheError(
                f"'{path}' of the cache folder can be written by other users (mode "
                f"{stat.S_IMODE(target.st_mode):04o}), who may have put any embeddings there",
                remedy=f"run 'chmod -R go-w' on '{root}' if nobody else has used it, or give a folder of "
                "your own with --fm-cache=DIR",
            )


def make_folder(root: Path, folder: Path) -> None:
    """Make `folder` and what is missing between it and `root`, writable by this user only.

    Raises
    ------
    OSError : a folder cannot be made.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    for path in reversed([folder, *folder.parents]):
        if path.is_relative_to(root):
            path.mkdir(FOLDER_MODE, exist_ok=True)
