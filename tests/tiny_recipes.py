"""A recipe of a tiny timm model, and weights for a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors.torch import save_file

from pathorob_checks.models.layers import with_layers
from pathorob_checks.models.recipes import Recipe


def make_recipe(**values: Any) -> Recipe:
    """A recipe of a tiny timm model."""
    row: dict[str, Any] = {
        "name": "tiny",
        "repo": "lab/tiny",
        "library": "timm",
        "architecture": "vit_tiny_patch16_224",
        "model_args": {"img_size": 64, "depth": 1, "embed_dim": 48, "num_heads": 3, "num_classes": 0},
        "preprocessing": {
            "size": 64,
            "resize": 80,
            "crop": "center",
            "interpolation": "bicubic",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
        },
        "pooling": "clsmean",
        "class_tokens": 1,
        "native_dimension": 48,
        "dimension": 96,
        "license": "MIT",
        "commercial": True,
        "gated": False,
        "sources": {"network": "code", "preprocessing": "code", "pooling": "code", "license": "code"},
    }
    return Recipe.model_validate({**row, **values})


def write_recipe_model(folder: Path, recipe: Recipe, **more: Any) -> torch.nn.Module:
    """Random weights of a recipe's network, without a config.json."""
    torch.manual_seed(0)
    arguments = with_layers({**recipe.model_args, **more})
    model: torch.nn.Module = timm.create_model(
        cast("str", recipe.architecture), pretrained=False, **arguments
    )
    folder.mkdir(exist_ok=True)
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    return model.eval()
