"""The demo's two controls: an FM that must pass the gate, and one that must not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.evaluate import evaluate
from pathorob_checks.evidence.qualification.record import Finding, failure

# Of each FM of the demo: the outcome of the profile floor, and the verdict on its robustness index.
_CONTROLS = {
    "demo:stain-invariant": ("pass", "pass", "describes tissue and no stain: the positive control"),
    "demo:color-sensitive": ("fail", "fail", "describes the stain alone: the negative control"),
}


def controls() -> Iterator[Finding]:
    """Run the gate on both, and record outcome, index and integrity."""
    for spec, (outcome, index, origin) in _CONTROLS.items():
        name = spec.partition(":")[2]
        actual: dict[str, str] = {}
        note = ""
        try:
            with tempfile.TemporaryDirectory(prefix="pathorob-checks-") as cache:
                results = evaluate(spec, cohorts="demo", criteria="floor", cache=cache, progress=False)
            wrong = [one.name for one in results.integrity if one.verdict in (Verdict.FAIL, Verdict.ERROR)]
            actual = {
                "outcome": results.outcome.value,
                "robustness-index": next(
                    one.verdict.value for one in results.checks if one.metric == "robustness_index"
                ),
                "integrity": ", ".join(wrong) or "sound",
            }
        except Exception as error:  # the control failed, and the records say so
            note = failure(error)
        for quantity, expected in (
            ("outcome", outcome),
            ("robustness-index", index),
            ("integrity", "sound"),
        ):
            yield Finding(
                id=f"operation/demo/{name}/{quantity}",
                what=f"{quantity.replace('-', ' ')} of {spec} on the demo cohort by the profile floor",
                expected=expected,
                actual=actual.get(quantity),
                origin=origin,
                note=note,
            )
