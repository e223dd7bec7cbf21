"""Weights: which files hold them, and whether they fit a network; `checkpoints` reads them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pathorob_checks.errors import ModelError
from pathorob_checks.wording import printable, shortened

if TYPE_CHECKING:
    import torch

_STANDARD = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Where a library has names of its own, a file with a standard name beside them belongs to another library.
_STANDARD_OF = {"open_clip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")}
_OTHERS = (".safetensors", ".pth", ".pt", ".bin")
_INDEX = ".index.json"
# What peft and others apply to the weights beside it (LoRA and its like).
_ADAPTER = re.compile(
    r"(?:.*[._-])?(?:adapters?|i?a3|lora|peft)(?:[._-].*)?\.(?:json|safetensors|bin|pth?|npz)", re.IGNORECASE
)
_OF_TRAINING = re.compile(r"(?:training_args|optimizer|scheduler|scaler|rng_state\w*)\.(?:bin|pth?)")
# Parts of a training checkpoint that no embedding needs.
_LEFT_OVER = re.compile(
    r"(?:\w+\.)?(?:classifier|cls_classifier|distillation_classifier|head|heads|fc|lm_head|decoder|"
    r"dino_head|ibot_head|projection_head|mask_token|pooler)(?:\..*)?|.*\.position_ids|.*\.mask_token"
)
_KEYS_SHOWN = 3
_KEY_LENGTH = 100
_INDEX_BYTES = 50_000_000


def choose_weights(
    names: Collection[str], origin: str, preferred: str | None = None, library: str | None = None
) -> str:
    """The file, or the index of files, that holds a model's weights.

    Parameters
    ----------
    names : files of the repository or folder.
    origin : the model as the user knows it, for messages.
    preferred : the recipe's name for it, if any.
    library : whose model it is; decides on the standard names.

    Raises
    ------
    ModelError : when there is none, or several without a preferred one, or an adapter would be left out.
    """
    if adapters := sorted(name for name in names if _ADAPTER.fullmatch(name)):
        raise ModelError(
            f"{origin} has an adapter ({first_few(adapters)}), which would be left out",
            remedy="merge it into the weights (peft: merge_and_unload()), save them as model.safetensors and "
            "use local-dir:PATH, or load the model with your own python:module:factory",
        )
    standard: tuple[str, ...] = _STANDARD_OF.get(library or "", _STANDARD)
    for name in (preferred, *standard):
        if name is not None and name in names:
            return name
    for suffix in _OTHERS:
        candidates = sorted(name for name in names if "/" not in name and name.endswith(suffix))
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise ModelError(
                f"{origin} has several files of weights ({first_few(candidates)}) with no standard name",
                remedy="put config.json and the right file, as model.safetensors, into a folder and use "
                "local-dir:PATH",
            )
    raise ModelError(
        f"{origin} has no weights ({', '.join(standard[:3])} or a single *.pth)",
        remedy="check the name, or load the model with your own python:module:factory",
    )


def left_out(names: Collection[str], used: Collection[str]) -> list[str]:
    """Other files of weights, and adapters in folders, that a model's repository or folder has."""
    return sorted(
        name
        for name in set(names) - set(used)
        if ("/" not in name and name.endswith(_OTHERS) and not _OF_TRAINING.fullmatch(name))
        or _ADAPTER.fullmatch(name.rpartition("/")[2])
    )


def shards_of(index: Path, origin: str) -> list[str]:
    """The files that an index lists, sorted.

    Raises
    ------
    ModelError : when it is not an index, or lists a file outside of its own folder.
    """
    try:
        if index.stat().st_size > _INDEX_BYTES:
            raise ValueError
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{index.name} of {origin} is not an index of weights", remedy="download or save the model again"
        ) from error
    suffix = index.name.removesuffix(_INDEX).rpartition(".")[2]
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", name):
            raise ModelError(
                f"{index.name} of {origin} lists {shortened(name)}, which lies outside of the model's folder",
                remedy="do not use this model unless you know who made it",
            )
        if path.suffix != f".{suffix}":
            raise ModelError(
                f"{index.name} of {origin} lists {shortened(name)}, which is not a {suffix} file",
                remedy="download or save the model again",
            )
    return sorted(names)


def is_weights(name: str) -> bool:
    """Whether a file has the name of one with weights."""
    return name.endswith(_OTHERS)


def is_index(name: str) -> bool:
    """Whether a file of weights is an index of others."""
    return name.endswith(_INDEX)


def misfits(
    expected: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], *, headless: bool = False
) -> str | None:
    """How weights differ from a network's, as the end of a sentence after 'it'; None where they fit.

    With `headless` the network has no classifier, and left-over weights of one do not count.
    """
    unexpected = [key for key in weights.keys() - expected.keys() if not (headless and is_left_over(key))]
    shapes = [key for key in expected.keys() & weights.keys() if expected[key].shape != weights[key].shape]
    missing = expected.keys() - weights.keys()
    return describe_misfits(missing, unexpected, shapes, of_other_types(expected, weights))


def of_other_types(expected: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of other numbers where the network has floating-point ones, as in quantized weights."""
    common = expected.keys() & weights.keys()
    return [
        key for key in common if expected[key].is_floating_point() and not weights[key].is_floating_point()
    ]


def describe_misfits(
    missing: Iterable[str], unexpected: Iterable[str], shapes: Iterable[str], types: Iterable[str] = ()
) -> str | None:
    """The text of `misfits`, from the names of the tensors."""
    kinds = {
        "lacks": missing,
        "has unexpected": unexpected,
        "has other shapes for": shapes,
        "has no floating-point numbers for": types,
    }
    parts = [f"{verb} {first_few(sorted(keys))}" for verb, names in kinds.items() if (keys := list(names))]
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


def named_files(paths: Sequence[Path]) -> str:
    """The file of weights by its name, or how many files they are in."""
    return paths[0].name if len(paths) == 1 else f"the checkpoint of {len(paths)} files"


def first_few(keys: list[str]) -> str:
    """The first few keys, which come from a file, and the number of the others."""
    shown = ", ".join(printable(key)[:_KEY_LENGTH] for key in keys[:_KEYS_SHOWN])
    return shown if len(keys) <= _KEYS_SHOWN else f"{shown} and {len(keys) - _KEYS_SHOWN} more"
