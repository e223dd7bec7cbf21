"""`pathorob-checks history`: files are added, trends are shown, written and drawn."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_checks import lines_wider_than, made
from made_results import drawn, results_of

from pathorob_checks.cli import main
from pathorob_checks.history.store import History
from pathorob_checks.results.document import Outcome

Command = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history in which one FM family falls and another does not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PATHOROB_CHECKS_HISTORY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    history = History(tmp_path / "h.sqlite")
    for day, (value, steady) in enumerate(((0.7, 0.6), (0.71, 0.61), (0.55, 0.6))):
        checks = [
            drawn(value, fm=f"our-fm-v{day}"),
            drawn(steady, fm="other", shift=0.01 * day),
            made("performance_drop_id", fm="other", interval=(-0.2, 0.0)),
        ]
        history.add(results_of(checks, day=day))
    return tmp_path


def printed(capsys: Command, *arguments: str, code: int = 0) -> str:
    assert main(["history", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_trends_are_tables_with_the_newest_run_last(folder: Path, capsys: Command) -> None:
    text = printed(capsys, "--file=h.sqlite", "--fm=our-fm")
    lines = text.splitlines()
    assert lines[0] == "our-fm on demo: robustness index (criterion robustness-index)"
    assert lines[1].split() == ["date", "FM", "value", "interval", "bound", "verdict", "change"]
    assert [line.split()[:3] for line in lines[3:6]] == [
        ["2026-05-04", "our-fm-v0", "0.700"],
        ["2026-05-05", "our-fm-v1", "0.710"],
        ["2026-05-06", "our-fm-v2", "0.550"],
    ]
    assert ["FALL" in line for line in lines[3:6]] == [False, False, True]
    words = " ".join(text.split())
    assert "1 significant fall among 2 comparisons with the run before, one-sided at 5 %" in words
    assert "by Holm's correction." in words
    assert (
        "FALL: our-fm on demo: robustness index (criterion robustness-index): our-fm-v2 of 2026-05-06"
        in words
    )
    assert "paired: the same slides" in words
    assert lines[-1] == "history: h.sqlite (3 runs)"
    assert "intervals:" not in words


def test_how_changes_were_compared_is_said(folder: Path, capsys: Command) -> None:
    words = " ".join(printed(capsys, "--file=h.sqlite", "--metric=performance_drop_id").split())
    assert "No significant fall among 2 comparisons" in words
    assert "because a value has no slides or repetitions to draw from" in words
    assert "paired:" not in words


def test_the_comparisons_that_are_shown_decide_their_number(folder: Path, capsys: Command) -> None:
    assert "among 6 comparisons" in " ".join(printed(capsys, "--file=h.sqlite").split())


def test_one_run_is_nothing_to_compare(folder: Path, capsys: Command) -> None:
    results_of([drawn(0.6)]).save("one.json")
    assert printed(capsys, "add", "one.json", "--file=one.sqlite").splitlines() == [
        "one.json: added, 1 check", "history: one.sqlite",
    ]  # fmt: skip
    assert "There is nothing to compare yet" in printed(capsys, "--file=one.sqlite")


CHOICES = {
    "a family": (("--fm=our-fm",), 1),
    "a pattern": (("--fm=OUR-*",), 1),
    "an FM of a family": (("--fm=our-fm-v1",), 1),
    "all FMs": (("--fm=*",), 3),
    "a metric": (("--metric=robustness_index",), 2),
    "a cohort": (("--cohort=demo",), 3),
    "both": (("--fm=other", "--metric=robustness_index"), 1),
    "each FM by itself": (("--family=.*",), 5),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_chosen_is_shown(choice: str, folder: Path, capsys: Command) -> None:
    arguments, number = CHOICES[choice]
    printed(capsys, "--file=h.sqlite", *arguments, "--csv=t.csv")
    with (folder / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({(row["family"], row["metric"], row["criterion"]) for row in rows}) == number


UNKNOWN = {
    "--fm=our-fn": "did you mean 'our-fm'? Its families are other, our-fm.",
    "--metric=robustnes_index": "did you mean 'robustness_index'? It has performance_drop_id, ",
    "--cohort=elsewhere": "it has demo.",
    "--family=(": "is no regular expression",
    "--figure=f.gif": "'.gif' is no kind of figure; end the name with one of .png, .svg, .pdf.",
    "--figure=.": "is no kind of figure",
}


@pytest.mark.parametrize("argument", UNKNOWN)
def test_what_is_unknown_is_one_sentence(argument: str, folder: Path, capsys: Command) -> None:
    error = printed(capsys, "--file=h.sqlite", argument, code=1)
    assert UNKNOWN[argument] in error
    assert error.count("\n") == 1


def test_without_a_history_it_says_how_to_get_one(folder: Path, capsys: Command) -> None:
    error = printed(capsys, code=1)
    assert "there is no history" in error
    assert "data/pathorob-checks/history.sqlite; keep runs with pytest --fm=SPEC --fm-history" in error


def test_the_variable_names_the_history(folder: Path, capsys: Command, monkeypatch) -> None:
    monkeypatch.setenv("PATHOROB_CHECKS_HISTORY", "h.sqlite")
    assert "our-fm on demo" in printed(capsys)
    monkeypatch.setenv("PATHOROB_CHECKS_HISTORY", "true")
    assert "data/pathorob-checks/history.sqlite" in printed(capsys, code=1)


def test_files_that_cannot_be_added_do_not_stop_the_others(folder: Path, capsys: Command) -> None:
    good = results_of([drawn(0.6)], day=9)
    good.save("good.json")
    results_of([drawn(0.6)], problems=("the run did not finish",)).save("killed.json")
    good.model_copy(update={"outcome": Outcome.FAIL, "summary": "FAIL: x"}).save("doctored.json")
    Path("notes.json").write_text("{}")
    files = ("killed.json", "doctored.json", "notes.json", "missing.json", "good.json")
    assert main(["history", "--file=h.sqlite", "add", *files]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "killed.json: not added: the run is not kept, because the run did not finish; let a run finish."
    )
    assert "contradicts itself: its outcome is fail" in lines[1]
    assert "is not a results file" in lines[2]
    assert "cannot be read" in lines[3]
    assert lines[4:] == ["good.json: added, 1 check", "history: h.sqlite"]
    assert len(History(folder / "h.sqlite").runs()) == 4


def test_the_table_has_every_number(folder: Path, capsys: Command) -> None:
    printed(capsys, "--file=h.sqlite", "--fm=our-fm", "--csv=new/t.csv")
    with (folder / "new" / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    kept = [check for check in History(folder / "h.sqlite").checks() if check.fm.startswith("our-fm")]
    assert [float(row["value"]) for row in rows] == [check.value for check in kept]
    assert [(float(row["low"]), float(row["high"])) for row in rows] == [check.interval for check in kept]
    assert [row["basis"] for row in rows] == ["", "paired", "paired"]
    assert [row["fall"] for row in rows] == ["", "false", "true"]
    assert float(rows[2]["change"]) == pytest.approx(-0.16)
    assert float(rows[2]["p_value"]) <= float(rows[2]["corrected"]) <= 0.05


HOSTILE = "=cmd|'/c calc'!A1\x1b[31m$\\frac{<b>"


def test_hostile_names_are_text_everywhere(folder: Path, capsys: Command) -> None:
    check = drawn(0.6, fm=HOSTILE).model_copy(update={"criterion": "@SUM(1)", "label": "$x^2$"})
    History(folder / "hostile.sqlite").add(results_of([check]))
    text = printed(capsys, "--file=hostile.sqlite", "--csv=t.csv", "--figure=f.svg")
    assert "\x1b" not in text
    with (folder / "t.csv").open() as file:
        [row] = csv.DictReader(file)
    assert (row["fm"][:5], row["criterion"]) == ("'=cmd", "'@SUM(1)")
    assert "\x1b" not in row["fm"]
    assert "\x1b" not in (folder / "f.svg").read_text()
    assert ElementTree.parse(folder / "f.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_trends_are_drawn(kind: str, start: bytes, folder: Path, capsys: Command) -> None:
    assert f"figure: new/f.{kind}\n" in printed(capsys, "--file=h.sqlite", f"--figure=new/f.{kind}")
    content = (folder / "new" / f"f.{kind}").read_bytes()
    assert content.startswith(start)
    assert len(content) > 5000


def test_the_figure_has_every_value_and_marks_the_fall(folder: Path) -> None:
    from pathorob_checks.commands import history
    from pathorob_checks.figures.trend import trend

    trends_of_fm = history.trends(History(folder / "h.sqlite"), history.Chosen(fm="our-fm"))
    [axes] = trend([history._panel(one) for one in trends_of_fm]).axes
    drawn_values = [
        list(line.get_ydata()) for line in axes.lines if line.get_label() == "value with its interval"
    ]
    assert drawn_values == [[0.7, 0.71, 0.55]]
    rings = [line for line in axes.lines if line.get_fillstyle() == "none" and len(line.get_xdata())]
    assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [([2], [0.55])]
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "2026-05-06\nour-fm-v2"


def test_a_long_history_has_few_dates_and_the_last_one() -> None:
    from pathorob_checks.figures.trend import _ticks

    for runs in (1, 2, 6, 7, 100, 401):
        ticks = _ticks(runs)
        assert ticks[-1] == runs - 1
        assert ticks[0] >= 0
        assert len(ticks) <= 3


def test_remarks_fit_the_terminal(folder: Path, capsys: Command) -> None:
    remarks = printed(capsys, "--file=h.sqlite").partition("significant")[2]
    assert lines_wider_than(80, remarks) == []
