"""Features of every tool come out as they went in: values, order, ids, slides."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import feature_files
import h5py
import numpy as np
import pandas as pd
import pytest
from feature_files import BY_ANNDATA, WRITERS, Slide, Writer, some_slides, unpacked, write_manifest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pathorob_checks import import_features
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.importing.formats import FORMATS, detected
from pathorob_checks.importing.source import source_at


def read(folder: Path) -> tuple[np.ndarray, pd.DataFrame]:
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    return np.load(folder / "embeddings.npy"), table


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_values_order_and_ids_are_kept(writer: Writer, tmp_path: Path) -> None:
    slides = some_slides(outside=1)
    features = tmp_path / "features"
    features.mkdir()
    writer(features, slides[::-1])
    manifest = write_manifest(tmp_path / "slides.csv", slides)
    done = import_features(features, manifest, tmp_path / "fm", cohort="ours")
    assert (done.format, done.extractor) == WRITERS[writer]
    assert (done.patches, done.slides, done.centers, done.classes, done.dimension) == (60, 10, 3, 2, 5)
    values, table = read(tmp_path / "fm" / "ours")
    slides = sorted(slides, key=lambda slide: slide.name)
    assert values.dtype == np.float32
    assert np.array_equal(values, np.concatenate([slide.values for slide in slides]))
    named = writer is not feature_files.eva_slides
    assert table.patch_id.tolist() == [
        name for slide in slides for name in (slide.ids if named else map(str, range(len(slide.ids))))
    ]
    for column, field in {
        "slide_id": "name",
        "medical_center": "center",
        "biological_class": "label",
        "subset": "subset",
    }.items():
        assert table[column].tolist() == [getattr(slide, field) for slide in slides for _ in slide.ids]


LABELS = pd.DataFrame(
    {
        "slide_id": ["s1", "s2", "s3", "s4"],
        "medical_center": ["north", "north", "south", "south"],
        "biological_class": ["normal", "tumor"] * 2,
    }
)
WRITTEN = np.random.default_rng(0).normal(size=(12, 4)).astype("f4")
IDS = ["0_512", "256_512", "512_512"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    LABELS.to_csv(tmp_path / "slides.csv", index=False)
    return tmp_path / "slides.csv"


@pytest.mark.parametrize("store", ["slides.h5ad", "slides_v2.zarr", "slides_v3.zarr"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_what_anndata_wrote_is_read(store: str, as_folder: bool, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    place = tmp_path / "features" / store
    if store.endswith(".h5ad"):
        shutil.copy(BY_ANNDATA / store, place)
    else:
        unpacked(store, place)
    done = import_features(place.parent if as_folder else place, manifest, tmp_path / "fm")
    values, table = read(done.folder)
    assert done.format == "anndata"
    assert done.extractor is None
    assert np.array_equal(values, WRITTEN)
    assert table.patch_id.tolist() == IDS * 4
    assert table.slide_id.tolist() == [slide for slide in LABELS.slide_id for _ in IDS]
    other = import_features(place, manifest, tmp_path / "other", key="X_other")
    assert (other.extractor, other.dimension) == ("X_other", 2)
    assert np.array_equal(read(other.folder)[0], WRITTEN[:, :2].astype("f2").astype("f4"))
    with pytest.raises(EmbeddingError, match=r"has no features 'obsm/none'.*'X_other', 'spatial'"):
        import_features(place, manifest, tmp_path / "none", key="none")


def test_what_spatialdata_wrote_is_read_with_the_places_of_its_tiles(manifest: Path, tmp_path: Path) -> None:
    for slide in LABELS.slide_id:
        unpacked("tiles.zarr", tmp_path / "lazy" / f"{slide}.zarr")
    done = import_features(tmp_path / "lazy", manifest, tmp_path / "fm")
    values, table = read(done.folder)
    assert (done.format, done.extractor) == ("anndata", "uni_tiles")
    assert np.array_equal(values, np.tile(WRITTEN[:3], (4, 1)))
    assert table.patch_id.tolist() == IDS * 4
    shutil.rmtree(tmp_path / "lazy" / "s1.zarr" / "shapes")
    done = import_features(tmp_path / "lazy", manifest, tmp_path / "fm2")
    assert read(done.folder)[1].patch_id.tolist() == ["0", "1", "2", *IDS * 3]
    with pytest.raises(EmbeddingError, match=r"has no table 'gigapath' .it has 'uni_tiles'.*with --key"):
        import_features(tmp_path / "lazy", manifest, tmp_path / "fm3", key="gigapath")


def test_what_lazyslide_wrote_is_read(manifest: Path, tmp_path: Path) -> None:
    """The model was the mean color of a tile, and the color says where in the slide the tile is."""
    for slide in LABELS.slide_id:
        unpacked("lazyslide.zarr", tmp_path / "stores" / f"{slide}.zarr")
    done = import_features(tmp_path / "stores", manifest, tmp_path / "fm")
    values, table = read(done.folder)
    assert (done.extractor, done.patches) == ("color_tiles", 4 * 3)
    places = table.patch_id.str.split("_", expand=True).astype(int)
    assert {tuple(place) for place in places.to_numpy()} == {(640, 512), (896, 512), (384, 768)}
    columns, rows = (places[0] - 384) // 256, (places[1] - 512) // 256
    colors = np.column_stack([120 + 20 * columns, np.full(len(places), 60), 120 + 20 * rows])
    assert np.allclose(values * 255, colors, rtol=1e-5)


@pytest.mark.parametrize("store", ["named_tiles.h5ad", "named_tiles.zarr"])
def test_names_of_tiles_that_are_stored_with_a_mask_are_read(
    store: str, manifest: Path, tmp_path: Path
) -> None:
    place = tmp_path / "features" / store
    place.parent.mkdir()
    if store.endswith(".h5ad"):
        shutil.copy(BY_ANNDATA / store, place)
    else:
        unpacked(store, place)
    [entry] = FORMATS["anndata"].entries(source_at(place), None)
    [bag] = entry.bags()
    assert (bag.slide_id, bag.patch_ids) == ("s1", ["tile-0", "tile-1", "tile-2"])
    assert np.array_equal(bag.read(np.arange(3)), WRITTEN[:3])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda column: column["mask"].__setitem__(1, True), "column 'tile_id' .* has empty cells"),
        (lambda column: column.pop("mask"), "'tile_id' .* is stored as nullable-string-array, which is not"),
    ],
    ids=["an empty cell", "no mask"],
)
def test_names_of_tiles_that_cannot_be_read_are_not_passed_over(
    change: Callable[[h5py.Group], None], error: str, tmp_path: Path
) -> None:
    place = Path(shutil.copy(BY_ANNDATA / "named_tiles.h5ad", tmp_path))
    with h5py.File(place, "r+") as file:
        change(file["obs/tile_id"])
    [entry] = FORMATS["anndata"].entries(source_at(place), None)
    with pytest.raises(EmbeddingError, match=error):
        list(entry.bags())


@pytest.mark.parametrize(
    "writer", [feature_files.hdf5, feature_files.bags, feature_files.csv_table, feature_files.parquet_lists]
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_number_and_any_choice_of_rows_comes_back(
    writer: Writer, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(2, 4)))
    values = data.draw(arrays.arrays(np.float32, shape, elements=finite))
    places = np.array([[row, -row] for row in range(len(values))])
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))))
    folder = tmp_path_factory.mktemp("features")
    writer(folder, [Slide("s", "c", "l", values, places)])
    source = source_at(folder)
    [entry] = FORMATS[detected(source)].entries(source, None)
    [bag] = entry.bags()
    assert bag.patch_ids == [f"{row}_{-row}" for row in range(len(values))]
    assert np.array_equal(bag.read(rows), values[rows])
    assert bag.read(rows).dtype == np.float32


@pytest.mark.parametrize(
    "writer", [feature_files.hdf5, feature_files.clam, feature_files.bags, feature_files.parquet_lists]
)
@pytest.mark.parametrize("rows", [[0], [3, 4095, 4096, 4999], range(5000), range(4000, 5000)])
def test_few_and_many_rows_of_a_long_slide(writer: Writer, rows: Sequence[int], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    writer(tmp_path, [Slide("s", "c", "l", values, np.array([[row, 0] for row in range(5000)]))])
    source = source_at(tmp_path)
    [bag] = next(iter(FORMATS[detected(source)].entries(source, None))).bags()
    assert np.array_equal(bag.read(np.array(rows)), values[list(rows)])


def drawn(folder: Path, slides: Sequence[Slide], **options: object) -> list[str]:
    folder.mkdir()
    feature_files.hdf5(folder, slides)
    manifest = write_manifest(folder / "slides.csv", slides)
    done = import_features(folder, manifest, folder / "fm", **options)  # type: ignore[arg-type]
    values, table = read(done.folder)
    known = {
        f"{slide.name}-{name}": row
        for slide in slides
        for name, row in zip(slide.ids, slide.values, strict=True)
    }
    keys = (table.slide_id + "-" + table.patch_id).tolist()
    assert np.array_equal(values, [known[key] for key in keys])
    return keys


def test_the_draw_depends_on_the_patches_only(tmp_path: Path) -> None:
    slides = some_slides(patches=9)
    some = drawn(tmp_path / "a", slides, patches_per_slide=4)
    assert len(some) == 4 * 8
    assert all(sum(key.startswith(f"{slide.name}-") for key in some) == 4 for slide in slides)
    other_fm = [
        Slide(one.name, one.center, one.label, one.values[::-1, :3] + 1, one.places[::-1]) for one in slides
    ]
    assert set(drawn(tmp_path / "b", other_fm, patches_per_slide=4)) == set(some)
    assert set(drawn(tmp_path / "c", slides, patches_per_slide=4, seed=1)) != set(some)
    assert set(drawn(tmp_path / "d", slides, patches_per_slide=5)) > set(some)
    assert drawn(tmp_path / "e", slides, patches_per_slide=100) == drawn(tmp_path / "f", slides)
