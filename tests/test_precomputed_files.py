"""Given embeddings: files that are damaged, unsafe or do not fit are refused."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from embedding_folders import (
    COHORT,
    KEYS,
    PATCHES,
    VALUES,
    Values,
    Writer,
    every_layout,
    npy,
    parquet,
    parquet_table,
    pathorob,
    refusal,
    tensors,
    tensors_with_keys,
    write_csv,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pathorob_checks.embeddings.precomputed import Precomputed, read
from pathorob_checks.errors import EmbeddingError


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [pathorob, npy], ids=lambda write: write.__name__)
def test_pickles_are_refused_and_never_executed(tmp_path: Path, write: Writer) -> None:
    trace = tmp_path / "executed"
    values = np.full((9, 1), Bomb(str(trace)), dtype=object)
    write(tmp_path / "in", PATCHES, values)
    assert "holds pickled Python objects, which are never loaded" in refusal(tmp_path / "in")
    assert not trace.exists()
    # The test is not vacuous: with allow_pickle the same files make the folder.
    file = sorted((tmp_path / "in" / COHORT).glob("*.np[yz]"))[0]
    loaded = np.load(file, allow_pickle=True)
    if write is pathorob:
        loaded = loaded[loaded.files[0]]
    assert trace.exists()


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    import pickle

    trace = tmp_path / "executed"
    content = pickle.dumps(Bomb(str(trace)))
    for write in (pathorob, npy, tensors, parquet):
        folder = tmp_path / write.__name__
        write(folder, PATCHES, VALUES)
        for file in (folder / COHORT).iterdir():
            file.write_bytes(content)
        assert "cannot be read" in refusal(folder)
    pathorob(tmp_path / "member", PATCHES, VALUES)
    with zipfile.ZipFile(tmp_path / "member" / COHORT / "RUMC.npz", "w") as archive:
        for key in KEYS:
            archive.writestr(f"{key}.npy", content)
    assert "'camelyon/RUMC.npz' cannot be read" in refusal(tmp_path / "member")
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.999])
@every_layout
def test_truncated_files_are_named(tmp_path: Path, write: Writer, share: float) -> None:
    write(tmp_path, PATCHES, VALUES)
    data = [name for name in read(tmp_path, COHORT, PATCHES).files if not name.endswith(".csv")]
    for name in data:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        assert f"'{name}' cannot be read: " in refusal(tmp_path)
        (tmp_path / name).write_bytes(whole)


@given(
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    write=st.sampled_from([pathorob, npy, tensors]),
)
@settings(max_examples=100, deadline=None)
def test_a_damaged_byte_never_raises_another_kind_of_error(at: float, byte: int, write: Writer) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), PATCHES, VALUES)
        file = sorted((Path(name) / COHORT).iterdir())[0]
        content = bytearray(file.read_bytes())
        content[int(at * len(content))] = byte
        file.write_bytes(content)
        try:
            loaded = read(Path(name), COHORT, PATCHES)
        except EmbeddingError:
            return
        assert isinstance(loaded, Precomputed)
        if write is pathorob:  # the only format with checksums
            np.testing.assert_array_equal(loaded.values, VALUES)


def test_an_array_too_large_for_one_embedding_is_not_unpacked(tmp_path: Path) -> None:
    pathorob(tmp_path, PATCHES, VALUES)
    content = io.BytesIO()
    np.save(content, np.zeros(1 << 23, dtype=np.float32))
    with zipfile.ZipFile(tmp_path / COHORT / "RUMC.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key in KEYS:
            archive.writestr(f"{key}.npy", content.getvalue() if key == KEYS[0] else b"")
    assert f"'camelyon/RUMC.npz' cannot be read: array '{KEYS[0]}' has 33554560 bytes" in refusal(tmp_path)


@pytest.mark.parametrize("write", [npy, tensors], ids=lambda write: write.__name__)
def test_rows_without_patch_keys_are_refused(tmp_path: Path, write: Writer) -> None:
    write(tmp_path, PATCHES, VALUES)
    manifest = tmp_path / COHORT / "manifest.csv"
    manifest.unlink()
    assert "has no manifest beside it" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 columns 'slide_id'"),
        ("slide_id,patch\na,b\n", "0 columns 'patch_id'"),
        ("slide_id,patch_id,slide_id\na,b,c\n", "2 columns 'slide_id'"),
        ("slide_id,patch_id\na,b\na\n", "line 3 has 1 cell, not 2 as the header"),
        ('slide_id,patch_id\na,"b\n', "unexpected end of data"),
        ("slide_id,patch_id\na,\xff\n", "codec can't decode"),
    ],
)
def test_broken_manifests_are_refused(tmp_path: Path, text: str, words: str) -> None:
    npy(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "manifest.csv").write_text(text, encoding="latin-1")
    message = refusal(tmp_path)
    assert "'camelyon/manifest.csv' cannot be read: " in message
    assert words in message


def test_two_manifests_are_refused(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    PATCHES.to_parquet(tmp_path / COHORT / "manifest.parquet")
    message = refusal(tmp_path)
    assert "two manifests, 'camelyon/manifest.csv' and 'camelyon/manifest.parquet'" in message
    tensors_with_keys(tmp_path / "own", PATCHES, VALUES)
    write_csv(tmp_path / "own" / f"{COHORT}.csv", PATCHES)
    assert "has a tensor 'keys' and also a manifest" in refusal(tmp_path / "own")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"features": VALUES}, "has no tensor 'embeddings' but 'features'"),
        ({"embeddings": VALUES, "keys": np.frombuffer(b'{"a": 1}', np.uint8)}, "not a JSON list of strings"),
        ({"embeddings": VALUES, "keys": np.frombuffer(b"[1, 2]", np.uint8)}, "not a JSON list of strings"),
        ({"embeddings": VALUES, "keys": np.frombuffer(b"[", np.uint8)}, "cannot be read"),
        ({"embeddings": VALUES, "keys": np.frombuffer(json.dumps(KEYS[:4]).encode(), np.uint8)}, "(4, D)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, content: dict[str, Values], words: str) -> None:
    safetensors.numpy.save_file(content, tmp_path / "embeddings.safetensors")
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("embedding", pa.array(range(9)), "'embedding' has the type int64 where lists"),
        (
            "slide_id",
            pa.array([float(row) for row in range(9)]),
            "'slide_id' has the type double where strings",
        ),
        ("vector", pa.array(range(9)), "0 columns 'embedding'"),
    ],
)
def test_parquet_columns_that_do_not_fit_are_refused(
    tmp_path: Path, column: str, values: pa.Array, words: str
) -> None:
    table = parquet_table(PATCHES, pa.array(list(VALUES)))
    if column == "vector":
        table = table.drop_columns(["embedding"]).append_column(column, values)
    else:
        table = table.set_column(table.schema.get_field_index(column), column, values)
    pq.write_table(table, tmp_path / "embeddings.parquet")
    assert words in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read_are_named(tmp_path: Path) -> None:
    npy(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "embeddings.npy").chmod(0)
    assert "'camelyon/embeddings.npy' cannot be read: " in refusal(tmp_path)
