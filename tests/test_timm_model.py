"""Encoders from files and from the user's own code: what is pooled, what is refused, what identifies them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import timm
import torch
from loopback_hub import write_tiny_vit
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_models import shard

from pathorob_checks.errors import ModelError
from pathorob_checks.models import timm_model
from pathorob_checks.models.devices import resolve_device
from pathorob_checks.models.loading import ModelSettings, PreparedModel, prepare, resolve
from pathorob_checks.models.pooling import TokenLayout
from pathorob_checks.models.spec import DEMO_NAMES, parse_spec
from pathorob_checks.models.timm_model import TimmModel

REGISTERS: dict[str, Any] = {"architecture": "vit_small_patch14_reg4_dinov2", "img_size": 56}
SWIN: dict[str, Any] = {
    "architecture": "swin_tiny_patch4_window7_224",
    "img_size": 64,
    "depths": (1, 1),
    "num_heads": (2, 2),
    "embed_dim": 24,
    "window_size": 4,
}
FINER = pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="this torch has no such setting"
)
RESNET: dict[str, Any] = {"architecture": "resnet10t", "num_classes": 2}


def prepared(folder: Path, **settings: Any) -> PreparedModel:
    spec = parse_spec(f"local-dir:{folder}")
    return prepare(resolve(spec, "fm"), ModelSettings(**{"device": "cpu", **settings}))


def loaded(folder: Path, **settings: Any) -> TimmModel:
    model = prepared(folder, **settings).load()
    assert isinstance(model, TimmModel)
    return model


def tokens_by_hand(folder: Path, images: torch.Tensor) -> torch.Tensor:
    """What timm's own model gives for the saved weights: (B, tokens, D)."""
    config = json.loads((folder / "config.json").read_text())
    model: Any = timm.create_model(config["architecture"], pretrained=False, **config["model_args"])
    model.load_state_dict(load_file(folder / "model.safetensors"))
    with torch.inference_mode():
        tokens: torch.Tensor = model.eval().forward_features(images)
    return tokens


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_vit(tmp_path / "vit")


def test_a_class_token_is_concatenated_with_the_mean_of_the_patches(vit: Path, images: torch.Tensor) -> None:
    tokens = tokens_by_hand(vit, images)
    assert tokens.shape == (3, 1 + 16, 48)
    model = loaded(vit)
    torch.testing.assert_close(model.embed(images), torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
    assert (model.dimension, model.description["pooling"]) == (96, "clsmean")


def test_each_pooling_is_the_part_that_its_name_says(vit: Path, images: torch.Tensor) -> None:
    tokens = tokens_by_hand(vit, images)
    torch.testing.assert_close(loaded(vit, pooling="cls").embed(images), tokens[:, 0])
    torch.testing.assert_close(loaded(vit, pooling="mean").embed(images), tokens[:, 1:].mean(1))
    # This architecture's own pooling is its class token.
    torch.testing.assert_close(loaded(vit, pooling="pooled").embed(images), tokens[:, 0])


def test_registers_stay_out_of_the_mean(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_vit(tmp_path / "registers", **REGISTERS)
    images = images[..., :56, :56]
    tokens = tokens_by_hand(folder, images)
    assert tokens.shape == (3, 1 + 4 + 16, 48)
    right, leaking = tokens[:, 5:].mean(1), tokens[:, 1:].mean(1)
    model = loaded(folder)
    torch.testing.assert_close(model.embed(images), torch.cat([tokens[:, 0], right], 1))
    assert model.description["prefix_tokens"] == 5
    assert not torch.allclose(right, leaking, atol=1e-3), "the test could not have seen a leak"


def test_a_changed_register_is_seen_only_through_the_patches_that_attend_to_it(tmp_path: Path) -> None:
    """Without blocks no token sees another, so a register can reach the embedding by a leak alone."""
    folder = write_tiny_vit(tmp_path / "a", **REGISTERS, depth=0)
    images = torch.randn(2, 3, 56, 56)
    before = loaded(folder).embed(images)
    weights = load_file(folder / "model.safetensors")
    weights["reg_token"] += 7.0 * torch.randn_like(weights["reg_token"])
    save_file(weights, folder / "model.safetensors")
    torch.testing.assert_close(loaded(folder).embed(images), before, rtol=0, atol=0)


def test_a_model_that_normalises_after_pooling_does_so_here(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_tiny_vit(tmp_path / "gap", global_pool="avg")
    own = loaded(folder, pooling="pooled").embed(images)
    torch.testing.assert_close(loaded(folder, pooling="mean").embed(images), own)
    assert loaded(folder).dimension == 96


@pytest.mark.parametrize("arguments", [SWIN, RESNET], ids=["swin", "resnet"])
def test_without_a_class_token_the_models_own_pooling_is_taken(
    tmp_path: Path, images: torch.Tensor, arguments: dict[str, Any]
) -> None:
    folder = write_tiny_vit(tmp_path / "model", **arguments)
    features = tokens_by_hand(folder, images)
    by_hand = features.mean((1, 2)) if "swin" in arguments["architecture"] else features.mean((2, 3))
    model = loaded(folder)
    torch.testing.assert_close(model.embed(images), by_hand)
    assert model.description["pooling"] == "pooled"
    for impossible in ("cls", "mean", "clsmean"):
        with pytest.raises(ModelError, match="choose pooled"):
            loaded(folder, pooling=impossible)


def test_a_transformer_without_class_token_can_be_asked_for_its_mean_only(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "gap", class_token=False, global_pool="avg")
    assert loaded(folder).description["pooling"] == "pooled"
    assert loaded(folder, pooling="mean").dimension == 48
    with pytest.raises(ModelError, match="no class token"):
        loaded(folder, pooling="clsmean")


def test_a_class_token_without_a_countable_grid_is_no_reason_to_guess(
    vit: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = loaded(vit, pooling="pooled").embed(images)
    monkeypatch.setattr(timm_model, "layout_of", lambda model: TokenLayout(1, True, None))
    model = loaded(vit)
    torch.testing.assert_close(model.embed(images), own)
    assert model.description["pooling"] == "pooled"
    (note,) = cast("list[str]", model.description["notes"])
    assert "own pooled output is used instead of clsmean" in note
    with pytest.raises(ModelError, match="choose pooled"):
        loaded(vit, pooling="clsmean")


def test_tokens_that_do_not_fit_the_grid_are_no_reason_to_guess(
    vit: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = loaded(vit, pooling="pooled").embed(images)
    # As if the model had forgotten to tell of three registers.
    monkeypatch.setattr(timm_model, "layout_of", lambda model: TokenLayout(4, True, lambda h, w: (4, 4)))
    model = loaded(vit)
    torch.testing.assert_close(model.embed(images), own)
    (note,) = cast("list[str]", model.description["notes"])
    assert "4 prefix tokens and 4 x 4 patches were expected" in note
    with pytest.raises(ModelError, match="4 prefix tokens"):
        loaded(vit, pooling="mean")


def test_a_model_that_does_not_pool_cannot_be_asked_to(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "tokens", global_pool="")
    assert loaded(folder).dimension == 96
    with pytest.raises(ModelError, match="does not pool"):
        loaded(folder, pooling="pooled")


def test_a_model_of_flexible_size_counts_its_patches_by_the_image(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "dynamic", dynamic_img_size=True)
    assert loaded(folder).embed(torch.zeros(2, 3, 96, 48)).shape == (2, 96)


def test_preprocessing_is_the_configs(vit: Path) -> None:
    pixels = np.full((100, 64, 3), (200, 100, 50), dtype=np.uint8)
    tensor = loaded(vit).preprocess(Image.fromarray(pixels))
    assert (tensor.shape, tensor.dtype) == ((3, 64, 64), torch.float32)
    expected = (torch.tensor([200, 100, 50]) / 255 - torch.tensor([0.7, 0.6, 0.7])) / torch.tensor(
        [0.2, 0.25, 0.2]
    )
    torch.testing.assert_close(tensor[:, 10, 10], expected)


def test_a_config_of_older_timm_without_pretrained_cfg_is_read(vit: Path, images: torch.Tensor) -> None:
    expected = loaded(vit).embed(images)
    config = json.loads((vit / "config.json").read_text())
    flat = {**config["pretrained_cfg"], "architecture": config["architecture"], "num_features": 48}
    (vit / "config.json").write_text(json.dumps({**flat, "model_args": config["model_args"]}))
    assert torch.equal(loaded(vit).embed(images), expected)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_comes_near_and_returns_float32(
    vit: Path, images: torch.Tensor, precision: str
) -> None:
    full, half = loaded(vit).embed(images), loaded(vit, precision=precision).embed(images)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "choice",
    [
        "torch.set_float32_matmul_precision('high')",
        pytest.param("backends.fp32_precision = 'tf32'", marks=FINER),
    ],
)
def test_tf32_is_off_while_embedding_and_the_processs_own_choice_comes_back(choice: str) -> None:
    # In a process of its own, as torch cannot forget a setting once made.
    code = f"""if True:
        import torch
        from torch import backends
        from pathorob_checks.models.precision import without_tf32

        def state():
            places = [backends.cuda.matmul, getattr(backends.cudnn, "conv", None)]
            found = [getattr(place, "fp32_precision", None) for place in places]
            try:
                return [*found, backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32]
            except RuntimeError:
                return found

        {choice}
        before = state()
        with without_tf32():
            inside = state()
        assert "tf32" not in inside and True not in inside, inside
        assert state() == before, (before, state())
    """
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 5e-2)])
def test_a_gpu_gives_the_cpus_embedding(
    vit: Path, images: torch.Tensor, precision: str, tolerance: float
) -> None:
    model = loaded(vit, device="cuda", precision=precision)
    embedding = model.embed(images)
    assert (embedding.device.type, model.batch_size) == ("cpu", 128)
    torch.testing.assert_close(embedding, loaded(vit).embed(images), rtol=tolerance, atol=tolerance)


def damage_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["norm.weight"] = torch.ones(7)
    save_file(weights, folder / "model.safetensors")


def damage_keys(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["norm.gamma"] = weights.pop("norm.weight")
    save_file(weights, folder / "model.safetensors")


def damage_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_keys, r"lacks norm\.weight and has unexpected norm\.gamma"),
        (damage_shape, r"has other shapes for norm\.weight"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not tensors"), "damaged"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-100]
            ),
            "damaged",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json of .* cannot be read"),
        (lambda folder: (folder / "config.json").write_text('{"hidden_size": 48}'), "neither timm's"),
        (lambda folder: (folder / "config.json").write_text("<html>Sign in</html>"), "is a web page"),
        (lambda folder: damage_config(folder, architecture="vit_of_tomorrow"), "upgrade timm"),
        (lambda folder: damage_config(folder, model_args={"colour": "red"}), "cannot build"),
    ],
    ids=[
        "keys",
        "shape",
        "garbage",
        "cut",
        "no-weights",
        "no-config",
        "json",
        "neither",
        "page",
        "future",
        "args",
    ],
)
def test_files_that_make_no_model_are_an_error_of_one_sentence(vit: Path, damage: Any, message: str) -> None:
    damage(vit)
    with pytest.raises(ModelError, match=message) as caught:
        loaded(vit)
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        prepared(tmp_path / "nowhere")


def test_the_same_files_elsewhere_have_the_same_identity(tmp_path: Path) -> None:
    here, there = write_tiny_vit(tmp_path / "here"), write_tiny_vit(tmp_path / "there")
    identity = prepared(here).identity
    assert identity == prepared(there).identity
    assert json.loads(json.dumps(identity)) == identity
    assert str(tmp_path) not in json.dumps(identity)


@pytest.mark.parametrize("change", ["weight", "config", "pooling", "precision"])
def test_whatever_changes_the_embedding_changes_the_identity(vit: Path, change: str) -> None:
    before, settings = prepared(vit).identity, {}
    if change == "weight":
        weights = load_file(vit / "model.safetensors")
        weights["blocks.1.mlp.fc2.bias"][0] += 1e-3
        save_file(weights, vit / "model.safetensors")
    elif change == "config":
        damage_config(vit, note="other")
    else:
        settings = {"pooling": "cls"} if change == "pooling" else {"precision": "bf16"}
    assert prepared(vit, **settings).identity != before


def test_a_changed_second_shard_changes_the_identity(vit: Path) -> None:
    shard(vit)
    before = prepared(vit).identity
    second = vit / "model-00002-of-00002.safetensors"
    weights = load_file(second)
    weights["norm.bias"][0] += 1e-3
    save_file(weights, second)
    assert prepared(vit).identity != before


def test_preparing_builds_no_network(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(timm, "create_model", refuse)
    model = prepared(vit)
    with pytest.raises(ModelError, match="a network was built"):
        model.load()


def test_devices_that_are_not_there_are_refused() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("tpu", "cuda:x", "gpu", "cuda:99"):
        with pytest.raises(ModelError):
            resolve_device(device)


@pytest.mark.parametrize("settings", [{"pooling": "max"}, {"precision": "fp8"}])
def test_settings_that_do_not_exist_are_refused_before_anything_is_built(
    vit: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(ModelError, match="choose"):
        prepared(vit, **settings)


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


def test_a_users_model_without_visible_weights_is_never_taken_for_an_earlier_one(write_module: Any) -> None:
    write_module("own_encoder", USER_CODE.format(imports="", attribute="self.hidden"))
    assert user_model("own_encoder:build").identity != user_model("own_encoder:build").identity
    resolved = resolve(parse_spec("python:own_encoder:build"), "mine")
    settings = ModelSettings(device="cpu")
    assert prepare(resolved, settings).identity == prepare(resolved, settings).identity


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
def test_what_a_users_model_lacks_is_named(write_module: Any, target: str, message: str) -> None:
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
