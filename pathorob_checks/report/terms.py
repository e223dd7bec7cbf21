"""What a run was held to: where the bounds are from."""

from __future__ import annotations

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.results.document import Terms


def source_of(criteria: Terms) -> str:
    """Where the bounds come from: `profile floor`, or the names of files."""
    names = ["profile " + name if name in BUILT_IN else name for name in criteria.files]
    return " and ".join(names) or f"profile {criteria.name}"
