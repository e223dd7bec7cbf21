"""The published PathoROB scores: each metric's distribution over foundation models.

`published_scores.csv` holds the scores of the 20 FMs of the paper (Nature Communications 17, 5218, 2026)
and of three FMs that entered the leaderboard later and that its authors did not validate. The paper
gives performance drops only as per-model averages over its three cohorts (cohort `all`), the other two
metrics per cohort.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

OVER_ALL_COHORTS = "all"


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """One FM's published value of one metric.

    Attributes
    ----------
    fm : name of the FM as published.
    cohort : name of the benchmark's cohort, or `all` for an average over its cohorts.
    metric : name of the metric.
    value : on the metric's scale.
    uncertainty : the 95 % half-width for performance drops, the standard deviation over trials for the
        clustering score, and None for the robustness index.
    validated : whether the benchmark's authors validated the value.
    source : where it was published.
    """

    fm: str
    cohort: str
    metric: str
    value: float
    uncertainty: float | None
    validated: bool
    source: str


@cache
def _all_scores() -> tuple[PublishedScore, ...]:
    text = (files("pathorob_checks.metrics") / "published_scores.csv").read_text(encoding="utf-8")
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
        for row in csv.DictReader(text.splitlines())
    )


def published_scores(metric: str) -> tuple[PublishedScore, ...]:
    """Every published score of one metric of this package; empty where nothing is published.

    Examples
    --------
    >>> from pathorob_checks.metrics.published import published_scores
    >>> scores = published_scores("robustness_index")
    >>> max(scores, key=lambda score: score.value).fm
    'Virchow2'
    """
    return tuple(score for score in _all_scores() if score.metric == metric)
