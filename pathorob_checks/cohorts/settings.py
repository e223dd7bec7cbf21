"""What no row of a table holds: a cohort's license and its number of neighbors, in `cohort.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from pathorob_checks.cohorts.file_names import SETTINGS
from pathorob_checks.cohorts.reading import read_file
from pathorob_checks.errors import CohortError
from pathorob_checks.wording import printable, shortened

_MOST_BYTES = 1 << 16
_MOST_K = 1_000_000

# By key: what is wrong with another value, and the remedy.
_PROBLEMS = {
    "license": ("is not text", 'write for example license = "CC-BY-4.0"'),
    "commercial": (
        "is neither true nor false",
        "write true or false without quotes, or leave commercial out if unknown",
    ),
    "sources": (
        "is no list of names",
        'write for example sources = ["TCGA", "our hospital"], or leave sources out if unknown',
    ),
    "k": (
        f"is not a positive whole number of at most {_MOST_K:,}",
        "write for example k = 10, or leave k out",
    ),
}


def _without_extra_spaces(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Name = Annotated[str, BeforeValidator(_without_extra_spaces), StringConstraints(min_length=1)]


class Settings(BaseModel):
    """The content of a settings file.

    Attributes
    ----------
    file : its name, for messages.
    license : SPDX expression or free text.
    commercial : whether the license allows commercial use; None where that is unknown.
    sources : which data sets or hospitals the slides come from; empty where that is not stated.
    k : number of neighbors; None is the usual one of the table, the same for every FM.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file: str = SETTINGS
    license: Name = "unknown"
    commercial: bool | None = None
    sources: Annotated[tuple[Name, ...], BeforeValidator(_as_tuple)] = ()
    k: Annotated[int, Field(ge=1, le=_MOST_K)] | None = None


def read_settings(path: Path) -> Settings:
    """Read a settings file; without a file the settings are the defaults.

    Raises
    ------
    CohortError : the file is not TOML, has an unknown key, or has a value of the wrong type or range.
    """
    file = path.name
    try:
        table: Mapping[str, object] = tomllib.loads(read_file(path, file, _MOST_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        return Settings(file=file)
    except (ValueError, RecursionError) as error:
        raise CohortError(
            f"{file} cannot be read as TOML: {_reason(error)}",
            remedy='write lines such as license = "CC-BY-4.0"',
        ) from error
    if "file" in table:  # a field of the model, but not a key of the file
        raise _unknown_key(file, "file")
    try:
        return Settings.model_validate({**table, "file": file})
    except ValidationError as error:
        raise _first_problem(file, error) from error


def settings_of(path: Path) -> Settings:
    """The settings of the user's own cohort: in its folder, or beside its parquet file.

    Raises
    ------
    CohortError : as `read_settings`.
    """
    return read_settings(path.with_suffix(".toml") if path.suffix == ".parquet" else path / SETTINGS)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, tomllib.TOMLDecodeError | UnicodeDecodeError):
        return printable(str(error))
    return "a number has too many digits"  # Python's own advice is not for users of a file


def _first_problem(file: str, error: ValidationError) -> CohortError:
    """One sentence for pydantic's list of problems; an unknown key comes before wrong values."""
    problems = error.errors()
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    key = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return _unknown_key(file, key)
    problem, remedy = _PROBLEMS[key]
    return CohortError(f"{file} has {key} = {_written(first['input'])}, which {problem}", remedy=remedy)


def _unknown_key(file: str, key: str) -> CohortError:
    known = [f"'{name}'" for name in _PROBLEMS]
    return CohortError(
        f"{file} has the unknown key {shortened(key)}",
        remedy=f"use only {', '.join(known[:-1])} and {known[-1]}",
    )


def _written(value: object) -> str:
    try:
        return shortened(value)
    except ValueError:  # Python writes no number of more than some thousands of digits
        return "a number of very many digits"
