"""95 % intervals hold the truth in 92 to 98 % of simulations. `benchmarks/coverage.py` has more scenarios."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from planted_slides import Design

from pathorob_checks.metrics import masson_loftus, robustness_index
from pathorob_checks.metrics.drop_uncertainty import drop_resampling
from pathorob_checks.metrics.intervals import interval_of

SIMULATIONS = 400


def coverage(intervals: Sequence[tuple[float, float] | None], truth: float) -> float:
    assert len(intervals) >= 300
    return float(np.mean([i is not None and i[0] <= truth <= i[1] for i in intervals]))


@pytest.mark.parametrize(("slides", "biology", "center"), [(4, 1.0, 1.0), (6, 1.6, 0.6)])
def test_the_robustness_index(slides: int, biology: float, center: float) -> None:
    design = Design(slides=slides, patches=6, biology=biology, center=center, slide=0.7)
    table = design.table()
    found = [
        robustness_index(design.embeddings(table, seed), table, k=5, device="cpu")
        for seed in range(SIMULATIONS)
    ]
    truth = float(np.mean([result.value for result in found]))
    assert 0.92 <= coverage([result.interval for result in found], truth) <= 0.98


def drops(rng: np.random.Generator, level: float) -> np.ndarray:
    """(20,) drops as accuracies of tests of 100 patches give them, the classifier as good as its draw."""
    accuracies = rng.binomial(100, rng.beta(30, 30 * (1 - level) / level, (5, 20))) / 100
    return np.asarray((accuracies[1:] / accuracies[0]).mean(axis=0) - 1)


def test_the_performance_drop_over_repetitions() -> None:
    rng = np.random.default_rng(0)
    truth = float(np.mean([drops(rng, 0.7) for _ in range(2_000)]))
    found = [drop_resampling("performance_drop_id", drops(rng, 0.7), {}) for _ in range(SIMULATIONS)]
    assert 0.92 <= coverage([interval_of(these) for these in found], truth) <= 0.98


def test_the_mean_drop_over_cohorts() -> None:
    rng = np.random.default_rng(1)
    levels = (0.6, 0.7, 0.8)
    truth = float(np.mean([drops(rng, level) for level in levels for _ in range(2_000)]))
    found = [masson_loftus([drops(rng, level) for level in levels])[1] for _ in range(SIMULATIONS)]
    assert 0.92 <= coverage(found, truth) <= 0.98
