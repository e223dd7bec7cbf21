"""Models with random weights and cohorts of image files, for the parts that embed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import extraction
import timm
import torch
from timm.models import save_for_hf

from gpu_parts.record import Task
from pathorob_checks.models.loading import ModelSettings, PreparedModel, prepare, resolve
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
        save_for_hf(model, str(folder), model_args=network.arguments, safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        config["pretrained_cfg"]["input_size"] = [3, *size]
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def prepared(folder: Path, task: Task, **settings: Any) -> PreparedModel:
    """The model of a folder on the task's device, not loaded."""
    chosen = ModelSettings(device=task.device, **settings)
    return prepare(resolve(parse_spec(f"local-dir:{folder}"), folder.name), chosen)


def write_images(folder: Path, form: str, count: int) -> Path:
    """Images of `benchmarks/extraction.py`, from which cohorts of any size are made."""
    extraction.write_cohort(folder, count, form)
    return folder


def write_cohort(folder: Path, images: Path, patches: int) -> Path:
    """A cohort of the first images, linked and not copied, with a manifest."""
    files = sorted(path for path in images.iterdir() if path.suffix != ".csv")
    folder.mkdir()
    of_slide = max(4, min(16, patches // 60))  # so that a few patches are of enough slides, too
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center,subset"]
    for number in range(patches):
        file = files[number]
        name, slide = f"{number:05}{file.suffix}", number // of_slide
        cls, center = "ab"[slide % 2], "ABC"[slide // 2 % 3]
        os.link(file, folder / name)
        lines.append(f"{name},s{slide},{number:05},{cls},{center},{'OOD' if center == 'C' else 'ID'}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder
