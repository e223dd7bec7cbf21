"""What each slide adds to a drop, and the variance that follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from croma import nipd
from planted_drops import DOMAINS, DropDesign, drop_of_ridge

from pathorob_checks.metrics import performance_drop
from pathorob_checks.metrics.degradation import Degradation
from pathorob_checks.metrics.drop_effects import Predictions, drop_effects
from pathorob_checks.metrics.drop_uncertainty import draws_share, drop_resampling
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.strata import Strata

DESIGN = DropDesign(repetitions=4)


@pytest.fixture(scope="module")
def predicted() -> dict[str, Predictions]:
    return DESIGN.ridge_predictions(DESIGN.embeddings(0))


def accuracy(tested: Predictions, predictions: np.ndarray, rows: np.ndarray) -> float:
    truth = tested.classes.codes[rows]
    return float(np.mean([(predictions[truth == cls] == cls).mean() for cls in np.unique(truth)]))


@pytest.mark.parametrize("domain", list(DOMAINS))
def test_the_value_is_the_mean_of_relative_drops(predicted: dict[str, Predictions], domain: str) -> None:
    tested = predicted[domain]
    effects = drop_effects(tested)
    assert effects is not None
    drops = []
    for rows, splits in zip(tested.rows, tested.predicted, strict=True):
        of_splits = [accuracy(tested, split, rows) for split in splits]
        drops.append(np.mean(of_splits[1:]) / of_splits[0] - 1)
    np.testing.assert_allclose(effects.drops, drops, atol=1e-12)
    assert effects.value == pytest.approx(np.mean(drops))


@pytest.mark.parametrize("domain", list(DOMAINS))
def test_a_training_slide_moves_the_drop_as_its_deletions_do(
    predicted: dict[str, Predictions], domain: str
) -> None:
    tested = predicted[domain]
    effects = drop_effects(tested)
    assert effects is not None
    slide = int(tested.without[0][0].units[0])
    shown = []
    for rows, splits, without in zip(tested.rows, tested.predicted, tested.without, strict=True):
        before = [accuracy(tested, split, rows) for split in splits]
        after = list(before)
        for split, deleted in enumerate(without):
            place = np.flatnonzero(deleted.units == slide)
            if place.size:
                fell = before[split] - accuracy(tested, deleted.predicted[place[0]], rows)
                after[split] -= float(deleted.share[place[0]]) * fell
        shown.append(np.mean(before[1:]) / before[0] - np.mean(after[1:]) / after[0])
    assert np.abs(shown).max() > 0
    # First-order effects: apart by the square of the change of the balanced accuracy.
    np.testing.assert_allclose(effects.training[:, slide], shown, atol=0.1 * np.abs(shown).max())
    if effects.through is not None:
        np.testing.assert_allclose(effects.through.sum(axis=2), effects.training, atol=1e-12)


def test_a_test_slide_moves_the_drop_as_more_of_its_patches_would(predicted: dict[str, Predictions]) -> None:
    tested, more = predicted["OOD"], 0.01
    effects = drop_effects(tested)
    assert effects is not None
    for slide in np.unique(tested.slides.codes[tested.rows[0]])[:4]:
        shown = []
        for rows, splits in zip(tested.rows, tested.predicted, strict=True):
            truth = tested.classes.codes[rows]
            weights = 1 + more * (tested.slides.codes[rows] == slide)
            changed = [
                np.mean([np.average(split[truth == c] == c, weights=weights[truth == c]) for c in (0, 1)])
                for split in splits
            ]
            shown.append(np.mean(changed[1:]) / changed[0] - 1)
        derivative = (np.mean(shown) - effects.value) / more
        # Each slide is compared with the mean of its cell over all repetitions, not with that of each.
        assert effects.test[:, slide].mean() == pytest.approx(
            derivative, abs=0.1 * np.abs(effects.test).max()
        )


@pytest.mark.parametrize("domain", list(DOMAINS))
def test_squares_of_the_effects_are_the_variance(predicted: dict[str, Predictions], domain: str) -> None:
    effects = drop_effects(predicted[domain])
    assert effects is not None
    resampling = drop_resampling(DOMAINS[domain], effects, predicted[domain], {})
    squares = Strata(resampling.cells, resampling.weights).residuals(np.array(resampling.effects)) ** 2
    of_draws = effects.drops.var(ddof=1) / len(effects.drops)
    repetitions = squares[-len(effects.drops) :].sum()
    assert 0 <= repetitions <= of_draws * (1 + 1e-9)
    assert squares.sum() > repetitions
    assert draws_share(resampling) == pytest.approx(repetitions / squares.sum())
    assert interval_of(resampling) == interval_of(
        type(resampling).model_validate_json(resampling.model_dump_json())
    )


def test_more_repetitions_narrow_the_part_of_the_draws_only() -> None:
    few, many = (drop_of_ridge(replace(DESIGN, repetitions=count), 1, ("ID",))["ID"] for count in (4, 40))
    assert draws_share(many) < 0.5 * draws_share(few)
    low, high = interval_of(many) or (0, 0)
    assert high - low > 0.02


def test_a_perfect_accuracy_has_the_least_error() -> None:
    design = DropDesign(biology=30.0, center=0.1)
    for domain, resampling in drop_of_ridge(design, 0).items():
        low, high = interval_of(resampling) or (0, 0)
        assert resampling.value == 0
        rows = (design.table.subset == domain).sum() / 2  # of either class
        cells = 4 if domain == "ID" else 2
        weight = 1 / 2 / rows  # of one row in the balanced accuracy
        assert resampling.least_error <= 0.25 * weight * cells**0.5 * 1.5
        assert (low, high) == pytest.approx(
            (-1.96 * resampling.least_error, 1.96 * resampling.least_error), 1e-3
        )


def test_the_effects_at_a_split_are_those_on_its_accuracy(predicted: dict[str, Predictions]) -> None:
    for tested in predicted.values():
        whole = drop_effects(tested)
        assert whole is not None
        for factors, accuracies in zip(np.eye(len(whole.accuracies)), whole.accuracies, strict=True):
            effects = drop_effects(tested, factors=factors)
            assert effects is not None
            assert effects.value == pytest.approx(accuracies.mean())
            assert effects.drops == pytest.approx(accuracies)


def test_no_interval_of_an_accuracy_leaves_its_range() -> None:
    design = DropDesign(biology=30.0, center=0.1, repetitions=3)
    result = performance_drop(design.embeddings(0), design.table, repetitions=3)
    assert (result.id_accuracies == 1).all()
    intervals = result.id_accuracy_intervals + result.ood_accuracy_intervals
    assert len(intervals) == 2 * len(result.cramers_v)
    assert all(interval is not None and 0.9 < interval[0] < interval[1] == 1 for interval in intervals)


def test_a_group_is_its_own_drop(predicted: dict[str, Predictions]) -> None:
    tested = predicted["OOD"]
    whole, group = drop_effects(tested), drop_effects(tested, tested.centers.codes == 2)
    assert whole is not None
    assert group is not None  # all out-of-domain slides are of this center
    first, later = whole.accuracies[0], whole.accuracies[1:]
    assert group.value == pytest.approx(later.mean() / first.mean() - 1)
    np.testing.assert_allclose(
        group.test.mean(axis=0), whole.test.mean(axis=0), atol=0.1 * np.abs(whole.test).max()
    )
    assert drop_effects(tested, np.zeros(len(tested.classes.codes), dtype=bool)) is None


def test_weights_of_units_count_in_their_strata() -> None:
    cells = (("a",),) * 4
    effects = np.array([0.4, -0.1, -0.1, -0.2])
    equal = Strata(cells).residuals(effects)
    np.testing.assert_allclose(Strata(cells, [7.0] * 4).residuals(effects), equal)
    weights = np.array([4.0, 2.0, 2.0, 2.0])
    share = weights / weights.sum()
    expected = (effects - share * effects.sum()) / np.sqrt(1 - share)
    np.testing.assert_allclose(Strata(cells, weights.tolist()).residuals(effects), expected)
    assert Strata(cells, weights.tolist()).freedom[0] == pytest.approx(100 / 28 - 1)


def test_slides_of_one_case_are_left_out_together() -> None:
    """As if the two slides of a case were one: the same effects, under the case's name."""
    design = DropDesign(repetitions=2)
    table = design.table.copy()
    x = design.embeddings(3)
    alone = performance_drop(x, table, repetitions=2)
    table["case_id"] = table.slide_id
    same = performance_drop(x, table, repetitions=2)
    assert same.id_interval == alone.id_interval
    assert "drawn" not in alone.id_resampling.protocol
    number = table.slide_id.str.rpartition("/")[2].astype(int) // 2
    table["case_id"] = table.slide_id.str.rpartition("/")[0] + "/case " + number.astype(str)
    cases = performance_drop(x, table, repetitions=2)
    assert cases.id_drop == alone.id_drop
    assert cases.id_resampling.protocol["drawn"] == "cases"
    assert "0/0/case 0" in cases.id_resampling.units
    assert cases.id_interval != alone.id_interval
    assert cases.id_slides[0].meaning.startswith("an average case instead")
    assert " + " in cases.id_slides[0].slide_id


# --- degradation: the share of the skill that is lost, over Cramér's V -------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_degradation_agrees_with_croma(seed: int) -> None:
    accuracies = np.random.default_rng(seed).uniform(0.6, 0.95, (7, 20))
    v = (0.0, 0.204, 0.354, 0.5, 0.677, 0.842, 1.0)
    moved = Degradation(cramers_v=v, chance=0.25).drops_and_slopes(accuracies.T)
    assert moved is not None
    assert moved[0].mean() == pytest.approx(nipd(accuracies, v, 0.25), abs=1e-12)


@pytest.mark.parametrize(
    ("accuracies", "value"), [((0.9, 0.9, 0.9), 0), ((0.9, 0.7, 0.5), -0.5), ((0.9, 0.5, 0.5), -0.75)]
)
def test_the_degradation_of_planted_accuracies(accuracies: tuple[float, ...], value: float) -> None:
    """None, an even fall to chance, and one to chance at once."""
    degradation = Degradation(cramers_v=(0.0, 0.5, 1.0), chance=0.5)
    moved = degradation.drops_and_slopes(np.tile(accuracies, (2, 1)))
    assert moved is not None
    assert moved[0] == pytest.approx([value, value])
    assert degradation.drops_and_slopes(np.full((2, 3), 0.5)) is None


def test_the_derivatives_of_the_degradation_are_those_of_small_changes() -> None:
    accuracies = np.random.default_rng(0).uniform(0.7, 0.9, (4, 5))
    degradation = Degradation(cramers_v=(0.0, 0.25, 0.5, 0.75, 1.0), chance=0.5)
    moved = degradation.drops_and_slopes(accuracies)
    assert moved is not None
    for split in range(5):
        more = accuracies.copy()
        more[1, split] += 1e-6
        changed = degradation.drops_and_slopes(more)
        assert changed is not None
        slope = 4 * (changed[0].mean() - moved[0].mean()) / 1e-6
        assert moved[1][1, split] == pytest.approx(slope, rel=1e-4)


def test_the_degradation_of_a_cohort_has_an_interval_and_is_that_of_its_accuracies() -> None:
    design = DropDesign(repetitions=4)
    result = performance_drop(design.embeddings(0), design.table, repetitions=4)
    for name, accuracies in (("nipd_id", result.id_accuracies), ("nipd_ood", result.ood_accuracies)):
        one = result.measurements()[name]
        assert one.value == pytest.approx(nipd(accuracies, result.cramers_v, 1 / result.classes), abs=1e-12)
        assert one.interval is not None
        assert one.interval[0] < one.value < one.interval[1]
        assert one.curves[0].y[0] == 0
