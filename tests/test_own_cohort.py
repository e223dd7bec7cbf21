"""The user's own cohort in each of its three forms: manifest, folders, parquet."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from own_forms import FORMS, LABELS, Given, assert_mentions, load, picture, problem, twelve, write_manifest

from pathorob_checks.cohorts.cohort import VIEWS

# How each form describes the place of a patch: the fourth of `twelve()`, slide 'BNA' patch '1.0'.
FOURTH = {
    "manifest": "'images/3.png' (manifest.csv line 5)",
    "tree": "'ID/NA/B/BNA/1.0.png'",
    "parquet": "row 3 of cohort.parquet",
}
WITH_ANY_SUBSET = ("manifest", "parquet")

Write = Callable[[Sequence[Given]], Path]


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def write(form: str, tmp_path: Path) -> Write:
    return lambda patches: FORMS[form](tmp_path, patches)


@pytest.fixture
def patches() -> list[Given]:
    return twelve()


def settings_file(path: Path) -> Path:
    return path / "cohort.toml" if path.is_dir() else path.with_suffix(".toml")


def paired(patches: Sequence[Given]) -> list[Given]:
    """The in-domain patches in two subsets that have the classes and centers of all of them."""
    names = {"007": "left", "1.0": "right"}
    return [patch.but(subset=names[patch.patch_id]) if patch.subset == "ID" else patch for patch in patches]


def test_the_three_forms_of_the_same_patches_are_the_same_cohort(
    tmp_path: Path, patches: list[Given]
) -> None:
    loaded = {name: load(write(tmp_path / name, patches)) for name, write in FORMS.items()}
    expected = loaded.pop("manifest")
    assert expected.patches.subset.tolist() == ["ID"] * 8 + ["OOD"] * 4
    for name, cohort in loaded.items():
        assert cohort.name == expected.name == "cohort"
        assert cohort.patches.equals(expected.patches), name
        assert cohort.keys == expected.keys
        for row in range(len(expected)):
            assert cohort.read_image(row).tobytes() == expected.read_image(row).tobytes()
        for metric in VIEWS:
            view, other = cohort.views[metric], expected.views[metric]
            assert view.rows.tolist() == other.rows.tolist()
            assert view.patches.equals(other.patches)
            assert (view.paired, view.k, view.schedule) == (other.paired, other.k, other.schedule)


def test_a_tree_and_its_manifest_share_their_embeddings_and_a_parquet_file_is_read_in_its_own_order(
    tmp_path: Path, patches: list[Given]
) -> None:
    digests = {name: load(write(tmp_path / name, patches)).images for name, write in FORMS.items()}
    assert digests["tree"] == digests["manifest"]
    turned = {
        name: load(write(tmp_path / "turned" / name, patches[::-1])).images for name, write in FORMS.items()
    }
    assert turned["manifest"] == digests["manifest"]
    assert turned["parquet"] != digests["parquet"]


def test_an_in_domain_cohort_is_all_in_domain(write: Write, patches: list[Given]) -> None:
    cohort = load(write([patch for patch in patches if patch.subset == "ID"]))
    assert set(cohort.patches.subset) == {"ID"}
    assert [len(cohort.views[metric].rows) for metric in VIEWS] == [8, 8, 8]


def test_a_cohort_can_be_sent_to_another_process(write: Write, patches: list[Given]) -> None:
    cohort = load(write(patches))
    read = pickle.loads(pickle.dumps(cohort)).read_image
    assert read(3).tobytes() == cohort.read_image(3).tobytes()


def test_license_commercial_use_and_k_come_from_the_settings_file(write: Write, patches: list[Given]) -> None:
    path = write(patches)
    assert (load(path).license, load(path).commercial) == ("unknown", None)
    settings_file(path).write_text('license = " CC-BY-4.0 "\ncommercial = true\nk = 5\n')
    cohort = load(path)
    assert (cohort.license, cohort.commercial) == ("CC-BY-4.0", True)
    assert [cohort.views[metric].k for metric in VIEWS] == [5, None, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("licence = 'MIT'", ["unknown key 'licence'", "'license', 'commercial', 'sources' and 'k'"]),
        ("license = 3", ["license = 3", "not text"]),
        ("license = ' '", ["not text"]),
        ("commercial = 'no'", ["commercial = 'no'", "true or false"]),
        ("commercial = 1", ["commercial = 1"]),
        ("k = '10'", ["k = '10'", "whole number"]),
        ("k = true", ["k = True", "whole number"]),
        ("k = 0", ["k = 0", "positive"]),
        ("k = 1.5", ["k = 1.5", "whole number"]),
        ("k = 0\nlicence = 'MIT'", ["unknown key 'licence'"]),
        ("file = 'other.toml'", ["unknown key 'file'"]),
        ("k = 7", ["k = 7", "slide 'ANA'", "only 6 neighbors", "lower k"]),
        ("k =", ["TOML"]),
    ],
)
def test_a_wrong_settings_file_is_reported(
    write: Write, patches: list[Given], text: str, words: list[str]
) -> None:
    path = write(patches)
    settings_file(path).write_text(text)
    assert_mentions(problem(path), "cohort.toml", *words)


def test_a_settings_file_that_cannot_be_read_is_reported(write: Write, patches: list[Given]) -> None:
    path = write(patches)
    settings_file(path).write_bytes(b"license = '\xff'")
    assert_mentions(problem(path), "cohort.toml cannot be read as TOML")
    settings_file(path).unlink()
    settings_file(path).mkdir()
    # In a tree the folder is taken for a class.
    assert_mentions(problem(path), "cohort.toml")


def test_two_patches_with_one_image_are_reported(form: str, write: Write, patches: list[Given]) -> None:
    patches[3] = patches[3].but(image=patches[0].image)
    assert_mentions(problem(write(patches)), FOURTH[form], "identical", "its own neighbor")


def test_two_patches_that_share_the_benchmarks_key_are_reported(
    form: str, write: Write, patches: list[Given]
) -> None:
    patches[2:4] = [
        patches[2].but(slide_id="a", patch_id="b-c"),
        patches[3].but(slide_id="a-b", patch_id="c"),
    ]
    assert_mentions(problem(write(patches)), "both describe", "key 'a-b-c'", "slide-patch is unique")


def test_a_patch_described_twice_is_reported(form: str, write: Write, patches: list[Given]) -> None:
    # A slide that gives patches to two classes, which have the same names in both.
    patches[7] = patches[7].but(slide_id="BNA")
    assert_mentions(problem(write(patches)), FOURTH[form], "slide 'BNA' patch '1.0'", "its own name")


def test_a_slide_may_give_patches_to_several_classes(write: Write, patches: list[Given]) -> None:
    patches[7] = patches[7].but(slide_id="BNA", patch_id="9")
    assert len(load(write(patches))) == 12


def test_a_slide_in_two_medical_centers_is_reported(form: str, write: Write, patches: list[Given]) -> None:
    patches[3] = patches[3].but(slide_id="ANA", patch_id="9")
    where = FOURTH[form].replace("BNA/1.0", "ANA/9")
    assert_mentions(problem(write(patches)), where, "slide 'ANA' is in two medical centers", "'A'", "'B'")


@pytest.mark.parametrize("row", [3, 7])
def test_slides_of_one_name_in_two_centers_with_patches_of_the_same_names(
    write: Write, patches: list[Given], row: int
) -> None:
    # Every center numbers its slides and patches from 1: no patch is described twice.
    patches[row] = patches[row].but(slide_id=patches[0].slide_id, patch_id=patches[0].patch_id)
    sentence = problem(write(patches))
    assert_mentions(sentence, "slide 'ANA' is in two medical centers", "'A'", "'B'", "different names")
    assert "both describe" not in sentence


def test_a_medical_center_on_both_sides_is_reported(form: str, write: Write, patches: list[Given]) -> None:
    patches[8] = patches[8].but(medical_center="A", slide_id="new")
    assert_mentions(problem(write(patches)), "medical center 'A' is in-domain", "out-of-domain", "one side")


@pytest.mark.parametrize(
    ("column", "one", "two", "words"),
    [
        ("medical_center", "B", "b", ["medical centers 'B'", "'b'"]),
        ("biological_class", "NA", "Na", ["biological classes 'NA'", "'Na'"]),
        ("medical_center", "K\u00f6ln", "Ko\u0308ln", ["medical centers", "encoding of letters"]),
    ],
)
def test_two_spellings_of_one_name_are_reported(
    form: str, write: Write, patches: list[Given], column: str, one: str, two: str, words: list[str]
) -> None:
    patches = [
        patch.but(**{column: one}) if getattr(patch, column) in ("B", "NA") else patch for patch in patches
    ]
    patches[3] = patches[3].but(**{column: two}, slide_id="new")
    assert_mentions(problem(write(patches)), *words)


@pytest.mark.parametrize("text", ["A ", " A", "A\n", "A\x7f"])
def test_a_name_with_white_space_around_it_is_reported(write: Write, patches: list[Given], text: str) -> None:
    patches[0] = patches[0].but(medical_center=text)
    assert_mentions(
        problem(write(patches)), "white space or a control character", "medical_center", repr(text)
    )


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (lambda p: p.medical_center != "B", ["only one in-domain medical center ('A')", "another medical"]),
        (lambda p: p.biological_class != "NA", ["only one biological class ('tumor')"]),
        (
            lambda p: (p.biological_class, p.medical_center) != ("NA", "B"),
            ["biological class 'NA'", "(first:", "only one in-domain medical center ('A')"],
        ),
    ],
)
def test_too_little_to_compare_is_reported(
    write: Write, patches: list[Given], keep: Callable[[Given], bool], words: list[str]
) -> None:
    assert_mentions(problem(write([patch for patch in patches if keep(patch)])), *words)


def test_a_class_out_of_domain_only_is_reported(write: Write, patches: list[Given]) -> None:
    patches[-1] = patches[-1].but(biological_class="stroma", slide_id="new")
    assert_mentions(problem(write(patches)), "biological class 'stroma'", "no in-domain medical center")


@pytest.mark.parametrize("form", WITH_ANY_SUBSET)
def test_no_in_domain_patch_at_all_is_reported(write: Write, patches: list[Given]) -> None:
    assert_mentions(problem(write(patches[8:])), "no in-domain medical center")


@pytest.mark.parametrize("form", WITH_ANY_SUBSET)
def test_subsets_with_names_are_paired_and_those_out_of_domain_are_not_in_them(
    write: Write, patches: list[Given]
) -> None:
    cohort = load(write(paired(patches)))
    index, drop, clusters = (cohort.views[metric] for metric in VIEWS)
    assert (index.paired, drop.paired, clusters.paired) == (True, False, False)
    assert index.patches.subset.tolist() == ["left", "right"] * 4
    assert index.rows.tolist() == clusters.rows.tolist() == list(range(8))
    assert len(drop.rows) == 12
    assert index.rows.dtype == np.int64


@pytest.mark.parametrize("form", WITH_ANY_SUBSET)
def test_a_mixture_of_id_and_paired_subsets_is_reported(
    form: str, write: Write, patches: list[Given]
) -> None:
    patches = paired(patches)
    patches[3] = patches[3].but(subset="ID")
    assert_mentions(
        problem(write(patches)), FOURTH[form], "has 'ID'", "the subset 'left'", "instead of every 'ID'"
    )


@pytest.mark.parametrize("form", WITH_ANY_SUBSET)
@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("id", "ID"),
        ("Id.", "ID"),
        ("in-domain", "ID"),
        ("IN_DISTRIBUTION", "ID"),
        ("train", "ID"),
        ("Validation", "ID"),
        ("ood", "OOD"),
        ("OoD", "OOD"),
        ("OOD-Lyon", "OOD"),
        ("ODD", "OOD"),
        ("Out-of-domain", "OOD"),
        ("out of distribution", "OOD"),
        ("test", "OOD"),
    ],
)
def test_a_mistake_in_a_subset_is_not_a_paired_subset(
    form: str, write: Write, patches: list[Given], slip: str, meant: str
) -> None:
    slipped = [patch.but(subset=slip) if patch.subset == meant else patch for patch in patches]
    assert_mentions(problem(write(slipped)), f"subset '{slip}'", f"meant as '{meant}'", "paired subsets need")


@pytest.mark.parametrize("form", WITH_ANY_SUBSET)
def test_mistakes_in_all_subsets_are_not_a_paired_design(write: Write, patches: list[Given]) -> None:
    split = {"ID": "train", "OOD": "test"}
    assert_mentions(
        problem(write([p.but(subset=split[p.subset]) for p in patches])), "'train'", "meant as 'ID'"
    )


@pytest.mark.parametrize("form", WITH_ANY_SUBSET)
@pytest.mark.parametrize(
    ("moved", "words"),
    [
        (lambda p: p.medical_center == "A", ["only one medical center ('B')"]),
        (lambda p: p.biological_class == "NA", ["only one biological class ('tumor')"]),
        (
            lambda p: (p.biological_class, p.medical_center) == ("NA", "A"),
            ["class 'NA'", "only one medical center ('B')"],
        ),
    ],
)
def test_a_paired_subset_that_is_no_comparison_by_itself_is_reported(
    write: Write, patches: list[Given], moved: Callable[[Given], bool], words: list[str]
) -> None:
    uneven = [p.but(subset="left") if p.subset == "right" and moved(p) else p for p in paired(patches)]
    assert_mentions(problem(write(uneven)), "the paired subset 'right' (first:", "inside each subset", *words)


@pytest.mark.parametrize("form", WITH_ANY_SUBSET)
def test_k_has_to_fit_into_every_paired_subset(write: Write, patches: list[Given]) -> None:
    path = write(paired(patches))
    settings_file(path).write_text("k = 4")
    assert_mentions(problem(path), "only 3 neighbors on other slides in subset 'left'")


@pytest.mark.parametrize("content", [b"this is text", picture(1, side=64)[:2000]])
def test_an_image_that_cannot_be_decoded_is_named_when_read(
    form: str, write: Write, patches: list[Given], content: bytes
) -> None:
    patches[3] = patches[3].but(image=content)
    cohort = load(write(patches))
    assert cohort.read_image(2).size == (8, 8)
    with pytest.raises(Exception, match="cannot be decoded") as caught:
        cohort.read_image(3)
    assert_mentions(str(caught.value), FOURTH[form], "replace the file")


def test_labels_with_regions_of_any_alphabet_are_kept_as_written(write: Write, patches: list[Given]) -> None:
    patches = [
        p.but(medical_center={"A": "Göttingen (Süd)", "B": "北京", "C": "1e5"}[p.medical_center])
        for p in patches
    ]
    read = load(write(patches)).patches
    expected = [[getattr(patch, column) for column in LABELS] for patch in patches]
    assert sorted(read[list(LABELS)].to_numpy().tolist()) == sorted(expected)


def test_a_broken_link_to_a_manifest_is_not_taken_for_a_folder_without_one(
    tmp_path: Path, patches: list[Given]
) -> None:
    folder = write_manifest(tmp_path, patches)
    (folder / "manifest.csv").rename(tmp_path / "gone.csv")
    (folder / "manifest.csv").symlink_to(tmp_path / "nowhere.csv")
    assert_mentions(problem(folder), "no manifest.csv")
