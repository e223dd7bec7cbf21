"""Models with random weights and cohorts of image files, for the parts that embed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf

from gpu_parts import images
from gpu_parts.record import Task
from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec


@dataclass(frozen=True)
class Network:
    """An architecture of timm, and patches that take a GPU some seconds."""

    name: str
    patches: int
    arguments: dict[str, Any] = field(default_factory=dict)


SMALL = Network("vit_tiny_patch16_224", 64, {"img_size": 64})
VIT_S = Network("vit_small_patch16_224", 4000)
VIT_L = Network("vit_large_patch16_224", 4000)
VIT_G = Network("vit_giant_patch14_dinov2", 1000, {"img_size": 224})


def write_model(folder: Path, network: Network, device: str) -> Path:
    """The network as its library saves it; its weights are drawn on the device, which takes no time there."""
    if not folder.exists():
        torch.manual_seed(0)
        with torch.device(device):
            model = timm.create_model(network.name, num_classes=0, **network.arguments)
        size = model.patch_embed.img_size
        save_for_hf(model.cpu(), str(folder), model_args=network.arguments, safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        config["pretrained_cfg"]["input_size"] = [3, *size]
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def prepared(folder: Path, task: Task, **settings: Any) -> PreparedModel:
    """The model of a folder on the task's device, not loaded."""
    chosen = ModelSettings(device=task.device, **settings)
    return prepare(resolve(parse_spec(f"local-dir:{folder}"), folder.name), chosen)


def write_cohort(work: Path, patches: int, form: str) -> Path:
    """A folder with so many of the images in `work / "images"`, and a manifest."""
    folder = work / f"cohort-{form}-{patches}"
    if not folder.exists():
        folder.mkdir()
        names = [f"{number:05}.{form}" for number in range(patches)]
        for name in names:
            os.link(work / "images" / name, folder / name)
        images.table(patches).assign(image_path=names, patch_id=names).to_csv(
            folder / "manifest.csv", index=False
        )
    return folder
