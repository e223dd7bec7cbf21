"""A foundation model that sees normalized images: its identity, its embeddings, and what stays as it is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from color_extraction import ROWS, ColorModel, write_colors
from loopback_hub import write_tiny_vit
from PIL import Image
from prepared_models import prepare_folder, prepare_spec

from pathorob_checks.cohorts import demo
from pathorob_checks.cohorts.cohort import Cohort, views_of_one_table
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import extraction, reading_processes
from pathorob_checks.embeddings.extraction import Embeddings, in_process, obtain
from pathorob_checks.embeddings.identity import embedding_key
from pathorob_checks.embeddings.normalizing import (
    NormalizedModel,
    count_without_tissue,
    fit_target,
    normalized,
)
from pathorob_checks.embeddings.ray_engine import _Reports
from pathorob_checks.embeddings.shards import plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import MethodError
from pathorob_checks.methods.image_method import ImageMethod
from pathorob_checks.methods.macenko import Macenko
from pathorob_checks.methods.reinhard import Reinhard
from pathorob_checks.metrics import robustness_index
from pathorob_checks.models.loading import PreparedModel

TARGET = {"mean": [60.0, 20.0, -10.0], "std": [10.0, 6.0, 4.0]}
BLANK = (2, 3, 11)  # rows of the small cohort whose patches show glass


@pytest.fixture(scope="module")
def demo_cohort() -> Cohort:
    """The demo cohort; each of its images is rendered once."""
    cohort = demo.load()
    rendered: dict[int, Image.Image] = {}

    def read_image(row: int) -> Image.Image:
        if row not in rendered:
            rendered[row] = cohort.read_image(row)
        return rendered[row]

    return dataclasses.replace(cohort, read_image=read_image)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """`ROWS` patches of random colors, three of which show glass."""
    folder = write_colors(tmp_path / "colors")
    for row in BLANK:
        Image.new("RGB", (8, 8), (244, 243, 240 + row)).save(folder / f"{row}.png")
    return load_folder(folder)


@pytest.fixture
def reinhard() -> Reinhard:
    return Reinhard(TARGET)


class Colors(ColorModel):
    """A stand-in that can be interrupted, and remembers what it preprocessed."""

    def __init__(self, batches: int = 99) -> None:
        self.left = batches
        self.seen: list[np.ndarray[Any, Any]] = []

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        self.seen.append(np.asarray(image))
        return super().preprocess(image)

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().embed(batch)


def prepared_as(model: Any) -> PreparedModel:
    return PreparedModel("color", {"architecture": "color"}, lambda: model)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 5, 5 and 2 patches."""
    monkeypatch.setattr(extraction, "plan_of", lambda cohort, key: plan_of(cohort, key, size=5))


# -- what is planted ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "gain"), [(Reinhard, 0.2), (Macenko, 0.5)])
def test_an_fm_that_sees_color_only_is_more_robust_with_normalized_images(
    kind: type[ImageMethod], gain: float, demo_cohort: Cohort, tmp_path: Path, record_property: Any
):
    """The centers of the demo cohort differ in staining, and `demo:color-sensitive` sees nothing else."""
    fm, store, view = prepare_spec("demo:color-sensitive"), EmbeddingStore(tmp_path), demo_cohort.views

    def index(embeddings: Embeddings) -> float:
        rows = view["robustness_index"].rows
        measured = robustness_index(embeddings.values[rows], view["robustness_index"].patches, k=11, draws=0)
        return float(measured.value)

    as_is = index(obtain(fm, demo_cohort, store))
    repaired = obtain(normalized(fm, fit_target(kind(), demo_cohort, patches=60)), demo_cohort, store)
    assert repaired.extracted
    assert repaired.details["patches_without_tissue"] == 0
    record_property("robustness_index", {"as it is": as_is, kind.name: index(repaired)})
    assert index(repaired) > as_is + gain


# -- identity and target -----------------------------------------------------------------------------------


def test_the_identity_says_how_images_are_normalized(reinhard: Reinhard, cohort: Cohort):
    fm = prepared_as(Colors())
    other = Reinhard({**TARGET, "mean": [60.0, 20.0, -9.0]})
    identities = [fm.identity, normalized(fm, reinhard).identity, normalized(fm, other).identity]
    assert identities[1] == {
        "architecture": "color",
        "image_method": {"name": "reinhard", "version": 1, "target": TARGET},
    }
    assert len({embedding_key(identity, cohort) for identity in identities}) == 3
    assert fm.identity == {"architecture": "color"}
    loaded = normalized(fm, reinhard).load()
    assert loaded.identity == identities[1]


def test_all_else_about_the_model_stays(reinhard: Reinhard):
    fm = prepare_spec("demo:color-sensitive")
    repaired = normalized(fm, reinhard)
    assert isinstance(repaired, NormalizedModel)
    for field in ("name", "license", "commercial", "notes", "device"):
        assert getattr(repaired, field) == getattr(fm, field)


def test_fitting_a_method_again_does_not_change_a_model_that_has_it(reinhard: Reinhard, cohort: Cohort):
    repaired = normalized(prepared_as(Colors()), reinhard)
    reinhard.fit([np.asarray(cohort.read_image(0))])
    assert repaired.image_method is not None
    assert repaired.image_method.target == TARGET != reinhard.target


def test_a_model_that_is_given_by_its_embeddings_has_no_images_to_normalize(
    reinhard: Reinhard, tmp_path: Path
):
    fm = prepare_spec(f"embeddings:{tmp_path}")
    with pytest.raises(MethodError) as refused:
        normalized(fm, reinhard)
    assert str(refused.value) == (
        "reinhard normalizes images, but fm is given by its embeddings; give the FM itself, or use a method "
        "that repairs embeddings."
    )


def test_a_method_without_a_target_is_refused():
    with pytest.raises(MethodError, match="reinhard has no target yet"):
        normalized(prepared_as(Colors()), Reinhard())


def test_the_target_comes_from_the_same_in_domain_patches_whatever_the_order(demo_cohort: Cohort):
    read: list[str] = []

    def shuffled(seed: int) -> Cohort:
        order = np.random.default_rng(seed).permutation(len(demo_cohort))
        table = demo_cohort.patches.iloc[order].reset_index(drop=True)

        def read_image(row: int) -> Image.Image:
            read.append(table.subset[row])
            return demo_cohort.read_image(int(order[row]))

        return dataclasses.replace(demo_cohort, patches=table, read_image=read_image)

    unfitted = Reinhard()
    targets = [fit_target(unfitted, shuffled(seed), patches=12).target for seed in range(3)]
    assert targets[0] == targets[1] == targets[2]
    assert read == ["ID"] * 36
    assert fit_target(unfitted, demo_cohort, patches=11).target != targets[0]
    with pytest.raises(MethodError, match="no target yet"):
        assert unfitted.target


def test_a_cohort_with_few_patches_gives_all_and_one_without_in_domain_patches_none(cohort: Cohort):
    images = [np.asarray(cohort.read_image(row)) for row in range(ROWS)]
    assert fit_target(Reinhard(), cohort, patches=200).target == Reinhard().fit(images).target
    outside = cohort.patches.assign(subset="OOD")
    with pytest.raises(MethodError, match=f"the cohort {cohort.name} has no in-domain patches; mark some"):
        fit_target(Reinhard(), dataclasses.replace(cohort, patches=outside))
    with pytest.raises(ValueError, match="0 patches"):
        fit_target(Reinhard(), cohort, patches=0)


def test_paired_subsets_are_in_domain(cohort: Cohort):
    table = cohort.patches.assign(subset=["breast", "colon", "OOD"] * (ROWS // 3))
    assert isinstance(table, pd.DataFrame)
    paired = dataclasses.replace(cohort, patches=table, views=views_of_one_table(table))
    images = [np.asarray(cohort.read_image(row)) for row in range(ROWS) if row % 3 < 2]
    assert fit_target(Reinhard(), paired).target == Reinhard().fit(images).target


# -- embeddings --------------------------------------------------------------------------------------------


def test_the_model_sees_normalized_images_and_blank_ones_as_they_are(
    reinhard: Reinhard, cohort: Cohort, tmp_path: Path
):
    model = Colors()
    obtain(normalized(prepared_as(model), reinhard), cohort, EmbeddingStore(tmp_path / "store"))
    images = {key: np.asarray(cohort.read_image(row)) for row, key in enumerate(cohort.keys)}
    expected = [reinhard.transform(image)[0] for image in images.values()]
    seen = {image.tobytes() for image in model.seen}
    assert seen == {image.tobytes() for image in expected}
    assert len(seen & {image.tobytes() for image in images.values()}) == len(BLANK)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_a_resumed_extraction_is_equal_and_has_counted_every_patch(
    batches: int, reinhard: Reinhard, cohort: Cohort, tmp_path: Path
):
    whole = obtain(normalized(prepared_as(Colors()), reinhard), cohort, EmbeddingStore(tmp_path / "whole"))
    assert whole.details["patches_without_tissue"] == len(BLANK)
    store = EmbeddingStore(tmp_path / "resumed")
    with contextlib.suppress(KeyboardInterrupt):
        obtain(normalized(prepared_as(Colors(batches)), reinhard), cohort, store)
    resumed = obtain(normalized(prepared_as(Colors()), reinhard), cohort, store)
    assert resumed.extracted is (batches < 3)
    np.testing.assert_array_equal(resumed.values, whole.values)
    assert resumed.details["patches_without_tissue"] == len(BLANK)


@pytest.mark.usefixtures("small_shards")
def test_shards_without_a_manifest_are_counted_too(reinhard: Reinhard, cohort: Cohort, tmp_path: Path):
    store, fm = EmbeddingStore(tmp_path / "store"), normalized(prepared_as(Colors()), reinhard)
    first = obtain(fm, cohort, store)
    (store.folder(first.key) / "manifest.json").unlink()
    again = obtain(fm, cohort, store)
    assert again.details["resumed_patches"] == ROWS
    assert again.details["patches_without_tissue"] == len(BLANK)


def test_without_an_image_method_nothing_is_said_of_tissue(cohort: Cohort, tmp_path: Path):
    details = obtain(prepared_as(Colors()), cohort, EmbeddingStore(tmp_path / "store")).details
    assert "patches_without_tissue" not in details


def test_what_was_preprocessed_for_other_reasons_is_not_counted(
    reinhard: Reinhard, cohort: Cohort, tmp_path: Path
):
    fm = normalized(prepared_as(Colors()), reinhard)
    model = fm.load()
    model.preprocess(cohort.read_image(BLANK[0]))
    loaded = dataclasses.replace(fm, load=lambda: model)
    details = obtain(loaded, cohort, EmbeddingStore(tmp_path / "store")).details
    assert details["patches_without_tissue"] == len(BLANK)
    assert count_without_tissue(reinhard, cohort, range(4)) == 2


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    """A model that takes 8-bit pixels."""
    folder = tmp_path_factory.mktemp("vit")
    write_tiny_vit(folder)
    return prepare_folder(folder)


def test_8_bit_pixels_are_normalized_before_they_are_resized(
    tiny_vit: PreparedModel, reinhard: Reinhard, cohort: Cohort
):
    model: Any = normalized(tiny_vit, reinhard).load()
    plain: Any = tiny_vit.load()
    image = cohort.read_image(0)
    expected = Image.fromarray(reinhard.transform(np.asarray(image))[0])
    np.testing.assert_array_equal(model.pixels.pixels(image), plain.pixels.pixels(expected))
    assert torch.equal(model.preprocess(image), plain.preprocess(expected))
    assert (np.asarray(model.pixels.pixels(image)) != np.asarray(plain.pixels.pixels(image))).any()


def test_the_model_in_another_precision_sees_normalized_images_too(
    tiny_vit: PreparedModel, reinhard: Reinhard, cohort: Cohort
):
    model: Any = normalized(tiny_vit, reinhard).load()
    full, image = model.in_fp32(), cohort.read_image(0)
    np.testing.assert_array_equal(full.pixels.pixels(image), model.pixels.pixels(image))
    assert torch.equal(full.preprocess(image), model.preprocess(image))


@pytest.mark.slow
def test_processes_read_what_threads_read_and_count_it(
    tiny_vit: PreparedModel,
    reinhard: Reinhard,
    cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    begin = reading_processes.ReadingProcesses.begin
    read_in: list[bool] = []

    def when_started(self: reading_processes.ReadingProcesses, rows: Any) -> Any:
        assert self.started is not None, self.problem
        self.started.result(timeout=60)
        reading = begin(self, rows)
        read_in.append(reading.place is not None)
        return reading

    monkeypatch.setattr(reading_processes, "GROUP", 4)
    monkeypatch.setattr(reading_processes.ReadingProcesses, "begin", when_started)
    fm = normalized(tiny_vit, reinhard)

    def extract(readers: str) -> Embeddings:
        def engine(*arguments: Any) -> Any:
            return in_process(*arguments, readers=readers)

        return obtain(fm, cohort, EmbeddingStore(tmp_path / readers), engine=engine)

    by_processes, by_threads = extract("processes"), extract("threads")
    assert by_processes.details["readers"] == "processes"
    assert read_in
    assert all(read_in)
    np.testing.assert_array_equal(by_processes.values, by_threads.values)
    assert by_processes.details["patches_without_tissue"] == len(BLANK)
    assert by_threads.details["patches_without_tissue"] == len(BLANK)


def reports(*counts: int | None) -> Iterator[dict[str, Any]]:
    for number, count in enumerate(counts):
        counted = {} if count is None else {"patches_without_tissue": count}
        facts = {"model": {}, "model_seconds": 0, "batch_size": 1, "threads": 1, "machine": "m"}
        yield {**facts, "actor": str(number), **counted}


def test_what_actors_counted_is_added_up_unless_one_does_not_know():
    together = _Reports()
    together._reports = list(reports(2, 3))
    assert together.details()["patches_without_tissue"] == 5
    together._reports = list(reports(2, None))
    assert "patches_without_tissue" not in together.details()


def test_what_an_engine_has_not_counted_is_counted_afterwards(
    reinhard: Reinhard, cohort: Cohort, tmp_path: Path
):
    def silent(*arguments: Any) -> Any:
        details = in_process(*arguments)
        return {name: value for name, value in details.items() if name != "patches_without_tissue"}

    fm = normalized(prepared_as(Colors()), reinhard)
    details = obtain(fm, cohort, EmbeddingStore(tmp_path / "store"), engine=silent).details
    assert details["patches_without_tissue"] == len(BLANK)
