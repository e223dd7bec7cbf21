"""Weights from files: which file holds them, reading them without running code, and whether they fit.

safetensors files hold tensors alone. Pickles (`*.bin`, `*.pth`) can run code while they are read, so torch
reads them with `weights_only=True`, which accepts tensors and containers and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pathorob_checks.errors import ModelError

if TYPE_CHECKING:
    import torch

_STANDARD = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_OTHERS = (".safetensors", ".pth", ".pt", ".bin")
_INDEX = ".index.json"
_NESTED = ("state_dict", "model_state_dict", "model", "teacher")
_WRAPPERS = ("module.", "_orig_mod.", "backbone.")
# Parts of a training checkpoint that no embedding needs.
_LEFT_OVER = re.compile(
    r"(?:\w+\.)?(?:classifier|cls_classifier|distillation_classifier|head|heads|fc|lm_head|decoder|"
    r"dino_head|ibot_head|projection_head|mask_token|pooler)(?:\..*)?|.*\.position_ids|.*\.mask_token"
)
_KEYS_SHOWN = 3


def choose_weights(names: Collection[str], origin: str, preferred: str | None = None) -> str:
    """The file, or the index of files, that holds a model's weights.

    Parameters
    ----------
    names : files of the repository or folder.
    origin : the model as the user knows it, for messages.
    preferred : the recipe's name for it, if any.

    Raises
    ------
    ModelError : when there is none, or several without a preferred one.
    """
    for name in (preferred, *_STANDARD):
        if name is not None and name in names:
            return name
    for suffix in _OTHERS:
        candidates = sorted(name for name in names if "/" not in name and name.endswith(suffix))
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise ModelError(
                f"{origin} has several files of weights ({_first_few(candidates)}) with no standard name",
                remedy="put config.json and the right file, as model.safetensors, into a folder and use "
                "local-dir:PATH",
            )
    raise ModelError(
        f"{origin} has no weights ({', '.join(_STANDARD[:3])} or a single *.pth)",
        remedy="check the name, or load the model with your own python:module:factory",
    )


def shards_of(index: Path, origin: str) -> list[str]:
    """The files that an index lists, sorted.

    Raises
    ------
    ModelError : when it is not an index, or lists a file outside of its own folder.
    """
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{index.name} of {origin} is not an index of weights", remedy="download or save the model again"
        ) from error
    suffix = index.name.removesuffix(_INDEX).rpartition(".")[2]
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", name):
            raise ModelError(
                f"{index.name} of {origin} lists {name!r}, which lies outside of the model's folder",
                remedy="do not use this model unless you know who made it",
            )
        if path.suffix != f".{suffix}":
            raise ModelError(
                f"{index.name} of {origin} lists {name!r}, which is not a {suffix} file",
                remedy="download or save the model again",
            )
    return sorted(names)


def is_index(name: str) -> bool:
    """Whether a file of weights is an index of others."""
    return name.endswith(_INDEX)


def read_weights(paths: Iterable[Path], origin: str) -> dict[str, torch.Tensor]:
    """All tensors by name, on the CPU; for a training checkpoint, those of the state dict inside it.

    Raises
    ------
    ModelError : when a file is damaged, holds more than tensors, or two files hold the same tensor.
    """
    weights: dict[str, torch.Tensor] = {}
    for path in paths:
        read = _read_safetensors if path.suffix == ".safetensors" else _read_pickle
        part = read(path, origin)
        if repeated := sorted(weights.keys() & part.keys()):
            raise ModelError(
                f"the weights of {origin} hold {_first_few(repeated)} twice",
                remedy="download or save the model again",
            )
        weights |= part
    return weights


def unwrapped(weights: Mapping[str, torch.Tensor], expected: Collection[str]) -> dict[str, torch.Tensor]:
    """Weights without the prefixes that wrappers and training add to their names (`module.`, `backbone.`).

    Parameters
    ----------
    weights : tensors by name.
    expected : names of the network; a prefix that is part of these is kept.
    """
    weights = dict(weights)
    for prefix in _WRAPPERS:
        if any(key.startswith(prefix) for key in expected):
            continue
        inside = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        # Only where everything outside the wrapper is a head of training.
        if inside and all(is_left_over(key) for key in weights if not key.startswith(prefix)):
            weights = inside
    return weights


def misfits(
    expected: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], *, headless: bool = False
) -> str | None:
    """How weights differ from a network's, as the end of a sentence after 'it'; None where they fit.

    With `headless` the network has no classifier, and left-over weights of one do not count.
    """
    unexpected = [key for key in weights.keys() - expected.keys() if not (headless and is_left_over(key))]
    shapes = [key for key in expected.keys() & weights.keys() if expected[key].shape != weights[key].shape]
    return describe_misfits(expected.keys() - weights.keys(), unexpected, shapes)


def describe_misfits(missing: Iterable[str], unexpected: Iterable[str], shapes: Iterable[str]) -> str | None:
    """The text of `misfits`, from the names of the tensors."""
    kinds = {"lacks": missing, "has unexpected": unexpected, "has other shapes for": shapes}
    parts = [f"{verb} {_first_few(sorted(keys))}" for verb, names in kinds.items() if (keys := list(names))]
    return " and ".join(parts) or None


def is_left_over(key: str) -> bool:
    """Whether a tensor belongs to a head that was trained on top of a network and decides no embedding."""
    return _LEFT_OVER.fullmatch(key) is not None


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) of one file's bytes, or of the names and digests of several.

    Raises
    ------
    ModelError : when a file cannot be read.
    """
    digests = [(path.name, _sha256(path)) for path in paths]
    if len(digests) == 1:
        return digests[0][1]
    listing = "".join(f"{name} {digest}\n" for name, digest in sorted(digests))
    return hashlib.sha256(listing.encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"{path.name} cannot be read ({error.strerror})", remedy="check its permissions and the disk"
        ) from error


def _read_safetensors(path: Path, origin: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{path.name} of {origin} is damaged or not a safetensors file",
            remedy="delete it and download or save the model again",
        ) from error
    return weights


def _read_pickle(path: Path, origin: str) -> dict[str, torch.Tensor]:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        raise ModelError(
            f"{path.name} of {origin} is damaged, or is a pickle of more than tensors, which could run code",
            remedy="download it again; if it is intact, convert it to model.safetensors where you trust it, "
            "and use local-dir:PATH",
        ) from error
    while isinstance(content, Mapping):
        tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
        if len(tensors) == len(content) > 0:
            return {str(key): value for key, value in tensors.items()}
        content = next((content[key] for key in _NESTED if isinstance(content.get(key), Mapping)), None)
    raise ModelError(
        f"{path.name} of {origin} holds no state dict, neither directly nor under {', '.join(_NESTED)}",
        remedy="save the network's state_dict() alone, as model.safetensors, and use local-dir:PATH",
    )


def _first_few(keys: list[str]) -> str:
    """The first few keys and the number of the others."""
    shown = ", ".join(keys[:_KEYS_SHOWN])
    return shown if len(keys) <= _KEYS_SHOWN else f"{shown} and {len(keys) - _KEYS_SHOWN} more"
