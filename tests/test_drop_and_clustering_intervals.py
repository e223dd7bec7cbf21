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

from pathorob_checks.metrics import clustering_score, performance_drop
from pathorob_checks.metrics.cluster_halves import HALVES, halves
from pathorob_checks.metrics.ends import end_interval
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.resampling import Resampling

Float32 = npt.NDArray[np.float32]
Cohort = tuple[Float32, pd.DataFrame]


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


def test_unstable_clusters_are_said_to_be_unstable() -> None:
    design = Design(slides=4, patches=12, biology=2.2, center=2.2, slide=0.5)
    table = design.table()
    results = [
        clustering_score(design.embeddings(table, seed), table, trials=2, clusters=[2]) for seed in range(4)
    ]
    unstable = [result for result in results if "unstable" in result.interval_note]
    assert unstable
    for result in unstable:
        assert result.interval is not None
        assert result.interval[1] - result.interval[0] > 0.5
    stable = replace(design, center=0.5)
    calm = clustering_score(stable.embeddings(table, 0), table, trials=2, clusters=[2])
    assert "unstable" not in calm.interval_note
    assert "halves of the slides" in calm.interval_note


def test_perfect_clusters_have_the_interval_of_as_many_trials_as_slides() -> None:
    reach = (2 * 0.025 ** (1 / 16) - 1) ** 2
    assert end_interval("clustering_score", 1.0, 16, 0.95) == pytest.approx((reach, 1))
    assert end_interval("clustering_score", -1.0, 1, 0.95) == (-1.0, 0.0)


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
    for measurement in performance_drop(x, table, repetitions=4).measurements().values():
        effects = [slide.value for slide in measurement.slides]
        assert effects == sorted(effects)
        assert effects[0] < 0
        assert measurement.slides[0].meaning == (
            f"an average slide instead would make the drop {-effects[0]:.4f} smaller"
        )
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
        assert interval_of(these) == pytest.approx(measurement.interval)
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
    ],
)
def test_damaged_files_are_refused(damage: dict[str, object]) -> None:
    content = measured(0)[2].resampling.model_dump(mode="json")
    assert Resampling.model_validate(content)
    with pytest.raises(ValidationError):
        Resampling.model_validate({**content, **damage})
    with pytest.raises(ValidationError):
        Resampling.model_validate({})
