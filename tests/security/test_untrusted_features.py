"""Files of features are foreign: no code of theirs runs, none leads elsewhere, and none fills the memory."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import feature_files
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from feature_files import some_slides, unpacked, write_manifest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathorob_checks import import_features
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.importing.zarr_tree import codecs_of

SLIDES = some_slides()
FIRST = "north-normal-0"
X = SLIDES[0].values


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    write_manifest(tmp_path / "slides.csv", SLIDES)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["features"] = X
    (tmp_path / "secret.bin").write_bytes(X.tobytes())
    return tmp_path / "f"


def refusal(source: str = "f") -> str:
    with pytest.raises(PathorobChecksError) as raised:
        import_features(source, "slides.csv", "out")
    assert not Path("out").exists()
    return str(raised.value)


def refused() -> str:
    """What an import says against the features; "" where it reads them."""
    try:
        import_features("f", "slides.csv", "out")
    except PathorobChecksError as error:
        return str(error)
    return ""


class Exploit:
    """Leaves a file where it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran").absolute(),)


def external_link(file: h5py.File) -> None:
    file["features"] = h5py.ExternalLink("../secret.h5", "/features")


def soft_link(file: h5py.File) -> None:
    file["other"] = X
    file["features"] = h5py.SoftLink("/other")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(X.shape, "f4")
    layout[:] = h5py.VirtualSource("../secret.h5", "features", X.shape)
    file.create_virtual_dataset("features", layout)


def other_file(file: h5py.File) -> None:
    everything = h5py.h5f.UNLIMITED
    file.create_dataset("features", shape=X.shape, dtype="f4", external=[("../secret.bin", 0, everything)])


def huge(file: h5py.File) -> None:
    file.create_dataset("features", shape=(10**6, 4096), dtype="f4", chunks=(1000, 4096), compression="gzip")


def huge_chunk(file: h5py.File) -> None:
    file.create_dataset("features", shape=X.shape, maxshape=(None, 5), dtype="f4", chunks=(10**7, 5))


def many_patches(file: h5py.File) -> None:
    file.create_dataset("features", shape=(3 * 10**6, 5), dtype="f4", chunks=(1000, 5))


def wide(file: h5py.File) -> None:
    file.create_dataset("features", shape=(6, 10**6), dtype="f4", chunks=(1, 1000))


def references(file: h5py.File) -> None:
    file["other"] = X
    file.create_dataset("features", data=[[file["other"].ref] * 5] * 6, dtype=h5py.ref_dtype)


HDF5 = {
    external_link: "'features' in 'f/north-normal-0.h5' is a link, which is not followed",
    soft_link: "'features' in 'f/north-normal-0.h5' is a link, which is not followed",
    virtual: "the dataset 'features' of 'f/north-normal-0.h5' keeps its numbers in other files",
    other_file: "the dataset 'features' of 'f/north-normal-0.h5' keeps its numbers in other files",
    huge: "'f/north-normal-0.h5' would become 16,384,000,000 bytes",
    huge_chunk: "'f/north-normal-0.h5' would become 200,000,000 bytes",
    many_patches: "'f/north-normal-0.h5' has more than 2,000,000 rows",
    wide: "'f/north-normal-0.h5' declares embeddings of 1000000 numbers",
    references: "'f/north-normal-0.h5' has the dtype object",
}


@pytest.mark.parametrize(("make", "sentence"), HDF5.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_nothing_in_hdf5_leads_elsewhere_or_fills_the_memory(here: Path, make: Any, sentence: str) -> None:
    feature_files.hdf5(here, SLIDES)
    with h5py.File(here / f"{FIRST}.h5", "r+") as file:
        del file["features"]
        make(file)
    if make is many_patches:
        (here / f"{FIRST}.h5").open("ab").write(bytes(10**6))
    assert refusal().startswith(sentence)


def test_a_group_of_anndata_that_is_a_link_is_not_followed(here: Path) -> None:
    shutil.copy(feature_files.BY_ANNDATA / "slides.h5ad", "secret.h5ad")
    with h5py.File(here / "all.h5ad", "w") as file:
        file["obs"] = h5py.ExternalLink("../secret.h5ad", "/obs")
        file["X"] = np.zeros((12, 4), "f4")
    assert refusal().startswith("'obs' in 'f/all.h5ad' is a link, which is not followed")


def test_a_filter_that_needs_a_library_is_refused(here: Path) -> None:
    feature_files.hdf5(here, SLIDES)
    with h5py.File(here / f"{FIRST}.h5", "r+") as file:
        del file["features"]
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((1, 5))
        created.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple(X.shape)
        h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, created)
    assert refusal().startswith(
        "the dataset 'features' of 'f/north-normal-0.h5' is packed by the filters [32015], which need "
        "libraries"
    )


def test_an_id_that_stands_in_every_row_is_not_multiplied(here: Path) -> None:
    with h5py.File(here / "all.h5ad", "w") as file:
        file["X"] = np.zeros((5000, 4), "f4")
        file["obs/slide_id"] = ["s" * 5000] * 5000
    assert "it has an id of more than 4,096 characters" in refusal()


@pytest.mark.parametrize("content", ["dictionary", "list", "bare", "old"])
def test_nothing_is_unpickled(here: Path, content: str) -> None:
    feature_files.bags(here, SLIDES)
    path = here / f"{FIRST}.pt"
    if content == "bare":
        path.write_bytes(pickle.dumps(Exploit()))
    else:
        made = {"x": Exploit()} if content == "dictionary" else [torch.zeros(3), Exploit()]
        torch.save(made, path, _use_new_zipfile_serialization=content != "old")
    assert "never loaded" in refusal()
    assert not Path("ran").exists()


def test_an_index_of_python_objects_is_not_unpickled(here: Path) -> None:
    feature_files.bags(here, SLIDES)
    np.savez(here / f"{FIRST}.index", np.array([Exploit()] * 6, dtype=object))
    assert "Python objects" in refusal()
    assert not Path("ran").exists()


def test_a_view_that_repeats_one_number_is_not_written_out(here: Path) -> None:
    feature_files.bags(here, SLIDES)
    torch.save(torch.zeros(1).expand(10**6, 1000), here / f"{FIRST}.pt")
    assert refusal().startswith("'f/north-normal-0.pt' would become 4,000,000,000 bytes")
    torch.save([torch.zeros(1).expand(60_000)] * 5000, here / f"{FIRST}.pt")
    assert refusal().startswith("'f/north-normal-0.pt' would become 1,200,000,000 bytes")


def test_an_archive_that_was_compressed_is_not_unpacked(here: Path) -> None:
    feature_files.bags(here, SLIDES)
    path = here / f"{FIRST}.pt"
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert "its members are compressed, which torch does not do" in refusal()


def test_an_index_that_would_become_large_is_not_unpacked(here: Path) -> None:
    feature_files.bags(here, SLIDES)
    with zipfile.ZipFile(here / f"{FIRST}.index.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", bytes(10**8))
    assert refusal().startswith("'f/north-normal-0.index.npz' would become 100,000,000 bytes")


@pytest.mark.parametrize("name", ["../secret.pt", "/etc/passwd", "a/../../secret.pt", "C:\\secret.pt", "."])
def test_a_manifest_of_eva_names_only_files_beside_it(here: Path, name: str) -> None:
    feature_files.eva_slides(here, SLIDES)
    torch.save([torch.from_numpy(X[0])], "secret.pt")
    text = (here / "manifest.csv").read_text()
    (here / "manifest.csv").write_text(text.replace(f"{FIRST}.pt", name))
    assert "names a file outside of its folder" in refusal()


@pytest.mark.parametrize(
    ("writer", "suffix"), [(feature_files.hdf5, "h5"), (feature_files.bags, "index.npz")]
)
def test_a_symbolic_link_that_leads_out_is_refused(here: Path, writer: Any, suffix: str) -> None:
    writer(here, SLIDES)
    path = here / f"{FIRST}.{suffix}"
    path.rename(f"outside.{suffix}")
    path.symlink_to(f"../outside.{suffix}")
    assert refusal().startswith(f"'f/{FIRST}.{suffix}' is a link that leads out of the folder 'f'")


def test_a_pipe_is_not_waited_for(here: Path) -> None:
    feature_files.hdf5(here, SLIDES)
    (here / f"{FIRST}.h5").unlink()
    os.mkfifo(here / f"{FIRST}.h5")
    assert refusal() == f"'f/{FIRST}.h5' is not a file; put the file of features there."


@pytest.mark.parametrize("place", ["X/0.0", "X/.zarray", "obs/.zattrs"])
def test_a_store_of_zarr_with_a_link_that_leads_out_is_refused(here: Path, place: str) -> None:
    store = unpacked("slides_v2.zarr", here / "all.zarr")
    (store / place).rename("outside")
    (store / place).symlink_to(Path("outside").absolute())
    if place == "obs/.zattrs":  # no attribute of obs is needed
        (store / "X" / ".zattrs").rename("unused")
        (store / "X" / ".zarray").unlink()
        (store / "X" / ".zattrs").symlink_to(Path("outside").absolute())
        (store / "X" / ".zgroup").write_text("{}")
    assert "is a link that leads out of the folder" in refusal()


def spoil(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("store", "changes", "sentence"),
    [
        ("slides_v2.zarr", {"filters": [{"id": "pickle"}]}, "is packed by 'pickle', which is not unpacked"),
        ("slides_v2.zarr", {"compressor": {"id": "evil"}}, "is packed by 'evil', which is not unpacked"),
        ("slides_v2.zarr", {"shape": [10**9, 64]}, "would become 256,000,000,000 bytes"),
        ("slides_v2.zarr", {"chunks": [10**8, 4]}, "would become 1,600,000,000 bytes"),
        ("slides_v3.zarr", {"codecs": [{"name": "numcodecs.pickle"}]}, "is packed by 'numcodecs.pickle'"),
        ("slides_v3.zarr", {"shape": [10**9, 64]}, "would become 256,000,000,000 bytes"),
        ("slides_v3.zarr", {"codecs": 3}, "cannot be read"),
        ("slides_v3.zarr", {"data_type": "no type"}, "cannot be read"),
        ("slides_v3.zarr", {"zarr_format": 9}, "cannot be read"),
    ],
)
def test_what_an_array_of_zarr_declares_is_looked_at_first(
    here: Path, store: str, changes: dict[str, object], sentence: str
) -> None:
    place = unpacked(store, here / "all.zarr")
    spoil(place / "X" / (".zarray" if "v2" in store else "zarr.json"), **changes)
    assert sentence in refusal()


def test_codecs_inside_codecs_are_found() -> None:
    inner = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}]}}
    assert codecs_of({"zarr_format": 3, "codecs": [inner]}) == {"sharding_indexed", "pickle"}


def test_consolidated_metadata_is_not_believed(here: Path) -> None:
    place = unpacked("slides_v2.zarr", here / "all.zarr")
    copy = json.loads((place / ".zmetadata").read_text())
    copy["metadata"]["X/.zarray"]["filters"] = [{"id": "pickle"}]
    copy["metadata"]["X/.zarray"]["shape"] = [1, 1]
    (place / ".zmetadata").write_text(json.dumps(copy))
    labels = [("s1", "a", "n"), ("s2", "a", "t"), ("s3", "b", "n"), ("s4", "b", "t")]
    rows = "".join(f"{','.join(row)}\n" for row in labels)
    Path("slides.csv").write_text(f"slide_id,medical_center,biological_class\n{rows}")
    assert import_features("f", "slides.csv", "out").patches == 12


@pytest.mark.parametrize("region", ["..", "../../../elsewhere", ""])
def test_the_name_of_tiles_leads_nowhere(here: Path, region: str) -> None:
    from pathorob_checks.importing.source import source_at
    from pathorob_checks.importing.tile_shapes import places_of

    store = unpacked("tiles.zarr", here / "s1.zarr")
    own = store / "shapes" / "tiles" / "shapes.parquet"
    other = store / "shapes" / region / "shapes.parquet"
    other.parent.mkdir(exist_ok=True)
    shutil.copy(own, other)
    assert places_of(source_at(store), store, "tiles") is not None
    assert places_of(source_at(store), store, region) is None


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01" + bytes(200), b"\x02" * 200, None])
def test_a_tile_that_is_no_polygon_is_refused(here: Path, content: bytes | None) -> None:
    store = unpacked("tiles.zarr", here / "s1.zarr")
    path = store / "shapes" / "tiles" / "shapes.parquet"
    pq.write_table(pa.table({"tile_id": [0, 1, 2], "geometry": pa.array([content] * 3, pa.binary())}), path)
    assert "a tile is no polygon" in refusal()


def test_names_that_steer_a_terminal_are_escaped(here: Path) -> None:
    feature_files.hdf5(here, SLIDES)
    (here / f"{FIRST}.h5").rename(here / "north\x1b[31m\n.h5")
    write_manifest(Path("slides.csv"), SLIDES[1:])
    assert refusal().startswith("1 slide ('north\\x1b[31m ') with features is not in slides.csv")


FILES = {
    feature_files.hdf5: f"{FIRST}.h5",
    feature_files.bags: f"{FIRST}.pt",
    feature_files.parquet_lists: "features.parquet",
    feature_files.csv_table: "features.csv",
}


@pytest.mark.parametrize("writer", FILES, ids=lambda writer: writer.__name__)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_sentence_or_harmless(here: Path, writer: Any, data: st.DataObject) -> None:
    shutil.rmtree("out", ignore_errors=True)
    writer(here, SLIDES)
    path = here / FILES[writer]
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    error = refused()
    assert "\n" not in error
    assert Path("out").exists() == (not error)
