"""A cohort folder is read as written, and every mistake in it is reported with its place and a remedy."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_forms import assert_mentions, load, sentence
from PIL import Image

from pathorob_checks.cohorts import registry
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.errors import CohortError

HEADER = ["image_path", "slide_id", "patch_id", "biological_class", "medical_center", "subset"]
Table = list[list[str]]


def write_table(folder: Path, table: Table) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(table)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table]:
    """2 classes x 3 centers x 2 patches; center C is out of domain."""
    folder = tmp_path_factory.mktemp("template") / "my cohort"
    (folder / "images").mkdir(parents=True)
    table = [HEADER]
    pixels = np.random.default_rng(0)
    for center, subset in (("A", "ID"), ("B", "ID"), ("C", "OOD")):
        for label in ("tumor", "NA"):
            for patch in ("007", "1.0"):
                path = f"images/{center}-{label}-{patch}.png"
                Image.fromarray(pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / path)
                table.append([path, f"00{center}{label}", patch, label, center, subset])
    write_table(folder, table)
    return folder, table


@pytest.fixture
def folder(template: tuple[Path, Table], tmp_path: Path) -> Path:
    return Path(shutil.copytree(template[0], tmp_path / "my cohort"))


@pytest.fixture
def table(template: tuple[Path, Table]) -> Table:
    return [list(row) for row in template[1]]


def problem(folder: Path) -> str:
    with pytest.raises(CohortError) as caught:
        load_folder(folder)
    return sentence(caught.value)


def test_a_folder_is_read_as_strings_in_the_manifests_order(folder: Path) -> None:
    cohort = load_folder(folder)
    assert (cohort.name, len(cohort), cohort.license) == ("my cohort", 12, "unknown")
    assert cohort.patches.patch_id.tolist() == ["007", "1.0"] * 6
    assert cohort.patches.biological_class.tolist()[:4] == ["tumor", "tumor", "NA", "NA"]
    assert cohort.patches.index.tolist() == list(range(12))
    assert cohort.keys[0] == "00Atumor-007"
    assert cohort.read_image(3).mode == "RGB"


def test_without_a_subset_column_every_row_is_in_domain(folder: Path, table: Table) -> None:
    write_table(folder, [row[:-1] for row in table])
    assert set(load_folder(folder).patches.subset) == {"ID"}


def test_a_cohort_says_where_its_labels_alone_move_the_index(folder: Path, table: Table) -> None:
    inside = [[*row[:5], "ID"] if row[5] == "OOD" else row for row in table]
    write_table(folder, inside)
    assert load(folder).notes == ()
    write_table(folder, [row for row in inside if (row[3], row[4]) != ("NA", "B")])
    assert load(folder).notes == (
        "From 'B' there are in-domain patches of one biological class only: they can have no neighbor of "
        "another class from the same center, which raises the robustness index.",
    )


def test_extra_columns_blank_lines_and_a_byte_order_mark_do_no_harm(folder: Path, table: Table) -> None:
    write_table(folder, [[*row, "subject"] for row in table] + [[]])
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text("\ufeff" + text + "\n\n", encoding="utf-8")
    assert len(load_folder(folder)) == 12


def test_rows_without_any_cell_are_no_rows(folder: Path, table: Table) -> None:
    nothing = [""] * len(HEADER)
    write_table(folder, [nothing, *table[:4], nothing, *table[4:], nothing, [" ", "", ""]])
    assert len(load_folder(folder)) == 12


def renamed(folder: Path, table: Table, old: str, new: str) -> Path:
    """The image of the first row under another name, which the table does not have."""
    path = folder / table[1][0].replace("A-tumor", old)
    (folder / table[1][0]).rename(folder / table[1][0].replace("A-tumor", new))
    table[1][0] = str(path.relative_to(folder))
    write_table(folder, table)
    return folder / table[1][0]


def test_file_names_may_have_their_accents_apart_as_a_mac_writes_them(folder: Path, table: Table) -> None:
    named = renamed(folder, table, "K\u00f6ln", "Ko\u0308ln")
    cohort = load_folder(folder)
    assert cohort.read_image(0).size == (8, 8)
    # The exact name is meant where it is there.
    other = folder / "other.png"
    Image.new("RGB", (9, 9), "red").save(other)
    other.rename(named)
    assert load_folder(folder).read_image(0).size == (9, 9)


def test_a_name_that_could_mean_two_files_means_none(folder: Path, table: Table) -> None:
    renamed(folder, table, "\u1e69", "s\u0307\u0323")
    shutil.copy(folder / table[2][0], folder / "images" / "s\u0323\u0307-007.png")
    assert_mentions(problem(folder), "1 of 12 images", "missing")


def test_two_encodings_of_a_path_are_one_image(folder: Path, table: Table) -> None:
    renamed(folder, table, "K\u00f6ln", "Ko\u0308ln")
    table[2][0] = table[1][0].replace("\u00f6", "o\u0308")
    write_table(folder, table)
    assert_mentions(problem(folder), "lines 2 and 3 both have the image")


def test_a_file_whose_name_has_another_case_is_named(folder: Path, table: Table) -> None:
    for row in table[1:]:
        row[0] = row[0].replace(".png", ".PNG")
    write_table(folder, table)
    assert_mentions(
        problem(folder),
        "12 of 12 images in manifest.csv are missing: 'images/A-tumor-007.PNG' (line 2)",
        "(there is 'images/A-tumor-007.png')",
        "the same upper and lower case",
    )


@pytest.mark.parametrize(
    ("content", "one", "all_of_them"),
    [
        (b"", "1 of 12 images is an empty file (first: 'images/A-tumor-007.png'", "are empty files"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "1 of 12 images is a pointer of git-lfs, not an image",
            "fetch the images with 'git lfs pull'",
        ),
    ],
)
def test_what_stands_in_place_of_an_image_is_said(
    folder: Path, table: Table, content: bytes, one: str, all_of_them: str
) -> None:
    (folder / table[1][0]).write_bytes(content)
    assert_mentions(problem(folder), one)
    for row in table[1:]:
        (folder / row[0]).write_bytes(content)
    assert_mentions(problem(folder), "12 of 12 images", all_of_them)


@pytest.mark.parametrize("name", ["sub\u0455\u0435t", "SUBSET", "sub set", "subset\u200b"])
def test_a_column_that_looks_like_the_subset_is_not_taken_for_another(
    folder: Path, table: Table, name: str
) -> None:
    table[0][5] = name
    write_table(folder, table)
    assert_mentions(problem(folder), "probably meant as 'subset'")


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    assert_mentions(problem(tmp_path / "nowhere"), "nowhere", "does not exist", "manifest.csv")


def test_a_file_instead_of_a_folder_is_reported(folder: Path) -> None:
    assert_mentions(problem(folder / "manifest.csv"), "not a folder")


def test_a_folder_without_manifest_is_reported(tmp_path: Path) -> None:
    assert_mentions(problem(tmp_path), "no manifest.csv", "image_path", "medical_center")


def test_a_manifest_that_is_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").mkdir()
    assert_mentions(problem(tmp_path), "manifest.csv cannot be read")


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_manifest_is_reported(folder: Path, text: str) -> None:
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    assert_mentions(problem(folder), "manifest.csv is empty", "image_path,slide_id")


def test_a_header_without_rows_is_reported(folder: Path) -> None:
    write_table(folder, [HEADER])
    assert_mentions(problem(folder), "no rows")


def test_text_that_is_not_utf8_is_reported_with_its_line(folder: Path, table: Table) -> None:
    table[3][4] = "Köln"
    write_table(folder, table)
    text = (folder / "manifest.csv").read_text(encoding="utf-8")
    (folder / "manifest.csv").write_bytes(text.encode("latin-1"))
    assert_mentions(problem(folder), "line 4", "UTF-8")


def test_an_unclosed_quote_is_reported(folder: Path) -> None:
    with (folder / "manifest.csv").open("a") as file:
        file.write('"images/x.png,s,p,tumor,A,ID\n')
    assert_mentions(problem(folder), "malformed CSV", "quote")


@pytest.mark.parametrize("change", [lambda row: row.pop(), lambda row: row.append("x")])
def test_a_row_with_too_few_or_too_many_cells_is_reported(
    folder: Path, table: Table, change: Callable[[list[str]], object]
) -> None:
    change(table[5])
    write_table(folder, table)
    assert_mentions(problem(folder), "line 6", "malformed CSV", "instead of 6 cells")


def test_all_missing_columns_are_named_with_the_names_that_were_probably_meant(
    folder: Path, table: Table
) -> None:
    table[0] = ["image_path", "Slide ID", "patch_id", "biological_clas", "center", "subset"]
    write_table(folder, table)
    assert_mentions(
        problem(folder),
        "lacks the columns 'slide_id', 'biological_class', 'medical_center'",
        "rename 'Slide ID' to 'slide_id'",
        "rename 'biological_clas' to 'biological_class'",
        "rename 'center' to 'medical_center'",
    )


def test_the_remedy_for_semicolons_is_commas(folder: Path) -> None:
    (folder / "manifest.csv").write_text(";".join(HEADER) + "\n")
    assert_mentions(problem(folder), "lacks the column", "commas")


def test_a_misspelt_subset_column_is_not_taken_for_an_extra_one(folder: Path, table: Table) -> None:
    table[0][5] = "Subset"
    write_table(folder, table)
    assert_mentions(problem(folder), "'Subset'", "rename it to 'subset'")


def test_a_column_named_twice_is_reported(folder: Path, table: Table) -> None:
    write_table(folder, [[*row, row[4]] for row in table])
    assert_mentions(problem(folder), "'medical_center' twice")


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("medical_center", "", ["line 4", "empty cell", "'medical_center'"]),
        ("subset", "  ", ["line 4", "empty cell", "'subset'"]),
        ("medical_center", "A ", ["line 4", "white space", "medical_center", "'A '"]),
        ("patch_id", "a\nb", ["control character", "patch_id"]),
        ("subset", "test", ["line 4", "subset 'test'", "'ID'", "'OOD'"]),
        ("subset", "id", ["subset 'id'"]),
    ],
)
def test_a_mistake_in_a_cell_is_reported(
    folder: Path, table: Table, column: str, cell: str, words: list[str]
) -> None:
    table[3][HEADER.index(column)] = cell
    write_table(folder, table)
    assert_mentions(problem(folder), *words)


def test_missing_images_are_counted_and_the_first_ones_named(folder: Path, table: Table) -> None:
    for row in table[1:6]:
        (folder / row[0]).unlink()
    message = problem(folder)
    assert_mentions(message, "5 of 12", "'images/A-tumor-007.png' (line 2)", "and 2 more", "missing")
    assert "B-tumor-007" not in message


@pytest.mark.parametrize("path", ["/etc/hostname", "../secret.png", "images/../../secret.png", "C:\\a.png"])
def test_an_image_outside_the_folder_is_refused(folder: Path, table: Table, path: str) -> None:
    shutil.copy(folder / table[1][0], folder.parent / "secret.png")
    table[4][0] = path
    write_table(folder, table)
    assert_mentions(problem(folder), "line 5", "outside the cohort folder", path)


def test_a_symbolic_link_out_of_the_folder_is_refused(folder: Path, table: Table) -> None:
    target = folder.parent / "secret.png"
    (folder / table[1][0]).rename(target)
    (folder / table[1][0]).symlink_to(target)
    assert_mentions(problem(folder), "line 2", "outside the cohort folder")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_an_image_that_is_no_file_is_not_called_missing(
    folder: Path, table: Table, make: Callable[[Path], None]
) -> None:
    path = folder / table[1][0]
    path.unlink()
    make(path)
    assert_mentions(problem(folder), f"the image of manifest.csv line 2 is not a file: '{table[1][0]}'")


def test_a_loop_of_symbolic_links_is_a_missing_image(folder: Path, table: Table) -> None:
    (folder / table[1][0]).unlink()
    (folder / table[1][0]).symlink_to(folder / table[1][0])
    assert_mentions(problem(folder), "missing", "line 2")


def test_a_cohort_behind_a_symbolic_link_is_read(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert len(load_folder(link)) == 12


def test_a_patch_described_twice_is_reported(folder: Path, table: Table) -> None:
    table[2][2] = table[1][2]
    write_table(folder, table)
    assert_mentions(problem(folder), "line 2", "line 3", "slide '00Atumor' patch '007'", "delete one")


def test_two_patches_that_share_the_benchmarks_key_are_reported(folder: Path, table: Table) -> None:
    table[1][1:3] = ["a-b", "c"]
    table[2][1:3] = ["a", "b-c"]
    write_table(folder, table)
    assert_mentions(problem(folder), "line 2", "line 3", "key 'a-b-c'", "unique")


@pytest.mark.parametrize("prefix", ["", "./"])
def test_an_image_named_twice_is_reported(folder: Path, table: Table, prefix: str) -> None:
    table[2][0] = prefix + table[1][0]
    write_table(folder, table)
    assert_mentions(problem(folder), "lines 2 and 3", "both have the image", "A-tumor-007.png")


def test_one_image_under_two_names_is_reported(folder: Path, table: Table) -> None:
    shutil.copy(folder / table[1][0], folder / table[7][0])
    assert_mentions(problem(folder), table[1][0], table[7][0], "line 2", "line 8", "identical")


def read_after(folder: Path, row: int, content: bytes) -> str:
    """The error of reading a row's image whose file had `content` from the start."""
    (folder / load_folder(folder).read_image.paths[row]).write_bytes(content)  # type: ignore[attr-defined]
    cohort = load_folder(folder)
    with pytest.raises(CohortError) as caught:
        cohort.read_image(row)
    return str(caught.value)


def test_a_file_that_is_no_image_is_named_when_read(folder: Path) -> None:
    message = read_after(folder, 1, b"this is text")
    assert_mentions(message, "images/A-tumor-1.0.png", "line 3", "cannot be decoded")


def test_a_truncated_image_is_named_when_read(folder: Path, table: Table) -> None:
    large = folder.parent / "large.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(large)
    message = read_after(folder, 0, large.read_bytes()[:2000])
    assert_mentions(message, "images/A-tumor-007.png", "line 2", "cannot be decoded", "replace")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_as_large_as_a_slide_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = load_folder(folder)
    for limit in (60, 20):  # Pillow warns above the limit and raises above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(CohortError) as caught:
            cohort.read_image(0)
        assert_mentions(str(caught.value), "too large for a patch", "line 2")


def test_sixteen_bit_pixels_are_refused_instead_of_clipped(folder: Path) -> None:
    path = folder.parent / "deep.png"
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(path)
    assert_mentions(read_after(folder, 0, path.read_bytes()), "mode 'I;16'", "8-bit RGB")


def test_an_image_that_changes_during_the_run_is_refused(folder: Path, table: Table) -> None:
    cohort = load_folder(folder)
    shutil.copy(folder / table[2][0], folder / table[1][0])
    with pytest.raises(CohortError, match="changed since"):
        cohort.read_image(0)
    (folder / table[1][0]).unlink()
    with pytest.raises(CohortError, match="cannot be read"):
        cohort.read_image(0)


@given(order=st.permutations(range(1, 13)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_the_rows_does_not_change_the_digest(
    template: tuple[Path, Table], order: list[int]
) -> None:
    folder, table = template
    write_table(folder, table)
    straight = load_folder(folder)
    write_table(folder, [table[0]] + [table[row] for row in order])
    shuffled = load_folder(folder)
    write_table(folder, table)
    assert (shuffled.digest, shuffled.images) == (straight.digest, straight.images)
    assert shuffled.keys == [straight.keys[row - 1] for row in order]


def test_labels_change_the_digest_but_not_that_of_the_images(folder: Path, table: Table) -> None:
    cohorts = [load_folder(folder)]
    for row in table[1:]:
        row[4] += "-hospital"
    write_table(folder, table)
    cohorts.append(load_folder(folder))
    assert len({cohort.images for cohort in cohorts}) == 1
    table[1][2] = "7"
    write_table(folder, table)
    cohorts.append(load_folder(folder))
    with (folder / table[1][0]).open("ab") as file:
        file.write(b"\0")
    cohorts.append(load_folder(folder))
    assert len({cohort.images for cohort in cohorts}) == 3
    assert len({cohort.digest for cohort in cohorts}) == 4


@pytest.mark.parametrize("column", ["slide_id", "biological_class", "medical_center", "subset"])
def test_every_label_is_part_of_the_digest(folder: Path, table: Table, column: str) -> None:
    before = load_folder(folder).digest
    for row in table[1:]:
        if row[HEADER.index(column)] in ("00Atumor", "tumor", "A"):
            row[HEADER.index(column)] = "other"
        elif column == "subset" and row[4] != "C":
            row[HEADER.index(column)] = {"007": "left", "1.0": "right"}[row[2]]
    write_table(folder, table)
    assert load_folder(folder).digest != before


def test_k_is_part_of_the_digest_and_the_license_is_not(folder: Path) -> None:
    digests = []
    for text in ("", "license = 'MIT'", "k = 3", "k = 4"):
        (folder / "cohort.toml").write_text(text)
        digests.append(load_folder(folder).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("demo", "demo"),
        ("tcga", "tcga"),
        ("data/my cohort", "my_cohort"),
        ("/somewhere/Köln[1]/", "K_ln_1"),
        ("a/..", Path.cwd().name),
        ("/", "cohort"),
        ("~nobody-of-this-name/x", "x"),
    ],
)
def test_a_cohorts_name_comes_from_its_text_alone(text: str, name: str) -> None:
    assert registry.cohort_name(text) == name


def test_the_registry_loads_folders(folder: Path) -> None:
    registry.check_cohort_text(str(folder))
    assert len(load(folder)) == 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere", ["no cohort and no folder 'nowhere'", "demo", "camelyon", "folder or parquet file"]),
        ("Demo", ["did you mean 'demo'"]),
        ("Camelyon", ["did you mean 'camelyon'"]),
        ("", ["empty"]),
    ],
)
def test_a_text_that_names_no_cohort_is_reported(text: str, words: list[str]) -> None:
    with pytest.raises(CohortError) as caught:
        registry.check_cohort_text(text)
    assert_mentions(str(caught.value), *words)


def test_the_settings_file_instead_of_its_folder_are_reported(folder: Path) -> None:
    (folder / "cohort.toml").write_text("k = 5\n")
    with pytest.raises(CohortError, match=r"is a file.*the folder that contains it"):
        load(folder / "cohort.toml")


def test_performance_drop_reads_all_rows_and_the_others_the_in_domain_ones(folder: Path) -> None:
    views = load_folder(folder).views
    assert views["performance_drop"].rows.tolist() == list(range(12))
    for metric in ("robustness_index", "clustering_score"):
        assert views[metric].rows.tolist() == list(range(8))
        assert views[metric].rows.dtype == np.int64
        assert views[metric].patches.index.tolist() == list(range(8))
        assert not views[metric].paired
