"""Tiny open_clip models on disk, as open_clip saves them."""

from __future__ import annotations

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

TEXT: dict[str, Any] = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
VIT: dict[str, Any] = {"image_size": 64, "layers": 2, "width": 48, "head_width": 16, "patch_size": 16}
RESNET: dict[str, Any] = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}
TIMM: dict[str, Any] = {
    "image_size": 224,
    "timm_model_name": "test_vit",
    "timm_pool": "",
    "timm_proj": "linear",
    "timm_model_pretrained": True,
}
PREPROCESSING: dict[str, Any] = {
    "mean": [0.48, 0.45, 0.4],
    "std": [0.27, 0.26, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def clip_of(model_cfg: dict[str, Any]) -> Any:
    """The library's whole model with random weights."""
    library: Any = importlib.import_module("open_clip.model")
    given = copy.deepcopy(model_cfg)
    given["vision_cfg"].pop("timm_model_pretrained", None)  # else timm would ask the hub for weights
    maker = library.CustomTextCLIP if given.pop("custom_text", False) else library.CLIP
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = maker(**given).eval()
        with torch.no_grad():  # biases start as zeros, which would hide mistakes
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def write_open_clip(
    folder: Path,
    vision: dict[str, Any] = VIT,
    *,
    pickled: bool = False,
    preprocessing: dict[str, Any] | None = None,
    **model: Any,
) -> Any:
    """Save a model's config and weights into a folder; returns the model."""
    model_cfg = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": TEXT, **model}
    built = clip_of(model_cfg)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_cfg": model_cfg,
        "preprocess_cfg": PREPROCESSING if preprocessing is None else preprocessing,
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    weights = {name: tensor.contiguous() for name, tensor in built.state_dict().items()}
    if pickled:
        torch.save(weights, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(weights, folder / "open_clip_model.safetensors")
    return built
