"""Images of patches leave the machine in an HTML report only, and in none if the user says so."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from cohort_folders import write_cohort
from terminal import Run, Terminal

from pathorob_checks.report import html
from pathorob_checks.report.forms import MARK
from pathorob_checks.results.results import Results


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the HTML report say how many images it was given."""

    def count(results: Results) -> str:
        return f"{MARK} {sum(len(run.images) for run in results.runs)}"

    monkeypatch.setattr(html, "html_report", count)


@pytest.fixture(scope="module")
def missed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort whose centers differ more than its classes, so that a metric misses patches."""
    folder = write_cohort(tmp_path_factory.mktemp("data") / "missed")
    table = pd.read_csv(folder / "manifest.csv")
    swapped = {"biological_class": "medical_center", "medical_center": "biological_class"}
    inside = table[table.subset == "ID"].rename(columns=swapped)
    inside.to_csv(folder / "manifest.csv", index=False)
    return folder


def gate(terminal: Terminal, cohort: Path, *options: str) -> Run:
    return terminal.pytest(
        "--fm=demo:color-sensitive", f"--fm-cohort={cohort}", "-k", "robustness_index", *options
    )


def images(terminal: Terminal, cohort: Path, *options: str) -> int:
    run = gate(terminal, cohort, "--fm-html=r.html", *options)
    assert "FAIL: 1 of " in run.output
    return int((terminal.folder / "r.html").read_text().split()[-1])


@pytest.mark.usefixtures("counting")
def test_the_html_report_has_images_unless_the_user_says_no(terminal: Terminal, missed: Path) -> None:
    assert images(terminal, missed) > 0
    assert images(terminal, missed, "--fm-html-images=false") == 0
    (terminal.folder / "pytest.ini").write_text("[pytest]\nfm_html_images = false\n")
    assert images(terminal, missed) == 0
    assert images(terminal, missed, "--fm-html-images=true") > 0


def test_no_other_file_has_an_image(terminal: Terminal, missed: Path) -> None:
    forms = [f"--fm-{form}=r.{form}" for form in ("html", "json", "markdown")]
    gate(terminal, missed, *forms, "--junitxml=r.xml")
    for name in ("r.json", "r.markdown", "r.xml"):
        text = (terminal.folder / name).read_text()
        assert "/9j/" not in text, name  # how a JPEG begins in base64
        assert text


def test_another_value_is_refused(terminal: Terminal, missed: Path) -> None:
    run = gate(terminal, missed, "--fm-html=r.html", "--fm-html-images=small")
    assert run.code == 4
    assert "--fm-html-images: 'small' is neither true nor false." in run.output
