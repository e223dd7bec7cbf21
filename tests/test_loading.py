"""Preparing models that have no files of a known form: the user's own code, demo models, embeddings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pathorob_checks.errors import ModelError
from pathorob_checks.models.devices import resolve_device
from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import DEMO_NAMES, parse_spec


def test_devices_that_are_not_there_are_refused() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("tpu", "cuda:x", "gpu", "cuda:99"):
        with pytest.raises(ModelError):
            resolve_device(device)


USER_CODE = """
import torch
{imports}

class Encoder:
    def __init__(self):
        torch.manual_seed(0)
        {attribute} = torch.nn.Linear(3, 4)

    def preprocess(self, image):
        return torch.tensor(image.resize((1, 1)).getpixel((0, 0)), dtype=torch.float64).reshape(3, 1, 1)

    def embed(self, batch):
        return {attribute}(batch.flatten(1).float()).double()

def build():
    return Encoder()

class Half:
    embed = None

def shapeless():
    encoder = Encoder()
    encoder.embed = lambda batch: batch
    return encoder
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, source: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        Path(f"{name}.py").write_text(source)

    return write


def user_model(target: str, **settings: Any) -> PreparedModel:
    return prepare(resolve(parse_spec(f"python:{target}"), "mine"), ModelSettings(device="cpu", **settings))


def test_a_factory_of_the_users_is_wrapped_to_float32(write_module: Any) -> None:
    write_module("own_encoder", USER_CODE.format(imports="", attribute="self.model"))
    model = user_model("own_encoder:build").load()
    tensor = model.preprocess(Image.new("RGB", (8, 8), (255, 0, 0)))
    embedding = model.embed(torch.stack([tensor, tensor]))
    assert (tensor.dtype, embedding.dtype, embedding.shape) == (torch.float32, torch.float32, (2, 4))
    assert model.dimension == 4


def test_a_users_model_is_identified_by_its_code_and_weights(write_module: Any) -> None:
    source = USER_CODE.format(imports="import own_part", attribute="self.model")
    write_module("own_part", "")
    write_module("own_encoder", source)
    first = user_model("own_encoder:build").identity
    assert user_model("own_encoder:build").identity == first
    write_module("own_encoder", source.replace("manual_seed(0)", "manual_seed(1)"))
    second = user_model("own_encoder:build").identity
    assert second["weights_sha256"] != first["weights_sha256"]
    write_module("own_part", "COLOUR = 'red'")
    write_module("own_encoder", source)
    assert user_model("own_encoder:build").identity != first


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("own_absent:build", "cannot be imported"),
        ("own_encoder:absent", "has no absent"),
        ("own_encoder:torch", "cannot be called"),
        ("own_encoder:Half", "without preprocess and embed"),
        ("own_encoder:shapeless", r"embed .* returned a Tensor of shape \(1, 3, 1, 1\)"),
    ],
)
def test_what_is_missing_in_a_users_model_is_named(write_module: Any, target: str, message: str) -> None:
    write_module("own_encoder", USER_CODE.format(imports="", attribute="self.model"))
    with pytest.raises(ModelError, match=message):
        user_model(target).load()


def test_a_setting_that_would_be_ignored_is_refused(write_module: Any) -> None:
    write_module("own_encoder", USER_CODE.format(imports="", attribute="self.model"))
    with pytest.raises(ModelError, match="--fm-pooling cannot be applied"):
        user_model("own_encoder:build", pooling="cls")


@pytest.mark.parametrize("name", DEMO_NAMES)
def test_a_demo_model_is_prepared_without_a_download(name: str) -> None:
    spec = parse_spec(f"demo:{name}")
    settings = ModelSettings(device="cpu", batch_size=5)
    first, second = (prepare(resolve(spec, name), settings) for _ in range(2))
    assert json.loads(json.dumps(first.identity)) == second.identity
    model = first.load()
    images = [Image.new("RGB", (256, 256), (200, 120, shade)) for shade in (160, 200)]
    embedding = model.embed(torch.stack([model.preprocess(image) for image in images]))
    assert embedding.shape == (2, model.dimension)
    assert (model.batch_size, model.identity) == (5, first.identity)


def test_precomputed_embeddings_are_prepared_and_cannot_embed(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    resolved = resolve(parse_spec(f"embeddings:{folder}"), "mine")
    model = prepare(resolved, ModelSettings())
    assert model.identity == {"kind": "embeddings", "folder": "mine"}
    with pytest.raises(ModelError, match="precomputed embeddings cannot embed images"):
        model.load()
    with pytest.raises(ModelError, match="--fm-pooling cannot be applied"):
        prepare(resolved, ModelSettings(pooling="cls"))
    with pytest.raises(ModelError, match="is not a folder"):
        resolve(parse_spec(f"embeddings:{tmp_path / 'nowhere'}"), "mine")


def test_a_relative_folder_of_embeddings_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Path(resolve(parse_spec("embeddings:mine"), "mine").spec.target).is_absolute()
