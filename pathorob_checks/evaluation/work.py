"""How much work the metrics of a run are, known before anything is measured."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pathorob_checks.metrics.definition import Work
from pathorob_checks.metrics.registry import metrics

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort


def work_ahead(cohort: Cohort, computations: Collection[str]) -> dict[str, Work]:
    """The work of each computation that can tell, by the label of its first metric.

    Parameters
    ----------
    cohort : its views are read, not its images.
    computations : names of those that the run makes.
    """
    ahead: dict[str, Work] = {}
    left = set(computations)
    for definition in metrics().values():
        computation = definition.computation
        view = cohort.views.get(computation.view)
        if computation.name in left and computation.work is not None and view is not None:
            left.remove(computation.name)
            ahead[definition.label] = computation.work(view.patches)
    return ahead
