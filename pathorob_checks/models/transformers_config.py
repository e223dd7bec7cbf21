"""transformers' `config.json`: what of it reaches the library.

A config comes from anybody. Keys that make the library read other files, fetch code or other weights, or
quantize are refused; keys that only say where the model came from are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pathorob_checks.errors import ModelError
from pathorob_checks.wording import shortened

_ORIGINS = frozenset(("auto_map", "custom_pipelines", "_name_or_path", "name_or_path", "_commit_hash"))
_ATTENTION = ("attn_implementation", "experts_implementation")
_OWN_ATTENTION = ("eager", "sdpa")  # others are other packages, or code from a repository (org/kernel)
# What may not be in a config or a part of it, unless it is empty.
_REFUSED = {
    "quantization_config": "quantized weights",
    "compression_config": "compressed weights",
    "checkpoint_path": "weights in another file",
    "use_timm_backbone": "a network of timm's inside",
    "use_pretrained_backbone": "weights of another model",
    "backbone": "a network of another library inside",
    "adapter_config": "an adapter",
}
_FOREIGN_TYPES = ("timm_backbone", "timm_wrapper")
_STATED = {"do_normalize": ("image_mean", "image_std"), "do_resize": ("size", "resample")}


def transformers_config(config: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """A config without what says where the model came from.

    Raises
    ------
    ModelError : when it makes the library use other files, code or weights than the model's.
    """
    for part in _parts(config):
        reasons = [f"{key} ({reason})" for key, reason in _REFUSED.items() if part.get(key)]
        if part.get("model_type") in _FOREIGN_TYPES:
            reasons.append(f"model_type {part['model_type']} (a network of timm's inside)")
        for key, value in part.items():
            if str(key).lstrip("_").removesuffix("_internal") in _ATTENTION and not _is_own_attention(value):
                reasons.append(f"{key} {shortened(value)} (code of another package)")
        if reasons:
            raise ModelError(
                f"config.json of {origin} has {reasons[0]}, which is not used here",
                remedy="save the model without it, or load it with your own python:module:factory",
            )
    cleaned: dict[str, Any] = _without_origins(config)
    return cleaned


def unstated(preprocessor: Path) -> list[str]:
    """The values of the preprocessing that a `preprocessor_config.json` leaves to the library's defaults."""
    try:
        content = json.loads(preprocessor.read_text(encoding="utf-8"))
        return [
            key
            for switch, keys in _STATED.items()
            if content.get(switch) is not False
            for key in keys
            if content.get(key) is None
        ]
    except (OSError, ValueError, AttributeError, RecursionError):
        return []  # the library refuses it


def _is_own_attention(value: object) -> bool:
    values = value.values() if isinstance(value, Mapping) else [value]
    return all(item is None or (isinstance(item, str) and item in _OWN_ATTENTION) for item in values)


def _parts(value: object) -> Iterator[Mapping[str, Any]]:
    """A config and the configs inside it."""
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from _parts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item)


def _without_origins(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_origins(item) for key, item in value.items() if key not in _ORIGINS}
    return [_without_origins(item) for item in value] if isinstance(value, list) else value
