"""A model's config comes from anybody: it reads no file, runs no code, fills no memory."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback_hub import write_tiny_vit
from prepared_models import load_timm, prepare_folder
from tiny_models import edit_json, write_tiny_transformers
from tiny_open_clip import write_open_clip

from pathorob_checks.errors import ModelError, PathorobChecksError
from pathorob_checks.models.timm_config import timm_arguments


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write_tiny_vit(tmp_path / "vit")


@pytest.fixture
def pickle(tmp_path: Path) -> Path:
    """A pickle that makes a folder beside it where it is read."""
    torch.save({"state_dict": Malicious(tmp_path / "witness")}, tmp_path / "evil.pth")
    return tmp_path / "evil.pth"


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@pytest.mark.parametrize(
    "argument",
    [
        "checkpoint_path",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "cache_dir",
        "features_only",
        "feature_cfg",
        "scriptable",
        "exportable",
        "no_jit",
        "pruned",
        "kwargs_filter",
        "model_cls",
        "pretrained_model_args",
        "device",
        "dtype",
        "cfg",
        "self",
        "model_name",
        "",
    ],
)
def test_arguments_that_are_no_property_of_the_architecture_are_refused(
    vit: Path, pickle: Path, argument: str
) -> None:
    edit_json(vit / "config.json", model_args={**config_of(vit)["model_args"], argument: str(pickle)})
    with pytest.raises(ModelError, match=rf"model_args in config\.json of .* has '{argument}', which is no"):
        load_timm(vit)
    assert not (pickle.parent / "witness").exists()


@pytest.mark.parametrize(
    "key", ["file", "url", "hf_hub_id", "hf_hub_filename", "source", "custom_load", "state_dict"]
)
def test_where_weights_are_is_never_read_from_a_config(vit: Path, pickle: Path, key: str) -> None:
    config = config_of(vit)
    blank = torch.ones(1, 3, 64, 64)
    before = load_timm(vit).embed(blank)
    edit_json(vit / "config.json", pretrained_cfg={**config["pretrained_cfg"], key: str(pickle)})
    assert torch.equal(load_timm(vit).embed(blank), before)
    passed, _ = timm_arguments(config_of(vit), config["architecture"], "vit")
    assert passed is not None
    assert key not in passed
    assert not (pickle.parent / "witness").exists()


@pytest.mark.parametrize(
    "architecture",
    ["hf-hub:lab/evil", "hf_hub:lab/evil", "local-dir:{}", "timm/vit_tiny_patch16_224", "../vit", "", "\x1b"],
)
def test_an_architecture_with_a_source_is_refused(vit: Path, architecture: str) -> None:
    edit_json(vit / "config.json", architecture=architecture.format(vit))
    with pytest.raises(ModelError, match=r"needs the architecture .* which is not in timm") as caught:
        load_timm(vit)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 1_000_000},
        {"depth": 100_000},
        {"embed_dim": 60_000, "num_heads": 1},
        {"mlp_ratio": 1e6},
        {"img_size": 100_000},
        {"num_classes": 1_000_000},
        {"img_size": 10**30},
        {"depth": [2] * 100_000},
        {"init_values": float("nan")},
        {"global_pool": "a" * 10_000},
        {"num_heads": [[[[[[1]]]]]]},
    ],
)
def test_a_network_that_its_weights_cannot_fill_is_refused_at_once(
    vit: Path, changes: dict[str, Any]
) -> None:
    edit_json(vit / "config.json", model_args={**config_of(vit)["model_args"], **changes})
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"larger network than its|cannot use|cannot build"):
        load_timm(vit)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "changes",
    [
        {"input_size": [3, 100_000, 100_000]},
        {"input_size": [3, 64]},
        {"input_size": "3"},
        {"crop_pct": 1e-9},
        {"mean": [1, 2]},
        {"std": [0, 1, 1]},
        {"std": ["a", "b", "c"]},
        {"interpolation": "random"},
        {"crop_mode": 7},
    ],
)
def test_a_preprocessing_that_no_image_survives_is_refused(vit: Path, changes: dict[str, Any]) -> None:
    config = {**config_of(vit)["pretrained_cfg"], "fixed_input_size": False}
    edit_json(vit / "config.json", pretrained_cfg={**config, **changes})
    with pytest.raises(ModelError, match=r"which timm cannot use|cannot build"):
        load_timm(vit)


def test_arguments_of_many_architectures_are_theirs() -> None:
    """What timm itself saves for an architecture passes."""
    common = {"num_classes": 0, "drop_rate": 0.0}
    more: dict[str, dict[str, Any]] = {
        "vit_giant_patch14_reg4_dinov2": {
            "img_size": 224,
            "init_values": 1e-5,
            "dynamic_img_size": True,
            "reg_tokens": 4,
            "no_embed_class": True,
            "mlp_ratio": 5.3,
            "mlp_layer": "SwiGLUPacked",
            "act_layer": "silu",
            "embed_dim": 48,
            "depth": 2,
            "global_pool": "token",
            "patch_size": 14,
            "num_heads": 3,
        },
        "deit3_small_patch16_224": {"img_size": 224},
        "eva02_tiny_patch14_224": {"img_size": 224, "qkv_bias": True},
        "swin_tiny_patch4_window7_224": {"window_size": 7, "img_size": 224},
        "swinv2_cr_tiny_224": {"img_size": 224},
        "swinv2_tiny_window8_256": {"pretrained_window_sizes": [0, 0, 0, 0]},
        "resnet50": {"output_stride": 32, "global_pool": "avg"},
        "convnext_tiny": {"head_init_scale": 1.0, "drop_path_rate": 0.1},
        "efficientnet_b0": {"drop_path_rate": 0.2},
        "hiera_tiny_224": {"img_size": 224},
        "beit_base_patch16_224": {"init_values": 0.1},
    }
    for architecture, arguments in more.items():
        assert timm.is_model(architecture)
        _, passed = timm_arguments({"model_args": {**common, **arguments}}, architecture, "lab/model")
        assert passed == {**common, **arguments}


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_implementation": "lab/kernel"},
        {"_attn_implementation": "kernels-community/flash-attn3:evil"},
        {"_attn_implementation_internal": "flash_attention_2"},
        {"text_config": {"attn_implementation": {"": "lab/kernel"}}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:lab/evil"}},
        {"vision_config": {"model_type": "timm_wrapper", "model_args": {"checkpoint_path": "evil.pth"}}},
        {"use_timm_backbone": True, "backbone": "resnet18"},
        {"backbone": "lab/evil", "use_pretrained_backbone": True},
    ],
)
def test_a_transformers_config_brings_in_nothing_from_elsewhere(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = write_tiny_transformers(tmp_path / "vit", "vit")
    edit_json(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=r"config\.json of .* which is not used here"):
        prepare_folder(folder).load()


def test_where_a_transformers_model_came_from_does_not_matter(tmp_path: Path) -> None:
    folder = write_tiny_transformers(tmp_path / "vit", "vit")
    before = prepare_folder(folder).load().embed(torch.ones(1, 3, 56, 56))
    code = {"AutoModel": "lab/evil--modeling.Evil", "AutoConfig": "modeling.Evil"}
    edit_json(folder / "config.json", _name_or_path="lab/evil", auto_map=code, attn_implementation="eager")
    after = prepare_folder(folder).load().embed(torch.ones(1, 3, 56, 56))
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize(
    "changes", [{"size": {"height": 10**6, "width": 10**6}}, {"size": {"shortest_edge": 10**9}}]
)
def test_a_processor_that_inflates_images_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_tiny_transformers(tmp_path / "vit", "vit")
    edit_json(folder / "preprocessor_config.json", **changes)
    with pytest.raises(ModelError, match="images have at most"):
        prepare_folder(folder).load()


def test_defaults_of_a_processor_are_said(tmp_path: Path) -> None:
    folder = write_tiny_transformers(tmp_path / "vit", "vit")
    edit_json(folder / "preprocessor_config.json", image_mean=None)
    (note,) = prepare_folder(folder).load().description["notes"]  # type: ignore[attr-defined]
    assert "does not give its image_mean: the defaults of ViTImageProcessor" in note


def test_a_transformers_network_that_its_weights_cannot_fill_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_transformers(tmp_path / "vit", "vit")
    edit_json(folder / "config.json", num_hidden_layers=1_000_000)
    with pytest.raises(ModelError, match="larger network than its weights"):
        prepare_folder(folder).load()


def test_a_config_without_preprocessing_takes_timms_and_says_so(vit: Path) -> None:
    config = config_of(vit)["pretrained_cfg"]
    del config["mean"], config["crop_pct"]
    edit_json(vit / "config.json", pretrained_cfg=config)
    (note,) = load_timm(vit).description["notes"]  # type: ignore[misc]
    assert "timm's mean (0.485, 0.456, 0.406), crop_pct 0.875 is used" in str(note)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"architecture": ' + "9" * 4_400 + "}",
        '{"architecture": "' + "a" * 20_000_000 + '"}',
        "null",
        '{"a":' * 90_000,
        "\ufeff{}",
        '{"architecture": NaN}',
        '{"model_type": ["vit"]}',
        '{"model_type": {"a": 1}}',
        '{"auto_map": []}',
        '{"architectures": 3}',
        '{"model_type": "vit", "auto_map": 7}',
    ],
    ids=range(12),
)
def test_a_config_that_is_none_is_one_sentence(vit: Path, content: str) -> None:
    (vit / "config.json").write_text(content)
    with pytest.raises(PathorobChecksError) as caught:
        prepare_folder(vit).load()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


# Per library: what writes a model, and the names of its configs.
WRITERS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "timm": (write_tiny_vit, ("config.json",)),
    "transformers": (
        lambda folder: write_tiny_transformers(folder, "vit"),
        ("config.json", "preprocessor_config.json"),
    ),
    "open_clip": (write_open_clip, ("open_clip_config.json",)),
}


def keys_of(config: dict[str, Any]) -> list[tuple[str, ...]]:
    nested = (
        (key, *more) for key, value in config.items() if isinstance(value, dict) for more in keys_of(value)
    )
    return [*((key,) for key in config), *nested]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["timm", "transformers", "open_clip"])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_values_in_a_config_give_a_model_or_a_sentence(
    library: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "vit"
    pytest.importorskip(library)
    write, names = WRITERS[library]
    write(folder)
    name = data.draw(st.sampled_from(names))
    config = json.loads((folder / name).read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        *parents, key = data.draw(st.sampled_from(keys_of(config)))
        inside = config
        for parent in parents:
            inside = (
                inside[parent] if isinstance(inside, dict) and isinstance(inside.get(parent), dict) else {}
            )
        inside[key] = data.draw(VALUES)
    (folder / name).write_text(json.dumps(config))
    message = ""
    try:
        prepare_folder(folder).load()
    except PathorobChecksError as error:
        message = str(error)
    assert "\n" not in message
