"""Robustness gate for pathology foundation models: `pytest --fm=SPEC`, or `evaluate(SPEC)` from Python.

Importing this package (and loading its pytest plugin) stays cheap on purpose: torch, pandas and
scikit-learn are imported by the rooms that compute with them, when they compute.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import PathorobChecksError

if TYPE_CHECKING:
    from pathorob_checks.evaluation.evaluate import evaluate
    from pathorob_checks.importing.importing import import_features
    from pathorob_checks.results.comparing import compare
    from pathorob_checks.results.results import Results

    __version__: str

__all__ = ["PathorobChecksError", "Results", "__version__", "compare", "evaluate", "import_features"]

_HOMES = {
    "compare": "results.comparing",
    "evaluate": "evaluation.evaluate",
    "import_features": "importing.importing",
    "Results": "results.results",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module(f"{__name__}.version").version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
