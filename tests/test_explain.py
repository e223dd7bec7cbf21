"""What an explanation says of a check, in words."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import WEAKEST, headline, lines_wider_than, passing, record, unmeasured

from pathorob_checks.criteria.bounds import METRIC_RANGES
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.metrics.measurement import METRICS, Weakness
from pathorob_checks.report.explain import METRIC_TEXTS, explain, printable
from pathorob_checks.report.terminal import render_table


def flat(text):
    return " ".join(text.split())


def test_the_explanation_of_a_failure_tells_value_bound_meaning_place_and_remedy():
    text = flat(explain(record(interval=(0.29, 0.33), weakest=WEAKEST, support=0.13)))
    for words in (
        "robustness index of demo:color-sensitive on demo is 0.310, below the bound 0.500",
        "95 % interval [0.290, 0.330]",
        "of the nearest neighbors that share exactly one of class and center with the patch, "
        "31 % share the class: the medical center outweighs the biology",
        "13 % of the patches",
        "Weakest: tumor of RUMC: 0.120 (share of class)",
        "then: normal of UMCU: 0.200",
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
        ("performance_drop_id", -0.123, "at the medical centers of the training data"),
        ("performance_drop_ood", -0.031, "loses 3.1 % of the accuracy"),
        ("performance_drop_ood", -0.031, "at medical centers that gave no training data"),
        ("performance_drop_ood", 0.02, "gains 2 % over the accuracy"),
        ("performance_drop_id", 0.0, "keeps the accuracy"),
        ("clustering_score", -0.2, "follow the medical centers more than the biological classes"),
        ("clustering_score", 0.2, "follow the biological classes more than the medical centers"),
        ("clustering_score", 0.0, "follow the biological classes and the medical centers alike"),
    ],
)
def test_the_explanation_says_in_words_what_the_number_means(metric, value, words):
    assert words in flat(explain(record(metric, value)))


def test_only_a_criterion_that_is_not_met_comes_with_advice():
    assert "What to do" in explain(record())
    assert "What to do" not in explain(passing())


def test_an_upper_bound_is_told_from_the_other_side():
    text = flat(explain(record(direction="<=", bound=0.2)))
    assert "is 0.310, above the bound 0.200" in text
    assert "What to do" not in text


def test_the_explanation_of_what_was_not_measured_gives_the_reason_and_no_number():
    text = flat(explain(unmeasured()))
    assert "not measured: the images are missing" in text
    assert "Meaning" not in text
    assert "skipped: no such center" in flat(explain(unmeasured(Verdict.SKIPPED, "no such center")))


def test_an_inconclusive_value_is_neither_below_nor_above():
    text = flat(explain(record(verdict=Verdict.INCONCLUSIVE, reason="the interval holds the bound")))
    assert "with no verdict against the bound 0.500" in text
    assert "Reason: the interval holds the bound" in text


@pytest.mark.parametrize("metric", METRICS)
def test_no_line_of_an_explanation_is_longer_than_eighty_columns(metric):
    long_names = (
        Weakness(medical_center="C" * 120, biological_class="x y " * 40, value=0.1, meaning="m " * 90),
    )
    text = explain(record(metric, fm="hf-hub:" + "a" * 150, interval=(-0.5, 0.5), weakest=long_names))
    assert lines_wider_than(80, text) == []
    assert text.count("C") >= 120


def test_every_metric_has_its_words_and_the_range_that_bounds_may_have():
    assert set(METRIC_TEXTS) == set(METRICS)
    assert [text.label for text in METRIC_TEXTS.values()] == [
        "robustness index", "drop in-domain", "drop out-of-domain", "clustering score",
    ]  # fmt: skip
    for metric, text in METRIC_TEXTS.items():
        assert (text.lowest, text.highest) == METRIC_RANGES[metric]


@given(st.text())
def test_a_printable_text_is_one_line_without_control_characters(text):
    shown = printable(text)
    assert shown.isprintable() or all(char.isprintable() or char.isspace() for char in shown)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert len(shown.splitlines()) <= 1


def test_names_cannot_steer_the_terminal():
    evil = "\x1b[2Jmodel\u202e\x07\u2028\udc80\r\nPASS"
    records = [record(fm=evil, cohort=evil, weakest=(dataclasses.replace(WEAKEST[0], medical_center=evil),),
                      reason=evil, rationale=evil), unmeasured(reason=evil)]  # fmt: skip
    shown = render_table(records, 80, evil) + headline(records, 2, False) + explain(records[0])
    assert "\\x1b[2Jmodel" in shown
    for char in "\x1b\u202e\x07\u2028\udc80\r":
        assert char not in shown
    shown.encode("utf-8")
