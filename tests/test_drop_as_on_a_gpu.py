"""What a GPU does for the performance drop, done on a CPU: large batches, gathered rows, few launches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_drops import DropDesign
from test_logistic import planted
from torch.utils._python_dispatch import TorchDispatchMode

from pathorob_checks.metrics import drop_predictions, general_schedule, performance_drop
from pathorob_checks.metrics.drop_result import PerformanceDrop
from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import lbfgs, logistic
from pathorob_checks.numerics.training_rows import GatheredSets, SharedBlocks

Int64 = npt.NDArray[np.int64]
DESIGN = DropDesign(centers=3, classes=3, home=8, away=4, dim=64, biology=2.0, patches=8)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "is_gpu", lambda device: True)


def sets_of(y: Int64, seed: int, count: int) -> list[Int64]:
    """Training sets of different sizes that overlap; some lack a class of three or more."""
    rng = np.random.default_rng(seed)
    sets = [np.sort(rng.permutation(len(y))[: rng.integers(60, len(y) // 2)]) for _ in range(count)]
    lacks = rng.random(count) < (0.2 if y.max() > 1 else 0)
    return [rows[y[rows] != 0] if lack else rows for rows, lack in zip(sets, lacks, strict=True)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.sampled_from([2, 3, 4]), count=st.integers(1, 5))
def test_products_of_gathered_rows_are_those_of_shared_ones(seed: int, classes: int, count: int) -> None:
    """However many fits of a set are left: to the bit of float32 but for the order of a sum."""
    x, y = planted(300, 70, classes, seed)
    rng = np.random.default_rng(seed)
    training = [rows for rows in sets_of(y, seed, count) if len(np.unique(y[rows])) == classes]
    if not training:
        return
    columns = 1 if classes == 2 else classes
    present = np.arange(classes)
    gathered, shared = (
        arrangement(torch.from_numpy(x), y, training, present) for arrangement in (GatheredSets, SharedBlocks)
    )
    for left in (1.0, 0.6, 0.3):  # ever fewer fits, and sets without any
        sets = np.repeat(np.arange(len(training)), 4)
        sets = sets[rng.random(len(sets)) < left] if left < 1 else sets
        if len(sets) == 0:
            return
        weights = torch.from_numpy(rng.standard_normal((len(sets), columns, 80))).float()
        weights[..., 71:] = 0
        gathered.use(sets)
        shared.use(sets)
        scores = torch.zeros(len(sets), columns, gathered.places)
        of_blocks = torch.zeros(len(sets), columns, shared.places)
        gathered.scores(weights, scores)
        shared.scores(weights, of_blocks)
        every = torch.arange(len(sets))
        for rows, scored, target in (
            (gathered, scores, gathered.targets(every)),
            (shared, of_blocks, shared.targets(every)),
        ):
            used = rows.share[torch.from_numpy(sets)] > 0
            for fit, s in enumerate(sets):
                expected = x[training[s]] @ weights[fit, :, :70].numpy().T + weights[fit, :, 70].numpy()
                of_fit = scored[fit][:, used[fit]].T.numpy()
                order = np.lexsort(of_fit.T), np.lexsort(expected.T)
                np.testing.assert_allclose(of_fit[order[0]], expected[order[1]], atol=2e-4)
                assert int(used[fit].sum()) == len(training[s])
                assert float(rows.share[s].sum()) == pytest.approx(1)
            residual = (scored.sigmoid() - target) * rows.share[torch.from_numpy(sets)][:, None]
            sums = rows.sums(residual)
            for fit, s in enumerate(sets):
                z = x[training[s]] @ weights[fit, :, :70].numpy().T + weights[fit, :, 70].numpy()
                truth = y[training[s]][:, None] == (np.array([1]) if classes == 2 else present)
                factors = (1 / (1 + np.exp(-z)) - truth) / len(training[s])
                np.testing.assert_allclose(sums[fit, :, :70], factors.T @ x[training[s]], atol=1e-5)
                np.testing.assert_allclose(sums[fit, :, 70], factors.sum(axis=0), atol=1e-5)
                assert (sums[fit, :, 71:] == 0).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_same_classifiers_are_chosen_together_and_alone(classes: int) -> None:
    x, y = planted(900, 96, classes, seed=classes, signal=0.3)
    training = sets_of(y[:600], seed=3, count=6)
    validation = [np.arange(600 + 10 * s, 800 + 10 * s) for s in range(6)]
    points = torch.from_numpy(x)
    alone = [
        logistic.best_classifiers(points, y, [rows], [held_out])[0]
        for rows, held_out in zip(training, validation, strict=True)
    ]
    together = logistic.best_classifiers(points, y, training, validation, arrangement=GatheredSets)
    for ours, expected in zip(together, alone, strict=True):
        assert ours.c == expected.c
        np.testing.assert_array_equal(ours.classes, expected.classes)
        # Sums in another order; a fit that stops after 100 iterations carries that along.
        assert float((ours.weights - expected.weights).norm() / expected.weights.norm()) < 0.01


class Launches(TorchDispatchMode):
    """Counts the operations that are started, and the values that are fetched from the device."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def launches(sets: int, iterations: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    monkeypatch.setattr(lbfgs, "MAX_ITERATIONS", iterations)
    monkeypatch.setattr(lbfgs, "TOLERANCE", 0.0)
    monkeypatch.setattr(lbfgs, "RELATIVE_DECREASE", -1.0)  # so that no fit ends early
    monkeypatch.setattr(lbfgs, "FLATNESS", np.inf)  # and no search needs a second trial
    monkeypatch.setattr(lbfgs, "DECREASE", -np.inf)
    x, y = planted(400, 64, 3, seed=1)
    training = [np.arange(s, 390, 1 + s % 2) for s in range(sets)]
    with Launches() as counted:
        logistic._in_lockstep(torch.from_numpy(x), y, training, GatheredSets)
    return counted.counts


def test_an_iteration_has_as_many_products_for_many_sets_as_for_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, many = (launches(3, iterations, monkeypatch) for iterations in (12, 13))
    # Two with the rows; two with the pairs of L-BFGS; one with the triangular matrices.
    products = {name: many[name] - few[name] for name in ("bmm", "mm", "addmm")}
    assert products == {"bmm": 5, "mm": 0, "addmm": 0}
    for iterations, expected in ((12, few), (13, many)):
        more_sets = launches(9, iterations, monkeypatch)
        for name in ("bmm", "mm", "softmax", "_softmax", "logsumexp", "index", "sum", "_to_copy"):
            filled = {"index": 6, "_to_copy": 6}.get(name, 0)  # the rows of a set are copied once
            assert more_sets[name] - expected[name] <= filled, name


def test_a_batch_of_repetitions_gives_the_drop_of_single_ones(as_on_a_gpu: None) -> None:
    """But for the rounding of sums, which moves a patch across a border here and there, and a tie of Cs."""
    together, alone = drop_with(free=1 << 40), drop_with(free=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "is_gpu", lambda device: False)
        on_cpu = drop_with(free=0)
    schedule = general_schedule(DESIGN.table, repetitions=3)
    one_patch = 1 / min(len(draw.id_test) for draw in schedule.repetitions(DESIGN.table, 3))
    for other in (alone, on_cpu):
        assert np.mean(together.regularisation == other.regularisation) >= 0.8
        assert np.mean(together.id_accuracies == other.id_accuracies) >= 0.8
        np.testing.assert_allclose(together.id_accuracies, other.id_accuracies, atol=1.01 * one_patch)


def drop_with(free: int) -> PerformanceDrop:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "free_memory", lambda device: free)
        return performance_drop(DESIGN.embeddings(0), DESIGN.table, repetitions=3)


@pytest.mark.parametrize(("free", "sizes"), [(10.0, [5]), (3.0, [3, 2]), (1.0, [1] * 5), (0.1, [1] * 5)])
def test_batches_are_as_large_as_the_free_memory_allows(
    free: float, sizes: list[int], as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = batches_with(monkeypatch, free, limit=5)
    assert tried == sizes


def test_a_batch_that_runs_out_of_memory_is_halved(
    as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert batches_with(monkeypatch, free=10.0, limit=2) == [5, 3, 2, 2, 1]


def test_a_single_repetition_that_does_not_fit_says_so(
    as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        batches_with(monkeypatch, free=10.0, limit=0)


def batches_with(monkeypatch: pytest.MonkeyPatch, free: float, limit: int) -> list[int]:
    """Sizes of the batches of five repetitions that are tried.

    `free` is the free memory, in what a repetition takes at its peak; batches of more than `limit` fail.
    """
    design = DropDesign(dim=64, patches=2)
    draws = (design.draws * 5)[:5]
    codes = np.unique(design.table.biological_class, return_inverse=True)[1]
    each = drop_predictions._PEAK * logistic.memory(64, codes, draws[0].training, GatheredSets)
    monkeypatch.setattr(devices, "free_memory", lambda device: int(free * each) + 1)
    tried: list[int] = []

    def outcomes(work: object, points: object, batch: list[Any]) -> list[Any]:
        tried.append(len(batch))
        if len(batch) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return batch

    monkeypatch.setattr(drop_predictions._Work, "outcomes", outcomes)
    x = design.embeddings(0)
    assert list(drop_predictions.outcomes(x, codes, codes, codes, draws, torch.device("cpu"))) == draws
    return tried
