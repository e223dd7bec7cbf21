"""What the three metrics mean: planted signals, symmetries, hand-made numbers and refused input."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from planted import directions, drop_table, embed, patch_table

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import (
    clustering_score,
    margin_aware_index,
    performance_drop,
    published_schedule,
    robustness_index,
)
from pathorob_checks.metrics.needs import index_needs
from pathorob_checks.metrics.schedules import cramers_v

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
# --- hand-made numbers --------------------------------------------------------------------------------


def brute_force(x: Float32, patches: pd.DataFrame, k: int) -> tuple[int, int, int]:
    """SO and OS neighbors and queries with either, patch by patch."""
    unit = x.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    so = os = informative = 0
    for i, query in enumerate(patches.itertuples()):
        distance = np.linalg.norm(unit - unit[i], axis=1)
        others = [j for j in np.argsort(distance) if patches.slide_id.iloc[j] != query.slide_id][:k]
        same_class = (patches.biological_class.iloc[others] == query.biological_class).to_numpy()
        same_center = (patches.medical_center.iloc[others] == query.medical_center).to_numpy()
        so += int((same_class & ~same_center).sum())
        os += int((~same_class & same_center).sum())
        informative += bool((same_class != same_center).any())
    return so, os, informative


def test_the_index_and_its_support_are_what_counting_by_hand_gives() -> None:
    patches = patch_table()
    x = embed(patches, biology=0.6, center=0.5, noise=0.2)
    so, os, informative = brute_force(x, patches, 3)
    result = robustness_index(x, patches, k=3)
    assert result.value == pytest.approx(so / (so + os), abs=1e-12)
    assert 0 < result.support < 1
    assert result.support == informative / len(patches)


def test_paired_counts_are_pooled_over_the_subsets() -> None:
    parts = [patch_table(slides=3, patches=4, subset="one"), patch_table(slides=4, patches=6, subset="two")]
    embeddings = [
        embed(part, biology=0.6, center=center, noise=0.3)
        for part, center in zip(parts, (0.2, 0.9), strict=True)
    ]
    counts = [brute_force(x, part, 5) for x, part in zip(embeddings, parts, strict=True)]
    so, os = sum(count[0] for count in counts), sum(count[1] for count in counts)
    patches = pd.concat(parts, ignore_index=True)
    order = np.random.RandomState(0).permutation(len(patches))
    stacked = np.concatenate(embeddings)[order]
    result = robustness_index(stacked, patches.iloc[order], k=5, paired=True)
    assert result.value == pytest.approx(so / (so + os), abs=1e-12)
    unnamed = robustness_index(stacked, patches.iloc[order], k=5)  # the names of the subsets say so
    assert (unnamed.value, unnamed.interval) == (result.value, result.interval)
    pooled = robustness_index(stacked, patches.iloc[order], k=5, paired=False)
    assert result.value != pytest.approx(pooled.value, abs=1e-3)


def test_own_k_is_the_first_k_of_the_grid_with_the_best_vote() -> None:
    patches = patch_table(slides=5, patches=6)
    x = embed(patches, biology=0.4, center=0.5, noise=0.35)
    grid = [1, 3, 5, 7, 9, 11, 21, 31, 41]
    accuracies = [robustness_index(x, patches, k=k).balanced_accuracy for k in grid]
    assert len(set(accuracies)) > 3
    best = robustness_index(x, patches, k="best", largest_k=45)
    assert best.k == grid[int(np.argmax(accuracies))]
    assert best.balanced_accuracy == max(accuracies)
    assert len(best.by_k) == 45


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("camelyon", [s / 7 for s in range(8)]),
        ("tcga", [0, 0.204, 0.354, 0.5, 0.677, 0.842, 1]),
        ("tolkach_esca", [0, 1 / 3, 2 / 3, 1]),
    ],
)
def test_published_schedules_have_the_published_cramers_v(name: str, expected: list[float]) -> None:
    v = [cramers_v(counts) for counts in published_schedule(name).training_slides]
    assert v == pytest.approx(expected, abs=5e-4)


# --- performance drop ---------------------------------------------------------------------------------


def test_the_drop_is_what_the_accuracies_give_by_hand() -> None:
    patches = drop_table()
    result = performance_drop(embed(patches, biology=0.3, center=1, noise=0.3), patches, repetitions=4)
    assert result.ood_accuracies is not None
    assert result.ood_drop is not None
    assert result.ood_interval is not None
    for accuracies, drop, interval in (
        (result.id_accuracies, result.id_drop, result.id_interval),
        (result.ood_accuracies, result.ood_drop, result.ood_interval),
    ):
        drops = [
            sum(split[r] / accuracies[0][r] for split in accuracies[1:]) / (len(accuracies) - 1) - 1
            for r in range(4)
        ]
        assert drop == pytest.approx(sum(drops) / 4, abs=1e-12)
        assert sum(interval) / 2 == pytest.approx(drop)
        assert interval[0] < drop < interval[1]


def test_without_patches_out_of_domain_there_is_no_drop_out_of_domain() -> None:
    patches = drop_table(ood=False)
    result = performance_drop(embed(patches, biology=1, center=1), patches, repetitions=2)
    assert (result.ood_drop, result.ood_interval, result.ood_accuracies, result.ood_cells) == (
        None,
        None,
        None,
        (),
    )
    assert set(result.measurements()) == {
        "performance_drop_id",
        "diagnostic_errors_id",
        "error_asymmetry",
        "nipd_id",
    }


# --- input --------------------------------------------------------------------------------------------


def run_index(x: Any, patches: pd.DataFrame) -> float:
    return robustness_index(x, patches, k=5).value


def run_clusters(x: Any, patches: pd.DataFrame) -> float:
    return clustering_score(x, patches, trials=2, clusters=[2]).value


def run_drop(x: Any, patches: pd.DataFrame) -> float:
    return performance_drop(x, patches, repetitions=2).id_drop


Metric = Callable[[Any, pd.DataFrame], float]
every_metric = pytest.mark.parametrize("metric", [run_index, run_clusters, run_drop])


def good() -> tuple[Float32, pd.DataFrame]:
    patches = patch_table(slides=10, patches=2)
    # Halves and quarters have the same value in every float type.
    return (embed(patches, biology=0.8, center=0.5, noise=0.4) * 32).round() / np.float32(32), patches


@pytest.mark.slow
@every_metric
def test_tensors_and_every_float_type_give_the_same_value(metric: Metric) -> None:
    x, patches = good()
    value = metric(x, patches)
    assert np.isfinite(value)
    tensor = torch.from_numpy(x).half().requires_grad_()
    for same in (np.asfortranarray(x, dtype=np.float64), x.astype(np.float16), tensor):
        assert metric(same, patches) == value


@every_metric
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_row(metric: Metric, bad: float) -> None:
    x, patches = good()
    x[7, 3] = bad
    with pytest.raises(MetricError, match="1 embeddings have NaN or infinity, the first in row 7"):
        metric(x, patches)


@pytest.mark.parametrize("metric", [run_index, run_clusters])
def test_rows_of_zeros_are_refused_where_lengths_are_divided_by(metric: Metric) -> None:
    x, patches = good()
    x[[4, 9]] = 0
    with pytest.raises(MetricError, match="2 embeddings are all zero, the first in row 4"):
        metric(x, patches)


def test_rows_of_zeros_do_not_hinder_the_performance_drop() -> None:
    x, patches = good()
    x[4] = 0
    assert np.isfinite(run_drop(x, patches))


@every_metric
def test_a_table_of_another_length_is_refused(metric: Metric) -> None:
    x, patches = good()
    with pytest.raises(MetricError, match="80 embeddings do not match 79 rows"):
        metric(x, patches.iloc[:-1])


@every_metric
def test_embeddings_that_are_not_a_matrix_are_refused(metric: Metric) -> None:
    x, patches = good()
    for bad in (x[:, 0], x[:, :0], x[:, None]):
        with pytest.raises(MetricError, match="the embeddings have shape"):
            metric(bad, patches)


@every_metric
def test_no_rows_are_refused(metric: Metric) -> None:
    x, patches = good()
    with pytest.raises(MetricError, match="there are no patches to read"):
        metric(x[:0], patches.iloc[:0])


@every_metric
@pytest.mark.parametrize("column", ["biological_class", "medical_center"])
def test_one_class_or_one_center_is_refused(metric: Metric, column: str) -> None:
    x, patches = good()
    patches[column] = "only"
    with pytest.raises(MetricError, match=f"column '{column}' has only the value 'only'"):
        metric(x, patches)


NEEDED: list[tuple[Metric, str]] = [
    *product([run_index, run_clusters, run_drop], ["biological_class", "medical_center"]),
    (run_index, "slide_id"),
    (run_drop, "slide_id"),
]


@pytest.mark.parametrize(("metric", "column"), NEEDED)
def test_a_missing_column_is_refused_by_name(metric: Metric, column: str) -> None:
    x, patches = good()
    with pytest.raises(MetricError, match=f"no column '{column}'"):
        metric(x, patches.drop(columns=column))


@pytest.mark.parametrize(("metric", "column"), NEEDED)
def test_an_empty_cell_is_refused_with_its_name(metric: Metric, column: str) -> None:
    x, patches = good()
    patches.loc[6, column] = None
    with pytest.raises(MetricError, match=f"column '{column}' is empty in row 6"):
        metric(x, patches)


def test_fewer_neighbors_than_k_are_refused() -> None:
    x, patches = good()
    assert robustness_index(x, patches, k=78).k == 78
    few = "k = 79 neighbors were requested, but the 2 patches of slide '.*' have only 78 neighbors on other"
    with pytest.raises(MetricError, match=few):
        robustness_index(x, patches, k=79)
    with pytest.raises(MetricError, match="k is 0; give a whole number of 1 or more"):
        robustness_index(x, patches, k=0)


@pytest.mark.parametrize("index", [robustness_index, margin_aware_index])
@pytest.mark.parametrize("paired", [False, True])
def test_neighborhoods_of_one_cell_only_are_refused_with_the_k_that_leaves_them(
    index: Metric, paired: bool
) -> None:
    parts = [patch_table(slides, subset=subset) for slides, subset in ((4, "one"), (3, "two"))]
    patches = pd.concat(parts if paired else parts[:1], ignore_index=True)
    lost = "Aachen/tumor/1"
    patches["slide_id"] = patches.subset + "/" + patches.slide_id
    patches = patches[~patches.slide_id.isin([f"one/{lost}", f"two/{lost}"])].reset_index(drop=True)
    cells = (patches.medical_center + patches.biological_class).rename("cell")
    x = directions(cells, 12, np.random.RandomState(0))
    x += 0.01 * np.random.RandomState(1).standard_normal(x.shape)
    smallest = 5 if paired else 10  # patches on other slides
    cell = rf"beyond the smallest cell \(tumor of Aachen, {smallest} patches on other slides\); "
    said = f"fix a larger k before you look at its values, .* k = {smallest + 1} or more reaches {cell}"
    own = (
        "all 3 nearest neighbors of every patch share both .* which is a result by itself: .* which need no k"
    )
    with pytest.raises(MetricError, match=own):
        index(x, patches, k=3)
    with pytest.raises(MetricError, match=said):
        index(x, patches, k=smallest)
    assert index(x, patches, k=smallest + 1).k == smallest + 1


@pytest.mark.parametrize("index", [robustness_index, margin_aware_index])
@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (
            [("Aachen", "normal"), ("Bonn", "tumor"), ("Celle", "tumor")],
            "no medical center has patches of two biological classes, so that the index would be 1",
        ),
        (
            [("Aachen", "normal"), ("Aachen", "tumor"), ("Bonn", "stroma"), ("Bonn", "fat")],
            "no biological class has patches from two medical centers, so that the index would be 0",
        ),
    ],
)
def test_labels_that_alone_decide_the_index_are_refused_whatever_k_is(
    index: Metric, kept: list[tuple[str, str]], sentence: str
) -> None:
    patches = pd.DataFrame(
        [
            (center, cls, f"{center}/{cls}/{slide}")
            for center, cls in kept
            for slide in range(4)
            for _ in range(5)
        ],
        columns=["medical_center", "biological_class", "slide_id"],
    )
    x = np.random.RandomState(0).standard_normal((len(patches), 6))
    for k in (3, 40):
        with pytest.raises(MetricError, match=sentence):
            index(x, patches, k=k)
    with pytest.raises(MetricError, match=sentence):
        index_needs(patches.assign(subset="ID"), {"k": 3}, interval=True)


def test_paired_neighbors_need_a_subset_column() -> None:
    x, patches = good()
    with pytest.raises(MetricError, match="no column 'subset'"):
        robustness_index(x, patches.drop(columns="subset"), k=3, paired=True)


def test_classes_that_share_no_two_centers_are_refused() -> None:
    x, patches = good()
    kept = ~((patches.medical_center == "Bonn") & (patches.biological_class == "tumor")).to_numpy()
    with pytest.raises(MetricError, match="no two classes occur together in two medical centers"):
        clustering_score(x[kept], patches[kept], trials=2)


def test_fewer_different_embeddings_than_clusters_are_refused() -> None:
    _, patches = good()
    with pytest.raises(MetricError, match="have 4 different patches, 31 are needed for up to 30 clusters"):
        clustering_score(np.tile(np.eye(4), (20, 1)), patches)


@pytest.mark.parametrize(("trials", "clusters"), [(0, [2]), (2, []), (2, [1, 2])])
def test_no_trials_and_no_clusters_are_refused(trials: int, clusters: list[int]) -> None:
    x, patches = good()
    with pytest.raises(MetricError, match="measure nothing"):
        clustering_score(x, patches, trials=trials, clusters=clusters)


def test_one_trial_has_no_deviation() -> None:
    x, patches = good()
    assert clustering_score(x, patches, trials=1, clusters=[2]).deviation == 0


@pytest.mark.parametrize("repetitions", [1, 0])
def test_fewer_than_two_repetitions_are_refused(repetitions: int) -> None:
    x, patches = good()
    with pytest.raises(MetricError, match=f"{repetitions} repetitions have no spread"):
        performance_drop(x, patches, repetitions=repetitions)


def test_a_schedule_that_was_never_published_is_refused() -> None:
    x, patches = good()
    with pytest.raises(
        MetricError, match="no published schedule 'brca'; use one of camelyon, tcga, tolkach_esca"
    ):
        performance_drop(x, patches, schedule="brca")


def test_a_published_schedule_names_the_cells_with_too_few_slides() -> None:
    x, patches = good()
    with pytest.raises(MetricError, match="RUMC x normal has 0 of 1"):
        performance_drop(x, patches, schedule="camelyon")


def test_a_slide_that_is_the_whole_cohort_is_refused() -> None:
    x, patches = good()
    patches["slide_id"] = "only"
    for metric in (run_index, run_clusters, run_drop):
        with pytest.raises(MetricError, match="slide 'only' has patches from Aachen and Bonn"):
            metric(x, patches)


def test_a_subset_that_is_one_slide_is_refused_with_its_name() -> None:
    x, patches = good()
    patches["subset"] = "many"
    patches.loc[patches.slide_id == patches.slide_id[6], "subset"] = "one"
    with pytest.raises(MetricError, match="the paired subset 'one' has only the biological class 'normal'"):
        robustness_index(x, patches, k=3)


def test_patches_that_are_all_out_of_domain_are_refused() -> None:
    x, patches = good()
    patches["subset"] = "OOD"
    for metric in (run_index, run_clusters, run_drop):
        with pytest.raises(MetricError, match=r"all 80 patches are out-of-domain \(subset 'OOD'\)"):
            metric(x, patches)


def test_the_index_of_the_table_does_not_matter() -> None:
    x, patches = good()
    other = patches.set_index(patches.index[::-1] * 7)
    for metric in (run_index, run_clusters, run_drop):
        assert metric(x, other) == metric(x, patches)


def test_progress_counts_every_step_once() -> None:
    x, patches = good()
    seen: list[tuple[str, int, int]] = []

    def progress(items: Any, total: int, text: str) -> Any:
        count = 0
        for item in items:
            count += 1
            yield item
        seen.append((text, count, total))

    robustness_index(x, patches, k=3, progress=progress)
    performance_drop(x, patches, repetitions=3, progress=progress)
    clustering_score(x, patches, trials=4, clusters=[2, 3, 5], progress=progress)
    assert seen == [("neighbors", 1, 1), ("performance drop", 3, 3), ("clustering", 27, 27)]
