"""The folder on disk: new or empty at first, incomplete while the run lasts, then finished or never."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.layout import FILES
from pathorob_checks.evidence.manifest import ATTESTATION, INCOMPLETE, MANIFEST
from pathorob_checks.files import write_atomically
from pathorob_checks.wording import named, printable

_OURS = (INCOMPLETE, MANIFEST)
_RUNNING = (
    "This folder is not finished. The run that writes it is still going on, or was interrupted or killed.\n"
    "It is no evidence of anything, and `pathorob-checks verify` refuses it.\n"
)


class EvidenceFolder:
    """A folder that one run writes.

    Parameters
    ----------
    path : as the user wrote it, for messages.
    option : that names it, for messages.
    """

    def __init__(self, path: str | os.PathLike[str], option: str = "--fm-evidence") -> None:
        self._shown, self._option = str(path), option
        self.path = Path(path).absolute()
        self._was_made = False

    def __str__(self) -> str:
        return printable(self._shown)

    def refuse_unusable(self) -> None:
        """Refuse what is no folder, is not empty, or cannot be written.

        Raises
        ------
        EvidenceError : it is one of these.
        """
        another = f"name a new folder with {self._option}"
        try:
            if self.path.exists() and not self.path.is_dir():
                raise EvidenceError(f"the evidence folder {self} is a file", remedy=another)
            names = sorted(entry.name for entry in self.path.iterdir()) if self.path.exists() else []
        except OSError as error:
            raise self._unwritable(error) from None
        if INCOMPLETE in names:
            raise EvidenceError(
                f"the evidence folder {self} is that of a run that did not finish",
                remedy=f"{another}, or delete this one first",
            )
        if MANIFEST in names:
            raise EvidenceError(
                f"the evidence folder {self} is that of another run, and two runs are never mixed",
                remedy=another,
            )
        if names:
            raise EvidenceError(
                f"the evidence folder {self} is not empty ({named(names, 'entry', 'entries')})",
                remedy=another,
            )
        above = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            raise EvidenceError(
                f"the evidence folder {self} cannot be written (Permission denied)", remedy=another
            )

    def begin(self) -> None:
        """Make the folder, and say in it that it is incomplete; two runs cannot both begin.

        Raises
        ------
        EvidenceError : it cannot be used, or another run has begun meanwhile.
        """
        self.refuse_unusable()
        try:
            self._was_made = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / INCOMPLETE).open("x", encoding="utf-8") as file:
                file.write(_RUNNING)
        except FileExistsError:
            self.refuse_unusable()
            raise
        except OSError as error:
            raise self._unwritable(error) from None

    def withdraw(self) -> None:
        """Leave nothing of a run that did not start."""
        with contextlib.suppress(OSError):
            for name in (*FILES, INCOMPLETE):
                (self.path / name).unlink(missing_ok=True)
            if self._was_made:
                self.path.rmdir()

    def write(self, name: str, text: str) -> None:
        """Write one of `FILES`, whole or not at all.

        Raises
        ------
        EvidenceError : it cannot be written.
        """
        try:
            write_atomically(self.path / name, text.encode())
        except (OSError, ValueError) as error:
            raise self._unwritable(error, name) from None

    def read(self, name: str) -> str:
        """The text of one of `FILES`.

        Raises
        ------
        EvidenceError : it is not there or cannot be read.
        """
        try:
            return (self.path / name).read_bytes().decode()  # as it was written, line ends too
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise EvidenceError(
                f"{self}/{name} cannot be read ({reason})", remedy="run again into a new folder"
            ) from None

    def remain_incomplete(self, reason: str) -> None:
        """Say why the folder will never be finished, as far as that can be written."""
        with contextlib.suppress(OSError):
            for name in (MANIFEST, ATTESTATION):
                (self.path / name).unlink(missing_ok=True)
            write_atomically(self.path / INCOMPLETE, f"{_RUNNING}\nReason: {printable(reason)}\n".encode())

    @contextlib.contextmanager
    def completing(self) -> Iterator[None]:
        """Within the block the manifest and the attestation are written; if that fails it is incomplete.

        Raises
        ------
        EvidenceError : a file is missing, or one is there that no run has written.
        """
        written = {path.name for path in self.path.iterdir()} - {INCOMPLETE}
        wanted = set(FILES) - {MANIFEST, ATTESTATION}
        for names, problem in ((wanted - written, "lacks"), (written - wanted, "has what no run writes:")):
            if names:
                raise EvidenceError(
                    f"the evidence folder {self} {problem} {named(sorted(names), 'file', 'files')}",
                    remedy="run again into a new folder, and let nothing else write there",
                )
        try:
            yield
        except OSError as error:
            self.remain_incomplete(str(error.strerror or error))
            raise self._unwritable(error) from None
        except BaseException as error:
            self.remain_incomplete(str(error))
            raise

    def _unwritable(self, error: OSError | ValueError, name: str = "") -> EvidenceError:
        what = f"the evidence folder {self}" if not name else f"{self}/{name}"
        reason = getattr(error, "strerror", None) or str(error)
        return EvidenceError(
            f"{what} cannot be written ({reason})",
            remedy=f"name a new folder with {self._option} that you may write to, with enough space",
        )
