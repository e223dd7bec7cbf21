"""The published PathoROB scores, as a yardstick for bounds.

`published_scores.csv` holds the scores of the 20 FMs of the paper (Nature Communications 17, 5218, 2026)
and of three FMs that entered the leaderboard later and that its authors did not validate. The paper
gives performance drops only as per-model averages over its three cohorts (cohort `all`), the other two
metrics per cohort.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
from collections.abc import Sequence
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


def published_fms() -> tuple[str, ...]:
    """The names of the FMs in the table."""
    return tuple(dict.fromkeys(score.fm for score in published_scores()))


def is_average_over_cohorts(metric: str) -> bool:
    """Whether the paper gives this metric only averaged over its cohorts, as it does for the drops."""
    return {score.cohort for score in published_scores() if score.metric == metric} == {OVER_ALL_COHORTS}


def published_by_fm(
    metric: str, cohorts: str | Sequence[str], *, validated_only: bool = False
) -> dict[str, float]:
    """Each FM's value of `metric` that is a yardstick for a cohort, or its mean over several.

    For a benchmark cohort and a metric that is published only as an average over the cohorts, that average
    is returned. An FM that lacks one of several cohorts is left out.
    """
    wanted = (cohorts,) if isinstance(cohorts, str) else tuple(cohorts)
    averaged = is_average_over_cohorts(metric)
    places = [OVER_ALL_COHORTS if averaged and name in BENCHMARK_COHORTS else name for name in wanted]
    values: dict[str, dict[str, float]] = {}
    for score in published_scores():
        if score.metric == metric and (score.validated or not validated_only):
            values.setdefault(score.fm, {})[score.cohort] = score.value
    return {
        fm: sum(known[place] for place in places) / len(places)
        for fm, known in values.items()
        if all(place in known for place in places)
    }


def published_values(
    metric: str, cohorts: str | Sequence[str], *, validated_only: bool = False
) -> tuple[float, ...]:
    """The values of `published_by_fm`; empty where nothing is published."""
    return tuple(published_by_fm(metric, cohorts, validated_only=validated_only).values())


def published_quantile(
    metric: str, cohorts: str | Sequence[str], q: float, *, validated_only: bool = False
) -> float:
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
    values = published_values(metric, cohorts, validated_only=validated_only)
    if not values:
        raise _nothing_published(metric, cohorts)
    import numpy as np  # here, because the plugin may load this module in runs that need no numpy

    return float(np.quantile(values, q, method="linear"))


def published_value(metric: str, cohorts: str | Sequence[str], fm: str) -> float:
    """One FM's published value.

    Raises
    ------
    CriteriaError : the FM is not in the table, or nothing is published of it for this metric and cohort.
    """
    if fm not in published_fms():
        near = difflib.get_close_matches(fm, published_fms(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}" if near else f"published are {', '.join(published_fms())}"
        raise CriteriaError(f"the FM {fm!r} has no published values", remedy=hint)
    values = published_by_fm(metric, cohorts)
    if fm not in values:
        raise _nothing_published(metric, cohorts, f" of {fm}")
    return values[fm]


def _nothing_published(metric: str, cohorts: str | Sequence[str], fm: str = "") -> CriteriaError:
    name = cohorts if isinstance(cohorts, str) else ", ".join(cohorts)
    return CriteriaError(
        f"there are no published values of {metric}{fm} for cohort {name}",
        remedy=f"published are {', '.join(BENCHMARK_COHORTS)}; give a number",
    )
