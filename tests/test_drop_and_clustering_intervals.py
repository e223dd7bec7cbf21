"""Intervals of the clustering score and the performance drops, and what they are drawn from in files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from planted import drop_table, embed
from planted_slides import DESIGN, Design, measured
from pydantic import ValidationError

from pathorob_checks.criteria.verdict import Rule, judge
from pathorob_checks.metrics import (
    ClusteringScore,
    clustering_score,
    difference,
    mean_over_cohorts,
    metric,
    performance_drop,
)
from pathorob_checks.metrics.cluster_halves import HALVES, contestants, halves
from pathorob_checks.metrics.ends import end_interval, own_interval
from pathorob_checks.metrics.intervals import DRAWS, SEED
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.resampling import Resampling

Float32 = npt.NDArray[np.float32]
Cohort = tuple[Float32, pd.DataFrame]
SMALLER_IS_BETTER = {  # what the metrics of the performance drop's predictions call their value
    "performance_drop_id": "drop",
    "performance_drop_ood": "drop",
    "diagnostic_errors_id": "increase",
    "diagnostic_errors_ood": "increase",
    "error_asymmetry": "asymmetry",
    "nipd_id": "degradation",
    "nipd_ood": "degradation",
}


@pytest.fixture(scope="module")
def clustered() -> Cohort:
    design = replace(DESIGN, patches=10, biology=1.5, center=0.8)
    table = design.table()
    return design.embeddings(table, 0), table


def test_the_clustering_score_has_an_interval_over_slides_trials_and_halves(
    clustered: Cohort,
) -> None:
    x, table = clustered
    result = clustering_score(x, table, trials=3, clusters=[2, 3])
    assert result.interval is not None
    assert result.interval[0] < result.value < result.interval[1]
    assert result.resampling is not None
    kinds = [cells[0] for cells in result.resampling.cells]
    assert (kinds.count("trials"), kinds.count("halves"), len(kinds)) == (3, HALVES, 16 + 3 + HALVES)
    assert {name: len(groups) for name, groups in result.groups.items()} == {
        "medical_center": 2,
        "biological_class": 2,
    }
    assert result.slides
    assert result.slides[0].value < 0
    renamed = table.replace({"class 0": "a class", "center 0": "a center"})
    renamed["slide_id"] = table.slide_id.str[::-1]
    other = clustering_score(x, renamed, trials=3, clusters=[2, 3])
    assert other.interval == pytest.approx(result.interval, abs=1e-9)


def test_clusters_without_slides_have_a_value_and_no_interval(
    clustered: Cohort,
) -> None:
    x, table = clustered
    whole = clustering_score(x, table, trials=2, clusters=[2])
    bare = clustering_score(x, table.drop(columns="slide_id"), trials=2, clusters=[2])
    assert bare.value == whole.value
    assert (bare.interval, bare.interval_note, bare.resampling) == (None, "", None)


UNSTABLE = Design(slides=4, patches=12, biology=2.2, center=2.2, slide=0.5)


def unstable_score() -> ClusteringScore:
    table = UNSTABLE.table()
    return clustering_score(UNSTABLE.embeddings(table, 7), table, trials=2, clusters=[2, 3, 4])


def test_clusters_that_jump_have_an_interval_between_all_that_they_jump_to() -> None:
    result = unstable_score()
    assert result.resampling is not None
    assert result.resampling.jumps_between is not None
    least, greatest = result.resampling.jumps_between
    assert least < -0.8 < 0.9 < result.value < greatest
    assert result.interval is not None
    assert result.interval[0] <= least < greatest <= result.interval[1]
    assert result.measurement().unstable in result.interval_note.replace("The value", "the value")
    assert result.interval_note.count("unstable") == 1
    assert f"from {least:.2f} to {greatest:.2f}" in result.interval_note
    for groups in result.groups.values():
        for group in groups:
            assert group.interval is not None
            assert group.interval[0] <= least < greatest <= group.interval[1]


def test_clusters_that_stay_have_no_jumps() -> None:
    design = replace(UNSTABLE, center=0.5)
    table = design.table()
    calm = clustering_score(design.embeddings(table, 0), table, trials=2, clusters=[2, 3, 4])
    assert calm.resampling is not None
    assert calm.resampling.jumps_between is None
    assert calm.measurement().unstable == ""
    assert "unstable" not in calm.interval_note
    assert "20 halves of the slides" in calm.interval_note


def test_a_half_that_chooses_another_k_makes_the_interval_wide() -> None:
    """K = 2 follows the class in all halves; in some of them K = 4, a cluster for each cell, is better."""
    design = Design(slides=6, patches=8, biology=2.2, center=1.9, slide=0.5)
    table = design.table()
    x = design.embeddings(table, 65)
    held = clustering_score(x, table, trials=2, clusters=[2])
    chosen = clustering_score(x, table, trials=2, clusters=[2, 3, 4])
    assert [each.K for each in chosen.combinations] == [2]
    assert chosen.value == held.value
    assert held.interval is not None
    assert chosen.interval is not None
    assert held.interval[0] > 0.7
    assert chosen.interval[0] < 0.1
    assert held.measurement().unstable == ""
    assert chosen.measurement().unstable


@pytest.mark.parametrize(
    ("silhouettes", "expected"),
    [
        ({2: 0.4, 3: 0.2, 4: 0.31, 5: 0.1}, [2, 4]),
        ({2: 0.30, 3: 0.29, 4: 0.4, 5: 0.35}, [4, 5]),
        ({2: -0.10, 3: -0.12, 4: -0.2}, [2, 3]),
        ({2: 0.4}, [2]),
        (dict.fromkeys(range(2, 31), 0.1), [2, 3, 7, 12, 17, 21, 25, 30]),
    ],
)
def test_halves_choose_among_the_k_that_come_close_with_another_score(
    silhouettes: dict[int, float], expected: list[int]
) -> None:
    other = {K: 0.1 * K for K in silhouettes}
    assert contestants(silhouettes, other) == expected
    same = {K: 0.02 * (K % 2) for K in silhouettes}
    assert contestants(silhouettes, same) == expected[:1]


@pytest.mark.parametrize(("rule", "verdict"), [("three-way", "inconclusive"), ("confident", "fail")])
def test_the_reason_of_a_verdict_says_that_the_clusters_jump(rule: Rule, verdict: str) -> None:
    measurement = unstable_score().measurement()
    judgement = judge(0.0, ">=", measurement, rule)
    assert judgement.verdict == verdict
    assert judgement.reason.endswith(f"contains the bound 0.000; {measurement.unstable}")
    assert "the value is unstable: on halves of the slides it goes from -" in judgement.reason


def test_a_bound_beyond_all_that_the_clusters_jump_to_is_met_for_sure() -> None:
    measurement = unstable_score().measurement()
    assert judge(-1.1, ">=", measurement).verdict == "pass"


def test_differences_and_means_of_jumping_clusters_hold_their_jumps() -> None:
    jumping = unstable_score()
    assert jumping.resampling is not None
    assert jumping.resampling.jumps_between is not None
    least, greatest = jumping.resampling.jumps_between
    table = UNSTABLE.table()
    calm_design = replace(UNSTABLE, center=0.5)
    calm = clustering_score(calm_design.embeddings(table, 0), table, trials=2, clusters=[2, 3, 4])
    change = difference(calm.measurement(), jumping.measurement())
    assert change.interval is not None
    assert change.interval[0] <= calm.value - greatest < calm.value - least <= change.interval[1]
    assert "not paired" in change.note
    assert "unstable" in change.note
    mean = mean_over_cohorts([calm.measurement(), jumping.measurement()])
    assert mean.interval is not None
    assert mean.interval[0] <= (calm.value + least) / 2 < (calm.value + greatest) / 2 <= mean.interval[1]
    assert "unstable" in mean.note


def test_perfect_clusters_have_the_interval_of_as_many_trials_as_slides() -> None:
    reach = (2 * 0.025 ** (1 / 16) - 1) ** 2
    assert end_interval("clustering_score", 1.0, 16, 0.95) == pytest.approx((reach, 1))
    assert end_interval("clustering_score", -1.0, 1, 0.95) == (-1.0, 0.0)


def test_clusters_to_which_all_slides_contribute_alike_are_not_certain() -> None:
    patches = pd.MultiIndex.from_product(
        [["A", "B"], ["normal", "tumor"], range(6), range(4)],
        names=["medical_center", "biological_class", "slide", "patch_id"],
    ).to_frame(index=False)
    patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    place = np.where(patches.medical_center == "A", 0, np.where(patches.biological_class == "tumor", 1, 2))
    embeddings = np.eye(3)[place]  # center A is one cluster, and each class of B another
    embeddings += 1e-3 * np.random.default_rng(0).standard_normal(embeddings.shape)
    result = clustering_score(embeddings, patches, trials=3, clusters=[3])
    assert result.value == pytest.approx(-0.5, abs=0.05)
    unseen = 1 - (2 * 0.025 ** (1 / 24) - 1) ** 2
    assert result.interval == pytest.approx((max(-1.0, result.value - unseen), result.value + unseen))
    assert "contribute alike" in result.interval_note


def test_halves_take_half_of_the_slides_of_every_cell() -> None:
    slides = np.repeat(np.arange(12), 2)
    cells = np.repeat([0] * 5 + [1] * 6 + [2], 2)
    masks = halves(slides, cells, seed=1)
    assert len(masks) == HALVES
    for early, late in zip(masks[::2], masks[1::2], strict=True):
        taken = [[len(set(slides[mask & (cells == cell)])) for cell in range(3)] for mask in (early, late)]
        assert taken == [[3, 3, 1], [2, 3, 1]]
        assert not (early & late)[cells < 2].any()
    assert len({mask.tobytes() for mask in masks}) > HALVES / 2
    for mask, same in zip(masks, halves(11 - slides, cells, seed=1), strict=True):
        np.testing.assert_array_equal(mask, same)


@pytest.fixture(scope="module")
def dropped() -> Cohort:
    table = drop_table()
    return embed(table, biology=0.4, center=1.2, noise=0.25), table


def test_the_only_center_outside_has_the_drop_of_the_accuracies_outside(
    dropped: Cohort,
) -> None:
    x, table = dropped
    result = performance_drop(x, table, repetitions=4)
    assert result.ood_accuracies is not None
    (cologne,) = result.ood_groups["medical_center"]
    expected = result.ood_accuracies[1:].mean() / result.ood_accuracies[0].mean() - 1
    assert cologne.name == "Cologne"
    assert cologne.value == pytest.approx(expected, abs=1e-12)
    assert cologne.interval is not None
    assert cologne.interval[0] < cologne.value < cologne.interval[1]
    assert cologne.rows == (table.subset == "OOD").sum()
    assert [g.name for g in result.id_groups["medical_center"]] in (["Aachen", "Bonn"], ["Bonn", "Aachen"])


def test_the_slides_that_make_the_drop_larger_are_named(dropped: Cohort) -> None:
    x, table = dropped
    measurements = performance_drop(x, table, repetitions=4).measurements()
    assert set(measurements) == set(SMALLER_IS_BETTER)
    for name, measurement in measurements.items():
        sign = 1 if metric(name).higher_is_better else -1
        effects = [sign * slide.value for slide in measurement.slides]
        assert effects == sorted(effects)
        assert effects[0] < 0
        assert measurement.slides[0].meaning == (
            f"an average slide instead would make the {SMALLER_IS_BETTER[name]} {-effects[0]:.4f} smaller"
        )
        assert "effects of every slide in test and training" in measurement.interval_note
        if "diagnostic" not in name:
            assert "other slides from the same medical centers" in measurement.interval_note
            assert "the draw of 4 repetitions" in measurement.interval_note


# --- in files -----------------------------------------------------------------------------------------


def every_measurement(clustered: Cohort) -> list[Measurement]:
    table = drop_table()
    drops = performance_drop(embed(table, biology=0.4, center=1.2), table, repetitions=2)
    return [
        measured(0)[2].measurement(),
        clustering_score(*clustered, trials=2, clusters=[2]).measurement(),
        *drops.measurements().values(),
    ]


def test_what_an_interval_was_drawn_from_survives_a_file(clustered: Cohort) -> None:
    for measurement in every_measurement(clustered):
        these = measurement.resampling
        assert these is not None
        assert Resampling.model_validate_json(these.model_dump_json()) == these
        assert own_interval(these, 0.95, DRAWS, SEED) == pytest.approx(measurement.interval)
        assert measurement.confidence == 0.95
        assert measurement.interval_note
        assert these.value == measurement.value


@pytest.mark.parametrize(
    "damage",
    [
        {"units": [["a"]]},
        {"scale": "cubic"},
        {"drawn": "patches"},
        {"value": "much"},
        {"value": float("nan")},
        {"cells": []},
        {"effects": [float("inf")]},
        {"more": 1},
        {"jumps_between": [0.2, 0.1]},
        {"jumps_between": [0.2, float("inf")]},
    ],
)
def test_damaged_files_are_refused(damage: dict[str, object]) -> None:
    content = measured(0)[2].resampling.model_dump(mode="json")
    assert Resampling.model_validate(content)
    with pytest.raises(ValidationError):
        Resampling.model_validate({**content, **damage})
    with pytest.raises(ValidationError):
        Resampling.model_validate({})
