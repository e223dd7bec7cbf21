"""Protocols that fit results made by hand, for the tests of what evidence says."""

from __future__ import annotations

from typing import Any

from pathorob_checks.canonical import digest_of
from pathorob_checks.results.results import Results

COPIED = ("fm", "method", "cohort", "criterion", "metric", "quantity", "direction", "bound", "rule")

# A run to which nothing can be objected demands a digest and refers to a qualification.
DEMANDED = {
    "name": "criteria_digest", "value": "d" * 64, "default": None, "is_default": False, "from": "command line"
}  # fmt: skip
QUALIFIED = {
    "manifest_sha256": "e" * 64, "outcome": "pass", "created": "2026-02-01T00:00:00Z", "version": "0.1.0",
    "code": "f" * 64, "responsible": "J. Doe", "is_of_this_code": True, "differences": [],
}  # fmt: skip


def protocol_of(results: Results, **changes: Any) -> dict[str, Any]:
    """The protocol of a run in which everything planned was recorded; `changes` replace parts of it."""
    planned = [
        {name: getattr(check, name) for name in COPIED}
        | {
            "id": check.id,
            "rule": str(check.rule),
            "required": check.required,
            "minimum_support": check.minimum_support,
            "requirements": list(check.requirements),
            "owner": check.owner,
            "rationale": check.rationale,
            "source_of_bound": check.source,
            "left_out": None,
        }
        for check in results.checks
        if check.registered
    ]
    integrity = [
        {"id": one.id, "name": one.name, "fm": one.fm, "cohort": one.cohort, "left_out": None}
        for one in results.integrity
    ]
    terms = {"criteria": {"criteria": []}, "protocol": {}, "baseline": None, "cohorts": {}}
    cohorts = {run.cohort.name: run.cohort for run in results.runs}
    return {
        "schema": "pathorob-checks/protocol/1",
        "fixed": "2026-02-28T23:00:00Z",
        "tool": {"name": "pathorob-checks", "version": results.environment.packages["pathorob-checks"]},
        "criteria": {"name": "ours", "description": "", "files": ["ours.toml"], "require_complete": False},
        "digest": digest_of(terms),
        "plan_digest": "b" * 64,
        "terms": terms,
        "planned": planned,
        "planned_integrity": integrity,
        "baseline": None,
        "fms": [{"name": "ours", "spec": "ours", "kind": "recipe", "revision": None, "measured": True}],
        "cohorts": [
            {"given_as": name, "revision": None, **facts.model_dump(mode="json")}
            for name, facts in cohorts.items()
        ],
        "left_out": [],
        "options": [DEMANDED],
        "qualification": QUALIFIED,
        "responsible": None,
        "command": ["pytest", "--fm=ours"],
        **changes,
    }
