"""The metrics agree with the protocol written plainly with scikit-learn, where kernels of our own compute.

Golden cohorts with 256 dimensions and stronger slides: several clusters win, fits end at different strengths.
"""

from __future__ import annotations

from functools import cache
from itertools import islice, product

import numpy as np
import numpy.typing as npt
import pandas as pd
import plain_protocol as plain
import pytest
import torch
from threadpoolctl import threadpool_limits

from pathorob_checks.evidence.qualification import golden_cohorts as golden
from pathorob_checks.metrics import clustering_score, performance_drop, published_schedule, robustness_index
from pathorob_checks.metrics.clustering_result import ClusteringScore
from pathorob_checks.metrics.drop_result import PerformanceDrop

Float32 = npt.NDArray[np.float32]
DIM = 256
STRONG: golden.Weights = {"biology": 0.45, "center": 0.45, "slide": 0.9}
CASES = {
    "tcga": (golden.TCGA["classes"][:2], golden.TCGA["id"][:2]),
    "tolkach_esca": (golden.TOLKACH["classes"][1:3], golden.TOLKACH["id"]),
}
cuda = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
)
DEVICES = ["cpu", cuda]


@cache
def view(cohort: str, table_name: str) -> tuple[Float32, pd.DataFrame]:
    full, table = golden.TABLES[golden.COHORTS[cohort][0]](), golden.TABLES[table_name]()
    row = {key: number for number, key in enumerate(golden.patch_keys(full))}
    everything = golden.embeddings(full, dim=DIM, seed=17, **STRONG)
    return everything[[row[key] for key in golden.patch_keys(table)]], table


# --- robustness index ---------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("cohort", "table_name", "k", "paired"),
    [
        ("tcga", "tcga_2x2", 61, True),
        ("tcga", "tcga_4x4", 11, False),
        ("tolkach_esca", "tolkach_esca_reduced", 46, False),
    ],
)
def test_the_robustness_index_agrees(cohort: str, table_name: str, k: int, paired: bool, device: str) -> None:
    x, table = view(cohort, table_name)
    kept = (table.subset != "OOD").to_numpy()
    x, table = x[kept], table[kept].reset_index(drop=True)
    expected = plain.robustness_index(x, table, k, paired)
    assert 0.1 < expected < 0.9
    ours = robustness_index(x, table, k=k, paired=paired, device=device)
    assert ours.value == pytest.approx(expected, abs=1e-6)


# --- performance drop ---------------------------------------------------------------------------------

REPETITIONS = {"camelyon": 2, "tcga": 4, "tolkach_esca": 3}
TABLE = {"camelyon": "camelyon", "tcga": "tcga_4x4", "tolkach_esca": "tolkach_esca"}


@cache
def drop(cohort: str, device: str) -> PerformanceDrop:
    x, table = view(cohort, TABLE[cohort])
    return performance_drop(x, table, schedule=cohort, repetitions=REPETITIONS[cohort], device=device)


# On every change, those of camelyon are compared with the reference's own in test_golden.py.
@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cohort", sorted(TABLE))
def test_the_accuracies_of_the_performance_drop_agree(cohort: str, device: str) -> None:
    x, table = view(cohort, TABLE[cohort])
    draws = islice(published_schedule(cohort).repetitions(table, 20), REPETITIONS[cohort])
    with threadpool_limits(1):
        inside, outside = plain.performance_drop(x, table, draws)
    ours = drop(cohort, device)
    assert ours.ood_accuracies is not None
    for mine, theirs in ((ours.id_accuracies, inside), (ours.ood_accuracies, outside)):
        assert np.ptp(theirs.mean(axis=1)) > 0.02
        np.testing.assert_allclose(mine.mean(axis=1), theirs.mean(axis=1), rtol=0, atol=0.002)
        expected = (theirs[1:] / theirs[0]).mean() - 1
        assert (mine[1:] / mine[0]).mean() - 1 == pytest.approx(expected, abs=0.003)


# --- clustering score ---------------------------------------------------------------------------------


@cache
def clusters(cohort: str, device: str) -> ClusteringScore:
    return clustering_score(*combination(cohort), trials=20, device=device)


def combination(cohort: str) -> tuple[Float32, pd.DataFrame]:
    x, table = view(cohort, {"tcga": "tcga_4x4", "tolkach_esca": "tolkach_esca_reduced"}[cohort])
    classes, centers = CASES[cohort]
    kept = table[table.biological_class.isin(classes) & table.medical_center.isin(centers)]
    # The protocol's order, class by class and center by center: first centers are drawn by row number.
    cells = kept.groupby(["biological_class", "medical_center"], sort=False).indices
    order = np.concatenate([cells[cell] for cell in product(classes, centers)])
    return x[kept.index[order]], kept.iloc[order].reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cohort", sorted(CASES))
def test_the_clustering_score_agrees_in_every_trial(cohort: str, device: str) -> None:
    x, table = combination(cohort)
    # The package repeats what scikit-learn computes on one thread; on more it adds up in another order.
    with threadpool_limits(1):
        expected = plain.clustering(x, table, trials=20)
    (ours,) = clusters(cohort, device).combinations
    assert expected.K > 2
    assert expected.K == ours.K
    np.testing.assert_allclose(list(ours.silhouettes.values()), expected.silhouettes, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.ari_class, expected.ari_class, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.ari_center, expected.ari_center, rtol=0, atol=1e-12)


# --- again --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_runs_are_equal_to_the_bit() -> None:
    x, table = view("tcga", "tcga_2x2")
    first, second = (robustness_index(x, table, k=61, paired=True) for _ in range(2))
    assert first.by_k.tobytes() == second.by_k.tobytes()
    assert (first.value, first.support, first.cells) == (second.value, second.support, second.cells)
    again = performance_drop(
        *view("tcga", "tcga_4x4"), schedule="tcga", repetitions=REPETITIONS["tcga"], device="cpu"
    )
    assert again.id_accuracies.tobytes() == drop("tcga", "cpu").id_accuracies.tobytes()
    assert again.regularisation.tobytes() == drop("tcga", "cpu").regularisation.tobytes()
    (one,) = clusters("tcga", "cpu").combinations
    (other,) = clustering_score(*combination("tcga"), trials=20, device="cpu").combinations
    assert one.silhouettes == other.silhouettes
    assert one.ari_class.tobytes() == other.ari_class.tobytes()
