"""The benchmark's metadata tables: downloaded once and compared with their digests, or read from a folder."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks import hub
from pathorob_checks.cohorts.cohort import CASE, COLUMNS, patch_keys
from pathorob_checks.cohorts.csv_tables import MOST_BYTES, parse_csv
from pathorob_checks.errors import CohortError
from pathorob_checks.files import read_limited
from pathorob_checks.wording import named

if TYPE_CHECKING:
    import pandas as pd

URL_VARIABLE = "PATHOROB_CHECKS_METADATA_URL"


@dataclass(frozen=True, kw_only=True)
class Pin:
    """Digests of a published table: git's SHA-1 of the file, and its SHA-256 where that is known."""

    file: str
    git_sha1: str
    sha256: str | None = None

    def matches(self, content: bytes) -> bool:
        """Whether this is the published file, byte for byte."""
        if hub.git_blob_sha1(content) != self.git_sha1:
            return False
        return self.sha256 is None or hashlib.sha256(content).hexdigest() == self.sha256


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The benchmark's tables, from the user's folder or from the web.

    Attributes
    ----------
    pins : the published files by name.
    url : folder on the web that they are downloaded from; the variable `URL_VARIABLE` names a mirror.
    folder : the user's folder to read instead; its files are not compared with the digests.
    cache : where downloads are stored.
    """

    pins: dict[str, Pin]
    url: str
    folder: Path | None
    cache: Path

    def content(self, file: str) -> bytes:
        """The bytes of a table.

        Raises
        ------
        CohortError : it is not in the user's folder, cannot be downloaded, or is not the published table.
        """
        if self.folder is not None:
            try:
                return read_limited(self.folder / file, MOST_BYTES)
            except OSError as error:
                raise CohortError(
                    f"--fm-metadata={self.folder} has no readable table {file} ({error.strerror})",
                    remedy=f"put the benchmark's {file} there, or leave --fm-metadata out to download it",
                ) from None
        cached = self.cache / file
        if cached.is_file():
            content = cached.read_bytes()
            if self.pins[file].matches(content):
                return content
            cached.unlink()
        if hub.is_offline():
            raise CohortError(
                f"the table {file} is not in the cache, and HF_HUB_OFFLINE forbids downloading it",
                remedy="run pathorob-checks prefetch --to=DIR where there is a network, copy DIR and set "
                "PATHOROB_CHECKS_CACHE=DIR/pathorob-checks, or give the folder of the tables as "
                "--fm-metadata",
            )
        if not hub.answers(self.address):
            raise CohortError(
                f"the table {file} is not in the cache, and {hub.host_of(self.address)} cannot be reached",
                remedy=f"give the folder of the tables as --fm-metadata, or set {URL_VARIABLE} to a mirror",
            )
        return self._downloaded(file)

    @property
    def address(self) -> str:
        """The folder on the web that tables are downloaded from."""
        return os.environ.get(URL_VARIABLE) or self.url

    def to_download(self, names: Iterable[str]) -> list[str]:
        """Those of some tables that are neither in the user's folder nor in the cache."""
        if self.folder is not None:
            return []
        return [name for name in names if not (self.cache / name).is_file()]

    def is_published(self, file: str, content: bytes) -> bool:
        """Whether these bytes are the published table."""
        return self.pins[file].matches(content)

    def _downloaded(self, file: str) -> bytes:
        import pooch

        pooch.get_logger().setLevel(logging.WARNING)
        remedy = (
            f"try again, give the folder of the tables as --fm-metadata, or set {URL_VARIABLE} to a mirror"
        )
        pin = self.pins[file]
        fetcher = pooch.create(
            self.cache,
            base_url=self.address.rstrip("/") + "/",
            registry={file: f"sha256:{pin.sha256}" if pin.sha256 else None},
            retry_if_failed=3,
        )
        try:
            path = Path(fetcher.fetch(file))
            content = path.read_bytes()
        except OSError as error:  # requests' errors are OSErrors; their messages may hold addresses
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"HTTP {status}" if status else error.strerror or type(error).__name__
            raise CohortError(f"the table {file} cannot be downloaded ({reason})", remedy=remedy) from None
        except ValueError:
            raise _not_published(file, remedy) from None
        if not pin.matches(content):
            path.unlink(missing_ok=True)
            raise _not_published(file, remedy)
        return content


def _not_published(file: str, remedy: str) -> CohortError:
    return CohortError(
        f"the downloaded {file} is not the published table, as its digest differs", remedy=remedy
    )


def parse(file: str, content: bytes, *, paired: bool) -> pd.DataFrame:
    """A table's rows with the columns of `COLUMNS`, and `case_id` where it has that, as text.

    Raises
    ------
    CohortError : it is not such a table, a cell is empty, or it has a patch twice (in one subset, if
        `paired`).
    """
    import pandas as pd

    parsed = parse_csv(file, content)
    missing = [column for column in COLUMNS if column not in parsed.header]
    twice = [column for column in (*COLUMNS, CASE) if parsed.header.count(column) > 1]
    if missing or twice or not parsed.rows:
        problem = "has no rows"
        if missing or twice:
            noun = "column" if len(missing or twice) == 1 else "columns"
            problem = f"{'lacks' if missing else 'repeats'} the {noun} {', '.join(missing or twice)}"
        raise CohortError(f"{file} {problem}", remedy="use the benchmark's own table")
    columns = [column for column in (*COLUMNS, CASE) if column in parsed.header]
    positions = [parsed.header.index(column) for column in columns]
    for line, cells in parsed.rows:
        if not all(cells[position].strip() for position in positions):
            raise CohortError(f"{file} has an empty cell in line {line}", remedy="fill it")
    table = pd.DataFrame(
        {
            column: [cells[position] for _, cells in parsed.rows]
            for column, position in zip(columns, positions, strict=True)
        }
    )
    repeated = table.duplicated(["subset", "slide_id", "patch_id"] if paired else ["slide_id", "patch_id"])
    if repeated.any():
        raise CohortError(
            f"{file} has {named(patch_keys(table[repeated]))} twice",
            remedy="use the benchmark's own table",
        )
    return table
