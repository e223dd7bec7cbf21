"""The table of all checks in a terminal."""

import pytest
from made_checks import lines_wider_than, made, unmeasured

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.report.terminal import render_table

METRICS = tuple(metrics())


def flat(text):
    return " ".join(text.split())


def test_the_table_has_a_row_per_check_in_the_given_order():
    rows = [made(metric) for metric in reversed(METRICS)]
    table = render_table(rows, 120).splitlines()
    assert table[0].split() == ["FM", "cohort", "metric", "value", "95", "%", "bound", "verdict"]
    assert [line[30:50].strip() for line in table[3:7]] == [
        "clustering score", "drop out-of-domain", "drop in-domain", "robustness index",
    ]  # fmt: skip
    assert table[6].split()[-4:] == ["-", ">=", "0.500", "FAIL"]
    assert table[6].startswith("demo:color-sensitive  demo")


def test_the_interval_is_shown_where_it_is_known():
    table = render_table([made(interval=(0.29, 0.33))], 120)
    assert "[0.290, 0.330]" in table


TYPICAL = (
    "demo:stain-invariant",
    "virchow2",
    "hf-hub:MahmoodLab/UNI2-h",
    "hf-hub:paige-ai/Virchow2@0123456789abcdef0123456789abcdef01234567",
    "local-dir:/data/models/" + "long-folder-name/" * 6 + "final",
)


@pytest.mark.parametrize("width", [80, 90, 100, 120, 200])
@pytest.mark.parametrize("fm", TYPICAL)
@pytest.mark.parametrize("interval", [None, (-0.123, -0.045)])
def test_the_table_fits_its_width_with_every_metric_on_every_cohort(width, fm, interval):
    checks = [
        made(metric, fm=fm, cohort=cohort, profile="median", interval=interval)
        for cohort in ("camelyon", "tcga", "tolkach_esca")
        for metric in METRICS
    ]
    checks.append(unmeasured())
    assert lines_wider_than(width, render_table(checks, width, "profile median")) == []


@pytest.mark.parametrize("fm", TYPICAL)
def test_the_full_name_can_be_read_wherever_it_was_shortened(fm):
    shown = render_table([made(fm=fm)], 80)
    assert fm in "".join(shown.split()) or fm in shown.replace("\n  ", "")


def test_a_narrow_table_breaks_lines_and_loses_no_number():
    checks = [made(metric, interval=(-0.123, -0.045)) for metric in METRICS]
    shown = render_table(checks, 70)
    for one in checks:
        assert f"{one.value:.3f}" in shown
        assert f">= {one.bound:.3f}" in shown
    assert "[-0.123," in shown


def test_two_models_that_would_be_shortened_to_the_same_text_stay_distinct():
    names = ["local-dir:/" + "a" * 60 + part + "b" * 60 for part in ("1", "2")]
    table = render_table([made(fm=name) for name in names], 80).split("\n\n")[0]
    cells = "".join(line[:20].strip() for line in table.splitlines())
    assert "1" in cells
    assert "2" in cells


def test_several_models_stand_beside_each_other_per_cohort_and_metric():
    checks = [
        made(metric, fm=fm, cohort=cohort)
        for fm in ("b", "a")
        for cohort in ("tcga", "camelyon")
        for metric in METRICS[:2]
    ]
    rows = [line.split() for line in render_table(checks, 120).splitlines()[3:11]]
    assert [row[:2] for row in rows] == [["b", "tcga"], ["a", "tcga"]] * 2 + [
        ["b", "camelyon"],
        ["a", "camelyon"],
    ] * 2
    assert [row[2] for row in rows] == ["robustness", "robustness", "drop", "drop"] * 2


def test_bounds_are_listed_once_with_their_reason_and_per_cohort_where_they_differ():
    floor = [made(cohort=cohort) for cohort in ("camelyon", "tcga")]
    shown = flat(render_table(floor, 80, "profile floor"))
    assert shown.count("Bounds (profile floor, rule three-way): - robustness index >= 0.500: Below 0.5") == 1
    assert shown.count("Below 0.5") == 1
    median = [made(cohort=cohort, profile="median") for cohort in ("camelyon", "tcga")]
    shown = flat(render_table(median, 80, "profile median"))
    assert "robustness index >= 0.544 (camelyon):" in shown
    assert "robustness index >= 0.761 (tcga):" in shown


def test_reasons_of_errors_and_skips_follow_the_table():
    shown = flat(render_table([unmeasured(), unmeasured(Verdict.SKIPPED, "one center only")], 80))
    assert (
        "Not decided: - ERROR robustness index of demo:color-sensitive on demo: the images are missing"
        in shown
    )
    assert "- SKIPPED robustness index of demo:color-sensitive on demo: one center only" in shown
    assert "Not decided" not in render_table([made()], 80)


def test_a_value_just_below_its_bound_is_not_printed_as_the_bound():
    row = render_table([made(value=0.49996)], 120).splitlines()[3]
    assert "0.49996" in row
    assert "FAIL" in row


def test_an_empty_table_says_so():
    assert render_table([], 80) == "No criterion was checked."
