"""Libraries that only some formats need."""

from __future__ import annotations

import importlib.util

from pathorob_checks.errors import EmbeddingError

# The module of a library, and what pip installs it by; the extra `import` has them all.
LIBRARIES = {"h5py": "h5py>=3.11", "zarr": "zarr>=3.0.8"}


def require(library: str, where: str) -> None:
    """Raise EmbeddingError where the library that reads a file is not installed."""
    if importlib.util.find_spec(library) is None:
        raise EmbeddingError(
            f"{where} is read by the library {library}, which is not installed",
            remedy=f"install it with pip install '{LIBRARIES[library]}', or all that imports need with the "
            "extra 'import' of this package",
        )
