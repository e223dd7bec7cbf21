"""How every metric is measured, as data: what the digest of a run covers beside its criteria."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pathorob_checks.criteria.profile import Profile
from pathorob_checks.metrics.registry import metric


def protocol_of(
    profile: Profile,
    metrics: Iterable[str],
    views: Mapping[str, Mapping[str, Any]],
    methods: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The protocol of a run, as builtin types.

    Parameters
    ----------
    metrics : names of those that the run measures.
    views : by cohort and view, how the view reads the cohort (k, schedule, ...).
    methods : how images and embeddings are repaired; empty or None where they are not.
    """
    computations = {one.name: one for one in (metric(name).computation for name in metrics)}
    return {
        "confidence": profile.confidence,
        "metrics": {
            name: {**computations[name].protocol, **profile.settings_of(computations[name])}
            for name in sorted(computations)
        },
        "cohorts": {name: dict(views[name]) for name in sorted(views)},
        **({"methods": dict(methods)} if methods else {}),
    }
