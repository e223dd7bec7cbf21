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
    fm : str
        Name of the FM as published.
    cohort : str
        Name of the benchmark's cohort, or `all` for an average over its cohorts.
    metric : str
        Name of the metric.
    value : float
        On the metric's scale.
    uncertainty : float or None
        The 95 % half-width for performance drops, the standard deviation over trials for the clustering
        score, and None for the robustness index.
    validated : bool
        Whether the benchmark's authors validated the value.
    source : str
        Where it was published.

    Examples
    --------
    >>> from pathorob_checks.metrics import published_scores
    >>> first = published_scores("robustness_index")[0]
    >>> first.fm, first.cohort, first.value, first.validated
    ('Virchow2', 'camelyon', 0.806, True)
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
    """Return every published score of one metric of this package.

    Parameters
    ----------
    metric : str
        Name of a metric.

    Returns
    -------
    tuple of PublishedScore
        Of the 20 FMs of the paper [1]_ and of three FMs that entered the leaderboard later and that its
        authors did not validate; empty where nothing is published.

    Notes
    -----
    The paper gives performance drops only as per-model averages over its three cohorts (cohort `all`), the
    other two metrics per cohort.

    References
    ----------
    .. [1] PathoROB. Nature Communications 17, 5218 (2026).

    Examples
    --------
    >>> from pathorob_checks.metrics import published_scores
    >>> validated = [score for score in published_scores("robustness_index") if score.validated]
    >>> max(validated, key=lambda score: score.value).fm
    'Virchow2'
    """
    return tuple(score for score in _all_scores() if score.metric == metric)
