"""Checkpoints: reading tensors without running code; `tensor_names` finds the network's among them.

safetensors files hold tensors alone. Pickles (`*.bin`, `*.pth`) can run code while they are read, so torch
reads them with `weights_only=True`, which accepts tensors and containers and nothing else.

Of several state dicts in one file the stated one counts, else the first in the order of `NESTED`, so that
averaged weights come before raw ones, as in timm.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import ModelError
from pathorob_checks.models.weights import first_few
from pathorob_checks.wording import quoted, shortened

if TYPE_CHECKING:
    import torch

NESTED = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "teacher",
    "state_dict",
    "model_state_dict",
    "model",
)
_HEADER_BYTES = 100_000_000  # more is refused by safetensors itself
_SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class StatedNames:
    """Where a checkpoint holds the network, as its recipe or the user states it.

    Attributes
    ----------
    key : of the dictionary in the file that holds the tensors; None where it is to be found (`NESTED`).
    prefixes : what is removed from the names of the tensors, in this order, so that they are the network's;
        none where it is to be found (`tensor_names.unwrapped`).
    """

    key: str | None = None
    prefixes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """JSON-like, for the identity of embeddings."""
        return {"key": self.key, "prefixes": list(self.prefixes)}


NOTHING_STATED = StatedNames()


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and notes for the user on what was left out."""

    weights: Mapping[str, torch.Tensor]
    notes: tuple[str, ...] = field(default=())


def read_checkpoint(paths: Iterable[Path], origin: str, key: str | None = None) -> Checkpoint:
    """All tensors by name, on the CPU; for a training checkpoint, those of the state dict inside it.

    Parameters
    ----------
    paths : one file, or several that hold parts of one network.
    origin : the model as the user knows it, for messages.
    key : see `StatedNames`.

    Raises
    ------
    ModelError : when a file is damaged, holds more than tensors, or lacks the stated key, or when two files
        hold the same tensor.
    """
    weights: dict[str, torch.Tensor] = {}
    notes: list[str] = []
    for path in paths:
        if path.suffix == ".safetensors":
            if key is not None:
                raise _without_key(key, {}, path, origin)
            part = _read_safetensors(path, origin)
        else:
            part, more = _read_pickle(path, origin, key)
            notes += more
        _refuse_other_tensors(part, path, origin)
        if repeated := sorted(weights.keys() & part.keys()):
            raise ModelError(
                f"the weights of {origin} hold {first_few(repeated)} twice",
                remedy="download or save the model again",
            )
        weights |= part
    return Checkpoint(weights, tuple(notes))


def _read_safetensors(path: Path, origin: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    _refuse_repeated_names(path, origin)
    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except Exception as error:  # the library's own error, and others for a header that lies
        raise ModelError(
            f"{path.name} of {origin} is damaged or not a safetensors file",
            remedy="delete it and download or save the model again",
        ) from error
    return weights


def _refuse_repeated_names(path: Path, origin: str) -> None:
    """The header is JSON, of which the last value for a name would count unsaid."""
    seen: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in items]
        seen.extend(name for name in set(names) if names.count(name) > 1) if len(set(names)) < len(
            names
        ) else None

    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length <= _HEADER_BYTES:
                json.loads(file.read(length), object_pairs_hook=pairs)
    except (OSError, ValueError, RecursionError, struct.error):
        return  # no such file: the library says so
    if seen:
        raise ModelError(
            f"{path.name} of {origin} holds {first_few(sorted(seen))} twice",
            remedy="download or save the model again",
        )


def _read_pickle(path: Path, origin: str, key: str | None) -> tuple[dict[str, torch.Tensor], list[str]]:
    import torch

    _refuse_inflation(path, origin)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        raise ModelError(
            f"{path.name} of {origin} is damaged, or is a pickle of more than tensors, which could run code",
            remedy="download it again; if it is intact, convert it to model.safetensors where you trust it, "
            "and use local-dir:PATH",
        ) from error
    notes: list[str] = []
    if key is not None:
        held = content if isinstance(content, Mapping) else {}
        if not isinstance(held.get(key), Mapping):
            raise _without_key(key, held, path, origin)
        content = held[key]
        notes.append(f"{path.name} of {origin}: {shortened(key)} is used, as stated.")
    while isinstance(content, Mapping):
        tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
        if len(tensors) == len(content) > 0:
            return {str(key): value for key, value in tensors.items()}, notes
        dicts = [key for key in NESTED if isinstance(content.get(key), Mapping)]
        if len(dicts) > 1:
            notes.append(f"{path.name} of {origin} holds {quoted(dicts)}: '{dicts[0]}' is used.")
        content = content[dicts[0]] if dicts else None
    place = path.name if key is None else f"{shortened(key)} in {path.name}"
    raise ModelError(
        f"{place} of {origin} holds no state dict, neither directly nor under {', '.join(NESTED)}",
        remedy="give the key of the network's as --fm-checkpoint-key, or save its state_dict() alone, as "
        "model.safetensors, and use local-dir:PATH",
    )


def _without_key(key: str, held: Mapping[Any, Any], path: Path, origin: str) -> ModelError:
    """The error for a stated key that is not in the file, with those that are."""
    dicts = [str(name) for name, value in held.items() if isinstance(value, Mapping)]
    what = (
        f"only {first_few([quoted([name]) for name in dicts])}" if dicts else "tensors without any dictionary"
    )
    return ModelError(
        f"{path.name} of {origin} has no dictionary {shortened(key)}, {what}",
        remedy="give one that it has as --fm-checkpoint-key, or leave that out",
    )


def _refuse_inflation(path: Path, origin: str) -> None:
    """torch stores without compression: an archive that declares more than it has would fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, NotImplementedError, RecursionError, zipfile.BadZipFile):
        return  # an older format, or damaged: torch says so
    if declared > path.stat().st_size + _SPARE_BYTES:
        raise ModelError(
            f"{path.name} of {origin} declares {declared / 1e6:,.0f} MB in a file of "
            f"{path.stat().st_size / 1e6:,.0f} MB",
            remedy="do not use this model unless you know who made it",
        )


def _refuse_other_tensors(weights: Mapping[str, torch.Tensor], path: Path, origin: str) -> None:
    """Only tensors that are in the file, number by number: no stretched, sparse, quantized or empty ones."""
    import torch

    size = path.stat().st_size
    odd = sorted(
        name
        for name, tensor in weights.items()
        if tensor.layout is not torch.strided
        or tensor.is_meta
        or tensor.is_quantized
        or tensor.numel() * tensor.element_size() > size
    )
    if odd:
        raise ModelError(
            f"{path.name} of {origin} holds tensors without numbers of their own ({first_few(odd)})",
            remedy="save the network's state_dict() in float32, as model.safetensors, and use local-dir:PATH",
        )
