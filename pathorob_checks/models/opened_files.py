"""Which files a piece of the user's code reads, and whether it asks another process, as Python reports it.

Libraries in C open files without a word to Python: of these, only those count that the code names.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pathorob_checks.models.user_sources import is_installed

_FILE_EVENTS = frozenset(("open", "sqlite3.connect", "ctypes.dlopen"))
_OUTSIDE_EVENTS = {
    "socket.connect": "a connection",
    "socket.sendto": "a connection",
    "subprocess.Popen": "another process",
    "os.system": "another process",
    "os.posix_spawn": "another process",
    "os.exec": "another process",
}
_SOURCES = (".py", ".pyc", ".pyi")
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/")
_COMPILED = ("torchinductor", ".triton", "triton")  # what torch.compile keeps
_SECRETS = frozenset(("token", "stored_tokens", ".netrc"))  # of an account, not of a model


@dataclass
class OpenedFiles:
    """What was opened.

    Attributes
    ----------
    files : paths of files that were opened to be read.
    written : paths of files that were opened only to be written.
    outside : what else was asked (`a connection`, `another process`).
    """

    files: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)


_listening = threading.local()
_hooked = False


@contextmanager
def opened_files(opened: OpenedFiles) -> Iterator[None]:
    """Note in `opened` what this thread opens until the block ends."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_note)  # it stays until the process ends
        _hooked = True
    before, _listening.opened = getattr(_listening, "opened", None), opened
    try:
        yield
    finally:
        _listening.opened = before


def digest_of_files(files: set[str]) -> str:
    """SHA-256 (hex) of the contents of files, except for those of Python, of installed packages and sources.

    The names do not count: the same file in another folder is the same.
    """
    digests = set()
    for name in files:
        path = Path(name)
        known = path.suffix in _SOURCES or path.name in _SECRETS or name.startswith(_SYSTEM)
        known |= any(part.startswith(_COMPILED) for part in path.parts)
        if known or is_installed("", name):
            continue
        try:
            if path.is_file():
                with path.open("rb") as file:
                    digests.add(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError:
            continue  # gone since: a temporary file
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _note(event: str, arguments: tuple[object, ...]) -> None:
    opened: OpenedFiles | None = getattr(_listening, "opened", None)
    if opened is None:
        return
    if event in _OUTSIDE_EVENTS:
        opened.outside.add(_OUTSIDE_EVENTS[event])
    elif event in _FILE_EVENTS and arguments and isinstance(arguments[0], str | bytes | os.PathLike):
        mode = arguments[1] if len(arguments) > 1 else None
        flags = arguments[2] if len(arguments) > 2 else 0
        writes = isinstance(mode, str) and not set("r+") & set(mode)
        writes |= mode is None and isinstance(flags, int) and flags & os.O_ACCMODE == os.O_WRONLY
        (opened.written if writes else opened.files).add(str(Path(os.fsdecode(arguments[0])).absolute()))
