"""All metrics by name: those of this package, and those that other packages add through an entry point."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.definition import Metric
from pathorob_checks.wording import hint

GROUP = "pathorob_checks.metrics"
# Modules with the definitions of this package, in the order of tables.
_MODULES = (
    "neighborhoods",
    "performance",
    "clusters",
    "margins",
    "margin_index",
    "center_probes",
    "class_probes",
    "error_metrics",
    "degradation_metrics",
    "retrieval",
    "predictions_of_slides",
    "pretraining_overlap",
)


@cache
def metrics() -> dict[str, Metric]:
    """Return every metric by name: this package's in the order of tables, then those of other packages.

    Returns
    -------
    dict of str to Metric
        The same dictionary in every call; do not change it.

    Raises
    ------
    MetricError
        An entry point cannot be loaded, is not a `Metric`, or uses a name that is taken.

    Examples
    --------
    >>> from pathorob_checks.metrics import metrics
    >>> list(metrics())[:4]
    ['robustness_index', 'performance_drop_id', 'performance_drop_ood', 'clustering_score']
    """
    known = dict(_own_metrics())
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        where = f"the entry point {entry.name} = {entry.value} of the group {GROUP}"
        remedy = f"update or uninstall the package {entry.dist.name if entry.dist else entry.module}"
        try:
            added = entry.load()
        except Exception as error:
            problem = f"{where} cannot be loaded ({type(error).__name__}: {error})"
            raise MetricError(problem, remedy=remedy) from error
        if not isinstance(added, Metric):
            raise MetricError(f"{where} is a {type(added).__name__} and not a Metric", remedy=remedy)
        if added.name in known:
            raise MetricError(f"{where} uses the name {added.name!r}, which is taken", remedy=remedy)
        if any(_clash(added, one) for one in known.values()):
            name = added.computation.name
            raise MetricError(f"{where} uses the computation name {name!r}, which is taken", remedy=remedy)
        known[added.name] = added
    return known


def metric(name: str) -> Metric:
    """Return the definition of a metric.

    Parameters
    ----------
    name : str
        Of a metric of this package or of another one.

    Returns
    -------
    Metric
        Its definition.

    Raises
    ------
    MetricError
        There is no metric of this name.

    Examples
    --------
    >>> from pathorob_checks.metrics import metric
    >>> metric("clustering_score").neutral
    0.0
    """
    known = metrics()
    if name not in known:
        raise MetricError(f"there is no metric {name!r}", remedy=hint(name, known, "use one of {known}"))
    return known[name]


def added_metrics() -> tuple[str, ...]:
    """Names of the metrics that other packages add."""
    return tuple(name for name in metrics() if name not in _own_metrics())


def _clash(one: Metric, other: Metric) -> bool:
    return one.computation.name == other.computation.name and one.computation is not other.computation


@cache
def _own_metrics() -> dict[str, Metric]:
    modules = [import_module(f"pathorob_checks.metrics.{name}") for name in _MODULES]
    return {one.name: one for module in modules for one in module.METRICS}
