"""Robustness gate for pathology foundation models: `pytest --fm=SPEC` gives a verdict.

Importing this package (and loading its pytest plugin) stays cheap on purpose: torch, pandas and
scikit-learn are imported by the rooms that compute with them, when they compute.
"""

from importlib.metadata import PackageNotFoundError, version

from pathorob_checks.errors import PathorobChecksError

try:
    __version__ = version("pathorob-checks")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["PathorobChecksError", "__version__"]
