"""The clustering score by pairs of classes and pairs of medical centers, for pictures."""

from __future__ import annotations

from pathorob_checks.metrics.cluster_uncertainty import METRIC, Combination
from pathorob_checks.metrics.pictured import Grid, rounded


def value_by_pairs(metric: str, combinations: tuple[Combination, ...]) -> Grid:
    """The score, or class ARI, of every combination; pairs that were not clustered have none."""
    scores = {
        (" / ".join(one.classes), " / ".join(one.centers)): one.value_of(metric) for one in combinations
    }
    rows = tuple(dict.fromkeys(classes for classes, _ in scores))
    columns = tuple(dict.fromkeys(centers for _, centers in scores))
    return Grid(
        name="clustering score" if metric == METRIC else "class ARI",
        row_name="two classes",
        column_name="two medical centers",
        rows=rows,
        columns=columns,
        values=tuple(rounded([scores.get((row, one), float("nan")) for one in columns]) for row in rows),
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
    )
