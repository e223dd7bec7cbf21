"""timm's `config.json`: what of it reaches timm, and by which rules.

A config comes from anybody. Only arguments of the architecture's own classes are passed on: others, such as
`checkpoint_path`, make timm read files. Where weights come from is never the config's decision.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from pathorob_checks.errors import ModelError
from pathorob_checks.wording import shortened

# Of `pretrained_cfg`: what decides the network's form and its preprocessing, and not where weights are.
_FORM = frozenset(
    ("num_classes", "first_conv", "classifier", "pool_size", "fixed_input_size", "min_input_size")
)
_PREPROCESSING = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
# Parameters that are no property of an architecture.
_NOT_OURS = frozenset(("self", "args", "kwargs", "device", "dtype", "cfg"))
_LARGEST = 1_000_000
_LONGEST = 1_000
_DEEPEST = 4
_SIZES = range(1, 4_097)
_INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest", "box", "hamming")
_CROP_MODES = ("center", "squash", "border")


def timm_arguments(
    config: Mapping[str, Any], architecture: str, origin: str
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """A config's `pretrained_cfg` and the arguments of its model, by timm's own rules.

    Parameters
    ----------
    config : content of `config.json`; empty where a recipe replaces it.
    architecture : timm's name, which timm knows.
    origin : the model as the user knows it, for messages.

    Raises
    ------
    ModelError : when an argument is not one of the architecture, or a value is of no use.
    """
    arguments = _checked(config.get("model_args") or {}, architecture, origin)
    if not config:
        return None, arguments
    # Older files have no key `pretrained_cfg`: its content is the whole file.
    given = config.get("pretrained_cfg") or config
    if not isinstance(given, Mapping):
        raise _invalid("pretrained_cfg", given, origin)
    pretrained_cfg = {key: given[key] for key in given if key in _FORM or key in _PREPROCESSING}
    if "num_classes" in config:
        pretrained_cfg["num_classes"] = config["num_classes"]
    for key, value in pretrained_cfg.items():
        if not is_plain(value):
            raise _invalid(key, value, origin)
    if "num_classes" in pretrained_cfg:
        arguments.setdefault("num_classes", pretrained_cfg["num_classes"])
    # Older timm saved the published size of the architecture, not that of the saved weights.
    size = arguments.get("img_size")
    if size is not None and pretrained_cfg.get("fixed_input_size") and not arguments.get("dynamic_img_size"):
        try:
            channels = (pretrained_cfg.get("input_size") or (3,))[0]
            height, width = (size, size) if isinstance(size, int) else size
        except (TypeError, ValueError, IndexError) as error:
            raise _invalid("img_size", size, origin) from error
        pretrained_cfg["input_size"] = (channels, height, width)
    return pretrained_cfg, arguments


def checked_preprocessing(data_config: Mapping[str, Any], origin: str) -> None:
    """Raise ModelError where timm's data config has values with which no image can be prepared."""
    tests = {
        "input_size": lambda value: len(value) == 3 and all(int(side) in _SIZES for side in value),
        "interpolation": lambda value: value in _INTERPOLATIONS,
        "mean": lambda value: len(value) == 3 and all(math.isfinite(number) for number in value),
        "std": lambda value: len(value) == 3 and all(0 < number < math.inf for number in value),
        "crop_pct": lambda value: 0.05 <= value <= 2,
        "crop_mode": lambda value: value in _CROP_MODES,
    }
    for key, is_right in tests.items():
        value = data_config.get(key)
        try:
            right = bool(is_right(value))  # type: ignore[no-untyped-call]
        except (TypeError, ValueError, OverflowError):
            right = False
        if not right:
            raise _invalid(key, value, origin)


def unstated(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of the preprocessing that a config leaves to timm's defaults, as timm does for 0 too."""
    given = config.get("pretrained_cfg") or config
    return tuple(key for key in _PREPROCESSING[1:5] if not given.get(key))


def _checked(arguments: object, architecture: str, origin: str) -> dict[str, Any]:
    if not isinstance(arguments, Mapping):
        raise _invalid("model_args", arguments, origin)
    given = {str(key): value for key, value in arguments.items() if value is not None}
    for key in sorted(given.keys() - _parameters(architecture)):
        raise ModelError(
            f"model_args in config.json of {origin} has {shortened(key)}, which is no argument of the "
            f"architecture {architecture}",
            remedy="save the model with the arguments of its architecture alone, or load it with your own "
            "python:module:factory",
        )
    for key, value in given.items():
        if not is_plain(value):
            raise _invalid(key, value, origin)
    return given


def _parameters(architecture: str) -> frozenset[str]:
    """Parameters of the classes that an architecture's module builds networks from."""
    from timm.models import model_entrypoint

    module: Any = sys.modules[model_entrypoint(architecture).__module__]
    names: set[str] = set()
    for value in vars(module).values():
        if not isinstance(value, type) or not value.__module__.startswith("timm."):
            continue
        if dataclasses.is_dataclass(value) and value.__module__ != "timm.models._pretrained":
            names |= {field.name for field in dataclasses.fields(value)}
        elif issubclass(value, nn.Module):
            names |= set(inspect.signature(value.__init__).parameters)
    return frozenset(names - _NOT_OURS)


def is_plain(value: object, depth: int = 0) -> bool:
    """Whether a value is a number, text or flag of sensible size, or a few of these."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return -_LARGEST <= value <= _LARGEST  # not NaN either
    if isinstance(value, str):
        return len(value) <= _LONGEST
    if isinstance(value, list | tuple | dict) and depth < _DEEPEST and len(value) <= _LONGEST:
        items = value.values() if isinstance(value, dict) else value
        return all(is_plain(item, depth + 1) for item in items)
    return False


def _invalid(key: str, value: object, origin: str) -> ModelError:
    return ModelError(
        f"config.json of {origin} has {key} {shortened(value)}, which timm cannot use",
        remedy="save the model again",
    )
