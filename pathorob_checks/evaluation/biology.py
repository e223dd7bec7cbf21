"""What a repair may not destroy: the biology in the embeddings, compared with those without a method."""

from __future__ import annotations

from collections.abc import Iterator

from pathorob_checks.criteria.criterion import KEPT_IDS, Criterion
from pathorob_checks.criteria.profile import Profile

# Across medical centers, where an erased class shows; and within each, where nothing of the center helps.
BIOLOGY = ("class_prediction", "class_prediction_within")


_RATIONALE = (
    "A method that makes embeddings robust may not erase biology: the accuracy for the biological class may "
    "fall by {margin} at most."
)


def kept_biology(cohort: str, profile: Profile) -> Iterator[Criterion]:
    """The criteria that every method is held to on a cohort, beside those of the profile."""
    for name in BIOLOGY:
        yield profile.difference_criterion(KEPT_IDS, name, cohort, _RATIONALE)
