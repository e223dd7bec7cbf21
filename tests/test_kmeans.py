"""k-means in lockstep gives scikit-learn's labels, also where rounding decides or a cluster is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg.blas import sgemm
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.utils.extmath import row_norms
from threadpoolctl import threadpool_limits
from torch.utils._python_dispatch import TorchDispatchMode

from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import inertias, kmeans, lloyd, rounding
from pathorob_checks.numerics.grams import Grams
from pathorob_checks.numerics.kmeans import KMeansRuns, Run
from pathorob_checks.numerics.silhouettes import cosine_silhouettes

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
CPU = torch.device("cpu")


def cloud(count: int, dim: int, seed: int, clusters: int = 0, spread: float = 1.0) -> Float32:
    """Points of length 1 around `clusters` directions; without any, no clear clusters."""
    rng = np.random.RandomState(seed)
    x = spread * rng.standard_normal((count, dim)) * np.arange(1, dim + 1) ** -0.5
    if clusters:
        x += rng.standard_normal((clusters, dim))[rng.randint(0, clusters, count)]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def by_scikit_learn(points: Float32, run: Run, **settings_: int) -> Int64:
    with threadpool_limits(1):
        model = KMeans(run.K, init="random", n_init=run.starts, random_state=run.seed, **settings_)
        return np.asarray(model.fit(points).labels_, dtype=np.int64)


def converge(
    grams: Grams, starts: Sequence[Int64], tolerance: float, rows: Int64 | slice = slice(None)
) -> lloyd.LloydResults:
    members = np.zeros((len(starts), grams.count), dtype=bool)
    members[:, rows] = True
    of_starts = lloyd.Starts(
        centers=starts,
        sets=np.zeros(len(starts), dtype=np.int64),
        members=members,
        of_members=np.arange(len(starts)),
        tolerances=np.full(len(starts), tolerance),
        exact_tolerance=lambda start: tolerance,
    )
    return lloyd.converge(grams, of_starts)


def silhouettes(points: Float32, labelings: Sequence[Int64]) -> list[float]:
    x = torch.from_numpy(points)
    return cosine_silhouettes(x, x.double().square().sum(dim=1), labelings)


def centered(points: Float32) -> Grams:
    return Grams([points - points.mean(axis=0)], CPU)


def assert_same_labels(points: Float32, runs: Sequence[Run]) -> None:
    ours = KMeansRuns([points], CPU)
    assert ours._grams is not None  # otherwise scikit-learn would be compared with itself
    for run, labels in zip(runs, ours.labels(runs), strict=True):
        np.testing.assert_array_equal(labels, by_scikit_learn(points, run), err_msg=str(run))


@pytest.mark.parametrize("K", [2, 3, 7, 19, 30])
@pytest.mark.parametrize(("count", "dim"), [(300, 64), (1000, 96), (257, 1536), (700, 512)])
def test_labels_are_scikit_learns_where_there_are_no_clear_clusters(K: int, count: int, dim: int) -> None:
    assert_same_labels(cloud(count, dim, seed=K), [Run(K=K, starts=4, seed=s) for s in range(3)])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000), clusters=st.integers(0, 6), K=st.integers(2, 12), count=st.integers(40, 400)
)
def test_labels_are_scikit_learns(seed: int, clusters: int, K: int, count: int) -> None:
    points = cloud(count, 64, seed, clusters, spread=0.5)
    assert_same_labels(points, [Run(K=K, starts=3, seed=seed), Run(K=K, starts=2, seed=seed + 1)])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_points_between_two_centers_have_scikit_learns_labels(seed: int) -> None:
    """A coarse grid: many distances are equal up to rounding, many points are duplicates."""
    rng = np.random.RandomState(seed)
    points = np.zeros((200, 64), dtype=np.float32)
    points[:, :6] = rng.randint(-1, 2, (200, 6)) / np.float32(3)
    before = rounding.nearest_centers
    calls = []

    def counting(*arguments: object) -> Int64:
        calls.append(1)
        return before(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "nearest_centers", counting)
        assert_same_labels(points, [Run(K=K, starts=3, seed=seed) for K in (2, 5)])
    assert calls


@pytest.mark.parametrize(("count", "dim"), [(300, 64), (700, 515), (257, 1536)])
def test_the_inertia_of_settled_clusters_is_scikit_learns_to_the_bit(count: int, dim: int) -> None:
    points = cloud(count, dim, seed=count)
    with threadpool_limits(1):
        models = [KMeans(K, init="random", n_init=1, tol=0, random_state=K).fit(points) for K in (2, 5, 30)]
    ours = [
        rounding.inertia(points - points.mean(axis=0), model.labels_.astype(np.int64), model.n_clusters)
        for model in models
    ]
    assert ours == [model.inertia_ for model in models]


def test_partitions_of_different_points_are_distinguished() -> None:
    partitions = ([0, 0, 1, 1, -1, -1], [0, 0, -1, -1, 1, 1], [-1, -1, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2])
    first = kmeans._first_members(torch.tensor(partitions))
    assert len({row.numpy().tobytes() for row in first}) == 4
    once, renamed = kmeans._first_members(torch.tensor([[0, 1, -1, 2, 0], [2, 0, -1, 1, 2]]))
    assert once.tolist() == renamed.tolist() == [0, 1, -1, 3, 0]


def test_runs_of_different_k_give_the_same_together_as_alone() -> None:
    points = cloud(400, 80, seed=3)
    gram = centered(points)
    starts = [start for K in (2, 9, 5) for start in Run(K=K, starts=3, seed=K).first_centers(400)]
    together = converge(gram, starts, 1e-9)
    for number, start in enumerate(starts):
        alone = converge(gram, [start], 1e-9)
        np.testing.assert_array_equal(together.labels[number], alone.labels[0])
        assert together.inertia[number] == pytest.approx(alone.inertia[0], rel=1e-6)
        assert set(together.labels[number].tolist()) == set(range(len(start)))


def test_a_run_that_loses_a_cluster_is_left_to_scikit_learn() -> None:
    """Duplicates of the first centers leave one of them without points."""
    points = np.repeat(cloud(30, 64, seed=1), 20, axis=0)
    runs = [Run(K=12, starts=5, seed=s) for s in range(6)]
    gram = centered(points)
    starts = [start for run in runs for start in run.first_centers(len(points))]
    assert converge(gram, starts, 0.0).emptied.any()
    assert_same_labels(points, runs)


def test_a_run_ends_when_its_centers_move_less_than_the_tolerance() -> None:
    points = cloud(600, 64, seed=5)
    first = Run(K=6, starts=1, seed=0).first_centers(600)
    gram = centered(points)
    tolerance = 0.3
    early = converge(gram, first, tolerance * float(np.mean(np.var(points, axis=0))))
    with threadpool_limits(1):
        model = KMeans(6, init=points[first[0]], n_init=1, tol=tolerance).fit(points)
        strict = KMeans(6, init=points[first[0]], n_init=1, tol=0).fit(points)
    assert model.n_iter_ < strict.n_iter_
    np.testing.assert_array_equal(early.labels[0], model.labels_)
    assert early.inertia[0] == pytest.approx(model.inertia_, rel=1e-5)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_run_ends_after_the_largest_number_of_iterations(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lloyd, "MAX_ITERATIONS", most)
    points = cloud(500, 64, seed=7)
    run = Run(K=8, starts=3, seed=2)
    (labels,) = KMeansRuns([points], CPU).labels([run])
    np.testing.assert_array_equal(labels, by_scikit_learn(points, run, max_iter=most))


def test_scikit_learn_runs_if_memory_is_too_small_for_all_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "_GRAM_BYTES", 1000)
    points = cloud(200, 64, seed=9)
    ours, run = KMeansRuns([points], CPU), Run(K=4, starts=3, seed=1)
    assert ours._grams is None
    np.testing.assert_array_equal(next(ours.labels([run])), by_scikit_learn(points, run))


def test_labels_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    points = cloud(800, 128, seed=11)
    runs = [Run(K=K, starts=4, seed=0) for K in (2, 3, 17)] + [Run(K=5, starts=2, seed=s) for s in range(6)]
    labels = {}
    for cores in (1, 3):
        monkeypatch.setattr("pathorob_checks.numerics.threads.available", lambda cores=cores: cores)
        labels[cores] = np.array(list(KMeansRuns([points], CPU).labels(runs)))
    np.testing.assert_array_equal(labels[1], labels[3])


@pytest.mark.parametrize("dim", [16, 80])
@pytest.mark.parametrize("clusters", [4, 0])
def test_runs_on_some_points_have_the_labels_of_runs_on_these_points_alone(dim: int, clusters: int) -> None:
    points = cloud(300, dim, seed=1, clusters=clusters, spread=0.5)
    parts = [None, np.arange(0, 300, 2), np.arange(40, 300), np.arange(7)]
    runs = [Run(K=K, starts=4, seed=0, rows=rows) for K in (3, 6) for rows in parts]
    for run, labels in zip(runs, KMeansRuns([points], CPU).labels(runs), strict=True):
        rows = np.arange(300) if run.rows is None else run.rows
        np.testing.assert_array_equal(labels[rows], by_scikit_learn(points[rows], run))
        assert (np.delete(labels, rows) == -1).all()
        assert len(np.unique(labels[rows])) == run.K


def test_a_run_on_some_points_that_loses_a_cluster_is_left_to_scikit_learn() -> None:
    points = np.repeat(cloud(30, 64, seed=1), 20, axis=0)
    rows = np.arange(0, 600, 3)
    runs = [Run(K=12, starts=5, seed=s, rows=rows) for s in range(6)]
    gram = centered(points)
    ends = converge(gram, [start for run in runs for start in run.first_centers(600)], 0.0, rows)
    assert ends.emptied.any()
    for run, labels in zip(runs, KMeansRuns([points], CPU).labels(runs), strict=True):
        np.testing.assert_array_equal(labels[rows], by_scikit_learn(points[rows], run))


# --- silhouettes --------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), K=st.integers(2, 20))
def test_silhouettes_are_scikit_learns(seed: int, K: int) -> None:
    points = cloud(60, 16, seed, clusters=4)
    labels = np.concatenate([np.arange(K), np.random.RandomState(seed).randint(0, K, 60 - K)])
    expected = silhouette_score(points.astype(np.float64), labels, metric="cosine")
    assert silhouettes(points, [labels])[0] == pytest.approx(expected, abs=1e-6)


def test_a_cluster_of_one_point_adds_a_silhouette_of_zero() -> None:
    points = np.eye(3, dtype=np.float32)
    assert silhouettes(points, [np.array([0, 1, 1])]) == [0.0]


def test_clusters_of_identical_points_have_a_silhouette_of_one() -> None:
    points = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    assert silhouettes(points, [np.array([0, 0, 0, 1, 1, 1])]) == [1.0]


# --- as on a GPU ------------------------------------------------------------------------------------------


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "is_gpu", lambda device: True)


def runs_of(sets: Sequence[Float32], seed: int) -> list[Run]:
    """Of several sets: all points with different K, and halves of them."""
    rng = np.random.RandomState(seed)
    runs = [Run(K=K, starts=3, seed=seed + K, set=s) for s in range(len(sets)) for K in (2, 5, 11)]
    for s, points in enumerate(sets):
        rows = np.sort(rng.permutation(len(points))[: len(points) // 2])
        runs += [Run(K=K, starts=3, seed=seed, set=s, rows=rows) for K in (2, 4)]
    return runs


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), clusters=st.integers(0, 5))
def test_sets_of_different_sizes_give_the_same_together_as_alone(seed: int, clusters: int) -> None:
    sets = [cloud(count, 96, seed + count, clusters, spread=0.5) for count in (120, 90, 201)]
    runs = runs_of(sets, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "is_gpu", lambda device: True)
        together = list(KMeansRuns(sets, CPU).labels(runs))
    for run, labels in zip(runs, together, strict=True):
        alone = Run(K=run.K, starts=run.starts, seed=run.seed, rows=run.rows)
        (expected,) = KMeansRuns([sets[run.set]], CPU).labels([alone])
        np.testing.assert_array_equal(labels, expected, err_msg=str(run))


def test_ties_are_decided_as_scikit_learn_does_as_on_a_gpu(as_on_a_gpu: None) -> None:
    """A coarse grid: many distances and inertias are equal up to rounding, many points are duplicates."""
    rng = np.random.RandomState(7)
    sets = []
    for _ in range(2):
        points = np.zeros((200, 64), dtype=np.float32)
        points[:, :6] = rng.randint(-1, 2, (200, 6)) / np.float32(3)
        sets.append(points)
    runs = [Run(K=K, starts=4, seed=seed, set=s) for s in range(2) for K in (2, 5, 9) for seed in range(4)]
    for run, labels in zip(runs, KMeansRuns(sets, CPU).labels(runs), strict=True):
        np.testing.assert_array_equal(labels, by_scikit_learn(sets[run.set], run), err_msg=str(run))


@pytest.mark.parametrize("dim", [64, 515, 1536])
def test_inertias_on_a_device_are_scikit_learns_to_the_bit(dim: int) -> None:
    sets = [cloud(300, dim, seed=1), cloud(257, dim, seed=2)]
    both = Grams([points - points.mean(axis=0) for points in sets], CPU)
    rng = np.random.RandomState(dim)
    labels = np.full((6, 300), -1)
    expected = []
    for row, (s, K) in enumerate((s, K) for s in range(2) for K in (2, 5, 30)):
        count = len(sets[s])
        labels[row, :count] = rng.randint(K, size=count)
        labels[row, rng.permutation(count)[: count // 3]] = -1
        expected.append(rounding.inertia(both.sets[s], labels[row, :count], K))
    of_sets = torch.tensor([0, 0, 0, 1, 1, 1])
    assert inertias.inertias(both, torch.from_numpy(labels), of_sets).tolist() == expected


def test_the_means_of_points_are_scikit_learns_to_the_bit() -> None:
    points = cloud(700, 96, seed=4)
    labels = np.random.RandomState(0).randint(6, size=700)
    order = np.argsort(labels, kind="stable")
    means = centered(points).means(torch.from_numpy(order), torch.from_numpy(np.bincount(labels)))
    np.testing.assert_array_equal(means.numpy(), rounding.centers(points - points.mean(axis=0), labels, 6))


def test_scikit_learns_distances_are_within_their_stated_rounding() -> None:
    for dim in (64, 256, 1536):
        points = cloud(512, dim, seed=dim, clusters=4, spread=0.5)
        points -= points.mean(axis=0)
        gram = Grams([points], CPU)
        labels = np.random.RandomState(0).randint(9, size=512)
        for centers in (points[:9], rounding.centers(points, labels, 9)):
            distances = _scikit_learns_distances(points[:256], centers)
            rows = torch.arange(256).repeat_interleave(9)
            exact, within = gram.distances(rows, torch.from_numpy(centers).repeat(256, 1))
            error = np.abs(distances.ravel() - exact.numpy())
            assert (error <= within.numpy()).all()
            assert error.max() > within.numpy().max() / 100  # the bound is not so wide that it says nothing


def test_launches_do_not_depend_on_how_many_sets_are_clustered(as_on_a_gpu: None) -> None:
    """A step of a GPU takes longer to launch than to compute: the steps are those of the slowest start."""
    few, many = ([cloud(150, 64, seed=s) for s in range(count)] for count in (2, 8))

    def operations(sets: Sequence[Float32]) -> int:
        kmeans_runs = KMeansRuns(sets, CPU)
        runs = [Run(K=4, starts=2, seed=0, set=s) for s in range(len(sets))]
        with Counting() as counting:
            list(kmeans_runs.labels(runs))
        return counting.operations

    assert operations(many) < 2 * operations(few)


class Counting(TorchDispatchMode):
    """Counts the operations of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.operations += 1
        return func(*args, **(kwargs or {}))


def _scikit_learns_distances(points: Float32, centers: Float32) -> Float32:
    squared = row_norms(centers, squared=True)
    start = np.asfortranarray(np.repeat(squared[:, None], len(points), axis=1))
    return np.asarray(sgemm(-2.0, centers.T, points.T, 1.0, start, trans_a=1).T)


@pytest.mark.parametrize(("memory", "groups"), [(1 << 40, 1), (1, 4), (4 * 4 * 100 * (100 + 2 * 64) * 2, 2)])
def test_as_many_sets_are_taken_together_as_memory_allows(
    memory: int, groups: int, as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda device: memory)
    taken = kmeans.together([100] * 4, 64, CPU)
    assert [number for group in taken for number in group] == [0, 1, 2, 3]
    assert len(taken) == groups
