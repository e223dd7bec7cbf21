"""open_clip's `open_clip_config.json`: what of it reaches the library, and by which rules.

A config comes from anybody. Only the image part's own fields are passed on, and none of them may make the
library or timm look for weights or configs elsewhere.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping
from typing import Any

from pathorob_checks.errors import ModelError
from pathorob_checks.models.preprocessing import FIELDS
from pathorob_checks.models.timm_config import is_plain
from pathorob_checks.wording import shortened

_WITHOUT_REQUESTS = {"timm_model_pretrained": False}
_CROPS = {"shortest": "center", "squash": "squash"}
_NAME = re.compile(r"[\w.-]+")
_LARGEST_SIDE = 4_096


def model_config(config: Mapping[str, Any] | None, architecture: str | None, origin: str) -> dict[str, Any]:
    """The arguments of the image part: `embed_dim`, `vision_cfg` and `quick_gelu`.

    Parameters
    ----------
    config : content of `open_clip_config.json`; None where a recipe replaces it.
    architecture : the recipe's, open_clip's name of a config of its own.
    origin : the model as the user knows it, for messages.

    Raises
    ------
    ModelError : when the library has no such architecture, or a value is not one of an image part.
    """
    given = config.get("model_cfg") if config else _own_config(architecture, origin)
    if not isinstance(given, Mapping):
        raise _invalid("model_cfg", given, origin)
    vision = given.get("vision_cfg")
    if not isinstance(vision, Mapping):
        raise _invalid("vision_cfg", vision, origin)
    fields = {field.name for field in dataclasses.fields(_library("model").CLIPVisionCfg)}
    for key, value in vision.items():
        if key not in fields or not is_plain(value):
            raise _invalid(f"vision_cfg.{key}", value, origin)
    name = vision.get("timm_model_name")
    # A name with a source (hf-hub:, local-dir:) would make timm load another model.
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name)):
        raise _invalid("vision_cfg.timm_model_name", name, origin)
    width = given.get("embed_dim")
    if not isinstance(width, int) or isinstance(width, bool) or not is_plain(width) or width < 1:
        raise _invalid("embed_dim", width, origin)
    quick_gelu = given.get("quick_gelu", False)
    if not isinstance(quick_gelu, bool):
        raise _invalid("quick_gelu", quick_gelu, origin)
    return {"embed_dim": width, "vision_cfg": {**vision, **_WITHOUT_REQUESTS}, "quick_gelu": quick_gelu}


def preprocessing(config: Mapping[str, Any] | None, vision: Mapping[str, Any], origin: str) -> Any:
    """The library's `PreprocessCfg`; the size is that of the network, as the library takes it.

    Raises
    ------
    ModelError : when a value is one with which no image can be prepared.
    """
    given = (config or {}).get("preprocess_cfg") or {}
    if not isinstance(given, Mapping):
        raise _invalid("preprocess_cfg", given, origin)
    library = _library("transform")
    sides = vision.get("image_size", 224)
    values = library.merge_preprocess_dict(library.PreprocessCfg(), {**given, "size": sides})
    tests = {
        "size": lambda value: all(
            isinstance(side, int) and 0 < side <= _LARGEST_SIDE for side in _pair(value)
        ),
        "mode": lambda value: value == "RGB",
        "mean": lambda value: len(value) == 3 and all(abs(number) < 1e3 for number in value),
        "std": lambda value: len(value) == 3 and all(0 < number < 1e3 for number in value),
        "interpolation": lambda value: value in ("bilinear", "bicubic"),
        "resize_mode": lambda value: value in ("shortest", "longest", "squash"),
        "fill_color": lambda value: isinstance(value, int) and 0 <= value <= 255,
    }
    for key, is_right in tests.items():
        try:
            right = bool(is_right(values[key]))  # type: ignore[no-untyped-call]
        except (TypeError, ValueError):
            right = False
        if not right:
            raise _invalid(f"preprocess_cfg.{key}", values[key], origin)
    return library.PreprocessCfg(**values)


def unstated(config: Mapping[str, Any]) -> list[str]:
    """The values of the preprocessing that a config leaves to the library's defaults."""
    given = config.get("preprocess_cfg") or {}
    return [key for key in ("mean", "std", "interpolation", "resize_mode") if given.get(key) is None]


def as_fields(config: Any) -> dict[str, Any]:
    """A `PreprocessCfg` as the fields of `Preprocessing`; values that do not fit into them are left out."""
    height, width = _pair(config.size)
    values: dict[str, Any] = {
        "interpolation": config.interpolation,
        "mean": tuple(map(float, config.mean)),
        "std": tuple(map(float, config.std)),
    }
    if height == width:
        values |= {"size": height, "resize": height}
    if config.resize_mode in _CROPS:
        values["crop"] = _CROPS[config.resize_mode]
    return {key: values[key] for key in FIELDS if key in values}


def _pair(value: Any) -> tuple[Any, Any]:
    first, second = (value, value) if isinstance(value, int) else value
    return first, second


def _own_config(architecture: str | None, origin: str) -> dict[str, Any]:
    """The config that the library has under a name."""
    library = _library("factory")
    if architecture not in library.list_models():
        raise ModelError(
            f"{origin} needs the architecture {shortened(architecture)}, which is not in open_clip "
            f"{_library('version').__version__}",
            remedy="upgrade open-clip-torch, or load the model with your own python:module:factory",
        )
    config: dict[str, Any] = library.get_model_config(architecture)
    return config


def _invalid(key: str, value: object, origin: str) -> ModelError:
    return ModelError(
        f"open_clip_config.json of {origin} has {shortened(key).strip(chr(39))} {shortened(value)}, which "
        "open_clip cannot use",
        remedy="save the model again, or load it with your own python:module:factory",
    )


def _library(part: str) -> Any:
    """A module of the library, which is optional and untyped."""
    return importlib.import_module(f"open_clip.{part}")
