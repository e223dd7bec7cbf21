"""A parquet file as a cohort: the types of its columns, and errors in its rows."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_forms import (
    Given,
    assert_mentions,
    load,
    parquet_table,
    picture,
    problem,
    twelve,
    write_manifest,
    write_parquet,
)

from pathorob_checks.cohorts import registry
from pathorob_checks.cohorts.parquet import ParquetImages
from pathorob_checks.errors import CohortError


@pytest.fixture
def patches() -> list[Given]:
    return twelve()


@pytest.fixture
def file(tmp_path: Path, patches: list[Given]) -> Path:
    return write_parquet(tmp_path, patches)


def rewrite(file: Path, change: Callable[[pa.Table], pa.Table], groups: int = 5) -> Path:
    """Another file of the same name: one that is open must not change."""
    table = change(pq.read_table(file))
    file.unlink()
    pq.write_table(table, file, row_group_size=groups)
    return file


def cast(column: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(
        table.schema.get_field_index(column), column, table[column].cast(kind)
    )


def replaced(column: str, values: list[object], kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(
        table.schema.get_field_index(column), column, pa.array(values, kind)
    )


def test_rows_are_those_of_the_file_in_its_order(file: Path, patches: list[Given]) -> None:
    cohort = load(file)
    assert cohort.keys == [f"{patch.slide_id}-{patch.patch_id}" for patch in patches]
    assert cohort.patches.index.tolist() == list(range(12))
    assert cohort.reading_order is not None
    assert cohort.reading_order().tolist() == list(range(12))
    assert cohort.read_image(7).mode == "RGB"


@pytest.mark.parametrize("struct", [False, True])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_images_may_be_bytes_or_what_the_datasets_library_writes(
    file: Path, patches: list[Given], struct: bool, kind: pa.DataType
) -> None:
    expected = load(file)
    images = [patch.image for patch in patches]
    column = pa.array(images, kind)
    if struct:
        column = pa.StructArray.from_arrays([column, pa.nulls(12, pa.string())], ["bytes", "path"])
    table = pq.read_table(file)
    rewrite(file, lambda _: table.set_column(0, "image", column))
    cohort = load(file)
    assert cohort.digest == expected.digest
    assert cohort.read_image(11).tobytes() == expected.read_image(11).tobytes()


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("column", ["slide_id", "biological_class", "subset"])
def test_text_may_be_of_any_text_type(file: Path, column: str, kind: pa.DataType) -> None:
    expected = load(file).patches
    assert load(rewrite(file, cast(column, kind))).patches.equals(expected)


def test_whole_numbers_are_names(file: Path) -> None:
    numbered = rewrite(file, replaced("patch_id", list(range(12)), pa.int64()))
    assert load(numbered).patches.patch_id.tolist() == list(map(str, range(12)))


@pytest.mark.parametrize("groups", [1, 3, 100])
def test_other_columns_and_the_size_of_row_groups_change_nothing(file: Path, groups: int) -> None:
    expected = load(file)
    cohort = load(rewrite(file, lambda table: table.append_column("x", pa.nulls(len(table))), groups))
    assert cohort.digest == expected.digest
    for row in range(12):
        assert cohort.read_image(row).tobytes() == expected.read_image(row).tobytes()


def test_without_a_subset_column_every_row_is_in_domain(file: Path) -> None:
    assert set(load(rewrite(file, lambda table: table.drop_columns("subset"))).patches.subset) == {"ID"}


def test_images_are_hashed_without_holding_a_row_group_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    rows, size = 400, 1 << 16
    contents = pa.array([row.to_bytes(4, "big") * (size // 4) for row in range(rows)], pa.binary())
    pq.write_table(pa.table({"image": contents}), path, write_batch_size=8)  # pages of 1 MB
    del contents
    assert pq.ParquetFile(path).metadata.num_row_groups == 1
    images = ParquetImages([("large.parquet", path)])
    before = pa.total_allocated_bytes()
    most = 0
    digests = []
    for digest in images.digests():
        digests.append(digest)
        most = max(most, pa.total_allocated_bytes() - before)
    assert len(set(digests)) == rows
    assert most < rows * size / 2


def test_a_truncated_file_is_reported(file: Path) -> None:
    content = file.read_bytes()
    for length in (len(content) - 1, len(content) // 2, 3, 0):
        file.write_bytes(content[:length])
        assert_mentions(problem(file), "cohort.parquet is damaged or not a parquet file", "write it again")


def test_a_file_that_is_something_else_is_reported(file: Path) -> None:
    file.write_bytes(picture(1))
    assert_mentions(problem(file), "cohort.parquet is damaged or not a parquet file")


def test_damage_inside_a_file_is_reported(tmp_path: Path, patches: list[Given]) -> None:
    path = tmp_path / "cohort.parquet"
    pq.write_table(parquet_table(patches), path, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    place = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content[place + 60 : place + 900] = bytes(840)
    path.write_bytes(content)
    assert_mentions(problem(path), "cohort.parquet is damaged or not a parquet file")


def test_missing_and_misspelt_columns_are_reported(file: Path) -> None:
    names = {"slide_id": "Slide ID", "medical_center": "center"}
    table = pq.read_table(file)
    rewrite(file, lambda t: t.rename_columns([names.get(name, name) for name in t.column_names]))
    assert_mentions(
        problem(file),
        "cohort.parquet lacks the columns 'slide_id', 'medical_center'",
        "rename 'Slide ID' to 'slide_id'",
        "rename 'center' to 'medical_center'",
    )
    rewrite(file, lambda _: table.rename_columns([*table.column_names[:-1], "Subset"]))
    assert_mentions(problem(file), "'Subset'", "probably meant as 'subset'")


def test_a_file_without_images_is_reported(file: Path) -> None:
    assert_mentions(
        problem(rewrite(file, lambda t: t.drop_columns("image"))), "no column 'image'", "slide_id"
    )


@pytest.mark.parametrize("column", ["slide_id", "image"])
def test_a_column_that_is_there_twice_is_reported(file: Path, column: str) -> None:
    rewrite(file, lambda table: table.append_column(column, table[column]))
    assert_mentions(problem(file), f"'{column}' twice")


def test_a_file_without_rows_is_reported(file: Path) -> None:
    assert_mentions(problem(rewrite(file, lambda table: table.slice(0, 0))), "cohort.parquet has no rows")


@pytest.mark.parametrize(
    ("column", "values", "kind", "words"),
    [
        ("image", ["a.png"] * 12, pa.string(), ["'image'", "string", "not the bytes of image files"]),
        ("image", [[1]] * 12, pa.list_(pa.uint8()), ["'image'", "list", "not the bytes of image files"]),
        ("image", [{"path": "a"}] * 12, pa.struct([("path", pa.string())]), ["'image'", "struct"]),
        ("slide_id", [1.0] * 12, pa.float64(), ["'slide_id'", "double", "not text"]),
        ("biological_class", [True] * 12, pa.bool_(), ["'biological_class'", "bool", "not text"]),
        ("subset", [["ID"]] * 12, pa.list_(pa.string()), ["'subset'", "list", "not text"]),
    ],
)
def test_a_column_of_the_wrong_type_is_reported(
    file: Path, column: str, values: list[object], kind: pa.DataType, words: list[str]
) -> None:
    assert_mentions(problem(rewrite(file, replaced(column, values, kind))), "cohort.parquet", *words)


@pytest.mark.parametrize("column", ["slide_id", "medical_center", "subset"])
def test_a_null_label_is_reported_with_its_row(file: Path, column: str) -> None:
    values = pq.read_table(file)[column].to_pylist()
    values[7] = None
    assert_mentions(problem(rewrite(file, replaced(column, values, pa.string()))), f"empty {column}", "row 7")


@pytest.mark.parametrize("struct", [False, True])
@pytest.mark.parametrize("content", [None, b""])
def test_a_null_or_empty_image_is_reported_with_its_row(
    file: Path, patches: list[Given], struct: bool, content: bytes | None
) -> None:
    images: list[object] = [patch.image for patch in patches]
    images[7] = content
    kind = pa.binary()
    if struct:
        images, kind = [{"bytes": image} for image in images], pa.struct([("bytes", pa.binary())])
    rewrite(file, replaced("image", images, kind))
    assert_mentions(problem(file), "the image in row 7 of cohort.parquet is empty", "drop the row")


def test_a_null_struct_is_a_null_image(file: Path, patches: list[Given]) -> None:
    images: list[object] = [{"bytes": patch.image} for patch in patches]
    images[7] = None
    rewrite(file, replaced("image", images, pa.struct([("bytes", pa.binary())])))
    assert_mentions(problem(file), "the image in row 7 of cohort.parquet is empty")


def test_rows_count_from_the_start_of_each_file(tmp_path: Path, patches: list[Given]) -> None:
    first = write_parquet(tmp_path / "a", patches)
    second = write_parquet(tmp_path / "b", patches)
    images = ParquetImages([("one", first), ("two", second)])
    assert (len(images), images.where(11)) == (24, "the image in row 11 of one")
    assert images.where(12) == "the image in row 0 of two"
    assert images.content(12) == images.content(0)
    assert list(images.digests())[12:] == list(images.digests())[:12]


def test_an_image_that_changes_during_the_run_is_refused(file: Path, patches: list[Given]) -> None:
    pq.write_table(parquet_table(patches), file, compression="none", use_dictionary=False)
    cohort = load(file)
    changed = bytearray(file.read_bytes())
    place = changed.index(patches[3].image)
    changed[place + 20] ^= 1
    with file.open("r+b") as same:  # in place: a file that is replaced stays open as it was
        same.write(changed)
    with pytest.raises(CohortError, match=r"row 3 of cohort.parquet changed since"):
        cohort.read_image(3)


def test_the_settings_of_another_name_are_not_read(file: Path) -> None:
    (file.parent / "other.toml").write_text("k = 'nonsense'")
    assert load(file).views["robustness_index"].k is None


def test_the_registry_knows_parquet_files(file: Path) -> None:
    registry.check_cohort_text(str(file))
    assert registry.cohort_name(str(file)) == "cohort"
    with pytest.raises(CohortError, match="neither a folder nor parquet"):
        registry.check_cohort_text(__file__)


def test_the_guides_lines_turn_a_manifest_into_a_parquet_file(
    tmp_path: Path, patches: list[Given], monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "own-cohort.md").read_text(encoding="utf-8")
    start = guide.index("    from pathlib import Path")
    program = textwrap.dedent(guide[start : guide.index("\n\nThe notebook", start)])
    folder = write_manifest(tmp_path, patches)
    monkeypatch.chdir(folder)
    exec(compile(program, "own-cohort.md", "exec"), {})
    written, expected = load(folder / "patches.parquet"), load(folder)
    assert written.patches.equals(expected.patches)
    assert written.read_image(5).tobytes() == expected.read_image(5).tobytes()
