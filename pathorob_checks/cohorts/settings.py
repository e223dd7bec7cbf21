"""The few things about a cohort that no row says: `cohort.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pathorob_checks.errors import CohortError

SETTINGS = "cohort.toml"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a settings file says.

    Attributes
    ----------
    file : its name, for messages.
    license : SPDX expression or free text.
    commercial : whether the license allows commercial use; None where the file does not say.
    k : number of neighbors; None lets the benchmark's rule choose it.
    """

    file: str = SETTINGS
    license: str = "unknown"
    commercial: bool | None = None
    k: int | None = None


def read_settings(path: Path) -> Settings:
    """Read a settings file; a file that does not exist says nothing.

    Raises
    ------
    CohortError : it is no TOML, has a key that means nothing, or a value that cannot be meant.
    """
    file = path.name
    try:
        table: Mapping[str, object] = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return Settings(file=file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise CohortError(
            f"{file} cannot be read as TOML: {said or type(error).__name__}",
            remedy='write lines such as license = "CC-BY-4.0"',
        ) from error
    for name in table:
        if name not in ("license", "commercial", "k"):
            raise CohortError(
                f"{file} has the unknown key '{name}'", remedy="use only 'license', 'commercial' and 'k'"
            )
    license_ = table.get("license", "unknown")
    if not isinstance(license_, str) or not license_.strip():
        raise CohortError(
            f"{file} has license = {license_!r}, which is no text", remedy='write e.g. license = "CC-BY-4.0"'
        )
    commercial = table.get("commercial")
    if commercial is not None and not isinstance(commercial, bool):
        raise CohortError(
            f"{file} has commercial = {commercial!r}, which is neither true nor false",
            remedy="write true or false without quotes, or leave it out if nobody knows",
        )
    k = table.get("k")
    # bool is an int to Python, but k = true is a slip.
    if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
        raise CohortError(
            f"{file} has k = {k!r}, which is no positive whole number",
            remedy="write e.g. k = 10, or leave k out",
        )
    return Settings(file=file, license=" ".join(license_.split()), commercial=commercial, k=k)
