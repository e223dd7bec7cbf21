"""Values that say nothing are said to say nothing, even where their criterion is met."""

from __future__ import annotations

import numpy as np
import pytest
from made_checks import made
from planted import drop_table, embed

from pathorob_checks.metrics import performance_drop
from pathorob_checks.report.terminal import render_table
from pathorob_checks.results.remarks import remarks


@pytest.mark.parametrize(("accuracy", "said"), [(0.49, True), (0.54, True), (0.7, False)])
def test_a_classifier_that_guesses_has_nothing_to_lose(accuracy: float, said: bool) -> None:
    check = made("performance_drop_id").model_copy(
        update={"protocol": {"chance": 0.5, "accuracy_by_split": [accuracy, 0.5]}}
    )
    assert bool(remarks([check, check])) is said
    assert len(remarks([check, check])) <= 1
    shown = " ".join(render_table([check], 80).split())
    assert ("where a guess has 50 %; it has no accuracy to lose" in shown) is said


def test_a_repaired_fm_that_guesses_goes_by_its_full_name() -> None:
    check = made("performance_drop_id", fm="ours").model_copy(
        update={"method": "combat", "protocol": {"chance": 0.5, "accuracy_by_split": [0.5, 0.5]}}
    )
    (sentence,) = remarks([check])
    assert sentence.startswith("drop in-domain of ours + combat on demo: ")
    assert "drop in-domain of ours + combat on demo" in repr(check)


def test_the_drop_says_what_a_guess_would_have() -> None:
    table = drop_table()
    result = performance_drop(embed(table, biology=1, center=0.5), table, repetitions=2, device="cpu")
    protocol = result.measurements()["performance_drop_id"].protocol
    assert protocol["chance"] == pytest.approx(1 / table.biological_class.nunique(), abs=1e-6)
    assert isinstance(protocol["accuracy_by_split"], list)
    noise = np.random.default_rng(0).normal(size=(len(table), 4))
    guess = performance_drop(noise, table, repetitions=4, device="cpu")
    assert guess.id_accuracies[0].mean() < 0.7


@pytest.mark.parametrize(
    ("metric", "interval", "remarked"),
    [
        ("center_prediction", (0.2, 0.36), True),
        ("center_prediction", (0.4, 0.6), False),
        ("robustness_index", (0.2, 0.36), False),
        ("croma_f0", (0.2, 0.36), False),  # fewer patches on the wrong side are better, however few
        ("error_asymmetry", (-0.36, -0.2), False),
    ],
)
def test_a_value_below_chance_is_no_gain_where_chance_is_best(
    metric: str, interval: tuple[float, float], remarked: bool
) -> None:
    check = made(metric).model_copy(update={"value": 0.28, "interval": interval})
    assert any("is no better than 0.5: " in one for one in remarks([check])) is remarked
