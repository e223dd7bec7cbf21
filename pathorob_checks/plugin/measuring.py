"""From a metric's name, embeddings and a cohort to a measurement, by the cohort's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pathorob_checks.criteria.protocol import SETTINGS
from pathorob_checks.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.metrics.measurement import Measurement

Progress = Any  # the three metrics wrap different things; what comes back is what went in


def measure(
    metric: str, embeddings: Embeddings, cohort: Cohort, progress: Progress = None, **overrides: Any
) -> dict[str, Measurement]:
    """Measure one metric; the two performance drops come together because they share every fit.

    `overrides` are `device`, `confidence` and what replaces the protocol's settings and the cohort's view
    (`k`, `schedule`, `trials`, ...).
    """
    return _MEASURES[metric](embeddings, cohort, progress, overrides)


def _robustness_index(
    embeddings: Embeddings, cohort: Cohort, progress: Progress, overrides: dict[str, Any]
) -> dict[str, Measurement]:
    from pathorob_checks.metrics import robustness_index

    reading = cohort.views["robustness_index"]
    design = {"k": reading.k, "paired": reading.paired}
    settings = {**SETTINGS["robustness_index"], **design, "progress": progress, **overrides}
    result = robustness_index(embeddings.values[reading.rows], reading.patches, **settings)
    return {"robustness_index": result.measurement()}


def _performance_drop(
    embeddings: Embeddings, cohort: Cohort, progress: Progress, overrides: dict[str, Any]
) -> dict[str, Measurement]:
    from pathorob_checks.metrics import performance_drop

    reading = cohort.views["performance_drop"]
    design = {"schedule": reading.schedule}
    settings = {**SETTINGS["performance_drop"], **design, "progress": progress, **overrides}
    return performance_drop(embeddings.values[reading.rows], reading.patches, **settings).measurements()


def _clustering_score(
    embeddings: Embeddings, cohort: Cohort, progress: Progress, overrides: dict[str, Any]
) -> dict[str, Measurement]:
    from pathorob_checks.metrics import clustering_score

    reading = cohort.views["clustering_score"]
    settings = {**SETTINGS["clustering_score"], "progress": progress, **overrides}
    return {
        "clustering_score": clustering_score(
            embeddings.values[reading.rows], reading.patches, **settings
        ).measurement()
    }


_MEASURES: dict[str, Callable[[Embeddings, Cohort, Progress, dict[str, Any]], dict[str, Measurement]]] = {
    "robustness_index": _robustness_index,
    "performance_drop_id": _performance_drop,
    "performance_drop_ood": _performance_drop,
    "clustering_score": _clustering_score,
}


def not_measurable(metric: str, cohort: Cohort) -> MetricError:
    """Why a metric that was asked for did not come back."""
    return MetricError(
        f"{metric}: cohort {cohort.name!r} has no out-of-domain patches",
        remedy="mark the patches of a medical center that never trains as OOD in the cohort, or make "
        "the criterion 'required = false' in a criteria file",
    )
