"""Where the data files that come with this package are."""

from __future__ import annotations

from pathlib import Path

from pathorob_checks.errors import PathorobChecksError

_PACKAGE = Path(__file__).resolve().parent


def resource_path(*parts: str) -> Path:
    """Path of a file or folder that comes with the package, such as `("suites",)`.

    An installed package holds its data inside itself; a checkout keeps the same folders beside it.
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    name = "/".join(parts)
    raise PathorobChecksError(
        f"{name} is missing from this installation of pathorob-checks", remedy="install the package again"
    )
