"""The manifest of an import: what it says of slides and patches, and what it must not say."""

from __future__ import annotations

from pathlib import Path

import feature_files
import pandas as pd
import pytest
from feature_files import some_slides, write_manifest

from pathorob_checks import import_features
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.importing.importing import Imported

SLIDES = some_slides()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    feature_files.hdf5(tmp_path / "f", SLIDES)
    write_manifest(tmp_path / "slides.csv", SLIDES)


def table() -> pd.DataFrame:
    return pd.read_csv("slides.csv", dtype=str)


def of_patches(by: str) -> pd.DataFrame:
    """A row per patch: of every slide the first three are normal and the others are tumor, but for the "
    "last."""
    rows = []
    for slide in SLIDES:
        for number, (name, (x, y)) in enumerate(zip(slide.ids[:-1], slide.places.tolist()[:-1], strict=True)):
            label = "normal" if number < 3 else "tumor"
            where = {"patch_id": name} if by == "id" else {"x": f"{x}.0", "y": f"{y}"}
            rows.append(
                {"slide_id": slide.name, "medical_center": slide.center, "biological_class": label, **where}
            )
    return pd.DataFrame(rows)


def imported(manifest: pd.DataFrame, **options: object) -> tuple[Imported, pd.DataFrame]:
    manifest.to_csv("slides.csv", index=False)
    done = import_features("f", "slides.csv", "fm", **options)  # type: ignore[arg-type]
    return done, pd.read_csv(done.folder / "manifest.csv", dtype=str)


def refusal(manifest: pd.DataFrame) -> str:
    with pytest.raises(PathorobChecksError) as raised:
        imported(manifest)
    assert not Path("fm").exists()
    return str(raised.value)


@pytest.mark.parametrize("by", ["id", "place"])
def test_labels_of_patches_by_id_and_by_place(by: str) -> None:
    done, written = imported(of_patches(by))
    assert done.notes == ("Left out, because the manifest does not name them: 8 patches.",)
    assert written.columns.tolist() == ["slide_id", "patch_id", "biological_class", "medical_center"]
    assert written.biological_class.tolist() == [*["normal"] * 3, *["tumor"] * 2] * 8
    names = sorted(SLIDES, key=lambda slide: slide.name)
    assert written.patch_id.tolist() == [name for slide in names for name in slide.ids[:-1]]


def test_a_draw_takes_labeled_patches_only() -> None:
    done, written = imported(of_patches("id"), patches_per_slide=4)
    assert done.patches == 4 * 8
    assert set(written.patch_id) <= set(SLIDES[0].ids[:-1])


def test_case_and_subset_are_kept_and_further_columns_are_not() -> None:
    manifest = table().assign(case_id=lambda one: "case of " + one.slide_id, stain="H&E")
    _, written = imported(manifest)
    assert written.columns.tolist() == [
        "slide_id", "patch_id", "biological_class", "medical_center", "subset", "case_id",
    ]  # fmt: skip
    assert (written.case_id == "case of " + written.slide_id).all()


def test_a_slide_id_keeps_its_zeros() -> None:
    for number, slide in enumerate(SLIDES):
        Path("f", f"{slide.name}.h5").rename(Path("f", f"00{number}.h5"))
    _, written = imported(table().assign(slide_id=[f"00{number}" for number in range(8)]))
    assert written.slide_id.unique().tolist() == [f"00{number}" for number in range(8)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"columns": {"medical_center": "center"}},
            "slides.csv lacks the column 'medical_center'; rename 'center'",
        ),
        (
            {"columns": {"subset": "subsets"}},
            "slides.csv has a column 'subsets' that is probably meant as 'subset'",
        ),
        ({"columns": {"slide_id": "name"}}, "slides.csv lacks the column 'slide_id'; add it."),
    ],
)
def test_columns_are_checked_as_those_of_a_cohort(changes: dict[str, dict[str, str]], sentence: str) -> None:
    assert refusal(table().rename(**changes)).startswith(sentence)


def test_rows_that_cannot_be_are_refused() -> None:
    manifest = table()
    first = manifest.slide_id[0]
    assert refusal(pd.concat([manifest, manifest[:1]])) == (
        f"slides.csv lines 2 and 10 are both of slide '{first}'; keep one of them."
    )
    assert refusal(manifest[:0]) == "slides.csv has no rows; write a row per slide."
    assert refusal(manifest[:2]).startswith("6 slides (")
    text = refusal(manifest.assign(medical_center="north"))
    assert text.startswith(
        "slides.csv has only one in-domain medical center ('north') but needs at least two"
    )
    text = refusal(manifest.assign(medical_center=manifest.medical_center.replace("north", "South")))
    assert (
        "'South' (slides.csv line 2) and 'south' (slides.csv line 6) differ only in upper and lower" in text
    )
    assert refusal(manifest.assign(patch_id="0_0", x="0", y="0")) == (
        "slides.csv names patches by 'patch_id' and by 'x' and 'y'; keep one of the two."
    )
    patches = of_patches("id")
    patches.loc[0, "patch_id"] = "77_77"
    assert refusal(patches) == (
        f"slides.csv names 1 patch ('{patches.slide_id[0]}-77_77') without features; write patches as the "
        "files "
        "name them: by patch_id, or by x and y of their corner."
    )
    Path("slides.csv").unlink()
    with pytest.raises(
        PathorobChecksError, match=r"the manifest 'slides.csv' does not exist; write a CSV with"
    ):
        import_features("f", "slides.csv", "fm")
