"""Bounds from what is published: a quantile over FMs, or the value of one FM.

Which scores are published is part of each metric's definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from pathorob_checks.canonical import digest_of
from pathorob_checks.errors import CriteriaError
from pathorob_checks.metrics.published import OVER_ALL_COHORTS, PublishedScore
from pathorob_checks.metrics.registry import metric as definition
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.wording import hint

BENCHMARK_COHORTS = ("camelyon", "tcga", "tolkach_esca")


def scores(metric: str) -> tuple[PublishedScore, ...]:
    """Every published score of a metric; empty where nothing is published."""
    published = definition(metric).published
    return () if published is None else tuple(published())


def published_digest(names: Iterable[str]) -> str:
    """SHA-256 of the scores of these metrics: bounds that are quantiles depend on them."""
    return digest_of([asdict(score) for name in sorted(set(names)) for score in scores(name)])


def published_fms() -> tuple[str, ...]:
    """The names of the FMs of which anything is published."""
    return tuple(dict.fromkeys(score.fm for name in metrics() for score in scores(name)))


def is_average_over_cohorts(metric: str) -> bool:
    """Whether a metric is published only averaged over cohorts, as the paper's drops are."""
    return {score.cohort for score in scores(metric)} == {OVER_ALL_COHORTS}


def published_by_fm(
    metric: str, cohorts: str | Sequence[str], *, validated_only: bool = False
) -> dict[str, float]:
    """Each FM's value of `metric` that a cohort's bound may refer to, or its mean over several cohorts.

    For a benchmark cohort and a metric that is published only as an average over the cohorts, that average
    is returned. An FM that lacks one of several cohorts is left out.
    """
    wanted = (cohorts,) if isinstance(cohorts, str) else tuple(cohorts)
    averaged = is_average_over_cohorts(metric)
    places = [OVER_ALL_COHORTS if averaged and name in BENCHMARK_COHORTS else name for name in wanted]
    values: dict[str, dict[str, float]] = {}
    for score in scores(metric):
        if score.validated or not validated_only:
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
    """The linear `q` quantile (0..1) of the published values over the FMs, from the least robust FM upwards.

    q = 0.9 is what only the best tenth of the FMs reaches; where lower values are better it is the 0.1
    quantile of the values. By default over every published FM; `validated_only=True` leaves out values that
    the benchmark's authors did not validate.

    Raises
    ------
    CriteriaError : nothing is published for this metric and cohort, or q is outside 0..1.
    """
    if not 0 <= q <= 1:
        raise CriteriaError(f"the published quantile {q} is outside 0..1", remedy="use for example 0.5")
    values = published_values(metric, cohorts, validated_only=validated_only)
    if not values:
        raise _nothing_published(metric, cohorts)
    import numpy as np  # here, because criteria files without quantiles need no numpy

    share = q if definition(metric).higher_is_better else 1 - q
    return float(np.quantile(values, share, method="linear"))


def published_value(metric: str, cohorts: str | Sequence[str], fm: str) -> float:
    """One FM's published value.

    Raises
    ------
    CriteriaError : nothing is published of the FM, or not for this metric and cohort.
    """
    if fm not in published_fms():
        remedy = hint(fm, published_fms(), "published are {known}")
        raise CriteriaError(f"the FM {fm!r} has no published values", remedy=remedy)
    values = published_by_fm(metric, cohorts)
    if fm not in values:
        raise _nothing_published(metric, cohorts, f" of {fm}")
    return values[fm]


def _nothing_published(metric: str, cohorts: str | Sequence[str], fm: str = "") -> CriteriaError:
    name = cohorts if isinstance(cohorts, str) else ", ".join(cohorts)
    return CriteriaError(
        f"there are no published values of {metric}{fm} for cohort {name}",
        remedy=f"give a number as the bound (values are published for {', '.join(BENCHMARK_COHORTS)})",
    )
