"""What an explanation says of a check, in words."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_checks import CELLS, criterion_of, headline, lines_wider_than, made, passing, unmeasured

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.judging import judged
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.metrics.measurement import CellValue, Measurement
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.report.terminal import render_table
from pathorob_checks.results.explanation import explain as explanation_of
from pathorob_checks.results.text import render_explanation
from pathorob_checks.wording import printable


def explain(check, width=80):
    return render_explanation(explanation_of(check), width)


def flat(text):
    return " ".join(text.split())


def test_the_explanation_of_a_failure_has_value_bound_meaning_place_and_remedy():
    text = flat(explain(made(interval=(0.29, 0.33), cells=CELLS, support=0.13)))
    for words in (
        "robustness index of demo:color-sensitive on demo is 0.310, below the bound 0.500",
        "95 % interval [0.290, 0.330]",
        "Of the nearest neighbors that share exactly one of class and center with the patch, "
        "31 % share the class: the medical center outweighs the biology",
        "13 % of the patches are informative.",
        "Weakest: tumor of RUMC: 0.120 (share of class)",
        "Next: normal of UMCU: 0.200",
        "What to do: Start with the slides of RUMC.",
        "This project's choice; no threshold is published.",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("robustness_index", 0.31, "31 % share the class: the medical center outweighs the biology"),
        ("robustness_index", 0.499, "49.9 % share the class: the medical center outweighs the biology"),
        ("robustness_index", 0.5, "50 % share the class: biology and medical center weigh the same"),
        ("robustness_index", 0.9999, "99.99 % share the class: the biology outweighs the medical center"),
        ("performance_drop_id", -0.123, "loses 12 % of the accuracy"),
        ("performance_drop_id", -0.123, "the medical centers of the training data, a classifier"),
        ("performance_drop_ood", -0.031, "loses 3.1 % of the accuracy"),
        ("performance_drop_ood", -0.031, "medical centers without training data"),
        ("performance_drop_ood", 0.02, "gains 2 % over the accuracy"),
        ("performance_drop_id", 0.0, "keeps the accuracy"),
        ("clustering_score", -0.2, "follow the medical centers more than the biological classes"),
        ("clustering_score", 0.2, "follow the biological classes more than the medical centers"),
        ("clustering_score", 0.0, "follow the biological classes and the medical centers equally"),
    ],
)
def test_the_explanation_says_in_words_what_the_number_means(metric, value, words):
    assert words in flat(explain(made(metric, value)))


def test_only_a_criterion_that_is_not_met_comes_with_advice():
    assert "What to do" in explain(made())
    assert "What to do" not in explain(passing())


def test_an_upper_bound_is_described_from_the_other_side():
    criterion = criterion_of("robustness_index").model_copy(update={"direction": "<=", "bound": 0.2})
    measured = Measured(measurement=Measurement(metric="robustness_index", value=0.31))
    text = flat(explain(judged("t", "fm", "none", criterion, measured)))
    assert "is 0.310, above the bound 0.200" in text
    assert "What to do" not in text


def test_the_explanation_of_what_was_not_measured_gives_the_reason_and_no_number():
    text = flat(explain(unmeasured()))
    assert "not measured: the images are missing" in text
    assert "Meaning" not in text
    assert "skipped: no such center" in flat(explain(unmeasured(Verdict.SKIPPED, "no such center")))


def test_an_inconclusive_value_is_neither_below_nor_above():
    check = made(verdict=Verdict.INCONCLUSIVE, reason="the interval holds the bound", interval=(0.2, 0.6))
    text = flat(explain(check))
    assert "is 0.310, too close to the bound 0.500 (95 % interval [0.200, 0.600])" in text
    assert "Reason" not in text
    assert "Reason: the interval holds the bound" in flat(explain(check.model_copy(update={"drift": 0.01})))


@pytest.mark.parametrize("metric", tuple(metrics()))
def test_no_line_of_an_explanation_is_longer_than_eighty_columns(metric):
    long_names = (
        CellValue(medical_center="C" * 120, biological_class="x y " * 40, value=0.1, meaning="m " * 90),
    )
    text = explain(made(metric, fm="hf-hub:" + "a" * 150, interval=(-0.5, 0.5), cells=long_names))
    assert lines_wider_than(80, text) == []
    assert text.count("C") >= 120


def test_every_metric_has_its_words():
    assert [metric.label for metric in metrics().values()] == [
        "robustness index", "drop in-domain", "drop out-of-domain", "clustering score",
    ]  # fmt: skip
    for metric in metrics().values():
        assert metric.remedies
        assert (
            metric.meaning(metric.neutral) != metric.meaning(metric.lowest) != metric.meaning(metric.highest)
        )


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_an_explanation_uses_the_width_that_there_is(width):
    text = explain(made(interval=(0.29, 0.33), cells=CELLS, support=0.13), width)
    assert lines_wider_than(width, text) == []
    assert max(map(len, text.splitlines())) > width - 20
    assert "95\n" not in text


def test_an_explanation_is_data_that_the_text_only_renders():
    explanation = explanation_of(made(interval=(0.29, 0.33), cells=CELLS, support=0.13))
    assert (explanation.value, explanation.bound, explanation.verdict) == (0.31, 0.5, Verdict.FAIL)
    assert explanation.cells == CELLS
    assert explanation.remedies[0] == "Start with the slides of RUMC."
    assert [suspect.kind for suspect in explanation.suspects] == ["embedding"]
    assert explanation.model_validate_json(explanation.model_dump_json()) == explanation


@given(st.text())
def test_a_printable_text_is_one_line_without_control_characters(text):
    shown = printable(text)
    assert shown.isprintable() or all(char.isprintable() or char.isspace() for char in shown)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert len(shown.splitlines()) <= 1


def test_names_cannot_steer_the_terminal():
    evil = "\x1b[2Jmodel\u202e\x07\u2028\udc80\r\nPASS"
    checks = [made(fm=evil, cohort=evil, cells=(dataclasses.replace(CELLS[0], medical_center=evil),),
                      reason=evil, rationale=evil), unmeasured(reason=evil)]  # fmt: skip
    shown = render_table(checks, 80, evil) + headline(checks, 2, False) + explain(checks[0])
    assert "\\x1b[2Jmodel" in shown
    for char in "\x1b\u202e\x07\u2028\udc80\r":
        assert char not in shown
    shown.encode("utf-8")
