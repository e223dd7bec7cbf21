"""On a GPU: sums are added up in scikit-learn's order, and labels are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_kmeans import by_scikit_learn, cloud, runs_of

from pathorob_checks import metrics
from pathorob_checks.evidence.qualification import golden_cohorts as golden
from pathorob_checks.numerics import rounding
from pathorob_checks.numerics.grams import Grams, in_order
from pathorob_checks.numerics.inertias import inertias
from pathorob_checks.numerics.kmeans import KMeansRuns, Run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
CUDA = torch.device("cuda")


@pytest.mark.parametrize(("rows", "columns"), [(2000, 1536), (768, 4000), (4000, 1), (257, 65)])
def test_rows_are_added_in_their_order(rows: int, columns: int) -> None:
    table = np.random.RandomState(rows).standard_normal((rows, columns)).astype(np.float32)
    counts = torch.tensor([rows // 3, 0, rows - rows // 3], device=CUDA)
    sums = in_order(torch.from_numpy(table).to(CUDA), torch.arange(rows, device=CUDA), counts).cpu().numpy()
    first = np.add.accumulate(table[: rows // 3], dtype=np.float32)[-1]
    last = np.add.accumulate(table[rows // 3 :], dtype=np.float32)[-1]
    np.testing.assert_array_equal(sums, [first, np.zeros(columns), last])


@pytest.mark.parametrize("dim", [64, 515, 3072])
def test_means_and_inertias_are_scikit_learns_to_the_bit(dim: int) -> None:
    points = cloud(900, dim, seed=dim)
    points -= points.mean(axis=0)
    grams = Grams([points], CUDA)
    labels = np.random.RandomState(0).randint(6, size=900)
    order = torch.from_numpy(np.argsort(labels, kind="stable")).to(CUDA)
    means = grams.means(order, torch.from_numpy(np.bincount(labels)).to(CUDA))
    np.testing.assert_array_equal(means.cpu().numpy(), rounding.centers(points, labels, 6))
    ours = inertias(
        grams, torch.from_numpy(labels)[None].to(CUDA), torch.zeros(1, dtype=torch.int64, device=CUDA)
    )
    assert ours.tolist() == [rounding.inertia(points, labels, 6)]


def test_labels_are_scikit_learns() -> None:
    sets = [cloud(count, 256, count, clusters, 0.5) for count, clusters in ((700, 0), (500, 4), (701, 8))]
    runs = [run for run in runs_of(sets, seed=3) if run.rows is None]
    for run, labels in zip(runs, KMeansRuns(sets, CUDA).labels(runs), strict=True):
        np.testing.assert_array_equal(labels, by_scikit_learn(sets[run.set], run), err_msg=str(run))


def test_ties_are_decided_as_scikit_learn_does() -> None:
    rng = np.random.RandomState(7)
    points = np.zeros((200, 64), dtype=np.float32)
    points[:, :6] = rng.randint(-1, 2, (200, 6)) / np.float32(3)
    runs = [Run(K=K, starts=4, seed=seed) for K in (2, 5, 9) for seed in range(4)]
    for run, labels in zip(runs, KMeansRuns([points], CUDA).labels(runs), strict=True):
        np.testing.assert_array_equal(labels, by_scikit_learn(points, run), err_msg=str(run))


def test_the_clustering_score_is_that_of_the_cpu_twice() -> None:
    table = golden.TABLES["tcga_4x4"]()
    table = table[table.medical_center.isin(table.medical_center.unique()[:2])].reset_index(drop=True)
    embeddings = golden.embeddings(table, dim=256)
    cpu, gpu, again = (
        metrics.clustering_score(embeddings, table, trials=5, clusters=range(2, 9), device=device)
        for device in ("cpu", "cuda", "cuda")
    )
    assert (gpu.value, gpu.interval) == (again.value, again.interval)
    assert gpu.value == cpu.value
    assert [one.K for one in gpu.combinations] == [one.K for one in cpu.combinations]
    assert gpu.interval == pytest.approx(cpu.interval, abs=1e-9)
