"""One wide embedding holds what every pooling gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loopback_hub import write_tiny_vit
from prepared_models import load_timm, load_transformers, prepare_folder
from tiny_models import write_tiny_transformers

from pathorob_checks.errors import ModelError
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.models.pooling import SIDE_BY_SIDE, SideBySide, TokenLayout

REGISTERS = {"architecture": "vit_small_patch14_reg4_dinov2", "img_size": 56}
NETWORKS: dict[str, Callable[[Path], Path]] = {
    "class token": write_tiny_vit,
    "registers": lambda folder: write_tiny_vit(folder, **REGISTERS),  # type: ignore[arg-type]
    "norm after pooling": lambda folder: write_tiny_vit(folder, global_pool="avg", fc_norm=True),
    "transformers": lambda folder: write_tiny_transformers(folder, "dinov2_with_registers"),
}


def images(side: int = 64) -> torch.Tensor:
    return torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(5))


def side_by_side(description: dict[str, object]) -> SideBySide:
    return SideBySide.from_dict(description["side_by_side"])  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_pooling_is_cut_from_it_to_the_bit(tmp_path: Path, network: str, precision: str) -> None:
    folder = NETWORKS[network](tmp_path / "fm")
    load = load_transformers if network == "transformers" else load_timm
    batch = images(56 if network in ("registers", "transformers") else 64)
    wide = load(folder, pooling=SIDE_BY_SIDE, precision=precision)
    pooled, embedded = side_by_side(wide.description), wide.embed(batch)
    assert embedded.shape == (5, wide.dimension)
    assert pooled.left_out == {}
    assert {"cls", "mean", "clsmean"} <= pooled.columns.keys()
    for pooling, (first, end) in pooled.columns.items():
        alone = load(folder, pooling=pooling, precision=precision).embed(batch)
        assert torch.equal(embedded[:, first:end], alone), pooling
    own = load(folder, precision=precision)
    assert pooled.own == own.description["pooling"]
    first, end = pooled.columns[pooled.own]
    assert torch.equal(embedded[:, first:end], own.embed(batch))


def test_without_a_class_token_it_holds_the_mean_and_the_models_own(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "fm", class_token=False, global_pool="avg")
    pooled = side_by_side(load_timm(folder, pooling=SIDE_BY_SIDE).description)
    assert (pooled.own, pooled.columns) == ("pooled", {"mean": (0, 48), "pooled": (48, 96)})
    assert pooled.left_out == dict.fromkeys(("clsmean", "cls"), f"local-dir:{folder} has no class token")


def test_tokens_that_do_not_fit_the_grid_leave_the_models_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_vit(tmp_path / "fm")
    one_more = TokenLayout(2, class_token=True, grid=lambda height, width: (height // 16, width // 16))
    monkeypatch.setattr("pathorob_checks.models.timm_model.layout_of", lambda model: one_more)
    model = load_timm(folder, pooling=SIDE_BY_SIDE)
    pooled = side_by_side(model.description)
    assert (pooled.own, pooled.columns, model.dimension) == ("pooled", {"pooled": (0, 48)}, 48)
    assert pooled.left_out.keys() == {"cls", "mean", "clsmean"}
    assert "17, 48" in pooled.left_out["cls"]


def test_the_identity_says_what_is_kept(tmp_path: Path) -> None:
    folder = write_tiny_vit(tmp_path / "fm")
    identities = [prepare_folder(folder, pooling=pooling).identity for pooling in (SIDE_BY_SIDE, "clsmean")]
    assert [identity["pooling"] for identity in identities] == [SIDE_BY_SIDE, "clsmean"]


def test_a_run_of_the_gate_cannot_ask_for_it() -> None:
    with pytest.raises(Exception, match="pooling is 'side-by-side'"):
        Settings(fms=("demo:stain-invariant",), pooling=SIDE_BY_SIDE)


def test_a_model_with_its_own_pooling_refuses_it() -> None:
    from prepared_models import prepare_spec

    with pytest.raises(ModelError, match="has its own pooling"):
        prepare_spec("demo:stain-invariant", pooling=SIDE_BY_SIDE)
