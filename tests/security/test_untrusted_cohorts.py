"""A cohort that somebody sent: whatever its bytes are, the answer is a sentence, soon, in little memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_forms import (
    LABELS,
    Given,
    assert_mentions,
    load,
    picture,
    problem,
    twelve,
    write_manifest,
    write_tree,
)

from pathorob_checks.cohorts import csv_tables, images, registry
from pathorob_checks.cohorts.designs import view_designs
from pathorob_checks.cohorts.images import decode
from pathorob_checks.cohorts.tables import Tables, parse
from pathorob_checks.errors import CohortError

ROWS = 64
LARGE = 24_000_000


@pytest.fixture
def patches() -> list[Given]:
    return twelve()


@pytest.fixture
def folder(tmp_path: Path, patches: list[Given]) -> Path:
    return write_manifest(tmp_path, patches)


def as_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def as_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.mark.parametrize("name", ["manifest.csv", "cohort.toml"])
@pytest.mark.parametrize("make", [as_pipe, as_device, as_folder])
def test_what_is_no_file_is_not_waited_for(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    make(folder / name)
    assert_mentions(problem(folder), f"{name} cannot be read")


def test_an_image_that_is_a_pipe_is_not_waited_for(
    tmp_path: Path, folder: Path, patches: list[Given]
) -> None:
    as_pipe(folder / "images" / "3.png")
    assert_mentions(problem(folder), "line 5 is not a file: 'images/3.png'")
    tree = write_tree(tmp_path / "tree", patches)
    as_pipe(tree / "ID" / "NA" / "B" / "BNA" / "1.0.png")
    assert_mentions(problem(tree), "BNA/1.0.png", "not a regular file")


def test_a_cohort_that_is_no_folder_is_said_to_be_that(tmp_path: Path, folder: Path) -> None:
    as_pipe(tmp_path / "pipe")
    (folder / "cohort.toml").write_text("k = 5\n")
    for place in (tmp_path / "pipe", folder / "cohort.toml"):
        with pytest.raises(CohortError, match="is a file, neither a folder nor parquet"):
            view_designs(str(place))


def test_an_image_that_became_a_pipe_is_not_waited_for(folder: Path) -> None:
    cohort = load(folder)
    as_pipe(folder / "images" / "3.png")
    with pytest.raises(CohortError, match="not a regular file"):
        cohort.read_image(3)


def test_a_table_of_the_benchmark_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    as_pipe(tmp_path / "camelyon.csv")
    tables = Tables(pins={}, url="", folder=tmp_path, cache=tmp_path)
    with pytest.raises(CohortError, match=r"no readable table camelyon\.csv"):
        tables.content("camelyon.csv")


@pytest.mark.parametrize("path", ["images/" + "x" * 300 + ".png", "a/" * 5000 + "a.png", "é" * 200 + ".png"])
def test_a_path_that_is_too_long_is_a_sentence(folder: Path, path: str) -> None:
    text = (folder / "manifest.csv").read_text().replace("images/3.png", path)
    (folder / "manifest.csv").write_text(text)
    assert_mentions(problem(folder), "line 5")


@pytest.mark.parametrize("text", ["x" * 5000, "a/" * 5000, "\0", "a\0b", "\x1b[31m", "x" * 300 + ".parquet"])
def test_a_cohorts_text_that_is_no_path_is_a_sentence(text: str) -> None:
    registry.cohort_name(text)
    with pytest.raises(CohortError) as caught:
        registry.check_cohort_text(text)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("images/3.png", "images/\0.png"), ["control character", "line 5"]),
        (lambda text: text.replace("tumor", "t" * 200_000, 1), ["malformed CSV", "field larger"]),
        (lambda text: text.replace("tumor", "t" * 600, 1), ["601 characters", "at most 500"]),
        (lambda text: "a," * 10**6 + text, ["1,000,006 columns"]),
        (lambda text: text.replace("images/3.png", '"' + "\n" * 50_000), ["malformed CSV"]),
        (lambda text: "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", ["git lfs pull"]),
        (lambda text: "\n" * 10**6, ["manifest.csv is empty"]),
    ],
    ids=["NUL", "huge cell", "long cell", "columns", "lines in a cell", "git-lfs", "blank lines"],
)
def test_a_manifest_that_no_editor_writes_is_a_sentence(
    folder: Path, change: Callable[[str], str], words: list[str]
) -> None:
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_bytes(change(text).encode())
    assert_mentions(problem(folder), *words)


def test_a_manifest_has_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathorob_checks.cohorts.manifest.MOST_BYTES", 100)
    assert_mentions(problem(folder), "manifest.csv cannot be read: it is larger than 100 bytes")
    monkeypatch.undo()
    monkeypatch.setattr(csv_tables, "MOST_ROWS", 5)
    assert_mentions(problem(folder), "more than 5 rows")


def test_an_image_file_has_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathorob_checks.cohorts.image_files.MOST_BYTES", 100)
    assert_mentions(problem(folder), "'images/0.png' (manifest.csv line 2)", "larger than 100 bytes")


@pytest.mark.parametrize(
    "content",
    [
        b"k = " + b"9" * 4400,
        b"k = 0x" + b"f" * 40_000,
        b"k = -0x" + b"f" * 40_000,
        b"k = 99999999999",
        b"k = " + b"[" * 3000 + b"]" * 3000,
        b"license = " + b"{a=" * 3000 + b"1" + b"}" * 3000,
        b"a" + b".a" * 20_000 + b" = 1",
        b"[" + b"a." * 20_000 + b"a]",
        b"k = 1e400",
        b"k = nan",
        b"license = 1979-05-27T07:32:00Z",
        b"commercial = '''" + b"x" * 50_000 + b"'''",
        b"\0\0",
        b"'\\u001b[31m' = 1",
        b'"\\u001b[31m" = 1',
        b"x" * 100_000,
        b"k = 1\nk = 2",
    ],
)
def test_a_settings_file_that_no_editor_writes_is_a_sentence(folder: Path, content: bytes) -> None:
    (folder / "cohort.toml").write_bytes(content)
    message = problem(folder)
    assert_mentions(message, "cohort.toml")
    assert message.isprintable()
    assert len(message) < 600


def write_bomb(path: Path, **columns: pa.Array) -> Path:
    """A parquet file in which one stored value stands in every row of some columns."""
    base = {
        column: [
            f"p{row}" if column == "patch_id" else getattr(twelve()[row % 12], column) for row in range(ROWS)
        ]
        for column in LABELS
    }
    table = {"image": [picture(row) for row in range(ROWS)], **base, **columns}
    pq.write_table(pa.table(table), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 30_000
    return path


def repeated(value: bytes | str) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array([value]))


@pytest.mark.parametrize("struct", [False, True])
def test_an_image_that_stands_in_many_rows_takes_no_more_memory_than_a_few(
    tmp_path: Path, struct: bool
) -> None:
    column = repeated(bytes(LARGE))
    path = write_bomb(
        tmp_path / "bomb.parquet",
        image=pa.StructArray.from_arrays([column], ["bytes"]) if struct else column,
    )
    program = (
        "import resource, sys, pyarrow\n"
        "from pathlib import Path\n"
        "from pathorob_checks.cohorts.registry import CohortSources, load_cohort\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: load_cohort(sys.argv[1], CohortSources(metadata=None, cache=Path('unused')))\n"
        "except Exception as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    message, megabytes = run.stdout.splitlines()
    assert "one stored value stands in many rows" in message
    assert int(megabytes) < ROWS * LARGE / 1e6 / 3


@pytest.mark.parametrize("column", LABELS)
def test_a_label_that_is_no_name_is_refused_before_it_fills_the_memory(tmp_path: Path, column: str) -> None:
    path = write_bomb(tmp_path / "bomb.parquet", **{column: repeated("x" * LARGE)})
    assert_mentions(problem(path), f"a {column} of 24,000,000 bytes")


def test_a_file_that_declares_very_many_rows_is_refused(tmp_path: Path) -> None:
    rows = 3_000_000
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"image": pa.nulls(rows, pa.binary()), "slide_id": pa.nulls(rows, pa.string())}), path
    )
    assert_mentions(problem(path), "declares 3,000,000 rows")


def test_a_file_with_very_many_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "columns.parquet"
    pq.write_table(pa.table({"image": [b"x"], **{f"c{n}": [1] for n in range(1100)}}), path)
    assert_mentions(problem(path), "1,101 columns")


def test_a_parquet_file_that_is_a_pointer_of_git_lfs_is_one(tmp_path: Path) -> None:
    path = tmp_path / "cohort.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert_mentions(problem(path), "pointer of git-lfs", "git lfs pull")


def test_a_table_of_the_benchmark_with_ragged_rows_is_refused() -> None:
    header = b"subset,slide_id,patch_id,biological_class,medical_center\n"
    for row in (b"ID,s,p,normal\n", b"ID,s,p,normal,RUMC,more\n"):
        with pytest.raises(CohortError, match="line 2 is malformed CSV"):
            parse("camelyon.csv", header + row, paired=False)


def test_postscript_under_the_name_of_an_image_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert shutil.which("gs") == str(programs / "gs")
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(CohortError, match="not an image of a known format"):
        decode(content, "image 'a.png'")
    assert not (tmp_path / "started").exists()


def test_a_small_file_that_declares_a_large_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 100)
    with pytest.raises(CohortError, match="too large for a patch: it has 11 x 11 pixels, more than 100"):
        decode(picture(0, side=11), "image 'a.png'")
    assert np.asarray(decode(picture(0, side=10), "image 'a.png'")).shape == (10, 10, 3)
