"""The command `pathorob-checks`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathorob_checks.cli import main
from pathorob_checks.cohorts import demo, manifest
from pathorob_checks.version import version


def test_the_demo_cohort_written_to_a_folder_is_a_cohort(tmp_path: Path, monkeypatch, capsys) -> None:
    recipe = demo.load()
    few = recipe.patches.groupby(["medical_center", "biological_class"]).head(4).index
    small = type(recipe)(
        name="demo",
        patches=recipe.patches.loc[few].reset_index(drop=True),
        read_image=lambda row: recipe.read_image(int(few[row])),
        images=recipe.images,
        views=recipe.views,
    )
    monkeypatch.setattr(demo, "load", lambda: small)
    assert main(["demo-cohort", str(tmp_path / "demo")]) == 0
    assert "--fm-cohort=" in capsys.readouterr().out
    written = manifest.load_folder(tmp_path / "demo")
    assert sorted(written.keys) == sorted(small.keys)
    assert written.read_image(0).size == (224, 224)
    assert (written.license, written.commercial) == (small.license, small.commercial)
    assert [view.k for view in written.views.values()] == [view.k for view in small.views.values()]
    assert written.views["robustness_index"].k == 11


def test_a_file_in_place_of_the_folder_is_called_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text("mine")
    assert main(["demo-cohort", str(tmp_path / "f")]) == 1
    assert f"'{tmp_path / 'f'}' is a file, not a folder; name a new folder." in capsys.readouterr().err


def test_the_version_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"pathorob-checks {version()}\n")


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["demo-cohort", str(tmp_path)]) == 1
    assert "is not empty; name a new folder." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
