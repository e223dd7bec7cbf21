"""`--fm-commercial` leaves out all that is not known to allow commercial use, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathorob_checks.errors import CohortError, SettingsError, SpecError
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import Subjects, subjects_of


def subjects(*fms: str, cohorts: tuple[str, ...] = ("camelyon",), licensed: tuple[str, ...] = ()) -> Subjects:
    return subjects_of(Settings(fms=fms, cohorts=cohorts, commercial=True, licensed=licensed))


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cohort of the user's own, whose license nobody has stated."""
    monkeypatch.chdir(tmp_path)
    Path("ours").mkdir()
    return Path("ours")


@pytest.mark.parametrize(
    ("fm", "name", "reason"),
    [
        ("virchow2", "virchow2", "its license (CC-BY-NC-ND-4.0) forbids commercial use"),
        ("hf-hub:paige-ai/virchow2@main", "virchow2", "its license (CC-BY-NC-ND-4.0) forbids commercial use"),
        (
            "gpfm",
            "gpfm",
            "its license (MIT by its card; CC-BY-NC-ND-4.0 by its code) is not known to allow commercial use",
        ),
        ("hf-hub:lab/vit", "vit", "its license is not known"),
        ("local-dir:vit", "vit", "its license is not known"),
        ("embeddings:vit", "vit", "its license is not known"),
        ("python:encoders:build", "build", "its license is not known"),
    ],
)
def test_an_fm_that_is_not_known_to_allow_it_is_left_out_with_the_reason(
    fm: str, name: str, reason: str
) -> None:
    selection = subjects("h-optimus-0", fm)
    assert {subject.fm for subject in selection.subjects} == {"h-optimus-0"}
    (sentence,) = selection.left_out
    assert sentence.casefold() == f"FM {name} is left out by --fm-commercial: {reason}.".casefold()
    with pytest.raises(
        SpecError, match=r"leaves nothing to check \(FM .*\); name .* name those that you may use with"
    ):
        subjects(fm)


@pytest.mark.parametrize(
    ("cohort", "reason"),
    [
        ("tcga", "its license (CC-BY-NC-SA-4.0) forbids commercial use"),
        (
            "tolkach_esca",
            "its license (CC-BY-SA-4.0 by special grant; some sources say non-commercial) is not known to "
            "allow commercial use",
        ),
        ("ours", "its license is not known"),
    ],
)
def test_a_cohort_that_is_not_known_to_allow_it_is_left_out_with_the_reason(
    ours: Path, cohort: str, reason: str
) -> None:
    selection = subjects("h-optimus-0", cohorts=("camelyon", cohort))
    assert selection.left_out == (f"cohort {cohort} is left out by --fm-commercial: {reason}.",)
    assert set(selection.cohorts) == {"camelyon"}


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('license = "CC-BY-4.0"\ncommercial = true', None),
        ("commercial = true", None),
        (
            'license = "CC-BY-NC-4.0"\ncommercial = false',
            "its license (CC-BY-NC-4.0) forbids commercial use",
        ),
        ('license = "CC-BY-4.0"', "its license (CC-BY-4.0) is not known to allow commercial use"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_the_settings_of_an_own_cohort_say_whether_it_is_kept(
    ours: Path, form: str, written: str, reason: str | None
) -> None:
    if form == "parquet":
        Path("ours.parquet").write_bytes(b"")
    file = ours / "cohort.toml" if form == "folder" else Path("ours.toml")
    file.write_text(written)
    text = "ours" if form == "folder" else "ours.parquet"
    selection = subjects("h-optimus-0", cohorts=("camelyon", text))
    left_out = () if reason is None else (f"cohort ours is left out by --fm-commercial: {reason}.",)
    assert selection.left_out == left_out


def test_settings_that_cannot_be_read_are_an_error(ours: Path) -> None:
    (ours / "cohort.toml").write_text("commercial = 'yes'")
    with pytest.raises(CohortError, match="neither true nor false"):
        subjects("h-optimus-0", cohorts=("ours",))


@pytest.mark.parametrize("licensed", [("local-dir:vit", "ours"), ("vit", "ours")])
def test_what_the_user_may_use_is_kept(ours: Path, licensed: tuple[str, ...]) -> None:
    selection = subjects("local-dir:vit", "virchow2", cohorts=("ours", "tcga"), licensed=licensed)
    assert [subject.id for subject in selection.subjects] == ["vit-ours"]
    assert len(selection.left_out) == 2


def test_a_license_for_what_is_not_checked_is_a_mistake() -> None:
    with pytest.raises(SpecError, match="--fm-licensed=virchow is no FM and no cohort of this run"):
        subjects("virchow2", licensed=("virchow",))
    with pytest.raises(SettingsError, match="'virchow2' is licensed, but nothing is left out"):
        Settings(fms=("virchow2",), licensed=("virchow2",))


def test_without_the_option_nothing_is_left_out() -> None:
    selection = subjects_of(Settings(fms=("virchow2", "gpfm"), cohorts=("tcga", "tolkach_esca")))
    assert len(selection.subjects) == 4
    assert selection.left_out == ()
