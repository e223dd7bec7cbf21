"""The commit and the weights that a recipe is about, compared with those in use.

A hub keeps what a commit holds, but a mirror, a proxy or a cache need not: the recipe's digest is compared
with the file itself. At another commit the recipe has no digest to compare with.
"""

from __future__ import annotations

from pathorob_checks.errors import ModelError
from pathorob_checks.models.recipes import Recipe

_SHOWN = 12


def expected_sha256(recipe: Recipe | None, commit: str | None) -> str | None:
    """The recipe's digest (hex) of the weights at a commit; None where it has none for that commit."""
    return recipe.weights_sha256 if recipe is not None and commit == recipe.revision else None


def refuse_other_weights(recipe: Recipe, name: str, actual: str, origin: str) -> None:
    """Raise ModelError where weights are not those of the recipe.

    Parameters
    ----------
    recipe : has a digest of the weights.
    name : of their file.
    actual : SHA-256 (hex) of its content, or of what the hub states.
    origin : the model as the user knows it, for messages.
    """
    if actual != recipe.weights_sha256:
        raise ModelError(
            f"{name} of {origin} has the SHA-256 {actual[:_SHOWN]}, but the weights that the recipe "
            f"{recipe.name} is about have {str(recipe.weights_sha256)[:_SHOWN]}",
            remedy="delete the file from the cache and check HF_ENDPOINT and the proxy, or give the revision "
            "that you mean after the @",
        )


def note_on_revision(recipe: Recipe | None, commit: str | None) -> str | None:
    """The note for the user where a recipe is used at another commit than its own."""
    if recipe is None or recipe.revision is None or commit in (None, recipe.revision):
        return None
    digest = ", so that the digest of its weights is not compared" if recipe.weights_sha256 else ""
    return (
        f"{recipe.name} is used at commit {str(commit)[:_SHOWN]}, and not at its recipe's "
        f"{recipe.revision[:_SHOWN]}{digest}."
    )
