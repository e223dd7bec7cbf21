"""The files of a transformers model: errors in them, identity, and code in a repository."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from loopback_hub import loopback_hub
from prepared_models import load_transformers, prepare_folder
from safetensors.torch import load_file, save_file
from tiny_models import edit_json, write_tiny_transformers

from pathorob_checks.errors import ModelError

transformers: Any = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_transformers(tmp_path / "vit", "vit")


def damage_weights(folder: Path, change: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: damage_weights(
                folder, lambda w: w.update({"layernorm.gain": w.pop("layernorm.weight")})
            ),
            r"lacks layernorm\.weight and has unexpected layernorm\.gain",
        ),
        (
            lambda folder: damage_weights(folder, lambda w: w.update({"layernorm.weight": torch.ones(7)})),
            r"has other shapes for layernorm\.weight",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not tensors"), "damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "no preprocessor_config.json"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("{"), "cannot be used"),
        (lambda folder: (folder / "config.json").write_text("\n<!DOCTYPE html>"), "is a web page"),
        (
            lambda folder: edit_json(folder / "config.json", model_type="vit_of_tomorrow"),
            "upgrade transformers",
        ),
        (lambda folder: edit_json(folder / "config.json", hidden_act="wave"), "cannot build"),
        (
            lambda folder: edit_json(
                folder / "config.json", model_type="own", auto_map={"AutoModel": "modeling.Own"}
            ),
            "--fm-trust-remote-code and the full commit",
        ),
    ],
    ids=["keys", "shape", "garbage", "no-weights", "no-prep", "prep", "page", "future", "args", "code"],
)
def test_files_that_make_no_model_are_an_error_of_one_sentence(vit: Path, damage: Any, message: str) -> None:
    damage(vit)
    with pytest.raises(ModelError, match=message) as caught:
        load_transformers(vit)
    assert "\n" not in str(caught.value)


def test_a_text_model_cannot_embed_images(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 40,
    }
    folder = write_tiny_transformers(tmp_path / "bert", "bert", **small)
    with pytest.raises(ModelError, match="cannot embed a blank image"):
        load_transformers(folder)


def test_a_missing_library_is_named_with_its_requirement(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"install it with pip install 'transformers>=5\.23'"):
        prepare_folder(vit)


@pytest.mark.parametrize("change", ["weight", "config", "preprocessing", "pooling"])
def test_whatever_changes_the_embedding_changes_the_identity(vit: Path, change: str) -> None:
    before, settings = prepare_folder(vit).identity, {}
    assert cast("dict[str, str]", before["versions"])["transformers"] == transformers.__version__
    assert json.loads(json.dumps(before)) == before
    if change == "weight":
        damage_weights(vit, lambda weights: weights["layernorm.bias"].add_(1e-3))
    elif change == "config":
        edit_json(vit / "config.json", layer_norm_eps=1e-3)
    elif change == "preprocessing":
        edit_json(vit / "preprocessor_config.json", resample=3)
    else:
        settings = {"pooling": "cls"}
    assert prepare_folder(vit, **settings).identity != before


def test_the_verbosity_of_the_library_is_restored(vit: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_transformers(vit)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert "Loading weights" not in "".join(capfd.readouterr())


REMOTE_CONFIG = """
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "own"
    patch_size = 14
"""
REMOTE_MODEL = """
import os, pathlib
import torch
from transformers import PreTrainedModel
from .configuration_own import OwnConfig

pathlib.Path(os.environ["WITNESS"]).touch()

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 8))
        self.patches = torch.nn.Conv2d(3, 8, 14, 14)
        self.post_init()

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(images), -1, -1), patches], 1)
"""
PROGRAM = """
import json, sys, torch
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.models.loading import files_of, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec
text, trusted = json.loads(sys.argv[1])
try:
    resolved = resolve(parse_spec(text), "own")
    settings = ModelSettings(device="cpu", trust_remote_code=trusted)
    files = files_of(resolved, settings)
    model = prepare(resolved, settings).load()
    result = {"files": files, "shape": list(model.embed(torch.zeros(2, 3, 56, 56)).shape)}
except PathorobChecksError as error:
    result = {"error": str(error)}
print(json.dumps(result))
"""


@pytest.mark.slow
def test_code_of_a_repository_runs_only_if_trusted_and_pinned(tmp_path: Path) -> None:
    """In processes of their own, against a hub on this machine, as the code is imported from its cache."""
    folder = tmp_path / "own"
    folder.mkdir()
    weights = {"cls_token": torch.ones(1, 1, 8), "patches.weight": torch.ones(8, 3, 14, 14)}
    save_file({**weights, "patches.bias": torch.zeros(8)}, folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps(
            {
                "model_type": "own",
                "auto_map": {
                    "AutoConfig": "configuration_own.OwnConfig",
                    "AutoModel": "modeling_own.OwnModel",
                },
            }
        )
    )
    (folder / "configuration_own.py").write_text(REMOTE_CONFIG)
    (folder / "modeling_own.py").write_text(REMOTE_MODEL)
    donor = write_tiny_transformers(tmp_path / "donor", "vit")
    (folder / "preprocessor_config.json").write_bytes((donor / "preprocessor_config.json").read_bytes())
    witness = tmp_path / "witness"
    with loopback_hub() as hub:
        commit = hub.add("lab/own", folder)

        def run(text: str, trusted: bool) -> Any:
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, json.dumps([text, trusted])],
                env=hub.environment(tmp_path / "home", WITNESS=str(witness)),
                cwd=Path(__file__).parent.parent,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.splitlines()[-1])

        for text, trusted in [(f"hf-hub:lab/own@{commit}", False), ("hf-hub:lab/own", True)]:
            error = run(text, trusted)["error"]
            assert "--fm-trust-remote-code and the full commit" in error
        assert not witness.exists(), "the code ran"
        result = run(f"hf-hub:lab/own@{commit}", True)
    assert witness.exists()
    assert result["shape"] == [2, 16]
    assert set(result["files"]) == {path.name for path in folder.iterdir()}
