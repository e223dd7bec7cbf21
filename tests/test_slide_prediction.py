"""What a slide-level prediction means: planted cohorts, AUCs by another way, and what must not change it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import drop_table, embed, patch_table
from sklearn.metrics import roc_auc_score

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import SlidePrediction, metric, slide_prediction
from pathorob_checks.metrics.auc_effects import ScoredBags, auc_effects, log_odds, placements
from pathorob_checks.metrics.bags import BagTable, bags_of, share_drawn
from pathorob_checks.metrics.drop_uncertainty import drop_resampling
from pathorob_checks.metrics.inputs import Labels, Units
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.schedules import published_schedule
from pathorob_checks.numerics import threads

TABLE = drop_table()


def measured(
    biology: float, center: float, table: pd.DataFrame = TABLE, *, seed: int = 17845
) -> SlidePrediction:
    return slide_prediction(embed(table, biology=biology, center=center), table, repetitions=2, seed=seed)


@pytest.fixture(scope="module")
def misled() -> SlidePrediction:
    return measured(0.15, 1)


# --- planted signals ----------------------------------------------------------------------------------


def test_slides_that_differ_by_class_only_lose_nothing() -> None:
    result = measured(1, 0)
    assert result.outside is not None
    for domain in (result.inside, result.outside):
        assert (domain.drop, domain.aucs.min(), domain.accuracies.min()) == (0, 1, 1)
        assert domain.interval is not None
        assert domain.interval[0] < 0 < domain.interval[1]  # few slides cannot show that none would lose
        assert domain.slides == ()


def test_a_center_that_outshines_the_class_takes_the_auc(misled: SlidePrediction) -> None:
    aucs = misled.inside.aucs.mean(axis=1)
    assert aucs[0] > 0.9
    assert aucs[-1] < 0.75
    assert misled.inside.drop < -0.1
    assert misled.inside.accuracies[-1].mean() < misled.inside.accuracies[0].mean() - 0.2
    assert misled.inside.cells[0].value < -0.2
    assert "the share of its slides that are classified right" in misled.inside.cells[0].meaning


def test_where_nothing_tells_the_class_there_is_no_auc_to_lose() -> None:
    result = measured(0, 1)
    low, high = result.inside.interval or (0, 0)
    assert low < 0 < high
    assert result.inside.aucs.mean() == pytest.approx(0.5, abs=0.15)


# --- what must not and what must change a value ---------------------------------------------------------


def test_equal_seeds_give_equal_results_and_other_seeds_others(misled: SlidePrediction) -> None:
    assert repr(measured(0.15, 1)) == repr(misled)
    assert measured(0.15, 1).inside.resampling == misled.inside.resampling
    assert measured(0.15, 1, seed=1).inside.resampling != misled.inside.resampling


def test_the_number_of_threads_changes_nothing(
    misled: SlidePrediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (1, 3):
        monkeypatch.setattr(threads, "available", lambda count=count: count)
        assert measured(0.15, 1).inside.resampling == misled.inside.resampling


def test_the_order_of_a_slides_patches_changes_nothing(misled: SlidePrediction) -> None:
    order = np.concatenate(
        [
            np.random.default_rng(0).permutation(rows)
            for rows in TABLE.groupby("slide_id", sort=False).indices.values()
        ]
    )
    shuffled = TABLE.iloc[order].reset_index(drop=True)
    assert (shuffled.slide_id == TABLE.slide_id).all()
    other = slide_prediction(embed(TABLE, biology=0.15, center=1)[order], shuffled, repetitions=2)
    np.testing.assert_allclose(other.inside.aucs, misled.inside.aucs, atol=1e-12)


def test_shifting_and_scaling_every_dimension_changes_nothing(misled: SlidePrediction) -> None:
    x = embed(TABLE, biology=0.15, center=1) * 2.0 ** np.arange(-6, 6) + np.arange(12)
    other = slide_prediction(x, TABLE, repetitions=2)
    np.testing.assert_allclose(other.inside.aucs, misled.inside.aucs, atol=1e-12)


# --- AUCs and their effects -----------------------------------------------------------------------------


def scored(classes: int = 3, *, tested_of: int = 8) -> ScoredBags:
    """Random scores, rounded so that there are ties, of about `tested_of` of 12 bags of every class."""
    generator, bags = np.random.default_rng(0), 12 * classes
    codes = np.arange(bags) % classes
    centers = np.arange(bags) // classes % 2
    names = tuple(f"slide {number:02d}" for number in range(bags))
    own = np.arange(bags)
    table = BagTable(
        of_patch=own,
        patches=np.full(bags, 5),
        classes=Labels(codes, tuple(f"class {number}" for number in range(classes))),
        centers=Labels(centers, ("Aachen", "Bonn")),
        slides=Labels(own, names),
        units=Units(own, names, "slide"),
        outside=np.zeros(bags, dtype=bool),
    )
    tested = [np.sort(generator.permutation(bags)[: tested_of * classes]) for _ in range(4)]
    right = 1.2 * np.eye(classes)[codes]
    odds = [(generator.standard_normal((3, len(rows), classes)) + right[rows]).round(1) for rows in tested]
    return ScoredBags(tested=tested, log_odds=odds, bags=table)


@pytest.mark.parametrize("classes", [2, 4])
def test_an_auc_is_that_of_scikit_learn(classes: int) -> None:
    given = scored(classes)
    effects = auc_effects(given)
    assert effects is not None
    for number, (rows, odds) in enumerate(zip(given.tested, given.log_odds, strict=True)):
        codes = given.bags.classes.codes[rows]
        for split, values in enumerate(odds):
            each = [roc_auc_score(codes == cls, values[:, cls]) for cls in range(classes)]
            assert effects.accuracies[split, number] == pytest.approx(np.mean(each))
    assert np.ptp(effects.accuracies) > 0.05
    mean = effects.accuracies.mean(axis=1)
    assert effects.value == pytest.approx(mean[1:].mean() / mean[0] - 1)
    assert effects.drops.mean() == pytest.approx(effects.value)


def drop_with(given: ScoredBags, slide: int, weight: float) -> float:
    """The drop if a slide counts as this many."""
    aucs = np.zeros(3)
    for rows, odds in zip(given.tested, given.log_odds, strict=True):
        codes = given.bags.classes.codes[rows]
        weights = np.where(rows == slide, weight, 1.0)
        for split, values in enumerate(odds):
            each = [roc_auc_score(codes == c, values[:, c], sample_weight=weights) for c in np.unique(codes)]
            aucs[split] += np.mean(each) / len(given.tested)
    return float(aucs[1:].mean() / aucs[0] - 1)


def test_a_test_slide_moves_the_drop_as_more_of_it_would() -> None:
    given, more = scored(2, tested_of=12), 1e-5  # all bags are tested in every repetition
    effects = auc_effects(given)
    assert effects is not None
    cell = np.flatnonzero(given.bags.cells == given.bags.cells[0])
    moved = np.array(
        [(drop_with(given, s, 1 + more) - drop_with(given, s, 1 - more)) / (2 * more) for s in cell]
    )
    assert np.ptp(moved) > 0.005
    np.testing.assert_allclose(effects.test.mean(axis=0)[cell], moved - moved.mean(), atol=1e-6)


def test_ties_are_half_a_pair() -> None:
    placed = placements(np.array([[1.0, 2.0, 1.0, 3.0]]), np.array([True, True, False, False]))
    np.testing.assert_allclose(placed, [[0.25, 0.5, 0.75, 0.0]])


def test_log_odds_are_those_of_the_softmax() -> None:
    values = np.random.default_rng(0).standard_normal((5, 3))
    shares = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(log_odds(values), np.log(shares / (1 - shares)))
    assert np.isfinite(log_odds(np.array([[900.0, -900.0]]))).all()


def test_an_auc_below_a_guess_is_no_base_for_a_gain() -> None:
    given = scored()
    worse = replace(given, log_odds=[np.concatenate([-odds[:1], odds[1:]]) for odds in given.log_odds])
    effects = auc_effects(worse)
    assert effects is not None
    assert effects.accuracies[0].mean() < 0.5
    assert effects.value == pytest.approx(effects.accuracies[1:].mean() / 0.5 - 1)


# --- the interval -----------------------------------------------------------------------------------------


def test_the_share_drawn_of_the_published_schedule_follows_from_its_counts() -> None:
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "slide_id": f"{center}/{cls}/{slide}",
                    "biological_class": cls,
                    "medical_center": center,
                    "subset": "ID",
                },
                index=range(14),
            )
            for center in ("RUMC", "UMCU")
            for cls in ("normal", "tumor")
            for slide in range(17)
        ],
        ignore_index=True,
    )
    schedule = published_schedule("camelyon")
    drawn = list(schedule.repetitions(table, 3))
    k = np.array([(7 - s, 7 + s, 7 + s, 7 - s) for s in range(1, 8)])
    assert share_drawn(bags_of(read_labels(table, "test")), drawn) == pytest.approx(
        (k**2 / 17).sum() / k.sum()
    )


def test_repetitions_that_share_more_slides_widen_the_interval() -> None:
    given = scored()
    effects = auc_effects(given)
    assert effects is not None
    # Repetitions that differ by much more than their test slides do.
    effects = replace(effects, drops=effects.drops + np.array([-1, 1, -1, 1]))
    errors = [
        np.sum(
            np.array(drop_resampling("m", effects, given.predictions, {}, share_drawn=f).effects[-4:]) ** 2
        )
        for f in (0.0, 0.5)
    ]
    assert errors[1] / errors[0] == pytest.approx(1 + 4 * 0.5 / 0.5)


# --- results ----------------------------------------------------------------------------------------------


def test_the_measurement_says_what_is_left_at_full_correlation(misled: SlidePrediction) -> None:
    measurement = misled.measurements()["slide_prediction_id"]
    aucs = misled.inside.aucs.mean(axis=1)
    assert measurement.detail == (
        f"The AUC is {aucs[0]:.3f} with balanced training slides and {aucs[-1]:.3f} where class and center "
        "are fully correlated (a guess: 0.500)."
    )
    assert [curve.name for curve in measurement.curves] == [
        "AUC of slides, in-domain",
        "balanced accuracy of slides, in-domain",
    ]
    for curve, values in zip(measurement.curves, (aucs, misled.inside.accuracies.mean(axis=1)), strict=True):
        assert curve.y == pytest.approx(tuple(values), abs=1e-6)
        assert len(curve.low) == len(curve.high) == len(aucs)
    assert set(measurement.groups) == {"medical_center", "biological_class"}
    assert [group.name for group in misled.inside.groups["medical_center"]] != []
    assert metric("slide_prediction_id").meaning(-0.2).endswith("(mean over the training splits)")


def test_a_center_with_one_class_has_no_auc_of_its_own() -> None:
    lone = patch_table(slides=3, patches=4, subset="OOD", centers=("Deventer",))
    table = pd.concat([TABLE, lone[lone.biological_class == "tumor"]], ignore_index=True)
    result = measured(1, 0, table)
    assert result.outside is not None
    assert [group.name for group in result.outside.groups["medical_center"]] == ["Cologne"]


def test_without_out_of_domain_patches_the_drop_in_domain_is_the_same(misled: SlidePrediction) -> None:
    inside = TABLE[TABLE.subset == "ID"].reset_index(drop=True)
    x = embed(TABLE, biology=0.15, center=1)[: len(inside)]
    result = slide_prediction(x, inside, repetitions=2)
    assert result.outside is None
    assert list(result.measurements()) == ["slide_prediction_id"]
    np.testing.assert_allclose(result.inside.aucs, misled.inside.aucs, atol=1e-12)


def test_without_two_classes_out_of_domain_there_is_no_auc_there() -> None:
    table = TABLE[(TABLE.subset == "ID") | (TABLE.biological_class == "tumor")].reset_index(drop=True)
    assert measured(1, 0, table).outside is None
    needs = metric("slide_prediction_ood").needs
    assert needs is not None
    with pytest.raises(MetricError, match="no out-of-domain patches of two biological classes; add"):
        needs(table, {"repetitions": 2}, interval=True)
    needs(TABLE, {"repetitions": 2}, interval=True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"repetitions": 1}, "1 repetitions have no spread"), ({"seed": -1}, "the seed is -1")],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, int], problem: str) -> None:
    with pytest.raises(MetricError, match=problem):
        slide_prediction(embed(TABLE, biology=1, center=0), TABLE, **settings)
