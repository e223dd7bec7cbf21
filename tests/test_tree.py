"""Folders that are the labels, and everything in them that is not where it should be."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from own_forms import assert_mentions, load, picture, problem, twelve, write_tree

from pathorob_checks.cohorts.tree import IMAGE_SUFFIXES, load_tree
from pathorob_checks.errors import CohortError


@pytest.fixture
def sided(tmp_path: Path) -> Path:
    """ID and OOD above 2 classes x 3 centers x 1 slide x 2 patches."""
    return write_tree(tmp_path, twelve())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same without the out-of-domain center, so without ID and OOD."""
    return write_tree(tmp_path, twelve()[:8])


SLIDE = "NA/A/ANA"


def test_folder_names_are_labels_and_file_names_patches(folder: Path) -> None:
    cohort = load(folder)
    assert (cohort.name, cohort.source) == ("cohort", str(folder))
    first = cohort.patches.iloc[1]
    assert first.to_dict() == {
        "subset": "ID",
        "slide_id": "ANA",
        "patch_id": "1.0",
        "biological_class": "NA",
        "medical_center": "A",
    }


def test_id_and_ood_above_the_classes_are_the_subsets(sided: Path) -> None:
    patches = load(sided).patches
    assert patches.subset.tolist() == ["ID"] * 8 + ["OOD"] * 4
    assert set(patches.medical_center[patches.subset == "OOD"]) == {"C"}


def test_rows_are_in_the_order_of_their_names_whatever_order_the_disk_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = load(folder)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: Path) -> None:
            self._entries = list(scandir(path))[::-1]

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self._entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    backwards = load(folder)
    assert backwards.keys == straight.keys
    assert backwards.keys == sorted(straight.keys, key=lambda key: (key[1], key[0]))
    assert backwards.digest == straight.digest


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, ".PNG", ".Tiff", ".JPeG"])
def test_every_kind_of_image_file_is_read(folder: Path, suffix: str) -> None:
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix[1:].lower(), suffix[1:].upper())
    (folder / SLIDE / f"new{suffix}").write_bytes(picture(99, side=16, kind=kind))
    cohort = load(folder)
    row = cohort.keys.index("ANA-new")
    assert cohort.read_image(row).size == (16, 16)


@pytest.mark.parametrize(
    "litter",
    [".DS_Store", "Thumbs.db", "thumbs.DB", "desktop.ini", "._1.0.png", "__MACOSX/NA/x.txt", ".git/config"],
)
@pytest.mark.parametrize("place", ["", "NA", "NA/A", SLIDE])
def test_hidden_files_and_litter_are_ignored_anywhere(folder: Path, litter: str, place: str) -> None:
    path = folder / place / litter
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    assert len(load(folder)) == 8


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("notes.txt", ["only folders should be", "<class>/<center>/<slide>/<patch>.png"]),
        ("a.png", ["only folders should be", "<class>/<center>/<slide>/<patch>.png"]),
        ("NA/a.png", ["only folders should be"]),
        ("NA/A/a.png", ["only folders should be", "<slide>"]),
        ("NA/cohort.toml", ["only folders should be", "beside the class folders"]),
        ("labels.csv", ["only folders should be", "manifest.csv"]),
        ("data.parquet", ["only folders should be", "give the parquet file itself"]),
        ("settings.toml", ["only folders should be", "cohort.toml"]),
        (f"{SLIDE}/more/a.png", ["is a folder where a patch's image should be"]),
        (f"{SLIDE}/notes.txt", ["is not an image file", "png, jpg, jpeg, tif, tiff, bmp, webp"]),
        (f"{SLIDE}/no_suffix", ["is not an image file"]),
        (f"{SLIDE}/scan.SVS", ["is a whole slide", "cut it into patches"]),
    ],
)
def test_a_file_where_none_should_be_is_reported(folder: Path, path: str, words: list[str]) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(picture(99))
    shown = path.removesuffix("/a.png") if "more" in path else path
    assert_mentions(problem(folder), f"'{shown}'", *words)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("new", "class"), ("NA/new", "center"), ("NA/A/new", "slide")],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_an_empty_folder_is_reported(folder: Path, path: str, kind: str, hidden: bool) -> None:
    (folder / path).mkdir()
    if hidden:
        (folder / path / ".DS_Store").write_text("x")
    assert_mentions(problem(folder), f"the {kind} folder '{path}' has no files", "delete it")


@pytest.mark.parametrize("files", [[], ["cohort.toml"], [".DS_Store"]])
def test_a_folder_without_patches_is_reported(tmp_path: Path, files: list[str]) -> None:
    for file in files:
        (tmp_path / file).write_text("")
    assert_mentions(
        problem(tmp_path), "has no patches", "manifest.csv", "<class>/<center>/<slide>/<patch>.png"
    )


def test_an_empty_side_is_reported(folder: Path, sided: Path) -> None:
    shutil.rmtree(sided / "OOD")
    for extra in ("NA", "tumor"):
        shutil.rmtree(sided / extra)
    (sided / "OOD").mkdir()
    assert_mentions(problem(sided), "the folder 'OOD' has no files")


@pytest.mark.parametrize("path", ["stroma/A/s/p.png", "notes.txt"])
def test_something_beside_id_and_ood_is_reported(sided: Path, path: str) -> None:
    (sided / path).parent.mkdir(parents=True, exist_ok=True)
    (sided / path).write_bytes(picture(99))
    assert_mentions(
        problem(sided), f"'{path.split('/')[0]}' is beside the folders ID and OOD", "below one of them"
    )


@pytest.mark.parametrize(("old", "new"), [("OOD", "ood"), ("ID", "Id"), ("OOD", "")])
def test_misspelt_sides_are_reported(sided: Path, old: str, new: str) -> None:
    if new:
        (sided / old).rename(sided / new)
    else:
        shutil.rmtree(sided / old)
    assert_mentions(problem(sided), "a patch's image should be", "both folders 'ID' and 'OOD', in upper case")


def test_a_file_too_deep_or_not_deep_enough_below_a_side_is_reported(sided: Path) -> None:
    (sided / "ID" / "NA" / "A" / "p.png").write_bytes(picture(99))
    assert_mentions(problem(sided), "'ID/NA/A/p.png'", "only folders should be")


def test_two_files_of_one_patch_are_reported(folder: Path) -> None:
    (folder / SLIDE / "007.jpg").write_bytes(picture(99, kind="JPEG"))
    assert_mentions(problem(folder), f"'{SLIDE}/007.jpg'", f"'{SLIDE}/007.png'", "slide 'ANA' patch '007'")


def test_slides_that_are_numbered_anew_in_every_center_are_reported(folder: Path) -> None:
    (folder / "NA/A/ANA").rename(folder / "NA/A/1")
    (folder / "NA/B/BNA").rename(folder / "NA/B/1")
    for patch in ("007", "1.0"):
        (folder / f"NA/B/1/{patch}.png").rename(folder / f"NA/B/1/b{patch}.png")
    assert_mentions(
        problem(folder), "slide '1' is in two medical centers", "'NA/A/1/007.png'", "'NA/B/1/b007.png'"
    )


def test_a_link_to_a_file_or_folder_inside_is_followed(folder: Path) -> None:
    moved = folder / ".kept"
    (folder / SLIDE).rename(moved)
    (folder / SLIDE).symlink_to(moved)
    inner = moved / "007.png"
    inner.rename(folder / ".one.png")
    inner.symlink_to(folder / ".one.png")
    assert len(load(folder)) == 8


@pytest.mark.parametrize("path", ["new", "NA/new", f"{SLIDE}/new.png"])
def test_a_link_out_of_the_folder_is_reported(folder: Path, path: str) -> None:
    target = folder.parent / "elsewhere"
    target.mkdir()
    (folder / path).symlink_to(target)
    assert_mentions(problem(folder), f"'{path}' is a symbolic link that leads outside", "copy")


def test_a_link_that_leads_nowhere_or_in_a_circle_is_reported(folder: Path) -> None:
    link = folder / SLIDE / "new.png"
    link.symlink_to(folder / "gone.png")
    assert_mentions(problem(folder), "broken symbolic link")
    link.unlink()
    link.symlink_to(link)
    assert_mentions(problem(folder), "broken symbolic link")


@pytest.mark.parametrize("path", ["new", "NA/new", "NA/A/new", f"{SLIDE}/new"])
def test_a_folder_within_itself_ends(folder: Path, path: str) -> None:
    (folder / path).symlink_to(folder)
    assert_mentions(problem(folder), "should be")


def test_a_cohort_behind_a_link_is_read(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    assert len(load(folder.parent / "link")) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_name_that_is_not_utf8_is_reported(folder: Path) -> None:
    slide = os.fsencode(folder / "NA" / "A") + b"/K\xf6ln"
    os.mkdir(slide)  # noqa: PTH102 - a path of bytes
    (folder / SLIDE / "007.png").rename(os.fsdecode(slide + b"/p.png"))
    assert_mentions(problem(folder), "slide_id that is not UTF-8", "rename")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_reported(folder: Path) -> None:
    (folder / SLIDE).chmod(0)
    try:
        assert_mentions(problem(folder), f"'{SLIDE}' cannot be read")
    finally:
        (folder / SLIDE).chmod(0o700)


def test_a_folder_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="'nowhere' cannot be read"):
        load_tree(tmp_path / "nowhere")


def test_an_image_that_changes_during_the_run_is_refused(folder: Path) -> None:
    cohort = load(folder)
    (folder / SLIDE / "007.png").write_bytes(picture(99))
    with pytest.raises(CohortError, match="changed since"):
        cohort.read_image(0)
    (folder / SLIDE / "007.png").unlink()
    with pytest.raises(CohortError, match=r"'NA/A/ANA/007.png' cannot be read"):
        cohort.read_image(0)
