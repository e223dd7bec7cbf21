"""What a recipe needs installed beside this package: a package of its own, or other versions of libraries."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement

from pathorob_checks.errors import ModelError
from pathorob_checks.models.recipes import Recipe


def unmet(recipe: Recipe) -> list[str]:
    """The requirements of a recipe that this environment does not meet, each with what is installed.

    Parameters
    ----------
    recipe : its `requirements` are PEP 508 texts, such as `transformers<5`.

    Returns
    -------
    One text per requirement, in the recipe's order; empty where all are met.

    Examples
    --------
    >>> from pathorob_checks.models.recipes import recipes
    >>> unmet(recipes()["virchow2"])
    []
    """
    return [
        f"{requirement} ({f'{installed} is' if installed else 'it is not'} installed)"
        for requirement, installed in _missing(recipe)
    ]


def refuse_unmet(recipe: Recipe, origin: str) -> None:
    """Raise ModelError where a model needs its own package, or versions that are not installed.

    Parameters
    ----------
    origin : the model as the user knows it, for messages.
    """
    if recipe.library == "package":
        versions = f", with {' and '.join(recipe.requirements)}," if recipe.requirements else ""
        raise ModelError(
            f"{origin} is loaded by the package {recipe.package}, which pathorob-checks does not include",
            remedy=f"install it{versions} and use python:module:factory with the factory for {recipe.name} "
            "in docs/models.md",
        )
    if missing := _missing(recipe):
        wanted = " ".join(f"'{requirement}'" for requirement, _ in missing)
        raise ModelError(
            f"{origin} needs {' and '.join(unmet(recipe))}",
            remedy=f"install pathorob-checks and {wanted} in an environment of its own, or load the model "
            "with your own python:module:factory",
        )


def _missing(recipe: Recipe) -> list[tuple[str, str | None]]:
    """Each requirement that is not met, and the version of it that is installed."""
    pairs = [(text, _installed(Requirement(text).name)) for text in recipe.requirements]
    return [
        (text, installed)
        for text, installed in pairs
        if installed is None or not Requirement(text).specifier.contains(installed, prereleases=True)
    ]


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
