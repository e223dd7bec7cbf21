"""What each metric reads of each golden cohort: embeddings, table and the settings of the view.

Every metric of the registry that reads embeddings is there, with the view that it names, so that a new metric
is measured too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import metrics as jobs
import numpy as np
import numpy.typing as npt
import pandas as pd

from pathorob_checks.evidence.qualification import golden_cohorts as golden
from pathorob_checks.metrics.clusters import METRIC as CLUSTERING
from pathorob_checks.metrics.definition import Computation
from pathorob_checks.metrics.registry import metrics as registered
from pathorob_checks.metrics.schedules import published_schedule

Float32 = npt.NDArray[np.float32]
SMALL_DIMENSION = 64
_SMALL_STRIDE = 5  # every fifth patch: the published schedules still find their slides equally large
_SMALL = {"repetitions": 2, "trials": 3, "k": 5}


@dataclass(frozen=True)
class MetricView:
    """A computation on a cohort, and the job of `benchmarks/metrics.py` whose table it reads."""

    computation: Computation
    job: jobs.Job

    @property
    def cohort(self) -> str:
        return self.job.cohort

    @property
    def arguments(self) -> dict[str, Any]:
        """The settings of the protocol, and those of the view that the computation is called with."""
        design = {
            "k": self.job.k or None,
            "paired": self.job.unit == "subsets",
            "schedule": published_schedule(self.cohort),
        }
        return {**self.computation.settings, **{name: design[name] for name in self.computation.design}}

    def data(
        self, dim: int, *, seed: int = 100, weights: Mapping[str, Any] | None = None
    ) -> tuple[Float32, pd.DataFrame]:
        """(N, dim) float32 embeddings and the N rows of the view."""
        return jobs.data(self.job, dim, seed=seed, weights=weights)

    def compute(self, x: Float32, table: pd.DataFrame, *, device: str, **settings: Any) -> Any:
        """The result of the computation's function."""
        where = {"device": device} if self.computation.takes_device else {}
        return self.computation.function(x, table, **{**self.arguments, **where, **settings})


def of_all_metrics() -> list[MetricView]:
    """Every computation on every cohort; those of one cohort together, because they share embeddings."""
    of_view = {(job.metric, job.cohort): job for job in jobs.JOBS}
    computations = {
        metric.computation.name: metric.computation
        for metric in registered().values()
        if not metric.computation.takes_pretraining  # reads no embeddings
    }
    return [
        MetricView(computation, of_view[computation.view.replace("_", " "), cohort])
        for cohort in golden.COHORTS
        for computation in computations.values()
    ]


def small(view: MetricView, x: Float32, table: pd.DataFrame) -> tuple[Float32, pd.DataFrame, dict[str, Any]]:
    """Few patches and repetitions and one combination, which show that a metric can be computed."""
    rows = combination_of(view, table)[::_SMALL_STRIDE]
    settings = {name: few for name, few in _SMALL.items() if view.arguments.get(name)}
    return x[rows], table.iloc[rows].reset_index(drop=True), settings


def combination_of(view: MetricView, table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """All rows; for the clustering score those of its first combination of classes and centers."""
    return _first_combination(table) if view.computation.name == CLUSTERING else np.arange(len(table))


def _first_combination(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The rows of the first two classes and two centers that have patches in all four cells."""
    cells = set(zip(table.biological_class, table.medical_center, strict=True))
    for classes in combinations(dict.fromkeys(table.biological_class), 2):
        for centers in combinations(dict.fromkeys(table.medical_center), 2):
            if cells.issuperset(product(classes, centers)):
                chosen = table.biological_class.isin(classes) & table.medical_center.isin(centers)
                return np.flatnonzero(chosen)
    raise ValueError("no two classes have patches at the same two centers")
