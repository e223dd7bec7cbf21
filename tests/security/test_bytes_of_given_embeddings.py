"""Bytes of given embeddings are foreign: declared sizes have limits, and damage is one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from embedding_folders import COHORT, KEYS, PATCHES, VALUES, WRITERS, Writer, npy, pathorob, refusal, tensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.precomputed import Precomputed, read
from pathorob_checks.errors import EmbeddingError

LARGE = 10**12


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """The header of an .npy file that declares this shape."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def text_header(text: str) -> bytes:
    """A header that NumPy would not write."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def with_npy(folder: Path, content: bytes) -> Path:
    npy(folder, PATCHES, VALUES)
    (folder / COHORT / "embeddings.npy").write_bytes(content)
    return folder


def with_member(folder: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    pathorob(folder, PATCHES, VALUES)
    for file in (folder / COHORT).iterdir():
        with zipfile.ZipFile(file, "w", method) as archive:
            for key in KEYS:
                archive.writestr(f"{key}.npy", content)
    return folder


def with_parquet(folder: Path, rows: list[Any], **options: Any) -> Path:
    table = {"slide_id": PATCHES.slide_id, "patch_id": PATCHES.patch_id, "embedding": rows}
    pq.write_table(pa.table(table), folder / "embeddings.parquet", **options)
    return folder


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header((LARGE, LARGE)), "has the shape (1000000000000, 1000000000000) where (9, D)"),
        (header((9, LARGE)), "declares embeddings of 1000000000000 numbers where at most 65,536 are read"),
        (header((9, -5)), "it declares the shape (9, -5)"),
        (header((9, 65_536)), "cannot be read"),
        (header((9, 5), "|O"), "holds pickled Python objects"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{", "cannot be read"),
        (b"\x93NUMPY\x01\x00\xff\xff{'descr': '<f4', 'shape': (" + b"9" * 5000, "cannot be read"),
        (b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16, "cannot be read"),
        (
            text_header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 5)}"),
            "its header is not one",
        ),
        (text_header("__import__('os').system('exit')"), "its header is not one"),
        (
            text_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000),
            "its header is not one",
        ),
    ],
)
def test_headers_of_npy_files_that_lie(tmp_path: Path, content: bytes, words: str) -> None:
    message = refusal(with_npy(tmp_path, content))
    assert words in message
    assert len(message) < 1_000


@pytest.mark.parametrize("keys", [b"[" * 100_000, b"\xff\xfe", b"[" + b"9" * 5000 + b"]", b"{}", b"[1]"])
def test_keys_of_a_tensor_file_that_are_none(tmp_path: Path, keys: bytes) -> None:
    content = {"embeddings": VALUES, "keys": np.frombuffer(keys, dtype=np.uint8)}
    safetensors.numpy.save_file(content, tmp_path / f"{COHORT}.safetensors")
    assert "tensor 'keys' is not a JSON list of strings" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header((LARGE,)), "declares embeddings of 1000000000000 numbers"),
        (header((10_000,)) + b"1234", "declares 40000 bytes of numbers and has 4"),
        (header((1,)) + b"12345678", "declares 4 bytes of numbers and has 8"),
        (header((-4,)), "it declares the shape (-4,)"),
        (header((5,), "|O") + b"\x80\x04.", "holds pickled Python objects"),
        (bytes(10_000_000), "has 10000000 bytes"),
    ],
)
def test_arrays_of_an_npz_that_lie(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(with_member(tmp_path, content))


def test_an_npz_that_unpacks_to_gigabytes_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    patches = PATCHES.iloc[np.arange(2000) % 9].reset_index(drop=True)
    patches = patches.assign(patch_id=[str(row) for row in range(2000)], medical_center="RUMC")
    content = header((declared.MOST_DIMENSIONS,)) + bytes(4 * declared.MOST_DIMENSIONS)
    (tmp_path / COHORT).mkdir()
    with zipfile.ZipFile(tmp_path / COHORT / "RUMC.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for slide, patch in zip(patches.slide_id, patches.patch_id, strict=True):
            archive.writestr(f"{slide}-{patch}.npy", content)
    assert "would become 524,544,000 bytes, which is more than 100 times its own" in refusal(
        tmp_path, patches
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_only_the_methods_that_numpy_writes_are_unpacked(tmp_path: Path, method: int) -> None:
    assert "is packed by method" in refusal(with_member(tmp_path, header((5,)) + bytes(20), method))


def test_a_parquet_file_of_few_rows_and_many_numbers_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    rows = [np.zeros(declared.MOST_DIMENSIONS + 1, np.float32)] * 9
    assert "numbers where at most 65,536 are read" in refusal(with_parquet(tmp_path, rows))


def test_ids_of_many_bytes_are_refused(tmp_path: Path) -> None:
    table = {"slide_id": ["x" * 10_000] * 9, "patch_id": PATCHES.patch_id, "embedding": list(VALUES)}
    pq.write_table(pa.table(table), tmp_path / "embeddings.parquet")
    assert "column 'slide_id' has an id of 10,000 bytes" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_limits_of_tables(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    npy(tmp_path, PATCHES, VALUES)
    manifest = tmp_path / COHORT / f"manifest{suffix}"
    (tmp_path / COHORT / "manifest.csv").unlink()
    PATCHES.to_csv(manifest, index=False) if suffix == ".csv" else PATCHES.to_parquet(manifest)
    with monkeypatch.context() as limited:
        limited.setattr(declared, "MOST_ROWS", 8)
        assert "has more than 8 rows" in refusal(tmp_path)
    with monkeypatch.context() as limited:
        limited.setattr(declared, "MOST_TEXT", 30)
        assert "bytes where at most 30 are read" in refusal(tmp_path)


def test_a_table_of_many_columns_is_refused(tmp_path: Path) -> None:
    columns = pd.DataFrame(np.zeros((9, declared.MOST_COLUMNS)), columns=None).add_prefix("f")
    pd.concat([PATCHES, columns], axis=1).to_parquet(tmp_path / "embeddings.parquet")
    assert "has 10,003 columns where at most 10,000 are read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("slide_id;patch_id\na;b\n", "are separated by semicolons where commas are needed"),
        ("slide_id\tpatch_id\na\tb\n", "are separated by tabs where commas are needed"),
        ("slide_id,patch_id\na,b\n".encode("utf-16"), "is in UTF-16 where UTF-8 is needed"),
        ("slide_id,patch_id\na,b\n".encode("utf-16-le"), "is in UTF-16 or is no text"),
        ("slide_id,patch_id\na,b\n".encode("utf-32"), "is in UTF-32 where UTF-8 is needed"),
        ("Slide_ID,Patch_ID\na,b\n", "its 2 columns: 'Slide_ID', 'Patch_ID'"),
        (b"slide_id,patch_id\n" + bytes(1 << 20), "cannot be read"),
        (b"," * 1_000_000, "its 1,000,001 columns"),
        (b'slide_id,patch_id\n"' + b"x" * 1_000_000, "field larger than field limit"),
    ],
)
def test_manifests_that_are_not_what_is_read_are_named_as_what_they_are(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    npy(tmp_path, PATCHES, VALUES)
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / COHORT / "manifest.csv").write_bytes(content)
    message = refusal(tmp_path)
    assert words in message
    assert len(message) < 400


def test_a_column_per_dimension_is_named_as_such(tmp_path: Path) -> None:
    columns = pd.DataFrame(VALUES).add_prefix("f")
    pd.concat([PATCHES, columns], axis=1).to_parquet(tmp_path / "embeddings.parquet")
    message = refusal(tmp_path)
    assert "has no column 'embedding' of lists but 5 columns of numbers ('f0', 'f1', ...)" in message
    assert "table['embedding'] = list(values)" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_manifest_that_is_no_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    npy(tmp_path, PATCHES, VALUES)
    (tmp_path / COHORT / "manifest.csv").unlink()
    make(tmp_path / COHORT / "manifest.csv")
    assert "the manifest 'camelyon/manifest.csv' is not a file" in refusal(tmp_path)


def test_a_header_of_tensors_that_lies_is_refused(tmp_path: Path) -> None:
    for shape, end in (([9, LARGE], 180), ([9, 5], LARGE), ([LARGE, LARGE], 180), ([-9, 5], 180)):
        tensors(tmp_path, PATCHES, VALUES)
        text = f'{{"embeddings": {{"dtype": "F32", "shape": {shape}, "data_offsets": [0, {end}]}}}}'.encode()
        content = struct.pack("<Q", len(text)) + text + VALUES.tobytes()
        (tmp_path / COHORT / "embeddings.safetensors").write_bytes(content)
        assert "cannot be read" in refusal(tmp_path)
    (tmp_path / COHORT / "embeddings.safetensors").write_bytes(struct.pack("<Q", 2**63) + text)
    assert "cannot be read" in refusal(tmp_path)


@cache
def contents(write: Writer) -> dict[str, bytes]:
    """The files of a layout, by their path in the folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        write(folder, PATCHES, VALUES)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


PIECES = st.one_of(
    st.binary(max_size=9),
    st.sampled_from([struct.pack("<Q", value) for value in (0, 1, 2**31, 2**32, 2**62, 2**63)]),
    st.sampled_from(
        [b"9" * 30, b"-1", b"[" * 200, b"nan", b"|O", b"\0", b"\xff" * 8, b"\x80" * 8, b'"', b"\n"]
    ),
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), PIECES), min_size=1, max_size=4
)


def edited(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Replace some bytes at some places by others, perhaps by more or fewer."""
    for place, length, piece in edits:
        at = int(place * len(content))
        content = content[:at] + piece + content[at + length :]
    return content


def read_edited(write: Writer, edits: list[tuple[float, int, bytes]], which: int) -> bool:
    """Whether the layout is read with one of its files edited; no error but EmbeddingError is allowed."""
    files = contents(write)
    chosen = sorted(files)[which % len(files)]
    with tempfile.TemporaryDirectory() as name:
        for path, content in files.items():
            target = Path(name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(edited(content, edits) if path == chosen else content)
        with contextlib.suppress(EmbeddingError):
            return isinstance(read(Path(name), COHORT, PATCHES), Precomputed)
    return False


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_files_that_are_not_edited_are_read(write: Writer) -> None:
    assert read_edited(write, [], 0)


every_edit = given(write=st.sampled_from(list(WRITERS)), edits=EDITS, which=st.integers(0, 5))


@every_edit
@settings(max_examples=150, deadline=None)
def test_edited_files_are_refused_in_a_sentence(
    write: Writer, edits: list[tuple[float, int, bytes]], which: int
) -> None:
    read_edited(write, edits, which)


@pytest.mark.slow
@every_edit
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_thousands_of_edited_files_are_refused_in_a_sentence(
    write: Writer, edits: list[tuple[float, int, bytes]], which: int
) -> None:
    read_edited(write, edits, which)
