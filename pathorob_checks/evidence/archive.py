"""An evidence folder in a ZIP file: unpacked within limits, and never outside of a temporary folder."""

from __future__ import annotations

import contextlib
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.inventory import MOST_FILES, is_plain
from pathorob_checks.evidence.manifest import INCOMPLETE, MANIFEST
from pathorob_checks.sizes import written_size
from pathorob_checks.wording import brief, named, quoted

MOST_BYTES = 2 << 30  # of all files of an archive together
_CHUNK = 1 << 20
_SEND_FOLDER = "ask for the folder itself"


@contextlib.contextmanager
def unpacked(path: Path, most: int = MOST_BYTES) -> Iterator[Path]:
    """The folder in a ZIP file, unpacked for as long as the block lasts.

    Parameters
    ----------
    path : a ZIP file with the files of one folder, or with that folder.
    most : bytes that may be unpacked.

    Raises
    ------
    EvidenceError : it is no ZIP file, is damaged or too large, or holds names that leave the folder, links or
        two files of one name.
    """
    with tempfile.TemporaryDirectory(prefix="pathorob-checks-") as temporary:
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, path, Path(temporary), most)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            reason = brief(str(error)) or type(error).__name__
            raise EvidenceError(
                f"{path} is not a ZIP file that can be read ({reason})", remedy=_SEND_FOLDER
            ) from None
        yield _folder_in(Path(temporary), path)


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path, most: int) -> None:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MOST_FILES:
        raise EvidenceError(f"{path} holds more than {MOST_FILES:,} files", remedy=_SEND_FOLDER)
    left, seen = most, set()
    for member in members:
        name = member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not is_plain(name):
            raise EvidenceError(
                f"{path} holds the name {quoted([brief(name)])}, which no evidence folder has",
                remedy="do not unpack it, and ask where it is from",
            )
        if kind not in (0, stat.S_IFREG):
            raise EvidenceError(f"{name} in {path} is not a regular file", remedy=_SEND_FOLDER)
        if name.casefold() in seen:
            raise EvidenceError(f"{path} holds {name} twice", remedy=_SEND_FOLDER)
        seen.add(name.casefold())
        left = _unpack_file(archive, member, folder.joinpath(*PurePosixPath(name).parts), left)
        if left < 0:
            raise EvidenceError(f"{path} unpacks to more than {written_size(most)}", remedy=_SEND_FOLDER)


def _unpack_file(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Unpack a file of at most `left` bytes; what is then left, less than 0 where it is larger."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as file:
        while left >= 0 and (chunk := source.read(_CHUNK)):
            left -= len(chunk)
            if left >= 0:
                file.write(chunk)
    return left


def _folder_in(folder: Path, path: Path) -> Path:
    """The folder, or the only folder in it; `path` is the ZIP file, for messages."""
    inside = sorted(folder.iterdir())
    if len(inside) == 1 and inside[0].is_dir():
        return inside[0]
    if not any((folder / name).exists() for name in (MANIFEST, INCOMPLETE)):
        whole = next((one for one in inside if (one / MANIFEST).is_file()), None)
        if whole is None:
            raise EvidenceError(f"{path} holds no {MANIFEST}", remedy=_SEND_FOLDER)
        others = [one.name for one in inside if one != whole]
        beside = others[0] if len(others) == 1 else named(others, "file or folder", "files and folders")
        raise EvidenceError(
            f"{path} holds {beside} beside the folder {whole.name}",
            remedy="take out what is not of the evidence, or ask for the folder itself",
        )
    return folder
