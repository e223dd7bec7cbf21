"""What bound the run beforehand, and held: a demanded digest, completeness, a baseline, a qualification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Options that make a run stricter or fix it beforehand: to use one is no deviation.
CONTROLS = frozenset(("criteria_digest", "require_complete", "baseline", "baseline_fm"))


def confirmations(protocol: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each thing that was fixed before the run and to which it was held."""
    digest = demanded_digest(protocol)
    if digest is not None:
        yield f"The digest of the terms that was demanded beforehand is that of the run ({digest})."
    if protocol["criteria"]["require_complete"]:
        yield "A required criterion without a value makes the run an error."
    baseline = protocol["baseline"]
    if baseline is not None:
        yield f"The FM was compared with the baseline {baseline['fm']} (digest {baseline['digest']})."
    facts = protocol.get("qualification")
    if facts is not None and facts["outcome"] == "pass" and facts["is_of_this_code"]:
        yield (
            f"The qualification that the run refers to passed on {facts['created']} and is of this code "
            f"(SHA-256 of its manifest.json {facts['manifest_sha256']})."
        )


def demanded_digest(protocol: Mapping[str, Any]) -> str | None:
    """The digest that `--fm-criteria-digest` demanded; None where none was."""
    return next((one["value"] for one in protocol["options"] if one["name"] == "criteria_digest"), None)
