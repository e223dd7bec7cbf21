"""Intervals as text: no rounding hides what is said about them."""

from __future__ import annotations

import re

import pytest
from compared import check, results
from made_checks import made

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.report.comparison import render_changes
from pathorob_checks.report.table import render_rows
from pathorob_checks.results.explanation import explain
from pathorob_checks.results.numbers import change_and_interval, check_interval


@pytest.mark.parametrize(
    ("change", "interval", "shown"),
    [
        (0.147, (0.00021, 0.295), ("+0.147", "[0.0002, 0.295]")),
        (-0.147, (-0.295, -0.00021), ("-0.147", "[-0.295, -0.0002]")),
        (0.0003, (0.0001, 0.0004), ("+0.0003", "[0.0001, 0.0004]")),
        (0.147, (-0.0002, 0.295), ("+0.147", "[0.000, 0.295]")),  # undecided, and looks so
        (-1e-17, (-1e-17, 1e-17), ("+0.000", "[0.000, 0.000]")),
        (1e-12, (1e-12, 2e-12), ("+1.0e-12", "[1.0e-12, 2.0e-12]")),
        (0.1, None, ("+0.100", "")),
    ],
)
def test_a_change_on_one_side_of_0_does_not_look_undecided(
    change: float, interval: tuple[float, float] | None, shown: tuple[str, str]
) -> None:
    assert change_and_interval(change, interval) == shown


@pytest.mark.slow
def test_a_paired_difference_that_is_more_robust_has_no_end_at_0() -> None:
    def shown(b: float) -> str:
        a = check("a", 0.4, metric="clustering_score", seed=0)
        return render_changes(results(a, check("b", b, metric="clustering_score", seed=1)), 200)

    texts = (shown(0.4 + step * 4e-4) for step in range(1000))
    text = next(
        text for text in texts if "more robust" in text
    )  # the first: its lower end is less than 0.0004
    assert re.search(r"b \+0\.\d{3} \[0\.000\d+, 0\.\d{3}\], more robust", text)


def test_the_ends_of_an_interval_show_on_which_side_of_the_bound_they_are() -> None:
    below = made("performance_drop_id", -0.2, interval=(-0.3, -0.10004), bound=-0.1, verdict=Verdict.FAIL)
    assert check_interval(below) == "[-0.300, -0.10004]"
    above = below.model_copy(update={"value": 0.0, "interval": (-0.09996, 0.00004), "verdict": Verdict.PASS})
    assert check_interval(above) == "[-0.100, 0.000]"  # the bound itself is good
    for one in (below, above):
        assert check_interval(one) in explain(one).headline
        assert check_interval(one) in render_rows([one], 160, allowed=False)[0]
