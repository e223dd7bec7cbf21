"""Results files of schema 1 in the form of schema 2: released FMs stay baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.document import SCHEMA, MetricFacts, Outcome
from pathorob_checks.results.environment import Completeness
from pathorob_checks.results.explanation import QUANTITY_LABELS

SCHEMA_1 = "pathorob-checks/results/1"


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file of schema 1 as schema 2 has it; what schema 1 does not know is left empty.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, IndexError : it is not a file of schema 1.
    """
    environment = dict(document["environment"])
    terms = dict(environment["criteria"])
    coverage = terms.pop("coverage")
    terms["completeness"] = {
        "deselected": coverage["left_out"],
        **{name: coverage[name] for name in Completeness.model_fields if name in coverage},
    }
    checks = [_check(check) for check in document["checks"]]
    verdicts = {check["verdict"] for check in checks}
    outcome = Outcome.PASS if document["complete"] and verdicts == {"pass"} else Outcome.PARTIAL
    if Verdict.FAIL in verdicts:
        outcome = Outcome.FAIL
    known = metrics()
    return {
        "schema": SCHEMA,
        "created": document["created"],
        "complete": document["complete"],
        "outcome": outcome,
        "summary": f"{outcome.upper()}: read from a results file of schema 1",
        "environment": {**environment, "criteria": terms},
        "metrics": {
            name: MetricFacts.of(known[name]).model_dump()
            for name in dict.fromkeys(check["metric"] for check in checks)
            if name in known
        },
        "runs": document["runs"],
        "checks": checks,
    }


def _check(check: Mapping[str, Any]) -> dict[str, Any]:
    known = metrics()
    name = check["metric"]
    label = known[name].label if name in known else name
    renamed = {key: value for key, value in check.items() if key != "weakest"}
    suspects = [text.partition(": ") for text in check["suspects"]]
    return {
        **renamed,
        "label": label + QUANTITY_LABELS[check["quantity"]],
        "cells": [cell for cell in check["weakest"] if cell["value"] is not None],
        "suspects": [{"kind": kind, "sentence": sentence} for kind, _, sentence in suspects],
        "resampling": _resampling(check["resampling"]),
    }


def _resampling(content: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Schema 1 wrote the name of each cell once and its number with each unit."""
    if content is None:
        return None
    names = content["cells"]
    return {
        **{key: content[key] for key in ("metric", "value", "scale", "drawn", "protocol")},
        "informative_slides": content["telling"],
        "units": [unit for unit, _, _ in content["units"]],
        "cells": [[names[number] for number in cells] for _, cells, _ in content["units"]],
        "effects": [effect for _, _, effect in content["units"]],
    }
