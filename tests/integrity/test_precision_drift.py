"""How far a lower precision moves embeddings and a metric, compared with fp32 on some patches."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from color_models import Model, Positional, Prepared, no_index

from pathorob_checks.cohorts.cohort import Cohort, View
from pathorob_checks.embeddings import integrity, precision_drift, variations
from pathorob_checks.embeddings.extraction import Embeddings, obtain
from pathorob_checks.embeddings.integrity import integrity_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import EmbeddingError, ModelError
from pathorob_checks.metrics import robustness_index
from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec

Float32 = npt.NDArray[np.float32]


def tiny(folder: Path, precision: str) -> PreparedModel:
    return prepare(
        resolve(parse_spec(f"local-dir:{folder}"), "tiny"), ModelSettings(device="cpu", precision=precision)
    )


def index_of(values: Float32, patches: Any, k: int | None, paired: bool) -> tuple[float, int]:
    measurement = robustness_index(values, patches, k=k, paired=paired, draws=100)
    return measurement.value, measurement.k


def test_fp32_is_the_same_network_without_autocast(weights: Path) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    low: Any = tiny(weights, "bf16").load()
    full = tiny(weights, "fp32").load().embed(images)
    assert torch.equal(low.in_fp32().embed(images), full)
    assert not torch.equal(low.embed(images), full)  # in_fp32() has not changed the model


def test_drift_is_what_a_second_extraction_in_fp32_would_show(
    weights: Path, cohort: Cohort, store: EmbeddingStore
) -> None:
    view = dataclasses.replace(cohort.views["robustness_index"], k=11)
    cohort = dataclasses.replace(cohort, views={"robustness_index": view})
    low = obtain(tiny(weights, "bf16"), cohort, store)
    full = obtain(tiny(weights, "fp32"), cohort, store)
    measured = integrity_of(tiny(weights, "bf16"), cohort, low, store, index_of)
    drift = measured.drift
    assert drift is not None
    values = {name: one.values[view.rows] for name, one in (("low", low), ("full", full))}
    cosines = torch.cosine_similarity(*(torch.from_numpy(v).double() for v in values.values()))
    assert (drift.cosine_min, drift.cosine_median) == pytest.approx(
        (cosines.min().item(), cosines.quantile(0.5).item()), abs=1e-9
    )
    assert 0.99 < drift.cosine_min < drift.cosine_median < 1
    errors = variations.relative(values["low"], values["full"])
    assert (drift.error_median, drift.error_max) == pytest.approx((np.median(errors), errors.max()))
    exact = robustness_index(values["full"], view.patches, k=11)
    rounded = robustness_index(values["low"], view.patches, k=11)
    assert (drift.k, drift.robustness_index_fp32) == (11, exact.value)
    assert drift.by_metric() == {"robustness_index": abs(rounded.value - exact.value)}
    drift.check()
    assert measured.tolerance == 2**-5
    assert integrity_of(tiny(weights, "bf16"), cohort, low, store, no_index).drift == drift  # from its file
    if rounded.value == exact.value:
        pytest.skip(
            "this version of torch rounds so that all neighbors stay: whether a drift shows is not seen"
        )


@pytest.mark.parametrize("damage", ["not JSON", '{"digest": 1}', "cut", "changed", "moved", "NaN"])
def test_a_damaged_drift_is_measured_again_with_a_warning(
    damage: str, weights: Path, cohort: Cohort, store: EmbeddingStore, caplog: pytest.LogCaptureFixture
) -> None:
    low = obtain(tiny(weights, "bf16"), cohort, store)
    first = integrity_of(tiny(weights, "bf16"), cohort, low, store, index_of)
    [path] = store.folder(low.key).glob("integrity-*.json")
    whole = path.read_text()
    edits = {
        "cut": whole[:-9],
        "changed": whole.replace('"cosine_min"', '"cosine"'),
        "moved": whole.replace('"digest": "', '"digest": "0'),
        "NaN": re.sub('"cosine_min": [^,]+', '"cosine_min": NaN', whole),
    }
    assert whole not in edits.values()
    path.write_text(edits.get(damage, damage))
    assert integrity_of(tiny(weights, "bf16"), cohort, low, store, index_of).drift == first.drift
    assert f"{path} is damaged and will be measured again: " in caplog.text
    assert json.loads(path.read_text())["digest"] == json.loads(whole)["digest"]


def test_the_drift_of_other_values_or_of_another_version_is_measured_again(
    weights: Path, cohort: Cohort, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drift(low: Embeddings) -> object:
        return integrity_of(tiny(weights, "bf16"), cohort, low, store, no_index).drift

    low = obtain(tiny(weights, "bf16"), cohort, store)
    first = drift(low)
    assert drift(dataclasses.replace(low, values=low.values * np.float32(1.5))) != first
    monkeypatch.setattr(integrity, "VERSION", integrity.VERSION + 1)
    assert drift(low) == first
    assert len(list(store.folder(low.key).glob("integrity-*.json"))) == 3


def test_fp32_has_no_drift(weights: Path, cohort: Cohort, store: EmbeddingStore) -> None:
    prepared = tiny(weights, "fp32")
    assert integrity_of(prepared, cohort, obtain(prepared, cohort, store), store, no_index).drift is None


def test_a_precision_that_gives_other_embeddings_is_refused(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    class Overflowing(Model):
        def in_fp32(self) -> Model:
            return Positional()

    prepared = Prepared(Overflowing(), identity={**Model.identity, "precision": "fp16"})
    drift = integrity_of(prepared, cohort, embeddings, store, no_index).drift
    assert drift is not None
    assert (drift.robustness_index, drift.by_metric(), drift.reason) == (
        None,
        {},
        "it has no value here; leave it out.",
    )
    with pytest.raises(
        EmbeddingError, match=r"fp16 and fp32 give .* smallest cosine .* is 0\.\d+ where .* 88 patches"
    ):
        drift.model_copy(update={"cosine_min": 0.98}).check()


def test_a_model_without_an_fp32_form_is_an_error_not_a_drift_of_zero(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    prepared = Prepared(identity={**Model.identity, "precision": "bf16"})
    with pytest.raises(ModelError, match="colors computes in bf16 and has no fp32 form to compare with"):
        integrity_of(prepared, cohort, embeddings, store, no_index)


def test_of_a_large_view_512_patches_are_compared_at_a_scaled_k(cohort: Cohort) -> None:
    table = cohort.patches.iloc[np.arange(4000) % len(cohort)].reset_index(drop=True)
    table["patch_id"] = [f"q{row}" for row in range(len(table))]
    rows = np.arange(100, 4000, dtype=np.int64)
    view = View(rows=rows, patches=table.iloc[rows].reset_index(drop=True), k=61)
    excerpt = precision_drift.excerpt_of(
        dataclasses.replace(
            cohort,
            patches=table,
            views={"robustness_index": view},
            reading_order=lambda: np.arange(len(table), dtype=np.int64)[::-1],
        )
    )
    assert (len(excerpt.rows), excerpt.k) == (512, round(61 * 512 / 3900))
    assert excerpt.rows.min() >= 100
    assert (np.diff(excerpt.rows) < 0).all()
    assert excerpt.patches.patch_id.tolist() == table.patch_id.iloc[excerpt.rows[excerpt.positions]].tolist()
    per_slide = table.iloc[excerpt.rows].groupby("slide_id").size()
    assert per_slide.max() - per_slide.min() <= 1
    assert len(per_slide) == table.slide_id.nunique()


def test_in_a_paired_view_a_patch_keeps_all_its_subsets(cohort: Cohort) -> None:
    rows = np.concatenate([np.arange(80), np.arange(40)]).astype(np.int64)
    patches = cohort.patches.iloc[rows].reset_index(drop=True)
    patches["subset"] = ["one"] * 80 + ["two"] * 40
    view = View(rows=rows, patches=patches, paired=True, k=7)
    excerpt = precision_drift.excerpt_of(dataclasses.replace(cohort, views={"robustness_index": view}))
    assert (len(excerpt.rows), len(excerpt.patches), excerpt.k, excerpt.paired) == (80, 120, 7, True)
    assert excerpt.rows[excerpt.positions].tolist() == rows.tolist()
