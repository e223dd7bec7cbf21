"""Tiny transformers models on disk, shards, and a hub whose repositories are folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pathorob_checks import hub

MEAN, STD = [0.7, 0.6, 0.7], [0.2, 0.25, 0.2]
SMALL: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "image_size": 56,
    "patch_size": 14,
}


def write_tiny_transformers(
    folder: Path, model_type: str, *, model_class: str | None = None, seed: int = 0, **config: Any
) -> Path:
    """Save a randomly initialised model as transformers does, with preprocessing to 56 px; its folder.

    `config` is `SMALL` for vision transformers, changed by the arguments given; others take these alone.
    """
    import transformers

    values = {**(SMALL if model_type in ("vit", "dinov2", "dinov2_with_registers") else {}), **config}
    built = transformers.CONFIG_MAPPING[model_type](**values)
    maker: Any = (
        getattr(transformers, model_class) if model_class else transformers.MODEL_MAPPING[type(built)]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = maker(built)
        with torch.no_grad():  # biases and tokens start as zeros, which would hide mistakes
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": 56, "width": 56},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def shard(folder: Path) -> list[Path]:
    """Split `model.safetensors` into two files and an index."""
    whole = folder / "model.safetensors"
    weights = load_file(whole)
    whole.unlink()
    keys = sorted(weights)
    halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, half in zip(names, halves, strict=True):
        save_file({key: weights[key] for key in half}, folder / name)
    places = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return [folder / name for name in names]


def edit_json(path: Path, **changes: Any) -> None:
    """Change values of a JSON object on disk; None takes one away."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def hub_of_folders(monkeypatch: pytest.MonkeyPatch, folders: Mapping[str, Path]) -> list[str]:
    """Let `hub` serve folders as repositories; returns the list of names fetched, which grows."""
    fetched: list[str] = []

    def resolve_revision(repo: str, revision: str | None, kind: str = "model") -> str:
        if revision is not None and len(revision) == 40:
            return revision
        return hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()

    def list_files(repo: str, commit: str, kind: str = "model") -> list[hub.RemoteFile]:
        files = [path for path in sorted(folders[repo].rglob("*")) if path.is_file()]
        return [
            hub.RemoteFile(file.relative_to(folders[repo]).as_posix(), file.stat().st_size) for file in files
        ]

    def fetch(repo: str, commit: str, filename: str, kind: str = "model") -> Path:
        fetched.append(filename)
        return folders[repo] / filename

    monkeypatch.setattr(hub, "resolve_revision", resolve_revision)
    monkeypatch.setattr(hub, "list_files", list_files)
    monkeypatch.setattr(hub, "fetch", fetch)
    return fetched
