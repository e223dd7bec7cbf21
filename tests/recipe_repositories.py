"""Repositories for the recipes of the table, as their authors publish them, with tiny random networks.

`shrunken` makes a recipe's network small through the arguments that state its size, and leaves all others to
the table: kinds of layers, registers, class token, patch and image size. `publish` writes the repository of
such a recipe. What the repository states of the preprocessing differs from what the recipe states, so that
the values in force show whose they are.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_open_clip import TEXT, clip_of

from pathorob_checks.models.layers import with_layers
from pathorob_checks.models.recipes import Recipe

# The arguments that make timm's networks small, and the width of their tokens, by the architecture's name.
TIMM_SIZES: dict[str, tuple[dict[str, Any], int]] = {
    "vit_": ({"depth": 2, "embed_dim": 32, "num_heads": 2}, 32),
    "swin_": ({"depths": [1, 1, 1, 1], "embed_dim": 16, "num_heads": [1, 2, 4, 8]}, 128),
    "resnet": ({"layers": [1, 1, 1, 1]}, 2048),
}
# The same for transformers' configs.
TRANSFORMERS_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "projection_dim": 24,
    "vocab_size": 64,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OPEN_CLIP_SIZE: dict[str, Any] = {
    "layers": 2,
    "width": 32,
    "head_width": 16,
    "patch_size": 32,
    "image_size": 224,
}
OPEN_CLIP_WIDTH = 24
REMOTE_WIDTH = 36

# Recipes whose repositories hold weights alone.
WITHOUT_CONFIG = ("gpfm", "hipt", "retccl")
# What is left in a repository's files from another pretraining; `other_than` avoids the recipe's values.
MEANS, STDS = ((0.6, 0.5, 0.7), (0.4, 0.5, 0.3)), ((0.2, 0.25, 0.3), (0.3, 0.2, 0.25))
CROP_PCT = 0.875
# Class, sizes and further facts of the image processor that goes with a type of model.
PROCESSORS: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}},
    "dinov2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 240},
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
    },
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
    },
}
RESAMPLE = {"bilinear": 2, "bicubic": 3}


@dataclass(frozen=True)
class Published:
    """A repository that was written.

    Attributes
    ----------
    recipe : of its network, with the digest of its weights.
    tokens : (B, 3, H, W) -> the network's tokens, computed by the library itself; None where it has none.
    pooled : (B, 3, H, W) -> the network's own pooled output.
    stated : the preprocessing that its files state, by the fields of a recipe's.
    """

    recipe: Recipe
    tokens: Callable[[torch.Tensor], torch.Tensor] | None
    pooled: Callable[[torch.Tensor], torch.Tensor]
    stated: dict[str, Any]


def shrunken(recipe: Recipe) -> Recipe:
    """The recipe of a small network, which needs no other versions of libraries than those installed."""
    changes: dict[str, Any] = {"requirements": ()}
    width = REMOTE_WIDTH
    if recipe.library == "timm":
        sizes, width = _timm_sizes(str(recipe.architecture))
        changes["model_args"] = {**recipe.model_args, **sizes}
    elif recipe.library == "open_clip":
        width = OPEN_CLIP_WIDTH
    elif not recipe.remote_code:
        changes["config_args"] = _small_config(recipe.config_args)
        width = TRANSFORMERS_SIZES["projection_dim" if recipe.pooling == "pooled" else "hidden_size"]
    factor = recipe.dimension // recipe.native_dimension
    return recipe.model_copy(update={**changes, "native_dimension": width, "dimension": factor * width})


def publish(recipe: Recipe, folder: Path) -> Published:
    """Write the repository of a shrunken recipe into a folder."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if recipe.library == "timm":
            published = _timm(recipe, folder)
        elif recipe.library == "open_clip":
            published = _open_clip(recipe, folder)
        elif recipe.remote_code:
            published = _remote(recipe, folder)
        else:
            published = _transformers(recipe, folder)
    return published


def _timm(recipe: Recipe, folder: Path) -> Published:
    import timm

    sizes, _ = _timm_sizes(str(recipe.architecture))
    # Of the layers' classes, no config.json can hold one; the rest stands in the authors' files as well.
    plain = {key: value for key, value in recipe.model_args.items() if not key.endswith("_layer")}
    if recipe.model_args.get("mlp_layer") == "SwiGLUPacked" and "mlp_ratio" not in plain:
        plain["mlp_ratio"] = 5.33334
    network: Any = timm.create_model(
        str(recipe.architecture), pretrained=False, **{**plain, **with_layers(recipe.model_args)}
    ).eval()
    _shake(network)
    side = recipe.preprocessing.size or 224
    embedding = getattr(network, "patch_embed", None)
    size = embedding.img_size[0] if embedding is not None else side
    ours = recipe.preprocessing
    stated: dict[str, Any] = {}
    if recipe.name not in WITHOUT_CONFIG:
        interpolation = "bilinear" if ours.interpolation == "bicubic" else "bicubic"
        mean, std = other_than(ours.mean, MEANS), other_than(ours.std, STDS)
        config = {
            "architecture": recipe.architecture,
            "num_classes": 0,
            "num_features": network.num_features,
            "global_pool": "token",
            "model_args": {**plain, **sizes},
            "pretrained_cfg": {
                "tag": "published",
                "custom_load": False,
                "input_size": [3, size, size],
                "fixed_input_size": network.pretrained_cfg.get("fixed_input_size", False),
                "interpolation": interpolation,
                "crop_pct": CROP_PCT,
                "crop_mode": "center",
                "mean": mean,
                "std": std,
                "num_classes": 0,
                "pool_size": None,
                "first_conv": network.pretrained_cfg.get("first_conv"),
                "classifier": network.pretrained_cfg.get("classifier"),
                "license": "other",
            },
        }
        (folder / "config.json").write_text(json.dumps(config))
        stated = {
            "size": size,
            "resize": math.floor(size / CROP_PCT),
            "crop": "center",
            "interpolation": interpolation,
            "mean": mean,
            "std": std,
        }
    recipe = _with_weights(recipe, network.state_dict(), folder)
    return Published(
        recipe,
        network.forward_features if recipe.class_tokens else None,
        lambda images: network.forward_head(network.forward_features(images), pre_logits=True),
        stated,
    )


def _transformers(recipe: Recipe, folder: Path) -> Published:
    import transformers

    config = transformers.CONFIG_MAPPING[recipe.model_type](**recipe.config_args)
    network: Any = transformers.MODEL_MAPPING[type(config)](config).eval()
    _shake(network)
    network.save_pretrained(folder)
    weights = {name: held.clone() for name, held in network.state_dict().items()}
    (folder / "model.safetensors").unlink()
    stated = _processor(recipe, folder, str(recipe.model_type))
    recipe = _with_weights(recipe, weights, folder)

    def pooled(images: torch.Tensor) -> torch.Tensor:
        features = network.get_image_features(pixel_values=images)
        output: torch.Tensor = getattr(features, "pooler_output", features)
        return output

    def tokens(images: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = network(pixel_values=images).last_hidden_state
        return output

    return Published(recipe, tokens if recipe.class_tokens else None, pooled, stated)


def _open_clip(recipe: Recipe, folder: Path) -> Published:
    model = {"embed_dim": OPEN_CLIP_WIDTH, "vision_cfg": OPEN_CLIP_SIZE, "text_cfg": TEXT}
    network = clip_of(model)
    ours = recipe.preprocessing
    stated: dict[str, Any] = {"mean": other_than(ours.mean, MEANS), "std": other_than(ours.std, STDS)}
    stated["interpolation"] = "bilinear" if ours.interpolation == "bicubic" else "bicubic"
    config = {"model_cfg": model, "preprocess_cfg": {**stated, "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    # Some authors publish the same network for transformers as well.
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "architectures": ["CLIPModel"]}))
    recipe = _with_weights(recipe, network.state_dict(), folder, "open_clip_pytorch_model.bin")
    side = OPEN_CLIP_SIZE["image_size"]
    return Published(
        recipe, None, network.encode_image, {**stated, "size": side, "resize": side, "crop": "center"}
    )


REMOTE_CONFIG = """
from transformers import PretrainedConfig

class PublishedConfig(PretrainedConfig):
    model_type = "published-for-{name}"
"""
REMOTE_MODEL = """
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .configuration_published import PublishedConfig


class PublishedModel(PreTrainedModel):
    config_class = PublishedConfig

    def __init__(self, config):
        super().__init__(config)
        width = config.hidden_size
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, width))
        self.register_tokens = torch.nn.Parameter(torch.zeros(1, config.registers, width))
        self.patches = torch.nn.Conv2d(3, width, config.patch_size, config.patch_size)
        self.mixer = torch.nn.Linear(width, width)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, pixel_values):
        patches = self.patches(pixel_values).flatten(2).transpose(1, 2)
        prefix = [self.cls_token, self.register_tokens]
        tokens = torch.cat([*(part.expand(len(patches), -1, -1) for part in prefix), patches], 1)
        tokens = tokens + self.mixer(tokens.mean(1, keepdim=True))
        pooled = torch.nn.functional.normalize(tokens[:, 0], dim=1)
        return BaseModelOutputWithPooling(last_hidden_state=tokens, pooler_output=pooled)
"""


def _remote(recipe: Recipe, folder: Path) -> Published:
    """A model that is code in its repository, with the output that such models have."""
    width, registers, patch = REMOTE_WIDTH, recipe.registers, 14
    ours = recipe.preprocessing
    stated: dict[str, Any] = {}
    config: dict[str, Any] = {
        "model_type": f"published-for-{recipe.name}",
        "architectures": ["PublishedModel"],
        "auto_map": {
            "AutoConfig": "configuration_published.PublishedConfig",
            "AutoModel": "modeling_published.PublishedModel",
        },
        "hidden_size": width,
        "registers": registers,
        "patch_size": patch,
    }
    if ours.mean is None and ours.resize is not None:
        # Their authors keep the statistics of the pixels in the model's config.
        stated = {"mean": MEANS[0], "std": STDS[0]}
        config |= {"pixel_mean": MEANS[0], "pixel_std": STDS[0]}
    else:
        stated = _processor(recipe, folder, "dinov2")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_published.py").write_text(REMOTE_CONFIG.format(name=recipe.name))
    (folder / "modeling_published.py").write_text(REMOTE_MODEL)
    shapes = {
        "cls_token": (1, 1, width),
        "register_tokens": (1, registers, width),
        "patches.weight": (width, 3, patch, patch),
        "patches.bias": (width,),
        "mixer.weight": (width, width),
        "mixer.bias": (width,),
    }
    weights = {name: torch.randn(shape) for name, shape in shapes.items()}
    recipe = _with_weights(recipe, weights, folder)

    def tokens(images: torch.Tensor) -> torch.Tensor:
        patches = torch.nn.functional.conv2d(
            images, weights["patches.weight"], weights["patches.bias"], stride=patch
        )
        prefix = torch.cat([weights["cls_token"], weights["register_tokens"]], 1).expand(len(images), -1, -1)
        both = torch.cat([prefix, patches.flatten(2).transpose(1, 2)], 1)
        return both + torch.nn.functional.linear(
            both.mean(1, keepdim=True), weights["mixer.weight"], weights["mixer.bias"]
        )

    def pooled(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(tokens(images)[:, 0], dim=1)

    return Published(recipe, tokens, pooled, stated)


def _processor(recipe: Recipe, folder: Path, kind: str) -> dict[str, Any]:
    """Write `preprocessor_config.json`; returns what it states."""
    ours = recipe.preprocessing
    interpolation = "bilinear" if ours.interpolation == "bicubic" else "bicubic"
    mean, std = other_than(ours.mean, MEANS), other_than(ours.std, STDS)
    facts = PROCESSORS[kind]
    content = {
        **facts,
        "do_resize": True,
        "resample": RESAMPLE[interpolation],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    squash = "height" in facts["size"]
    return {
        "size": facts.get("crop_size", facts["size"])["height"],
        "resize": facts["size"]["height" if squash else "shortest_edge"],
        "crop": "squash" if squash else "center",
        "interpolation": interpolation,
        "mean": mean,
        "std": std,
    }


def _with_weights(
    recipe: Recipe, weights: dict[str, torch.Tensor], folder: Path, name: str | None = None
) -> Recipe:
    """Write the weights where and as the recipe states; returns it with their digest.

    Beside a stated network lies another one, which would be taken if nothing were stated.
    """
    prefix = "".join(recipe.prefixes)
    network = {prefix + key: held.contiguous().clone() for key, held in weights.items()}
    others: dict[str, torch.Tensor] = {}
    if prefix:
        others = {f"ema.{key}": torch.zeros_like(held) for key, held in weights.items()}
        others[f"{recipe.prefixes[0]}head.mlp.0.weight"] = torch.ones(2)
    path = folder / (
        recipe.weights or name or ("checkpoint.pth" if recipe.sub_dictionary else "model.safetensors")
    )
    content: Any = network | others
    if recipe.sub_dictionary:
        average = {key: torch.zeros_like(held) for key, held in content.items()}
        content = {"state_dict_ema": average, recipe.sub_dictionary: content, "epoch": 100}
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    if recipe.revision is None:
        return recipe
    return recipe.model_copy(update={"weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()})


def _timm_sizes(architecture: str) -> tuple[dict[str, Any], int]:
    """The first entry of the table that the architecture's name begins with."""
    return next(sizes for start, sizes in TIMM_SIZES.items() if architecture.startswith(start))


def _small_config(arguments: dict[str, Any]) -> dict[str, Any]:
    small = {
        key: _small_config(value) if isinstance(value, dict) else TRANSFORMERS_SIZES.get(key, value)
        for key, value in arguments.items()
    }
    if "text_config" in small:
        more = ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id")
        small["text_config"] |= {key: TRANSFORMERS_SIZES[key] for key in more}
    return small


def _shake(network: torch.nn.Module) -> None:
    """Registers and biases start as zeros, and scales of layers near them, which would hide mistakes."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def other_than(value: tuple[float, ...] | None, choices: tuple[Any, ...]) -> Any:
    """A choice that is not the value."""
    return next(choice for choice in choices if choice != value)
