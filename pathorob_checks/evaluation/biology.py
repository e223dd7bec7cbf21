"""What a repair may not destroy: the biology in the embeddings, compared with those without a method."""

from __future__ import annotations

from collections.abc import Iterator

from pathorob_checks.criteria.criterion import KEPT_IDS, Criterion
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.metrics.registry import metric

# Across medical centers, where an erased class shows; and within each, where nothing of the center helps.
BIOLOGY = ("class_prediction", "class_prediction_within")
BIOLOGY_OF_CLUSTERS = "class_ari"  # where the profile has embeddings clustered

_RATIONALE = (
    "A method that makes embeddings robust may not erase biology: {label} may fall by {margin} at most."
)


def kept_biology(cohort: str, profile: Profile) -> Iterator[Criterion]:
    """The criteria that every method is held to on a cohort, beside those of the profile.

    The class ARI is read off the clusters of the clustering score: it is judged where the profile has that.
    """
    clustered = any(
        metric(criterion.metric).computation == metric(BIOLOGY_OF_CLUSTERS).computation
        for criterion in profile.criteria_for((cohort,))
    )
    for name in (*BIOLOGY, *([BIOLOGY_OF_CLUSTERS] if clustered else [])):
        rationale = _RATIONALE.replace("{label}", metric(name).label)
        yield profile.difference_criterion(KEPT_IDS, name, cohort, rationale)
