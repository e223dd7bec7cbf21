"""Templates of criteria files are valid at once, say what is open, and their traces reach every report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_checks import made

from pathorob_checks.cli import main
from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.templates import STANDARDS, TO_FILL_IN, template
from pathorob_checks.metrics.registry import metrics


@pytest.fixture(params=STANDARDS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "start.toml"
    assert main(["criteria", "template", "--standard", request.param, "--out", str(path)]) == 0
    return path


def test_a_template_is_valid_and_traced(written: Path) -> None:
    profile = load_profile(written)
    assert set(profile.metrics) == {name for name, one in metrics().items() if one.published}
    for entry in profile.criteria:
        assert len(entry.requirements) > 1, entry.id
        assert entry.owner, entry.id
        assert isinstance(entry.bound, float)
    assert profile.inconclusive == "fail"
    assert profile.require_complete


def test_the_check_names_every_place_that_is_to_be_filled_in(written: Path, capsys) -> None:
    capsys.readouterr()
    assert main(["criteria", "check", str(written)]) == 0
    remarked = {int(line) for line in re.findall(r"start\.toml:(\d+): ", capsys.readouterr().out)}
    lines = written.read_text().splitlines()
    open_places = {number for number, line in enumerate(lines, 1) if TO_FILL_IN in line.partition("#")[0]}
    assert remarked == open_places
    assert len(open_places) > 10


@pytest.mark.parametrize("standard", STANDARDS)
def test_template_and_check_count_the_same_places(standard: str, tmp_path: Path, capsys) -> None:
    written = tmp_path / "start.toml"
    assert main(["criteria", "template", "--standard", standard, "--out", str(written)]) == 0
    [number] = re.findall(r"with (\d+) places to fill in", capsys.readouterr().out)
    assert main(["criteria", "check", str(written)]) == 0
    *remarks, last = capsys.readouterr().out.splitlines()
    assert last == f"no mistakes; {number} places are still to be filled in"
    assert len(remarks) == int(number)


def test_a_file_that_is_filled_in_has_no_remarks(written: Path, capsys) -> None:
    written.write_text(written.read_text().replace(TO_FILL_IN, "done"))
    capsys.readouterr()
    assert main(["criteria", "check", str(written)]) == 0
    assert capsys.readouterr().out == "no mistakes\n"


@pytest.mark.parametrize("standard", STANDARDS)
def test_a_template_says_what_is_not_covered_and_claims_nothing(standard: str) -> None:
    text = template(standard)
    assert "Not covered" in text
    assert re.search("does not show (compliance|conformity|that a plan)", text)
    assert "complian" not in text.replace("does not show compliance", "")


def test_the_template_goes_to_standard_output_and_replaces_no_file(tmp_path: Path, capsys) -> None:
    assert main(["criteria", "template", "--standard", "ai-act"]) == 0
    assert capsys.readouterr().out == template("ai-act")
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    assert main(["criteria", "template", "--standard", "ai-act", "--out", str(path)]) == 1
    assert "exists already; name a new file with --out." in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_a_template_without_a_standard_is_plain(tmp_path: Path, capsys) -> None:
    path = tmp_path / "ours.toml"
    assert main(["criteria", "template", "--out", str(path)]) == 0
    assert "ours.toml is written; then run: pathorob-checks criteria check " in capsys.readouterr().out
    ours, floor = load_profile(path), load_profile("floor")
    assert ours.criteria == floor.criteria
    wanted = {entry.metric: metrics()[entry.metric].margin for entry in floor.criteria}
    assert ours.baseline.margin == wanted
    capsys.readouterr()
    assert main(["criteria", "check", str(path)]) == 0
    assert capsys.readouterr().out == "no mistakes\n"


def test_requirements_and_owner_are_properties_of_the_junit_file() -> None:
    from pathorob_checks.results.properties import of_check

    check = made("robustness_index").model_copy(
        update={"requirements": ("REQ 1", "REQ 2"), "owner": "J. Doe"}
    )
    properties = dict(of_check(check, allows_inconclusive=False))
    assert properties["pathorob_checks.requirements"] == "REQ 1, REQ 2"
    assert properties["pathorob_checks.owner"] == "J. Doe"


def test_requirements_and_owner_are_in_every_report() -> None:
    from made_results import results_of

    from pathorob_checks.report.bounds import render_bounds
    from pathorob_checks.report.forms import FORMS

    check = made("robustness_index").model_copy(
        update={"requirements": ("REQ-1", "REQ-2"), "owner": "J. Doe"}
    )
    results = results_of([check])
    texts = {form: FORMS[form].render(results) for form in ("json", "html", "markdown")}
    texts["terminal"] = render_bounds([check], 200, None, whole=True)
    for form, text in texts.items():
        for word in ("REQ-1", "REQ-2", "J. Doe"):
            assert word in text, (form, word)
