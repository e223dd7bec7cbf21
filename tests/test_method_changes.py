"""What methods change, beside the same FM without a method: as data, figure, text and Markdown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from compared import check, results

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import FigureError
from pathorob_checks.figures import changes_by_method, pictures_of
from pathorob_checks.report.comparison import render_changes
from pathorob_checks.report.markdown import markdown_report
from pathorob_checks.results.comparing import comparisons_within
from pathorob_checks.results.method_changes import effect_sentences, method_changes
from pathorob_checks.results.results import Results

SEEDS = {"none": 0, "combat": 1, "dann": 2}
VALUES = {"none": 0.4, "combat": 0.6, "dann": 0.3}
KEPT: dict[str, Any] = {
    "metric": "class_prediction",
    "label": "class prediction, change",
    "criterion": "keeps-class-prediction",
    "quantity": "difference",
}


def with_methods(*fms: str) -> Results:
    """Each FM without a method and with two; the second FM is 0.2 better everywhere."""
    checks = []
    for number, fm in enumerate(fms):
        for method, value in VALUES.items():
            seed = SEEDS[method] + 10 * number
            checks.append(check(fm, value + 0.2 * number, seed=seed, method=method))
            if method != "none":
                change = check(fm, -0.1, metric="clustering_score", method=method, bound=-0.02)
                checks.append(change.model_copy(update=KEPT))
    return results(*checks)


def test_every_fm_is_compared_with_itself_without_a_method() -> None:
    changes = method_changes(with_methods("a", "b"))
    index = {(one.fm, one.method): round(one.change, 3) for one in changes if not one.is_biology}
    assert index == {(fm, name): round(VALUES[name] - 0.4, 3) for fm in "ab" for name in ("combat", "dann")}
    assert [one.is_biology for one in changes] == [False, False, True, True] * 2
    biology = changes[-1]
    assert (biology.label, biology.says) == ("class prediction", "undecided")
    assert [round(one.before or 0, 3) for one in changes if not one.is_biology] == [0.4, 0.4, 0.6, 0.6]


def test_the_terminal_has_a_block_for_the_fms_and_one_for_the_methods_of_each() -> None:
    text = render_changes(with_methods("a", "b"), 100)
    heads = re.findall(r"^Paired differences to (.+) on the same slides:$", text, re.M)
    assert heads == ["a", "a", "b"]
    (between, _, _) = comparisons_within(with_methods("a", "b"))
    assert [one.name for one in between.fms] == ["a", "b"]


def test_the_figure_has_a_panel_for_each_fm_and_fills_what_is_shown() -> None:
    figure = changes_by_method(with_methods("a", "b"))
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == ["a on camelyon", "b on camelyon"]
    marks = {line.get_xdata()[0]: line for line in panels[0].lines if line.get_label() == "_change"}
    combat = next(line for x, line in marks.items() if x > 0)
    assert combat.get_markerfacecolor() != "white"
    assert len(marks) == 3  # two of the index; those of biology are equal
    with pytest.raises(FigureError, match="no change by a method"):
        changes_by_method(results(check("a", 0.5)))


def test_reports_have_the_changes() -> None:
    document = with_methods("a")
    (picture,) = [one for one in pictures_of(document) if one.kind == "changes_by_method"]
    assert picture.rows[0][:6] == ("a", "camelyon", "robustness index", "combat", "0.400", "+0.200")
    text = markdown_report(document)
    assert "**What each method changes, on the same slides**" in text
    assert "| FM | cohort | metric | `combat` | `dann` |" in text
    assert "What each method changes" not in markdown_report(results(check("a", 0.5)))


def test_each_method_has_a_line_with_its_gains_and_what_it_costs() -> None:
    document = with_methods("a")
    words_of = {Verdict.PASS: "kept 1", Verdict.FAIL: "lost 1", Verdict.ERROR: "not measured 1"}
    for verdict, words in words_of.items():
        checks = tuple(
            one.model_copy(update={"verdict": verdict, **({"value": None} if verdict == "error" else {})})
            if one.criterion.startswith("keeps-") and one.method == "combat"
            else one
            for one in document.checks
        )
        first, second = effect_sentences(document.model_copy(update={"checks": checks}))
        assert first == f"combat: 1 of 1 value better, none worse, none undecided; biology: {words}"
        assert second.startswith("dann: none of 1 value better, 1 worse, none undecided; biology: ")
    for text in (render_changes(document, 200), markdown_report(document)):
        for sentence in effect_sentences(document):
            assert f"- {sentence}" in text
    (picture,) = [one for one in pictures_of(document) if one.kind == "changes_by_method"]
    assert all(sentence in picture.caption for sentence in effect_sentences(document))
    assert {one.split(":")[0] for one in effect_sentences(with_methods("a", "b"))} == {
        f"{fm} + {method}" for fm in "ab" for method in ("combat", "dann")
    }


def test_biology_is_kept_where_the_criterion_says_so_not_where_nothing_was_gained() -> None:
    document = with_methods("a")
    undecided_change = [one for one in method_changes(document) if one.is_biology]
    assert {one.says for one in undecided_change} == {"undecided"}
    checks = tuple(
        one.model_copy(update={"verdict": Verdict.PASS}) if one.criterion.startswith("keeps-") else one
        for one in document.checks
    )
    for sentence in effect_sentences(document.model_copy(update={"checks": checks})):
        assert sentence.endswith("; biology: kept 1")


def test_a_run_that_measured_nothing_has_no_changes() -> None:
    empty = results(check("a")).model_copy(update={"checks": (), "runs": ()})
    assert method_changes(empty) == ()
    assert render_changes(empty, 100) == ""
