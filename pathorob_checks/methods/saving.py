"""A fitted repair as a folder of two files, which is read without believing anything in it.

    <folder>/repair.json          schema, name, version, settings, centers, dimension, digest of the tensors
            /repair.safetensors   the arrays of `state`

Each file appears whole or not at all, the description last: of an interrupted `save` over another repair
`load` finds a digest that does not match. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import safetensors
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathorob_checks.canonical import plain
from pathorob_checks.errors import MethodError
from pathorob_checks.files import read_limited, shown, write_atomically
from pathorob_checks.methods.registry import methods
from pathorob_checks.methods.repair import Repair
from pathorob_checks.wording import brief, shortened

SCHEMA = "pathorob-checks/repair/1"
DESCRIPTION, TENSORS = "repair.json", "repair.safetensors"
_MOST_DESCRIPTION = 4 << 20  # bytes; names of 10,000 centers take less than 1 MB
_MOST_TENSORS = 8 << 30  # bytes; CORAL of 50 centers at dimension 4,608 takes 4.3 GB

Name = Annotated[str, Field(min_length=1, max_length=1000)]


class _Described(BaseModel):
    """The content of `repair.json`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    schema_: Literal["pathorob-checks/repair/1"] = Field(alias="schema")
    name: Name
    version: int
    settings: dict[str, Any]
    centers: list[Name]
    dimension: int | None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def save(repair: Repair, folder: Path) -> None:
    """Write a fitted repair to a folder, which need not exist; a repair that is there is replaced.

    Parameters
    ----------
    repair : a fitted repair.
    folder : Path
        The folder.

    Raises
    ------
    MethodError : the repair is not fitted, or the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from pathorob_checks.methods.centering import Center
    >>> from pathorob_checks.methods.saving import load, save
    >>> x = np.eye(2, dtype=np.float32)
    >>> with tempfile.TemporaryDirectory() as name:
    ...     save(Center().fit(x, centers=["Aachen", "Bonn"]), Path(name))
    ...     print(load(Path(name)).transform(x, centers=["Aachen", "Bonn"]))
    [[0.5 0.5]
     [0.5 0.5]]
    """
    arrays = {name: np.ascontiguousarray(values) for name, values in repair.state().items()}
    tensors = safetensors.numpy.save(arrays)
    described = {
        "schema": SCHEMA,
        "name": repair.name,
        "version": repair.version,
        "settings": plain(repair.settings),
        "centers": list(repair.centers),
        "dimension": repair.dimension,
        "sha256": hashlib.sha256(tensors).hexdigest(),
    }
    text = json.dumps(described, indent=1, sort_keys=True, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TENSORS, tensors)
        write_atomically(folder / DESCRIPTION, text.encode())
    except OSError as error:
        problem = f"the repair cannot be written to {shown(folder)} ({error.strerror or error})"
        raise MethodError(problem, remedy="choose a folder that can be written") from error


def load(folder: Path) -> Repair:
    """Read a repair that `save` wrote.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    Repair
        Fitted; it repairs to the bit as the saved one.

    Raises
    ------
    MethodError : a file is missing, too large, damaged or not a repair; the method is not installed or has
        another version; or the arrays do not fit each other.
    """
    path = folder / DESCRIPTION
    described = _described(path)
    known = methods().get(described.name)
    if known is None or not issubclass(known, Repair):
        problem = f"{shown(path)} names the method {described.name!r}, which is no repair of embeddings here"
        raise MethodError(problem, remedy="install the package that has it")
    if described.version != known.version:
        versions = f"version {described.version} of {described.name!r}, here it is version {known.version}"
        raise MethodError(f"{shown(path)} is of {versions}", remedy="fit and save the repair again")
    tensors = _tensors(folder / TENSORS, described.sha256)
    repair = _made(known, described.settings, path).restore(tensors, tuple(described.centers))
    if repair.dimension != described.dimension:
        problem = (
            f"{shown(path)} states the dimension {described.dimension}, its arrays have {repair.dimension}"
        )
        raise MethodError(problem, remedy="fit and save the repair again")
    return repair


def _content(path: Path, most: int) -> bytes:
    try:
        return read_limited(path, most)
    except OSError as error:
        problem = f"{shown(path)} cannot be read ({error.strerror or error})"
        raise MethodError(problem, remedy="name a folder that a repair was saved to") from error


def _described(path: Path) -> _Described:
    try:
        return _Described.model_validate(json.loads(_content(path, _MOST_DESCRIPTION)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])).removesuffix("_") or "its content"
        what = f"{where}: {first['msg']}, found {shortened(first['input'])}"
    except (ValueError, RecursionError):
        what = "it is no JSON"
    problem = f"{shown(path)} does not describe a repair ({brief(what)})"
    raise MethodError(problem, remedy="fit and save the repair again with this version of pathorob-checks")


def _tensors(path: Path, sha256: str) -> dict[str, np.ndarray[Any, Any]]:
    content = _content(path, _MOST_TENSORS)
    if hashlib.sha256(content).hexdigest() != sha256:
        problem = f"{shown(path)} is damaged or belongs to another repair: its SHA-256 is not the stated one"
        raise MethodError(problem, remedy="fit and save the repair again")
    try:
        return dict(safetensors.numpy.load(content))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        problem = f"{shown(path)} cannot be read ({brief(str(error))})"
        raise MethodError(problem, remedy="fit and save the repair again") from error


def _made(kind: type[Repair], settings: dict[str, Any], path: Path) -> Repair:
    try:
        return kind(**settings)
    except TypeError as error:
        problem = f"{shown(path)} has settings that {kind.name!r} does not take ({brief(str(error))})"
        raise MethodError(problem, remedy="fit and save the repair again") from error
