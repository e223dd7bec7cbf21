"""95 % intervals hold the truth in 92 to 98 % of simulations. `benchmarks/coverage.py` has more scenarios."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from planted_drops import DropDesign, drop_of_ridge
from planted_slides import Design
from sklearn.metrics import adjusted_rand_score

from pathorob_checks.metrics import clustering_score, robustness_index
from pathorob_checks.metrics.cluster_combinations import CombinationSample
from pathorob_checks.metrics.cluster_halves import HalfIndices
from pathorob_checks.metrics.cluster_uncertainty import (
    Combination,
    MeasuredCombination,
    score_uncertainty,
    scores_without,
)
from pathorob_checks.metrics.inputs import Labels, Units
from pathorob_checks.metrics.intervals import interval_of

pytestmark = pytest.mark.slow
SIMULATIONS = 300


def coverage(intervals: Sequence[tuple[float, float] | None], truth: float) -> float:
    assert len(intervals) >= 300
    return float(np.mean([i is not None and i[0] <= truth <= i[1] for i in intervals]))


@pytest.mark.parametrize(("slides", "biology", "center"), [(4, 1.0, 1.0), (6, 1.6, 0.6)])
def test_the_robustness_index(slides: int, biology: float, center: float) -> None:
    design = Design(slides=slides, patches=6, biology=biology, center=center, slide=0.7)
    table = design.table()
    results = [
        robustness_index(design.embeddings(table, seed), table, k=5, device="cpu")
        for seed in range(SIMULATIONS)
    ]
    truth = float(np.mean([result.value for result in results]))
    assert 0.92 <= coverage([result.interval for result in results], truth) <= 0.98


def test_the_robustness_index_where_cases_have_two_slides() -> None:
    design = Design(slides=8, patches=6, biology=1.0, center=1.0, slide=0.1, slides_per_case=2, case=0.8)
    table = design.table()
    by_case, by_slide = (
        [
            robustness_index(design.embeddings(table, seed), known, k=5, device="cpu")
            for seed in range(SIMULATIONS)
        ]
        for known in (table, table.drop(columns="case_id"))
    )
    truth = float(np.mean([result.value for result in by_case]))
    assert 0.92 <= coverage([result.interval for result in by_case], truth) <= 0.98
    assert coverage([result.interval for result in by_slide], truth) < 0.9


def test_clusters_that_are_mostly_biology() -> None:
    """With other slides K = 2 follows the centers, or K = 4 is best; the score without the jumps: 65 %."""
    design = Design(slides=6, patches=8, biology=2.2, center=1.9, slide=0.5)
    table = design.table()
    results = [
        clustering_score(design.embeddings(table, seed), table, trials=2, clusters=range(2, 5), device="cpu")
        for seed in range(SIMULATIONS)
    ]
    for name in ("clustering_score", "class_ari"):
        measured = [result.measurements()[name] for result in results]
        truth = float(np.mean([one.value for one in measured]))
        assert 0.92 <= coverage([one.interval for one in measured], truth) <= 0.98


@pytest.mark.parametrize("slides", [5, 12])
def test_the_clustering_score_where_clusters_stay(slides: int) -> None:
    """Every slide has a share of its own of patches in the cluster of its class, the others in the other."""
    cells, patches = 4, 10
    slide = np.repeat(np.arange(cells * slides), patches)
    cls, center = slide // slides % 2, slide // slides // 2
    rng = np.random.default_rng(2)
    results = []
    for _ in range(SIMULATIONS):
        right = rng.random(len(slide)) < rng.beta(6, 1, cells * slides)[slide]
        clusters = np.where(right, cls, 1 - cls)
        combination = Combination(
            classes=("0", "1"),
            centers=("0", "1"),
            K=2,
            silhouettes={},
            ari_class=np.array([adjusted_rand_score(cls, clusters)] * 2),
            ari_center=np.array([adjusted_rand_score(center, clusters)] * 2),
        )
        without = scores_without(slide, cls, center, [clusters, clusters])
        held = HalfIndices(
            np.array([[combination.ari_class[0], combination.ari_center[0]]]), silhouettes=np.zeros(1)
        )
        names = tuple(map(str, range(cells * slides)))
        uncertainty = score_uncertainty(
            [
                MeasuredCombination(
                    combination=combination,
                    without=without,
                    without_slides=without,
                    of_halves=[held] * 2,
                )
            ],
            Units(slide, names, "slide"),
            Labels(slide, names),
            Labels(cls, ("0", "1")),
            Labels(center, ("0", "1")),
            CombinationSample([((0, 1), (0, 1))], 1, np.ones(2, np.int64), np.ones(2, np.int64)),
            confidence=0.95,
            draws=2000,
            seed=1,
        )
        results.append((combination.score, uncertainty.interval))
    truth = float(np.mean([value for value, _ in results]))
    assert 0.3 < truth < 0.8
    assert 0.92 <= coverage([interval for _, interval in results], truth) <= 0.98


@pytest.mark.parametrize("domain", ["ID", "OOD"])
def test_the_performance_drop_of_new_slides(domain: str) -> None:
    design = DropDesign()
    results = [drop_of_ridge(design, seed, (domain,))[domain] for seed in range(SIMULATIONS)]
    truth = float(np.mean([result.value for result in results]))
    assert 0.92 <= coverage([interval_of(result) for result in results], truth) <= 0.98
