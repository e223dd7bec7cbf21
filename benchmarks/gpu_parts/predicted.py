"""The time that the metrics should need on a GPU: operations and bytes, counted from the cohorts' tables.

The longer of computing and reading, and the launches of kernels, which nothing else hides. Intervals are not
in it: they are computed by NumPy from neighbors, predictions and labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import metrics
import pandas as pd
from tabulate import tabulate

from pathorob_checks.metrics.cluster_trials import STARTS_PER_TRIAL, STARTS_TO_CHOOSE_K
from pathorob_checks.metrics.schedules import published_schedule
from pathorob_checks.numerics.lbfgs import MEMORY
from pathorob_checks.numerics.logistic import REGULARIZATION_GRID

DIMENSION = 3072
CLUSTERS = range(2, 31)


@dataclass(frozen=True)
class Card:
    """Float32 operations per second outside tensor cores that large products reach, and bytes per second."""

    name: str
    operations: float
    bandwidth: float


CARDS = (Card("H100", 45e12, 3.35e12), Card("H200", 45e12, 4.8e12))


@dataclass(frozen=True)
class Assumed:
    """What the tables do not say."""

    launch: float = 10e-6  # s from one small kernel to the next, with what Python does between them
    evaluations: float = 110  # of the loss in a fit of at most 100 iterations
    launches_of_evaluation: float = 80
    clusters_of_trials: int = 4
    iterations: float = 20  # of a k-means start, until its labels stay
    longest: float = 80  # iterations of the slowest start of a batch
    launches_of_iteration: float = 100
    passes: float = 10  # over the sums of all clusters in an iteration
    steps: int = 3  # choosing K, trials, halves: one after the other
    numbers_of_batch: float = 2**30  # sums of starts that advance together
    passes_of_search: float = 4  # over the products of all pairs, while the nearest are kept
    block: int = 4096  # rows of a block of the search
    launches_of_block: float = 40


ASSUMED = Assumed()


@dataclass(frozen=True)
class Counts:
    """Float32 operations, bytes of the device's memory and launches of kernels."""

    operations: float
    bytes: float
    launches: float

    def seconds(self, card: Card) -> float:
        work = max(self.operations / card.operations, self.bytes / card.bandwidth)
        return work + self.launches * ASSUMED.launch


def counts(job: metrics.Job, dim: int = DIMENSION) -> Counts:
    """What a metric on a cohort takes, of the whole protocol."""
    table = metrics.rows_of(job)
    if job.is_index:
        return _search(table, job.units, dim)
    return _drop(table, job, dim) if job.metric == "performance drop" else _clustering(table, dim)


def _search(table: pd.DataFrame, parts: int, dim: int) -> Counts:
    rows = len(table) / parts
    pairs = rows * (rows + 1) / 2
    blocks = max(1.0, (rows / ASSUMED.block) ** 2)
    return Counts(
        parts * 2 * pairs * dim,
        parts * 4 * (rows * dim + pairs * ASSUMED.passes_of_search),
        parts * blocks * ASSUMED.launches_of_block,
    )


def _drop(table: pd.DataFrame, job: metrics.Job, dim: int) -> Counts:
    """All fits in one batch, each training set with its own copy of its rows (numerics/training_rows.py)."""
    draws = published_schedule(job.cohort).repetitions(table, metrics.REPETITIONS)
    rows = [len(training) for draw in draws for training in draw.training]
    classes = table.biological_class.nunique()
    columns = len(REGULARIZATION_GRID) * (1 if classes == 2 else classes)
    read = 2 * sum(rows) * dim  # for the scores and for the gradients
    pairs = (4 * MEMORY + 8) * len(rows) * columns * dim
    return Counts(
        ASSUMED.evaluations * 2 * read * columns,
        ASSUMED.evaluations * 4 * (read + 4 * sum(rows) * columns + pairs),
        ASSUMED.evaluations * ASSUMED.launches_of_evaluation,
    )


def _clustering(table: pd.DataFrame, dim: int) -> Counts:
    cells = table.groupby(["biological_class", "medical_center"]).size()
    sizes = _combinations(cells)
    starts = len(CLUSTERS) * STARTS_TO_CHOOSE_K + metrics.TRIALS * STARTS_PER_TRIAL
    trials = metrics.TRIALS * STARTS_PER_TRIAL * ASSUMED.clusters_of_trials
    sums = (STARTS_TO_CHOOSE_K * sum(CLUSTERS) + trials) * sum(sizes)
    products = sum(rows**2 for rows in sizes)
    batches = ASSUMED.steps + sums // ASSUMED.numbers_of_batch
    return Counts(
        2 * products * dim,
        4 * (starts * products + ASSUMED.passes * ASSUMED.iterations * sums),
        batches * ASSUMED.longest * ASSUMED.launches_of_iteration,
    )


def _combinations(cells: pd.Series) -> list[int]:
    """Patches of every pair of classes x pair of centers that has patches in all four cells."""
    classes, centers = (list(dict.fromkeys(cells.index.get_level_values(level))) for level in (0, 1))
    pairs = product(combinations(classes, 2), combinations(centers, 2))
    four = [list(product(*pair)) for pair in pairs]
    return [int(sum(cells[cell] for cell in each)) for each in four if all(cell in cells for cell in each)]


@cache
def predictions(dim: int = DIMENSION) -> dict[tuple[str, str], Counts]:
    """The counts of every metric and cohort of `benchmarks/metrics.py`."""
    return {
        (job.metric, job.cohort): counts(job, dim)
        for job in metrics.JOBS
        if job.metric != metrics.INDEX_ALONE
    }


def seconds(name: str, cohort: str, card: str, dim: int = DIMENSION) -> float | None:
    """Predicted for a computation's name and a card whose name contains that of one of `CARDS`, else None."""
    counted = predictions(dim).get((name.replace("_", " "), cohort))
    known = next((one for one in CARDS if one.name in card), None)
    return None if counted is None or known is None else counted.seconds(known)


def table(dim: int = DIMENSION) -> str:
    """Markdown: counts and predicted seconds, beside columns for what is measured."""
    rows = []
    for (metric, cohort), counted in predictions(dim).items():
        times = [f"{counted.seconds(card):.2f}" for card in CARDS]
        rows.append([metric, cohort, *_counted(counted), *times, "", ""])
    every = list(predictions(dim).values())
    sums = Counts(*(sum(getattr(one, name) for one in every) for name in ("operations", "bytes", "launches")))
    times = [f"{sum(one.seconds(card) for one in every):.2f}" for card in CARDS]
    rows.append(["**all three**", "**all**", *_counted(sums), *times, "", ""])
    heads = ["metric", "cohort", "TFLOP", "GB", "launches, 1000s"]
    heads += [f"{card.name} predicted, s" for card in CARDS] + [f"{card.name} measured, s" for card in CARDS]
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True)


def _counted(counted: Counts) -> list[str]:
    return [
        f"{counted.operations / 1e12:.1f}",
        f"{counted.bytes / 1e9:,.0f}",
        f"{counted.launches / 1000:,.0f}",
    ]
