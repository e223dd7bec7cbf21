"""Checkpoints: reading tensors without running code, and finding the network's among them.

safetensors files hold tensors alone. Pickles (`*.bin`, `*.pth`) can run code while they are read, so torch
reads them with `weights_only=True`, which accepts tensors and containers and nothing else.

Two rules find the network. Of several state dicts in one file (`NESTED`) the first in that order counts, so
that averaged weights come before raw ones, as in timm. Of the names in it, the one prefix is stripped with
which they hold the network's names; of several such networks, a teacher or an average counts.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import ModelError
from pathorob_checks.models.weights import first_few, is_left_over
from pathorob_checks.wording import printable, quoted

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
_AVERAGED = re.compile(r"(?:.*[._])?(?:teacher|ema|averaged?)(?:[._].*)?")
_ANCHORS = 8
_HEADER_BYTES = 100_000_000  # more is refused by safetensors itself
_SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and notes for the user on what was left out."""

    weights: Mapping[str, torch.Tensor]
    notes: tuple[str, ...] = field(default=())


def read_checkpoint(paths: Iterable[Path], origin: str) -> Checkpoint:
    """All tensors by name, on the CPU; for a training checkpoint, those of the state dict inside it.

    Raises
    ------
    ModelError : when a file is damaged, holds more than tensors, or two files hold the same tensor.
    """
    weights: dict[str, torch.Tensor] = {}
    notes: list[str] = []
    for path in paths:
        if path.suffix == ".safetensors":
            part = _read_safetensors(path, origin)
        else:
            part, more = _read_pickle(path, origin)
            notes += more
        _refuse_other_tensors(part, path, origin)
        if repeated := sorted(weights.keys() & part.keys()):
            raise ModelError(
                f"the weights of {origin} hold {first_few(repeated)} twice",
                remedy="download or save the model again",
            )
        weights |= part
    return Checkpoint(weights, tuple(notes))


def unwrapped(checkpoint: Checkpoint, expected: Collection[str], origin: str) -> Checkpoint:
    """Weights without the one prefix that wrappers and training put before the network's names.

    Everything outside of the prefix must be a head of training, or a network that does not count.

    Parameters
    ----------
    expected : names of the network; where the weights have them as they are, nothing is stripped.
    origin : the model as the user knows it, for messages.

    Raises
    ------
    ModelError : when several networks are in the checkpoint and none of them is a teacher or an average.
    """
    weights, expected = checkpoint.weights, set(expected)
    held = {
        prefix: sum(prefix + name in weights for name in expected) for prefix in _prefixes(weights, expected)
    }
    most = max(held.values())
    if 2 * most > len(expected):
        prefix, others = _chosen(sorted(prefix for prefix in held if held[prefix] == most), origin)
    else:  # names of an older library, or of another network
        prefix, others = _common_prefix(weights), []
    of_others = {other + name for other in others for name in expected}
    outside = [name for name in weights if not name.startswith(prefix) and name not in of_others]
    if not prefix or not all(_is_outside_head(name, prefix) for name in outside):
        return checkpoint
    note = f"{origin}: {_shown(prefix)} was stripped from the names in the checkpoint."
    if others:
        networks = _shown(prefix, *others)
        note = f"{origin} holds several networks ({networks}): {_shown(prefix)}, an average, is used."
    inside = {
        name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)
    }
    return Checkpoint(inside, (*checkpoint.notes, note))


def _common_prefix(weights: Collection[str]) -> str:
    """What all names but those of heads begin with, up to a dot."""
    names = [name for name in weights if not any(map(is_left_over, _suffixes(name)))]
    common = os.path.commonprefix(names)  # noqa: RUF071 - these are no paths
    return common[: common.rfind(".") + 1]


def _suffixes(name: str) -> list[str]:
    """A name without its first parts, of which wrappers add three or four."""
    parts = name.split(".")
    return [".".join(parts[depth:]) for depth in range(min(len(parts), 5))]


def _prefixes(weights: Collection[str], expected: Collection[str]) -> set[str]:
    """What stands before the network's names, by some long ones of these."""
    prefixes = {""}
    for anchor in sorted(expected, key=lambda name: (-len(name), name))[:_ANCHORS]:
        for name in weights:
            if name.endswith(f".{anchor}"):
                prefixes.add(name[: -len(anchor)])
    return prefixes


def _chosen(prefixes: list[str], origin: str) -> tuple[str, list[str]]:
    """The prefix of the network that counts, and those of the others."""
    if len(prefixes) == 1:
        return prefixes[0], []
    averaged = [prefix for prefix in prefixes if _AVERAGED.fullmatch(prefix.removesuffix("."))]
    if len(averaged) != 1:
        raise ModelError(
            f"the weights of {origin} hold several networks ({_shown(*prefixes)})",
            remedy="save the one that you use, as model.safetensors, and use local-dir:PATH",
        )
    return averaged[0], [prefix for prefix in prefixes if prefix != averaged[0]]


def _is_outside_head(name: str, prefix: str) -> bool:
    """Whether a tensor outside of `prefix` is a head, beside the network in one of its wrappers."""
    parts = prefix.split(".")
    wrappers = (".".join([*parts[:depth], ""]) if depth else "" for depth in range(len(parts)))
    return any(name.startswith(wrapper) and is_left_over(name.removeprefix(wrapper)) for wrapper in wrappers)


def _shown(*prefixes: str) -> str:
    return quoted(printable(prefix)[:80] or "no prefix" for prefix in prefixes[:4])


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


def _read_pickle(path: Path, origin: str) -> tuple[dict[str, torch.Tensor], list[str]]:
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
    while isinstance(content, Mapping):
        tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
        if len(tensors) == len(content) > 0:
            return {str(key): value for key, value in tensors.items()}, notes
        dicts = [key for key in NESTED if isinstance(content.get(key), Mapping)]
        if len(dicts) > 1:
            notes.append(f"{path.name} of {origin} holds {quoted(dicts)}: '{dicts[0]}' is used.")
        content = content[dicts[0]] if dicts else None
    raise ModelError(
        f"{path.name} of {origin} holds no state dict, neither directly nor under {', '.join(NESTED)}",
        remedy="save the network's state_dict() alone, as model.safetensors, and use local-dir:PATH",
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
