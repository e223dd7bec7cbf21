"""What patches are called, by medical center and class, and the direction of the errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import drop_table, embed
from planted_drops import DOMAINS, DropDesign

from pathorob_checks.metrics import PerformanceDrop, difference, performance_drop
from pathorob_checks.metrics.confusion import (
    asymmetry_effects,
    countings,
    diagnostic_errors,
    directions,
    error_asymmetry,
    increases,
)
from pathorob_checks.metrics.drop_effects import Predictions, drop_effects
from pathorob_checks.metrics.ends import candidate_interval, own_interval, worst_interval
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.registry import metric

DESIGN = DropDesign(repetitions=4)
ERRORS = {"ID": "diagnostic_errors_id", "OOD": "diagnostic_errors_ood"}


@pytest.fixture(scope="module")
def predicted() -> dict[str, Predictions]:
    return DESIGN.ridge_predictions(DESIGN.embeddings(0))


@pytest.fixture(scope="module")
def shortcut() -> PerformanceDrop:
    """Little biology beside a large distance of the centers."""
    patches = drop_table()
    return performance_drop(embed(patches, biology=0.15, center=3, noise=0.05), patches, repetitions=3)


# --- planted values ------------------------------------------------------------------------------------


def test_embeddings_of_pure_biology_cause_no_errors() -> None:
    patches = drop_table()
    result = performance_drop(embed(patches, biology=1, center=0), patches, repetitions=3)
    assert (result.id_errors.increase, result.ood_errors.increase, result.asymmetry.value) == (0, 0, 0)


def test_embeddings_of_mostly_the_center_misread_whole_cells(shortcut: PerformanceDrop) -> None:
    errors, asymmetry = shortcut.id_errors, shortcut.asymmetry
    assert errors.increase > 0.9
    assert asymmetry.value > 0.9
    # Only the two cells that train no more are misread.
    assert [cell.increase > 0.9 for cell in errors.cells] == [True, True, False, False]
    assert {(cell.medical_center, cell.biological_class) for cell in errors.cells[:2]} == {
        ("Aachen", "tumor"),
        ("Bonn", "normal"),
    }
    meaning = shortcut.measurements()["diagnostic_errors_id"].cells[0].meaning
    assert "of its patches are called" in meaning
    assert "after confounded training" in meaning


@pytest.mark.slow
def test_embeddings_without_either_signal_give_errors_no_direction() -> None:
    patches = drop_table()
    values = [
        performance_drop(embed(patches, biology=0, center=0, seed=seed, dim=64), patches, repetitions=5)
        for seed in range(6)
    ]
    assert np.mean([one.asymmetry.value for one in values]) == pytest.approx(0, abs=0.12)
    assert all(abs(one.asymmetry.towards[0] - 0.5) < 0.25 for one in values)


# --- the counts ----------------------------------------------------------------------------------------


def test_shares_and_increases_are_counted_from_the_predictions() -> None:
    """Counted again with pandas, row by row."""
    design = replace(DESIGN, classes=3, patches=2, biology=1.2, center=2.5)
    tested = design.ridge_predictions(design.embeddings(1))["ID"]
    frames = []
    for number, (rows, splits) in enumerate(zip(tested.rows, tested.predicted, strict=True)):
        for split in (0, len(splits) - 1):
            frame = design.table.loc[rows, ["medical_center", "biological_class"]].assign(
                repetition=number, split=split, called=np.array(tested.classes.names)[splits[split]]
            )
            frames.append(frame)
    table = pd.concat(frames)
    table["wrong"] = table.called != table.biological_class
    by = ["medical_center", "biological_class", "split", "repetition"]
    rates = table.groupby(by).wrong.mean().groupby(by[:3]).mean().unstack()
    rises = (rates.iloc[:, 1] - rates.iloc[:, 0]).to_dict()
    candidates = [candidate for candidate, _ in increases("diagnostic_errors_id", tested, {}).values()]
    assert {tuple(one.name.split(" / ")): one.value for one in candidates} == pytest.approx(rises)
    assert len(candidates) == 6


def test_a_result_agrees_with_itself(shortcut: PerformanceDrop) -> None:
    for errors in (shortcut.id_errors, shortcut.ood_errors):
        assert errors.increase == max(cell.increase for cell in errors.cells)
        for cell in errors.cells:
            np.testing.assert_allclose(cell.called.sum(axis=1), 1)
            own = errors.classes.index(cell.biological_class)
            np.testing.assert_allclose(cell.error_rates, 1 - cell.called[:, own])
            assert cell.increase == pytest.approx(cell.error_rates[-1] - cell.error_rates[0])
        for groups in errors.groups.values():
            assert groups[0].value == errors.increase
            assert [group.value for group in groups] == sorted((g.value for g in groups), reverse=True)
    asymmetry = shortcut.asymmetry
    change = (asymmetry.towards - asymmetry.away)[[0, -1]]
    assert asymmetry.value == pytest.approx(change[1] - change[0])
    centers = [group.value for group in asymmetry.groups["medical_center"]]
    assert asymmetry.value == pytest.approx(np.mean(centers))
    assert asymmetry.curve.y[-1] == pytest.approx(asymmetry.value, abs=1e-6)


@pytest.mark.parametrize(("homes", "classes"), [(1, 2), (1, 4), (3, 6), (2, 5)])
def test_guessing_has_no_direction_and_reading_the_center_has_one(homes: int, classes: int) -> None:
    goes_with = np.zeros((1, classes), dtype=bool)
    goes_with[0, :homes] = True
    towards, away = countings(goes_with, ~goes_with)
    both = towards.points - away.points
    assert towards.shares @ both.mean(axis=1) == pytest.approx(0)  # every class is called as often
    assert towards.shares @ both[:, 0] == pytest.approx(1)  # all are called the center's first class
    assert towards.shares @ both.diagonal() == 0  # all are called what they are
    assert towards.shares @ both[:, -1] == pytest.approx(-homes / (classes - homes))


def test_a_center_without_a_direction_does_not_count() -> None:
    goes_with = np.array([[True, False], [False, False]])
    towards, away = countings(goes_with, np.array([[False, True], [False, True]]))
    assert towards.shares.tolist() == [1, 1, 0, 0]
    assert not towards.points[2:].any()
    assert not away.points[2:].any()


def test_no_class_goes_with_a_center_where_training_stays_balanced(predicted: dict[str, Predictions]) -> None:
    draw = DESIGN.draws[0]
    balanced = replace(draw, training=(draw.training[0],) * len(draw.training))
    v = [0.0] * len(draw.training)
    assert directions(predicted["ID"], balanced) is None
    assert error_asymmetry(predicted["ID"], balanced, v, {}, 0.95) is None


def test_the_asymmetry_is_that_of_the_two_directions(predicted: dict[str, Predictions]) -> None:
    tested, draw = predicted["ID"], DESIGN.draws[0]
    effects, both = asymmetry_effects(tested, draw), directions(tested, draw)
    assert effects is not None
    assert both is not None
    splits = len(draw.training)
    parts = []
    for counting in both:
        at_ends = [drop_effects(tested, factors=row, counting=counting) for row in np.eye(splits)[[0, -1]]]
        parts.append(at_ends[1].value - at_ends[0].value)
    assert effects.value == pytest.approx(parts[0] - parts[1])
    assert parts[0] != 0
    assert parts[1] != 0


# --- intervals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", list(DOMAINS))
def test_the_interval_of_the_worst_allows_for_the_choice(
    predicted: dict[str, Predictions], domain: str
) -> None:
    name = ERRORS[domain]
    candidates = [candidate for candidate, _ in increases(name, predicted[domain], {}).values()]
    low, high = worst_interval(name, candidates, 0.95)
    own = [candidate_interval(name, one, 0.95) for one in candidates]
    wide = [candidate_interval(name, one, 1 - 0.05 / len(candidates)) for one in candidates]
    assert high == max(ends[1] for ends in own)
    assert low == max(ends[0] for ends in wide)
    assert low <= max(one.value for one in candidates) <= high


def test_slides_that_change_nothing_leave_what_their_number_leaves() -> None:
    design = DropDesign(biology=30.0, center=0.1, repetitions=4, outside_slides=6)
    tested = design.ridge_predictions(design.embeddings(0))["OOD"]
    for candidate, _ in increases("diagnostic_errors_ood", tested, {}).values():
        assert candidate.are_alike
        assert candidate.slides == 6
        unseen = 1 - 0.025 ** (1 / 6)  # Clopper and Pearson: none of six
        assert candidate_interval("diagnostic_errors_ood", candidate, 0.95) == pytest.approx(
            (-unseen, unseen)
        )


def test_a_slide_alone_in_its_cell_leaves_no_interval(predicted: dict[str, Predictions]) -> None:
    candidates = [one for one, _ in increases("diagnostic_errors_ood", predicted["OOD"], {}).values()]
    alone = candidates[0].model_copy(update={"error": None})
    assert worst_interval("diagnostic_errors_ood", [alone, *candidates[1:]], 0.95) is None


def test_the_resampling_of_a_worst_value_gives_its_interval(shortcut: PerformanceDrop) -> None:
    for errors in (shortcut.id_errors, shortcut.ood_errors):
        assert own_interval(errors.resampling, 0.95, 2000, 1) == errors.interval
        wider = own_interval(errors.resampling, 0.99, 2000, 1)
        assert wider[0] <= errors.interval[0]
        assert wider[1] >= errors.interval[1]
        assert len(errors.resampling.candidates) == len(errors.cells)
    asymmetry = shortcut.asymmetry
    assert interval_of(asymmetry.resampling) == asymmetry.interval


def test_the_difference_of_two_worst_values_is_not_paired_cell_by_cell(shortcut: PerformanceDrop) -> None:
    patches = drop_table()
    robust = performance_drop(embed(patches, biology=1, center=0), patches, repetitions=3)
    new, base = (one.measurements()["diagnostic_errors_id"] for one in (robust, shortcut))
    change = difference(new, base)
    assert change.value == new.value - base.value < -0.9
    assert change.interval[1] < 0
    assert "The value is the worst of 4 centers x classes" in change.note


def test_two_worst_cells_of_other_slides_have_a_difference() -> None:
    """Out-of-domain every cell has slides of its own, and the worst of two FMs need not be the same."""
    cells = []
    for seed in range(20):
        tested = DESIGN.ridge_predictions(DESIGN.embeddings(seed))["OOD"]
        errors = diagnostic_errors(
            "diagnostic_errors_ood", tested, [0.0] * 5, {}, 0.95, domain="out-of-domain"
        )
        cells.append((errors.cells[0].biological_class, errors.resampling))
    [first, other] = [next(one for name, one in cells if name == cls) for cls in ("class 0", "class 1")]
    assert first.units == other.units or set(first.units) == set(other.units)
    change = difference(first, other)
    assert change.value == first.value - other.value
    assert change.interval[0] < change.value < change.interval[1]


# --- what the metrics say ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ERRORS.values(), "error_asymmetry"])
@pytest.mark.parametrize("value", [-0.2, 0.0, 0.31])
def test_every_value_has_a_meaning(name: str, value: float) -> None:
    meaning = metric(name).meaning(value)
    assert not meaning.endswith(".")
    assert ("31 %" in meaning) == (value == 0.31)
    assert metric(name).good_direction == "<="


def test_a_cohort_without_other_centers_has_no_errors_there() -> None:
    patches = drop_table(ood=False)
    result = performance_drop(embed(patches, biology=1, center=1), patches, repetitions=2)
    assert result.ood_errors is None
    measured = ["performance_drop_id", "diagnostic_errors_id", "error_asymmetry", "nipd_id"]
    assert list(result.measurements()) == measured


def test_a_measurement_shows_errors_over_the_correlation(shortcut: PerformanceDrop) -> None:
    measured = shortcut.measurements()
    errors = measured["diagnostic_errors_id"]
    assert [curve.x for curve in errors.curves] == [tuple(shortcut.cramers_v)] * 2
    before, after = errors.grids
    assert before.rows == after.rows == ("Aachen / normal", "Aachen / tumor", "Bonn / normal", "Bonn / tumor")
    assert before.columns == ("normal", "tumor")
    assert after.values[1][0] > 0.9 > before.values[1][0]  # tumor of Aachen is called normal


def test_the_slides_named_are_those_that_raise_the_errors() -> None:
    patches = drop_table()
    result = performance_drop(embed(patches, biology=0.3, center=2, noise=0.3), patches, repetitions=3)
    for slides, what in ((result.id_errors.slides, "increase"), (result.asymmetry.slides, "asymmetry")):
        assert slides
        assert [one.value for one in slides] == sorted((one.value for one in slides), reverse=True)
        assert slides[-1].value > 0
        assert f"would make the {what} {slides[0].value:.4f} smaller" in slides[0].meaning
