"""What a reader of a value must know even where its criterion is met."""

from __future__ import annotations

from collections.abc import Sequence

from pathorob_checks.results.check import Check
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.wording import percent, printable

_NEAR_CHANCE = 1.1  # times the accuracy of a guess


def remarks(checks: Sequence[Check]) -> list[str]:
    """A sentence for each drop of a classifier that was no better than a guess to begin with."""
    sentences: dict[str, None] = {}
    for check in checks:
        accuracies, chance = check.protocol.get("accuracy_by_split"), check.protocol.get("chance")
        if check.value is None or not isinstance(accuracies, list) or not isinstance(chance, float):
            continue
        first = accuracies[0] if accuracies else None
        if isinstance(first, int | float) and first <= _NEAR_CHANCE * chance:
            subject = f"{check.label} of {fm_and_method(check.fm, check.method)} on {printable(check.cohort)}"
            sentences[
                f"{subject}: with balanced training data the classifier's balanced accuracy is "
                f"{percent(round(first, 3))}, where a guess has {percent(round(chance, 3))}; it has no "
                "accuracy to lose, and the drop says nothing."
            ] = None
    return list(sentences)
