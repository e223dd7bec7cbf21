"""What an explanation says of a check, in words."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_checks import CELLS, VALUES, criterion_of, headline, lines_wider_than, made, passing, unmeasured

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.judging import judged
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.metrics.measurement import CellValue, Measurement, SlideValue
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
        "Next: normal of UMCU: 0.600",
        "What to do: Start with the slides of RUMC.",
        "This project's choice; no threshold is published.",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("robustness_index", 0.31, "31 % share the class: the medical center outweighs the biology"),
        ("robustness_index", 0.47, "47 % share the class: the medical center outweighs the biology"),
        (
            "robustness_index",
            0.499,
            "49.9 % share the class: biology and medical center weigh about the same",
        ),
        ("robustness_index", 0.5, "50 % share the class: biology and medical center weigh about the same"),
        ("robustness_index", 0.9999, "99.99 % share the class: the biology outweighs the medical center"),
        ("performance_drop_id", -0.123, "is 12 % less accurate if class and center go together in its"),
        ("performance_drop_id", -0.123, "training data than if its training data are balanced (mean over"),
        ("performance_drop_id", -0.123, "the medical centers of the training data, a classifier"),
        ("performance_drop_ood", -0.031, "is 3.1 % less accurate if"),
        ("performance_drop_ood", -0.031, "medical centers without training data"),
        ("performance_drop_ood", 0.02, "is 2 % more accurate if"),
        (
            "performance_drop_id",
            0.0,
            "is as accurate if class and center go together in its training data as if",
        ),
        ("retrieval_accuracy", 0.86, "86 % of the slides have a majority of their own biological class"),
        ("retrieval_drop", -0.2, "the right class 20 % less often than in a balanced database"),
        ("retrieval_drop", 0.0, "the right class as often as in a balanced database"),
        ("retrieval_same_center", 0.3, "take 30 % of the places among the nearest slides that other"),
        ("retrieval_same_center", 0.0, "the query's own medical center as often as by chance"),
        ("retrieval_same_center", -0.1, "less often than by chance (preference -0.10)"),
        ("clustering_score", -0.2, "follow the medical centers more than the biological classes"),
        ("clustering_score", 0.2, "follow the biological classes more than the medical centers"),
        (
            "clustering_score",
            0.0,
            "follow the biological classes about as much as the medical centers, or neither",
        ),
        (
            "clustering_score",
            -0.004,
            "about as much as the medical centers, or neither (agreement with the classes",
        ),
        ("clustering_score", 1.0, "minus agreement with the centers: +1.000)."),
        ("clustering_score", 1.012, "+1.012; beyond 1 because agreement below chance is negative)."),
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
    assert "is 0.310, and its 95 % interval [0.200, 0.600] contains the bound 0.500." in text
    assert "Reason" not in text
    drifting = check.model_copy(update={"drift": 0.2, "interval": (0.29, 0.33)})
    text = flat(explain(drifting))
    assert "is 0.310, not clearly on one side of the bound 0.500 (95 % interval [0.290, 0.330])." in text
    assert "Reason: the interval holds the bound" in text


@pytest.mark.parametrize("quantity", ["value", "difference"])
@pytest.mark.parametrize(
    ("rule", "verdict"), [("three-way", Verdict.INCONCLUSIVE), ("confident", Verdict.FAIL)]
)
@pytest.mark.parametrize(
    ("value", "until"),
    [
        (0.52, "the FM needs no repair while this is undecided."),
        (0.48, "the value itself misses the bound, which points to a failure without deciding it."),
    ],
)
def test_what_is_undecided_needs_slides_and_says_where_the_value_points(
    quantity, rule, verdict, value, until
):
    criterion = criterion_of("robustness_index").model_copy(update={"rule": rule, "quantity": quantity})
    measurement = Measurement(metric="robustness_index", value=value, interval=(0.4, 0.56), cells=CELLS)
    check = judged("t", "fm", "none", criterion, Measured(measurement=measurement, drawn="slides"))
    assert check.verdict is verdict
    assert check.remedies == (f"Add slides from these medical centers; {until}",)
    failed = dataclasses.replace(measurement, value=0.48, interval=(0.4, 0.49))
    clear = judged("t", "fm", "none", criterion, Measured(measurement=failed, drawn="slides"))
    assert clear.remedies == metrics()["robustness_index"].remedies


def judged_as(metric, value, interval):
    measurement = Measurement(metric=metric, value=value, interval=interval)
    return judged("t", "fm", "none", criterion_of(metric), Measured(measurement=measurement, drawn="slides"))


def test_a_recognized_center_is_said_where_only_the_bound_is_undecided():
    check = judged_as("center_prediction", 0.97, (0.912, 1.0))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.meaning.endswith("Recognized: the whole interval lies above chance, 0.500.")
    assert check.remedies[0].endswith(
        "; only the bound is undecided: the whole interval is worse than chance."
    )
    drop = judged_as("performance_drop_id", -0.08, (-0.12, -0.04))
    assert drop.meaning.endswith("The whole interval lies below the neutral value, 0.000.")
    assert "needs no repair" not in drop.remedies[0]
    assert "neutral" not in judged_as("performance_drop_id", -0.08, (-0.2, 0.01)).meaning


def test_an_interval_of_the_whole_scale_says_that_it_excludes_nothing():
    check = judged_as("robustness_index", 0.52, (0.0, 1.0))
    assert check.meaning.endswith("The interval covers the whole scale from 0 to 1: it excludes no value.")
    assert "covers the whole scale" not in judged_as("robustness_index", 0.52, (0.0, 0.99)).meaning


def test_what_has_no_verdict_has_no_advice_about_the_fm():
    criterion = criterion_of("robustness_index").model_copy(update={"minimum_support": 0.5})
    measurement = Measurement(metric="robustness_index", value=0.48, interval=(0.4, 0.56), support=0.1)
    check = judged("t", "fm", "none", criterion, Measured(measurement=measurement))
    assert (check.verdict, check.remedies) == (Verdict.ERROR, ())


def cell(center, name, value, **more):
    return CellValue(medical_center=center, biological_class=name, value=value, meaning="m", **more)


def slide(name, center):
    return SlideValue(slide_id=name, medical_center=center, biological_class="x", value=0.1, meaning="m")


@pytest.mark.parametrize(
    ("cells", "slides", "weakest", "start"),
    [
        ((cell("B", "x", 0.1), cell("A", "x", 0.3)), (), "Weakest: x of B: 0.100 (m)", "the slides of B."),
        (
            (cell("A", "x", 0.1), cell("A", "y", 0.1), cell("B", "x", 0.3)), (),
            "Weakest: x of A and y of A are equally weak: 0.100", "the slides of A.",
        ),
        (
            (cell("A", "x", 0.1), cell("B", "x", 0.1004)), (),
            "Weakest: x of A and x of B are equally weak: 0.100", "A or B, which are equally weak.",
        ),
        (
            tuple(cell(center, name, 0.0) for center in "AB" for name in "xyz"), (),
            "Weakest: x of A, y of A, z of A and 3 more are equally weak: 0.000", "A or B, which are equally",
        ),
        (
            (cell("A", "x", 0.1), cell("B", "x", 0.3)), (slide("s1", "B"), slide("s2", "B")),
            "Slides: s1, s2 are most responsible", "the slides most responsible, of B.",
        ),
        (
            (cell("A", "x", 0.1), cell("B", "x", 0.3)), (slide("s1", "B"), slide("s2", "A")),
            "Slides: s1, s2 are most responsible", "the slides most responsible, of B and A.",
        ),
        ((cell("A", "x", -0.25, unit="in recall"),), (), "Weakest: x of A: -0.250 in recall (m)", "the "
        "slides of A."),
    ],
)  # fmt: skip
def test_one_recommendation_where_to_start_and_ties_are_said(cells, slides, weakest, start):
    met = cell("C", "x", 0.9)
    text = flat(explain(made(interval=(0.29, 0.33), cells=(*cells, met), slides=slides)))
    assert weakest in text
    assert f"What to do: Start with {start}" in text
    assert text.count("Start with") == 1


@pytest.mark.parametrize("slides", [(), (slide("s1", "B"),)])
def test_where_every_cell_misses_the_bound_there_is_no_place_to_start_at(slides):
    cells = (cell("A", "x", 0.1), cell("B", "x", 0.3))
    assert "Start with" not in flat(explain(made(interval=(0.29, 0.33), cells=cells, slides=slides)))


def test_a_cell_that_lost_nothing_is_not_among_the_weakest():
    cells = (
        cell("A", "x", -0.25, unit="in recall"),
        cell("B", "x", -0.0004, unit="in recall"),
        cell("B", "y", 0.039, unit="in recall"),
    )
    assert explanation_of(made("performance_drop_ood", cells=cells)).cells == cells[:1]
    gained = made("performance_drop_ood", interval=(-0.2, 0.1), cells=cells[1:])
    assert explanation_of(gained).cells == ()
    assert "Weakest: No biological class of any medical center lost anything in recall." in flat(
        explain(gained)
    )
    assert "Start with" not in explain(gained)
    failed = made("performance_drop_ood", -0.3, interval=(-0.4, -0.2), cells=cells[1:])
    assert failed.verdict is Verdict.FAIL
    assert "Start with" not in explain(failed)


def test_cells_on_the_scale_of_the_metric_are_shown_however_good_they_are():
    cells = (cell("A", "x", 0.7), cell("B", "x", 0.8))
    assert explanation_of(made(cells=cells)).cells == cells
    assert explanation_of(made(cells=())).cells_note == ""


@pytest.mark.parametrize("metric", tuple(VALUES))
def test_no_line_of_an_explanation_is_longer_than_eighty_columns(metric):
    long_names = (
        CellValue(medical_center="C" * 120, biological_class="x y " * 40, value=0.1, meaning="m " * 90),
    )
    text = explain(made(metric, fm="hf-hub:" + "a" * 150, interval=(-0.5, 0.5), cells=long_names))
    assert lines_wider_than(80, text) == []
    assert text.count("C") >= 120


def test_every_metric_has_its_words():
    assert [metric.label for metric in metrics().values()] == [
        "robustness index", "drop in-domain", "drop out-of-domain", "clustering score", "class ARI",
        "median margin", "margins below 0", "tail of margins", "margin-aware index",
        "center prediction", "center by k-NN", "class prediction", "class in a center",
        "added errors ID", "added errors OOD", "error asymmetry", "degradation ID", "degradation OOD",
        "retrieval accuracy", "retrieval drop", "center preference",
        "slide AUC drop ID", "slide AUC drop OOD", "pretraining overlap",
    ]  # fmt: skip
    for metric in metrics().values():
        assert metric.remedies
        advice = metric.remedies if metric.remedies_without_images is None else metric.remedies_without_images
        assert not re.search("image|stain|Reinhard|retrain|pooling", " ".join(advice), re.I), metric.name
        worst = metric.worst([metric.lowest, metric.highest])
        assert metric.meaning(metric.neutral) != metric.meaning(worst)
        assert metric.meaning(metric.lowest) != metric.meaning(metric.highest)


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
