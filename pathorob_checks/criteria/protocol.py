"""How every metric is measured, as data: what the digest of a run covers beside its criteria."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathorob_checks.criteria.profile import Profile, digest_of

# By view, the settings that the gate hands to the metrics.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "robustness_index": {"draws": 2000, "seed": 17845},
    "performance_drop": {"repetitions": 20},
    "clustering_score": {"trials": 50, "clusters": list(range(2, 31)), "draws": 2000, "seed": 17845},
}
# To be raised when the same settings give another value than before.
VERSIONS: Mapping[str, int] = {"robustness_index": 1, "performance_drop": 1, "clustering_score": 1}


def protocol_of(profile: Profile, readings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The protocol of a run, as builtin types.

    Parameters
    ----------
    readings : by cohort and view, what decides how the metric reads the cohort (k, schedule, ...).
    """
    return {
        "confidence": profile.confidence,
        "metrics": {name: {"version": VERSIONS[name], **SETTINGS[name]} for name in SETTINGS},
        "cohorts": {name: dict(readings[name]) for name in sorted(readings)},
    }


def registration_digest(
    profile: Profile, readings: Mapping[str, Mapping[str, Any]], baseline: str | None = None
) -> str:
    """SHA-256 of all that decides verdicts before anything is measured: criteria, protocol, baseline."""
    return digest_of(
        {"criteria": profile.content, "protocol": protocol_of(profile, readings), "baseline": baseline}
    )
