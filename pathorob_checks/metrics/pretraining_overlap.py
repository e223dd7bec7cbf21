"""Pretraining overlap: does the cohort come from data that the FM was pretrained on?

An FM that has seen a cohort's slides can look more robust on them than on others. No embedding tells that: it
is read off what is stated of the FM and of the cohort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.pretraining import Pretraining, touched
from pathorob_checks.wording import quoted, rounded_percent

if TYPE_CHECKING:
    import pandas as pd

METRIC = "pretraining_overlap"


def pretraining_share(
    embeddings: Any,  # noqa: ARG001 (as of every metric)
    patches: pd.DataFrame,
    *,
    pretraining: Pretraining,
    sources: tuple[str, ...],
) -> Measurement:
    """Share of a cohort's sources that an FM was pretrained on.

    Parameters
    ----------
    pretraining : what is stated of the FM.
    sources : from which public data the cohort comes.

    Raises
    ------
    MetricError : the sources of the cohort are not stated; or no overlap is stated, and the FM's statement is
        missing or incomplete.
    """
    if not sources:
        raise MetricError(
            f"{METRIC}: it is not stated which sources the cohort comes from",
            remedy='state them in its cohort.toml, such as sources = ["TCGA"] or your own hospital',
        )
    both = touched(pretraining.names, sources)
    if not both and not pretraining.is_complete:
        known = f" beside {quoted(pretraining.names)}" if pretraining.data else ""
        raise MetricError(
            f"{METRIC}: it is not stated what the FM was pretrained on{known}",
            remedy="state all of its sources with --fm-pretraining=NAME, or pretraining= of evaluate",
        )
    return Measurement(
        metric=METRIC,
        value=len(both) / len(sources),
        rows=len(patches),
        protocol={"sources": list(sources), "pretrained_on": list(pretraining.names), "both": list(both)},
    )


def _meaning(value: float) -> str:
    if value == 0:
        return "the FM was pretrained on none of the sources that the cohort comes from, as far as is stated"
    return (
        f"the FM was pretrained on {rounded_percent(value)} of the sources that the cohort comes from, and "
        "may know these slides"
    )


METRICS = (
    Metric(
        name=METRIC,
        label="pretraining overlap",
        computation=Computation(
            name=METRIC,
            function=pretraining_share,
            view="robustness_index",
            columns=(),
            takes_device=False,
            takes_confidence=False,
            takes_progress=False,
            takes_pretraining=True,
        ),
        lowest=0.0,
        highest=1.0,
        neutral=0.0,
        margin=0.0,
        meaning=_meaning,
        remedies=(
            "Judge this FM on a cohort that it has not seen, such as your own.",
            "Do not compare its values on this cohort with those of an FM that has not seen it.",
        ),
        higher_is_better=False,
        quantities=("value",),
    ),
)
