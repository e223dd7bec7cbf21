"""What a repair may not destroy: the biology in the embeddings, compared with those without a method."""

from __future__ import annotations

from collections.abc import Iterator

from pathorob_checks.criteria.criterion import KEPT_IDS, Criterion
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.metrics.registry import metric

# Across medical centers, where an erased class shows; and within each, where nothing of the center helps.
BIOLOGY = ("class_prediction", "class_prediction_within")


def kept_biology(cohort: str, profile: Profile) -> Iterator[Criterion]:
    """The criteria that every method is held to on a cohort, beside those of the profile."""
    for name in BIOLOGY:
        definition, margin = metric(name), profile.baseline.margin_of(name)
        yield Criterion(
            id=f"{KEPT_IDS}{name.replace('_', '-')}",
            metric=name,
            cohort=cohort,
            cohorts=(cohort,),
            quantity="difference",
            bound=-definition.sign * margin + 0.0,
            direction=definition.good_direction,
            rule=profile.baseline.rule or profile.rule,
            rationale="A method that makes embeddings robust may not erase biology: the accuracy for the "
            f"biological class may fall by {margin:g} at most.",
        )
