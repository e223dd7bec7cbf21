"""What is wrong with features on disk is one sentence that names the file; nothing is written then."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import feature_files
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from feature_files import BY_ANNDATA, Writer, some_slides, write_manifest

from pathorob_checks import import_features
from pathorob_checks.errors import EmbeddingError, PathorobChecksError

FIRST = "north-normal-0"
SLIDES = some_slides()
X, XY = SLIDES[0].values, SLIDES[0].places


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    write_manifest(tmp_path / "slides.csv", SLIDES)
    return tmp_path / "f"


def refusal(**options: object) -> str:
    with pytest.raises(PathorobChecksError) as raised:
        import_features("f", "slides.csv", "out/fm", **options)  # type: ignore[arg-type]
    assert not Path("out").exists()
    text = str(raised.value)
    assert text.endswith(".")
    return text


def h5(folder: Path, **datasets: object) -> None:
    """Other datasets in the file of the first slide; None leaves one out."""
    with h5py.File(folder / f"{FIRST}.h5", "r+") as file:
        for name, values in datasets.items():
            if name in file:
                del file[name]
            if values is not None:
                file[name] = values


def pt(folder: Path, content: object) -> None:
    torch.save(content, folder / f"{FIRST}.pt")


def with_nan() -> np.ndarray:
    values = X.copy()
    values[3, 2] = np.nan
    return values


Spoil = Callable[[Path], object]
H5, PT = f"'f/{FIRST}.h5'", f"'f/{FIRST}.pt'"
MISTAKES: list[tuple[Writer, Spoil, str]] = [
    (
        feature_files.hdf5,
        lambda f: h5(f, features=X.astype(np.int32)),
        f"{H5} has the dtype int32 where floating-point numbers are needed; write them as float32.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=X[0]),
        f"{H5} has one vector of the shape (5,), which describes a whole slide and no patches; give the "
        "folder "
        "with the features of patches, from which the vector of a slide is made.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=X[:, None, :]),
        f"{H5} has the shape (6, 1, 5) where (N, D) is needed, one vector per patch; write one vector per "
        "patch, "
        "not its tokens or its pixels.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=X[:0], coords=XY[:0]),
        f"{H5} has the shape (0, 5) and so no features; extract the features of this slide again, or leave "
        "the "
        "slide out of the manifest.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, coords=XY[1:]),
        f"{H5} has features of 6 patches and coordinates of 5; extract the features of this slide again, "
        "from "
        "the coordinates of the same patches.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, coords=np.zeros_like(XY)),
        f"{H5} has more than one row for 1 patch ('0_0'); keep one row per patch: a patch that is there "
        "twice is "
        "its own nearest neighbor.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, coords=XY + np.nan),
        f"{H5} has a coordinate that is NaN or infinite; extract the features again.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, coords=np.zeros((6, 4))),
        f"{H5} has coordinates of the shape (6, 4) and the dtype float64 where numbers (N, 2) are needed, x "
        "and y "
        "of each patch; extract the features of this slide again.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=np.tile(X, 2)),
        f"{H5} has embeddings of 10 numbers where 7 slides, such as 'f/north-normal-1.h5', have 5; give the "
        "folder "
        "of one FM, or extract the features of these slides again.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=with_nan()),
        f"embeddings of 1 of 6 patches ('{FIRST}-0_256') contain NaN or infinite values in {H5}; extract "
        "these "
        "features again.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=X * 0),
        f"embeddings of 6 of 6 patches ('{FIRST}-0_0', '{FIRST}-256_0', '{FIRST}-512_0', ...) are all zeros "
        "in "
        f"{H5}; extract these features again.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=X.astype(np.float64) * 1e39),
        f"embeddings of 6 of 6 patches ('{FIRST}-0_0', '{FIRST}-256_0', '{FIRST}-512_0', ...) contain NaN or "
        f"infinite values in {H5}; extract these features again.",
    ),
    (
        feature_files.hdf5,
        lambda f: h5(f, features=None, feats=X),
        f"{H5} has no dataset 'features' but 'coords', 'feats'; name the dataset that holds the features "
        "with "
        "--key.",
    ),
    (
        feature_files.hdf5,
        lambda f: (f / f"{FIRST}.h5").unlink(),
        f"slides.csv names 1 slide ('{FIRST}') without features; extract their features, or delete their "
        "rows.",
    ),
    (
        feature_files.hdf5,
        lambda f: (f / f"{FIRST}.h5").rename(f / "other.h5"),
        f"slides.csv names 1 slide ('{FIRST}') without features; extract their features, or delete their "
        "rows.",
    ),
    (
        feature_files.hdf5,
        lambda f: (f / f"{FIRST}.h5").rename(f / f"{FIRST}.svs.h5"),
        f"slides.csv names 1 slide ('{FIRST}') without features; write '{FIRST}.svs' for '{FIRST}', as the "
        "features name the slide.",
    ),
    (
        feature_files.hdf5,
        lambda f: (f / "more.h5").write_bytes((f / f"{FIRST}.h5").read_bytes()),
        "1 slide ('more') with features is not in slides.csv; add a row for each, or leave them out with "
        "--skip-unlisted.",
    ),
    (
        feature_files.hdf5,
        lambda f: (f / f"{FIRST}.hdf5").write_bytes((f / f"{FIRST}.h5").read_bytes()),
        f"{H5[1:-1]!r} and 'f/{FIRST}.hdf5' both have patch '0_0' of slide '{FIRST}'; keep one of them.",
    ),
    (
        feature_files.hdf5,
        lambda f: pt(f, torch.from_numpy(X)),
        "'f' has features in 2 formats: hdf5 (.h5 and .hdf5), bags (.pt and .pth); name the one that you "
        "mean "
        "with --format.",
    ),
    (
        feature_files.hdf5,
        lambda f: f.rename("g") and (f.mkdir(), Path("g").rename(f / "h5_files")),
        "'f' has no files of features itself but folders with such files: 'f/h5_files'; give the one that "
        "you "
        "mean.",
    ),
    (
        feature_files.bags,
        lambda f: pt(f, {"model": torch.from_numpy(X)}),
        f"{PT} holds no tensor but a dictionary of 'model'; name the entry that holds the features with "
        "--key.",
    ),
    (
        feature_files.bags,
        lambda f: pt(f, "text"),
        f"{PT} holds no tensor but str; save the tensor (N, D) itself with torch.save.",
    ),
    (
        feature_files.bags,
        lambda f: pt(f, torch.from_numpy(X).to_sparse()),
        f"{PT} holds a tensor that is sparse, quantized or without numbers; save it as a dense tensor of "
        "float32.",
    ),
    (
        feature_files.bags,
        lambda f: pt(f, torch.from_numpy(X[0])),
        f"{PT} has one vector of the shape (5,), which describes a whole slide and no patches; give the "
        "folder "
        "with the features of patches, from which the vector of a slide is made.",
    ),
    (
        feature_files.bags,
        lambda f: pt(f, [torch.zeros(5), torch.zeros(4)]),
        f"{PT} holds tensors of different shapes ('(4,)', '(5,)'); extract the features of this slide "
        "again, with "
        "one FM.",
    ),
    (
        feature_files.eva_slides,
        lambda f: (f / f"{FIRST}.pt").unlink(),
        f"{PT} does not exist; put the file of features there.",
    ),
    (
        feature_files.csv_table,
        lambda f: (f / "features.csv").write_text("Slide,Feature_0,Feature_2\ns,1,2\n"),
        "'f/features.csv' has 2 columns of numbers, among which number 1 is missing; write all numbers of an "
        "embedding.",
    ),
    (
        feature_files.csv_table,
        lambda f: (f / "features.csv").write_text("slide_id,a0,a1,b0,b1\ns,1,2,3,4\n"),
        "'f/features.csv' has no columns that are clearly features (numbered columns: 'a0', 'b0'); name the "
        "features feature_0, feature_1, ..., or say by --key how their names begin.",
    ),
    (
        feature_files.csv_table,
        lambda f: (f / "features.csv").write_text(
            (f / "features.csv").read_text().replace(f"{XY[1, 0]},{XY[1, 1]}", f"{XY[0, 0]},{XY[0, 1]}", 1)
        ),
        f"slide '{FIRST}' in 'f/features.csv' has more than one row for 1 patch ('0_0'); keep one row per "
        "patch: a "
        "patch that is there twice is its own nearest neighbor.",
    ),
]


@pytest.mark.parametrize(("writer", "spoil", "sentence"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_sentence_and_writes_nothing(
    here: Path, writer: Writer, spoil: Spoil, sentence: str
) -> None:
    writer(here, SLIDES)
    spoil(here)
    assert refusal() == sentence


@pytest.mark.parametrize(
    ("writer", "suffix"),
    [(feature_files.hdf5, "h5"), (feature_files.bags, "pt"), (feature_files.bags, "index.npz")],
)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_called_unreadable(
    here: Path, writer: Writer, suffix: str, part: float
) -> None:
    writer(here, SLIDES)
    path = here / f"{FIRST}.{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    text = refusal()
    assert text.startswith(f"'f/{FIRST}.{suffix}' cannot be read: ")
    assert text.endswith("; write it again, or copy it again if the copy was interrupted.")


@pytest.mark.parametrize("cell", ["", "NA", "one"])
def test_a_cell_without_a_number_is_refused(here: Path, cell: str) -> None:
    feature_files.csv_table(here, SLIDES)
    table = pd.read_csv(here / "features.csv", dtype=str)
    table.loc[7, "Feature_3"] = cell
    table.to_csv(here / "features.csv", index=False)
    assert refusal().startswith("'f/features.csv' cannot be read: ")


def test_lists_of_different_lengths_are_refused(here: Path) -> None:
    feature_files.parquet_lists(here, SLIDES)
    table = pd.read_parquet(here / "features.parquet")
    table.at[7, "embedding"] = np.zeros(3, np.float32)
    table.to_parquet(here / "features.parquet")
    assert "column 'embedding' has lists of different lengths" in refusal()


def test_features_of_two_extractors_are_refused(here: Path) -> None:
    feature_files.hdf5(here, SLIDES)
    with h5py.File(here / f"{FIRST}.h5", "r+") as file:
        file["features"].attrs["encoder"] = "gigapath"
    assert refusal() == (
        f"{H5} has features of gigapath and 'f/north-normal-1.h5' of uni_v1; give the folder of one FM."
    )


def test_sparse_features_of_anndata_are_refused(here: Path) -> None:
    (here / "all.h5ad").write_bytes((BY_ANNDATA / "slides.h5ad").read_bytes())
    with h5py.File(here / "all.h5ad", "r+") as file:
        del file["X"]
        file.create_group("X").attrs["encoding-type"] = "csr_matrix"
    assert refusal() == (
        "'X' of 'f/all.h5ad' is stored as csr_matrix where an array of numbers is needed; write the "
        "features as a "
        "dense array."
    )


@pytest.mark.parametrize("name", ["obsm/spatial", "obs/slide_id/codes"])
def test_rows_of_anndata_that_do_not_fit_are_refused(here: Path, name: str) -> None:
    (here / "all.h5ad").write_bytes((BY_ANNDATA / "slides.h5ad").read_bytes())
    with h5py.File(here / "all.h5ad", "r+") as file:
        values = file[name][()]
        del file[name]
        file[name] = np.concatenate([values, values[:1]])
    what = name if name == "obsm/spatial" else "the column 'slide_id'"
    assert (
        refusal() == f"'f/all.h5ad' has features of 12 patches and 13 rows in {what}; write the file again."
    )


@pytest.mark.parametrize(("library", "writer"), [("h5py", feature_files.hdf5)])
def test_a_missing_library_is_named_with_the_extra(
    here: Path, library: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer(here, SLIDES)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refusal() == (
        f"{H5} is read by the library {library}, which is not installed; install it with pip install "
        f"'{library}>=3.11', or all that imports need with the extra 'import' of this package."
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "hdf"}, "there is no format 'hdf'; did you mean 'hdf5'? Use one of"),
        ({"format": "bags"}, "'f' has no features of this format; leave out --format."),
        ({"format": "eva"}, "'f/manifest.csv' does not exist; put the file of features there."),
        ({"patches_per_slide": 0}, "0 patches per slide are none; give 1 or more."),
        ({"cohort": "../x"}, "the cohort '../x' cannot be the name of a file; rename it"),
        ({"cohort": "Lyon (2)"}, "the cohort 'Lyon (2)' has characters that reports and folders lack"),
        ({"cohort": ".hidden"}, "the cohort '.hidden' has characters that reports and folders lack"),
        ({"cohort": "camelyon"}, "the cohort 'camelyon' is yours but is called like the cohort camelyon"),
        ({"key": "none"}, f"{H5} has no dataset 'none' but 'coords', 'features'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(
    here: Path, options: dict[str, object], sentence: str
) -> None:
    feature_files.hdf5(here, SLIDES)
    assert refusal(**options).startswith(sentence)


def test_a_key_of_a_file_without_keys_is_refused(here: Path) -> None:
    feature_files.bags(here, SLIDES)
    assert refusal(key="model") == f"{PT} holds no dictionary with 'model'; leave out --key."


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_floating_point_numbers_are_converted_with_a_note(here: Path, dtype: str) -> None:
    feature_files.bags(here, SLIDES)
    pt(here, torch.from_numpy(X).to(getattr(torch, dtype)))
    done = import_features("f", "slides.csv", "out/fm")
    assert done.notes == (f"Embeddings of 6 patches were converted from {dtype} to float32.",)
    assert np.allclose(np.load("out/fm/cohort/embeddings.npy")[:6], X, rtol=2**-7)


@pytest.mark.parametrize("writer", [feature_files.hdf5, feature_files.bags])
def test_one_axis_too_many_is_taken_off_with_a_note(here: Path, writer: Writer) -> None:
    writer(here, SLIDES)
    h5(here, features=X[None], coords=XY[None]) if writer is feature_files.hdf5 else pt(
        here, torch.from_numpy(X[None])
    )
    done = import_features("f", "slides.csv", "out/fm", patches_per_slide=4)
    assert done.notes == (f"Stored as (1, N, D) and read as (N, D): 1 slide ('{FIRST}').",)
    values = np.load("out/fm/cohort/embeddings.npy")
    ids = pd.read_csv("out/fm/cohort/manifest.csv").patch_id[:4]
    assert np.array_equal(values[:4], [X[SLIDES[0].ids.index(name)] for name in ids])


def test_slides_that_the_manifest_does_not_name_are_left_out_unopened(here: Path) -> None:
    feature_files.hdf5(here, SLIDES)
    (here / "unlisted.h5").write_bytes(b"damaged")
    done = import_features("f", "slides.csv", "out/fm", skip_unlisted=True)
    assert done.notes == ("Left out, because the manifest does not name them: 1 slide ('unlisted').",)
    origin = json.loads(Path("out/fm/cohort/import.json").read_text())
    assert sorted(origin["sources"]) == sorted(f"{slide.name}.h5" for slide in SLIDES)


def test_an_index_in_the_other_memory_order_names_the_same_places(here: Path) -> None:
    feature_files.bags(here, SLIDES)
    np.savez(here / f"{FIRST}.index", np.asfortranarray(XY))
    import_features("f", "slides.csv", "out/fm")
    assert pd.read_csv("out/fm/cohort/manifest.csv").patch_id[:6].tolist() == SLIDES[0].ids


def test_the_manifest_may_lie_beside_the_features(here: Path) -> None:
    feature_files.csv_per_slide(here, SLIDES)
    write_manifest(here / "slides.csv", SLIDES)
    assert import_features("f", "f/slides.csv", "out/fm").slides == 8


def test_a_slide_of_one_patch_is_imported(here: Path) -> None:
    one = [replace(slide, values=slide.values[:1], places=slide.places[:1]) for slide in SLIDES]
    feature_files.hdf5(here, one)
    assert import_features("f", "slides.csv", "out/fm").patches == len(SLIDES)


def test_given_embeddings_of_another_tool_lead_to_the_import(here: Path, tmp_path: Path) -> None:
    from pathorob_checks.embeddings.precomputed import read

    feature_files.hdf5(here, SLIDES)
    patches = pd.DataFrame({"slide_id": ["a"], "patch_id": ["b"], "medical_center": ["c"]})
    with pytest.raises(EmbeddingError, match="read features of another tool with 'pathorob-checks import f'"):
        read(here, "ours", patches)
