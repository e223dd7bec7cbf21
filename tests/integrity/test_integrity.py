"""The integrity of embeddings is measured once, kept in the store, and measured again when it must be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from color_models import Coupled, Prepared, no_index

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.embeddings import integrity, variations
from pathorob_checks.embeddings.extraction import Embeddings
from pathorob_checks.embeddings.integrity import integrity_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import EmbeddingError


def file_of(store: EmbeddingStore, embeddings: Embeddings) -> Path:
    [path] = store.folder(embeddings.key).glob("integrity-*.json")
    return path


def test_the_second_time_the_model_is_not_loaded(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    prepared = Prepared()
    first = integrity_of(prepared, cohort, embeddings, store, no_index)
    again = integrity_of(prepared, cohort, embeddings, EmbeddingStore(store.root), no_index)
    assert (prepared.loads, again) == (1, first)
    assert (first.precision, first.tolerance, first.drift) == ("fp32", 1e-5, None)
    assert first.environment["torch"] == torch.__version__
    assert {name: first.check(name) for name in variations.VARIATIONS}.keys() == first.differences.keys()
    content = json.loads(file_of(store, embeddings).read_text())["integrity"]
    assert content["measured"].startswith("20")
    assert len(content["sample"]) == variations.SAMPLE


@pytest.mark.parametrize("damage", ["not JSON", '{"digest": 1}', "cut", "changed", "moved", "NaN"])
def test_a_damaged_file_is_measured_again_with_a_warning(
    damage: str,
    cohort: Cohort,
    store: EmbeddingStore,
    embeddings: Embeddings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    prepared = Prepared()
    first = integrity_of(prepared, cohort, embeddings, store, no_index)
    path = file_of(store, embeddings)
    whole = path.read_text()
    edits = {
        "cut": whole[:-9],
        "changed": whole.replace('"order"', '"odor"'),
        "moved": whole.replace('"digest": "', '"digest": "0'),
        "NaN": re.sub('"tolerance": [^,]+', '"tolerance": NaN', whole),
    }
    assert whole not in edits.values()
    path.write_text(edits.get(damage, damage))
    again = integrity_of(prepared, cohort, embeddings, store, no_index)
    assert prepared.loads == 2
    assert again.differences == first.differences
    assert f"{path} is damaged and will be measured again: " in caplog.text
    assert json.loads(path.read_text())["digest"]


def test_another_version_of_the_checks_measures_again(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = Prepared()
    integrity_of(prepared, cohort, embeddings, store, no_index)
    monkeypatch.setattr(integrity, "VERSION", integrity.VERSION + 1)
    integrity_of(prepared, cohort, embeddings, store, no_index)
    assert prepared.loads == 2


def test_a_stored_defect_is_refused_without_the_model(
    cohort: Cohort, store: EmbeddingStore, embeddings: Embeddings
) -> None:
    integrity_of(Prepared(Coupled()), cohort, embeddings, store, no_index)
    stored = integrity_of(Prepared(None), cohort, embeddings, store, no_index)
    stored.check("order")
    with pytest.raises(EmbeddingError, match=r"embedded alone and in a batch .* fp32 on cpu"):
        stored.check("batch_size")
