"""The published PathoROB scores, as a yardstick for bounds.

`published_scores.csv` holds the scores of the 20 FMs of the paper (Nature Communications 17, 5218, 2026)
and of three FMs that entered the leaderboard later and that its authors did not validate. The paper
gives performance drops only as per-model averages over its three cohorts (cohort `all`), the other two
metrics per cohort.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pathorob_checks.errors import CriteriaError

BENCHMARK_COHORTS = ("camelyon", "tcga", "tolkach_esca")
OVER_ALL_COHORTS = "all"


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """One FM's published value of one metric.

    `uncertainty` is the 95 % half-width for performance drops, the standard deviation over trials for the
    clustering score, and None for the robustness index.
    """

    fm: str
    cohort: str
    metric: str
    value: float
    uncertainty: float | None
    validated: bool
    source: str


@cache
def _table() -> bytes:
    return (files("pathorob_checks.criteria") / "published_scores.csv").read_bytes()


def published_digest() -> str:
    """SHA-256 of the table: bounds that are quantiles depend on it."""
    return hashlib.sha256(_table()).hexdigest()


@cache
def published_scores() -> tuple[PublishedScore, ...]:
    """Every row of the table."""
    return tuple(
        PublishedScore(
            fm=row["fm"],
            cohort=row["cohort"],
            metric=row["metric"],
            value=float(row["value"]),
            uncertainty=float(row["uncertainty"]) if row["uncertainty"] else None,
            validated=row["validated"] == "yes",
            source=row["source"],
        )
        for row in csv.DictReader(_table().decode("utf-8").splitlines())
    )


def is_average_over_cohorts(metric: str) -> bool:
    """Whether the paper gives this metric only averaged over its cohorts, as it does for the drops."""
    return {score.cohort for score in published_scores() if score.metric == metric} == {OVER_ALL_COHORTS}


def published_values(metric: str, cohort: str, *, validated_only: bool = False) -> tuple[float, ...]:
    """The FMs' values of `metric` that are a yardstick for `cohort`; empty where nothing is published.

    For a benchmark cohort and a metric that is published only as an average over the cohorts, those
    averages are returned.
    """
    if is_average_over_cohorts(metric) and cohort in BENCHMARK_COHORTS:
        cohort = OVER_ALL_COHORTS
    return tuple(
        score.value
        for score in published_scores()
        if score.metric == metric and score.cohort == cohort and (score.validated or not validated_only)
    )


def published_quantile(metric: str, cohort: str, q: float, *, validated_only: bool = False) -> float:
    """The linear `q` quantile (0..1) of the published values over the FMs.

    By default over every published FM; `validated_only=True` leaves out the three later robustness
    indices that the benchmark's authors did not validate. For every metric higher is more robust, so
    q = 0.9 is what the best tenth of the FMs reaches.

    Raises
    ------
    CriteriaError : nothing is published for this metric and cohort, or q lies outside 0..1.
    """
    if not 0 <= q <= 1:
        raise CriteriaError(f"the published quantile {q} lies outside 0..1", remedy="use for example 0.5")
    values = published_values(metric, cohort, validated_only=validated_only)
    if not values:
        raise CriteriaError(
            f"there are no published values of {metric} for cohort {cohort}",
            remedy=f"published are {', '.join(BENCHMARK_COHORTS)}; give a number",
        )
    import numpy as np  # here, because the plugin may load this module in runs that need no numpy

    return float(np.quantile(values, q, method="linear"))
