"""On a GPU: the performance drop and the robustness index are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_logistic import planted

from pathorob_checks.evidence.qualification import golden_cohorts as golden
from pathorob_checks.metrics import performance_drop, robustness_index
from pathorob_checks.metrics.schedules import published_schedule
from pathorob_checks.numerics.deletions import predictions_without
from pathorob_checks.numerics.logistic import best_classifiers
from pathorob_checks.numerics.neighbors import finish, nearest_neighbors

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
TABLES = {"camelyon": "camelyon", "tcga": "tcga_4x4", "tolkach_esca": "tolkach_esca"}
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("cohort", ["camelyon", "tcga"])
def test_the_drop_is_that_of_the_cpu(cohort: str) -> None:
    whole, weights = golden.COHORTS[cohort]
    table = golden.TABLES[TABLES[cohort]]()
    x = golden.embeddings(golden.TABLES[whole](), dim=96, seed=100, **weights)
    row = {key: number for number, key in enumerate(golden.patch_keys(golden.TABLES[whole]()))}
    x = x[[row[key] for key in golden.patch_keys(table)]]
    cpu, gpu = (
        performance_drop(x, table, schedule=published_schedule(cohort), repetitions=2, device=device)
        for device in ("cpu", "cuda")
    )
    # Sums in another order: a fit that stops after 100 iterations carries that along.
    assert np.mean(cpu.regularisation == gpu.regularisation) > 0.8
    np.testing.assert_allclose(gpu.id_accuracies, cpu.id_accuracies, atol=0.01)
    assert gpu.id_drop == pytest.approx(cpu.id_drop, abs=0.002)
    assert gpu.ood_drop == pytest.approx(cpu.ood_drop, abs=0.002)
    assert gpu.id_interval == pytest.approx(cpu.id_interval, abs=0.01)
    assert gpu.ood_interval == pytest.approx(cpu.ood_interval, abs=0.01)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_chosen_classifiers_and_predictions_without_slides_are_those_of_the_cpu(classes: int) -> None:
    x, y = planted(1800, 192, classes, seed=classes, signal=0.3)
    training = [np.arange(s, 900, step) for s, step in ((0, 1), (0, 2), (1, 2), (2, 3))]
    validation = [np.arange(900, 1200)] * len(training)
    tested = np.arange(1200, 1800)
    cpu, gpu = (
        best_classifiers(torch.from_numpy(x).to(device), y, training, validation) for device in (CPU, CUDA)
    )
    assert [one.c for one in gpu] == [one.c for one in cpu]
    for rows, ours, expected in zip(training, gpu, cpu, strict=True):
        points = torch.from_numpy(x)
        predicted = ours.predict(points[1200:].cuda())
        assert np.mean(predicted != expected.predict(points[1200:])) <= 0.005
        groups = np.arange(len(rows)) % 12
        counts = np.where(groups == np.arange(12)[:, None], 0, 12 / 11).astype(np.float32)
        without = predictions_without(points.cuda(), y, rows, ours, counts, tested)
        by_cpu = predictions_without(points, y, rows, expected, counts, tested)
        assert np.mean(without != by_cpu) <= 0.005


@pytest.mark.parametrize(
    ("table_name", "cohort", "k", "paired"),
    [
        ("camelyon", "camelyon", 11, False),
        ("tcga_2x2", "tcga", 61, True),
        ("tolkach_esca_reduced", "tolkach_esca", 46, False),
    ],
)
def test_the_index_is_that_of_the_cpu(table_name: str, cohort: str, k: int, paired: bool) -> None:
    whole, weights = golden.COHORTS[cohort]
    table = golden.TABLES[table_name]()
    table = table[table.subset != "OOD"].reset_index(drop=True)
    everything = golden.embeddings(golden.TABLES[whole](), dim=256, seed=100, **weights)
    row = {key: number for number, key in enumerate(golden.patch_keys(golden.TABLES[whole]()))}
    x = everything[[row[key] for key in golden.patch_keys(table)]]
    cpu, gpu = (robustness_index(x, table, k=k, paired=paired, device=device) for device in ("cpu", "cuda"))
    assert gpu.value == cpu.value
    assert gpu.interval == cpu.interval


@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_neighbors_are_those_of_the_cpu_to_the_last(spread: float) -> None:
    """Also among many products that are equal up to rounding."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((3000, 128)) * spread + 1).astype(np.float32)
    x[1::7] = x[::7][: len(x[1::7])]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    groups = np.arange(3000) // 20
    cpu, gpu = (finish(nearest_neighbors(x.copy(), groups, 40, device)) for device in (CPU, CUDA))
    np.testing.assert_array_equal(getattr(gpu, "rows", gpu), getattr(cpu, "rows", cpu))


@pytest.mark.parametrize("setting", ["high", "medium"])
def test_a_program_that_allows_tf32_has_the_same_index(setting: str) -> None:
    table = golden.TABLES["tolkach_esca_reduced"]()
    x = golden.embeddings(table, dim=256, seed=3)
    before = torch.get_float32_matmul_precision()
    expected = robustness_index(x, table, k=46, device="cuda").value
    torch.set_float32_matmul_precision(setting)
    try:
        assert robustness_index(x, table, k=46, device="cuda").value == expected
    finally:
        torch.set_float32_matmul_precision(before)
