"""The table of all checks in a terminal."""

import re

import pytest
from made_checks import VALUES, lines_wider_than, made, passing, unmeasured

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.report.terminal import render_table

METRICS = tuple(name for name in metrics() if name in VALUES)


def flat(text):
    return " ".join(text.split())


def test_the_table_has_a_row_per_check_in_the_given_order_but_failures_first():
    rows = [made(metric) for metric in reversed(METRICS[:4])]
    table = render_table(rows, 120).splitlines()
    assert re.split("  +", table[0]) == [
        "FM", "cohort", "metric", "value", "95 % interval", "bound", "verdict (each)",
    ]  # fmt: skip
    assert [re.split("  +", line)[2] for line in table[2:6]] == [
        "clustering score", "drop in-domain", "robustness index", "drop out-of-domain",
    ]  # fmt: skip
    assert table[4].split()[-4:] == ["-", ">=", "0.500", "FAIL"]
    assert table[5].startswith("demo:color-sensitive  demo")


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
        assert f"{one.direction} {one.bound:.3f}" in shown
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
    rows = [line.split() for line in render_table(checks, 120).splitlines()[2:10]]
    assert [row[:2] for row in rows] == [["b", "tcga"], ["a", "tcga"]] * 2 + [
        ["b", "camelyon"],
        ["a", "camelyon"],
    ] * 2
    assert [row[2] for row in rows] == ["robustness", "robustness", "drop", "drop"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("width", [100, 120, 160])
@pytest.mark.parametrize("fms", [1, 3])
@pytest.mark.parametrize("fm", TYPICAL)
def test_from_100_columns_on_each_check_is_one_line(width, fms, fm):
    checks = [
        made(
            metric, fm=fm.replace("0", str(number), 1) + str(number), cohort=cohort, interval=(-0.123, -0.045)
        )
        for number in range(fms)
        for cohort in ("camelyon", "tcga", "tolkach_esca")
        for metric in METRICS
    ]
    table = render_table(checks, width, allowed=True).split("\n\n")[0].splitlines()
    assert len(table) == 2 + len(checks)
    assert len(set(table)) == len(table)  # cut names stay distinct


def test_failures_are_listed_first():
    order = [Verdict.PASS, Verdict.SKIPPED, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL]
    checks = [
        unmeasured(verdict) if verdict in (Verdict.SKIPPED, Verdict.ERROR) else made(verdict=verdict)
        for verdict in order
    ]
    shown = [line.split()[-1] for line in render_table(checks, 120).splitlines()[2:7]]
    assert shown == ["FAIL", "ERROR", "INCONCLUSIVE", "SKIPPED", "PASS"]


def test_a_criterion_that_one_model_fails_is_first_with_all_of_its_models():
    checks = [
        made(fm=fm, cohort=cohort, verdict=verdict)
        for fm, verdicts in (("a", ("pass", "inconclusive", "pass")), ("b", ("pass", "pass", "fail")))
        for cohort, verdict in zip(("x", "y", "z"), map(Verdict, verdicts), strict=True)
    ]
    rows = [line.split() for line in render_table(checks, 120).splitlines()[2:8]]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("a", "z", "PASS"), ("b", "z", "FAIL"), ("a", "y", "INCONCLUSIVE"), ("b", "y", "PASS"),
        ("a", "x", "PASS"), ("b", "x", "PASS"),
    ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_each_verdict_and_nothing_else_has_a_look(width):
    checks = [made(interval=(0.29, 0.33)), passing(fm="a" * 40), made(verdict=Verdict.INCONCLUSIVE)]

    def paint(text, verdict):
        return f"<{verdict}>{text}</>"

    painted = render_table(checks, width, allowed=True, paint=paint)
    for look in ("<fail>FAIL</>", "<pass>PASS</>", "<inconclusive>INCONCLUSIVE*</>"):
        assert painted.count(look) == 1
    assert re.sub("<[^>]*>", "", painted) == render_table(checks, width, allowed=True)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_bound_is_one_line_unless_all_is_asked_for(width):
    checks = [made(metric) for metric in METRICS]
    short = render_table(checks, width, "profile floor", whole=False)
    heading, *bounds = short[short.index("Bounds") :].split("\n\n")[0].splitlines()
    assert heading == "Bounds (profile floor, rule three-way; whole with -v):"
    assert len(bounds) == len(METRICS)
    for check, line in zip(checks, bounds, strict=True):
        assert line.startswith(f"- {check.label} {check.direction} {check.bound:.3f}: ")
        assert len(line) <= width
        begun = line.partition(": ")[2].removesuffix(" ...")
        assert check.rationale.startswith(begun)
        assert len(begun) > 10
    whole = render_table(checks, width, "profile floor")
    assert "with -v" not in whole
    assert all(check.rationale in flat(whole) for check in checks)
    brief = render_table([made(rationale="So.")], width, "profile floor", whole=False)
    assert "Bounds (profile floor, rule three-way):\n- robustness index >= 0.500: So." in brief


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
    row = render_table([made(value=0.49996)], 120).splitlines()[2]
    assert "0.49996" in row
    assert "FAIL" in row


def test_an_empty_table_says_so():
    assert render_table([], 80) == "No criterion was checked."
