"""How many CPUs this process may use."""

from __future__ import annotations


def available_cpus() -> int:
    """CPUs that this process may use: the machine's, less what affinity or a container's quota forbids."""
    import joblib

    return int(joblib.cpu_count())
