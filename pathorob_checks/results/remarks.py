"""What a reader of a value must know even where its criterion is met."""

from __future__ import annotations

from collections.abc import Sequence

from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.check import Check
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.wording import percent, printable

_NEAR_CHANCE = 1.1  # times the accuracy of a guess


def remarks(checks: Sequence[Check]) -> list[str]:
    """A sentence for each value that says less than its verdict."""
    sentences = [sentence for check in checks for sentence in (_of_guess(check), _beyond_best(check))]
    return list(dict.fromkeys(filter(None, sentences)))


def _of_guess(check: Check) -> str:
    """On a drop of a classifier that was no better than a guess to begin with."""
    accuracies, chance = check.protocol.get("accuracy_by_split"), check.protocol.get("chance")
    if check.value is None or not isinstance(accuracies, list) or not isinstance(chance, float):
        return ""
    first = accuracies[0] if accuracies else None
    if not isinstance(first, int | float) or first > _NEAR_CHANCE * chance:
        return ""
    return (
        f"{_subject(check)}: with balanced training data the classifier's balanced accuracy is "
        f"{percent(round(first, 3))}, where a guess has {percent(round(chance, 3))}; it has no "
        "accuracy to lose, and the drop says nothing."
    )


def _beyond_best(check: Check) -> str:
    """On a value that is clearly beyond the best one."""
    definition = metrics().get(check.metric)
    if definition is None or check.value is None or check.quantity == "difference":
        return ""
    if not definition.is_beyond_best(check.interval):
        return ""
    return f"{_subject(check)} is no better than {definition.neutral:g}: {definition.meaning(check.value)}."


def _subject(check: Check) -> str:
    return f"{check.label} of {fm_and_method(check.fm, check.method)} on {printable(check.cohort)}"
