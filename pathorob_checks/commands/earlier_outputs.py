"""What a command wrote before is removed where it writes nothing now: it would be taken for this time's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from pathorob_checks.console import complain
from pathorob_checks.files import expanded, shown

Recognizes = Callable[[bytes], bool]
_Version = tuple[int, int]


@contextlib.contextmanager
def removed_where_nothing_is_made(
    outputs: Mapping[Path, Recognizes], inputs: Iterable[Path] = ()
) -> Iterator[None]:
    """Where the block ends with an error, outputs of an earlier command are removed, and it is said which.

    A passing report that stays where a command has refused new results would be read as theirs. What the
    block itself wrote stays, and so does every file that is an input or is not recognized as an output.

    Parameters
    ----------
    outputs : the files that the block is to write, with what recognizes the content of one from earlier.
    inputs : files that are only read, whatever is in them.
    """
    earlier = {path: version for path in map(expanded, outputs) if (version := _version(path))}
    try:
        yield
    except BaseException:
        for path, recognizes in outputs.items():
            path = expanded(path)
            with contextlib.suppress(OSError, ValueError):
                is_earlier = path in earlier and _version(path) == earlier[path]
                if is_earlier and not _is_one_of(path, inputs) and recognizes(path.read_bytes()):
                    Path(os.path.realpath(path)).unlink()  # a link stays, as when a file is replaced
                    complain(f"the earlier {shown(path)} was removed, because nothing was made.")
        raise


def _version(path: Path) -> _Version | None:
    """What differs after a file was replaced; None where there is no file."""
    try:
        status = path.stat()
        return (status.st_ino, status.st_mtime_ns) if path.is_file() else None
    except (OSError, ValueError):
        return None


def _is_one_of(path: Path, inputs: Iterable[Path]) -> bool:
    return any(one.exists() and path.samefile(one) for one in map(expanded, inputs))


def has_first_line(line: str) -> Recognizes:
    """What recognizes a table by its headings."""
    return lambda content: content.startswith(f"{line}\n".encode())


def holds(mark: str) -> Recognizes:
    """What recognizes a file by a text of ours that is in it."""
    return lambda content: mark.encode() in content
