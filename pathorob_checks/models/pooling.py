"""From a network's tokens to one embedding per image, with no class or register token in the mean.

A vision transformer's output is a row of tokens: class token, registers, patches. Nothing in it says where
the patches begin, so their number is checked against the grid of the image before anything is averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pathorob_checks.errors import ModelError

POOLINGS = ("clsmean", "cls", "mean", "pooled")
"""`cls`: the class token. `mean`: mean of the patch tokens. `clsmean`: both, concatenated in this order.
`pooled`: the model's own pooled output."""

Grid = Callable[[int, int], tuple[int, int]]
Norm = Callable[[torch.Tensor], torch.Tensor]


class TokenLayoutError(ModelError):
    """Tokens that are not what the model's own description says."""


@dataclass(frozen=True)
class TokenLayout:
    """What a model says about its tokens.

    Attributes
    ----------
    prefix_tokens : how many come before the patches (class token, registers, distillation token).
    class_token : whether the first of them is a class token.
    grid : height and width of an image in pixels -> rows and columns of patches; None where the model
        does not tell, so that nothing could be counted.
    """

    prefix_tokens: int = 0
    class_token: bool = False
    grid: Grid | None = None

    @property
    def possible(self) -> tuple[str, ...]:
        """The poolings that such a model may be asked for."""
        token = ("clsmean", "cls") if self.class_token and self.grid else ()
        return (*token, *(("mean",) if self.grid else ()), "pooled")


def choose_pooling(asked: str | None, layout: TokenLayout, origin: str) -> tuple[str, str | None]:
    """The pooling in force, and what to tell the user about it if it is not the one to be expected.

    Raises
    ------
    ModelError : when a pooling was asked for that the model cannot have.
    """
    if asked is not None:
        if asked in layout.possible:
            return asked, None
        lack = "class token" if layout.grid else "class or patch tokens"
        problem = (
            f"{origin} has no {lack} for pooling {asked}"
            if asked in POOLINGS
            else f"there is no pooling {asked}"
        )
        raise ModelError(problem, remedy=f"for this model choose {' or '.join(layout.possible)}")
    if not layout.class_token:
        return "pooled", None
    if layout.grid is None:
        problem = f"{origin} has a class token, and does not tell how many patches follow it"
        return "pooled", fallback_note(problem)
    return "clsmean", None


def fallback_note(problem: str) -> str:
    """What a user is told where the model's own pooled output stands in for the benchmark's pooling."""
    return (
        f"{problem}: the model's own pooled output is used instead of clsmean, so its numbers do not compare "
        "with the benchmark's."
    )


def pool_tokens(
    tokens: torch.Tensor,
    *,
    prefix_tokens: int,
    grid: tuple[int, int],
    class_token: bool,
    pooling: str,
    origin: str,
    norm: Norm | None = None,
) -> torch.Tensor:
    """One embedding per image.

    Parameters
    ----------
    tokens : (B, prefix + rows * columns, D), any float type.
    prefix_tokens : how many come before the patches.
    grid : rows and columns of patches.
    class_token : whether the first token is a class token.
    pooling : `cls`, `mean` or `clsmean`.
    origin : the model as the user knows it, for messages.
    norm : what the model applies after pooling, if anything.

    Returns
    -------
    (B, D), or (B, 2 D) for `clsmean`, float32.

    Raises
    ------
    TokenLayoutError : when the tokens are not prefix and grid.
    ModelError : when there is no class token and one is asked for.
    """
    rows, columns = grid
    if tokens.ndim != 3 or tokens.shape[1] != prefix_tokens + rows * columns:
        raise TokenLayoutError(
            f"{origin} yields features of shape {tuple(tokens.shape[1:])} per image where "
            f"{prefix_tokens} prefix tokens and {rows} x {columns} patches were expected",
            remedy="ask for --fm-pooling=pooled",
        )
    if pooling != "mean" and not (class_token and prefix_tokens > 0):
        raise ModelError(f"{origin} has no class token for pooling {pooling}", remedy="choose mean or pooled")
    norm = norm or torch.nn.Identity()
    parts: list[torch.Tensor] = []
    if pooling != "mean":
        parts.append(norm(tokens[:, 0]).float())
    if pooling != "cls":
        # Summed in float32: half-precision tokens would lose digits over some hundred patches.
        parts.append(norm(tokens[:, prefix_tokens:].float().mean(dim=1)).float())
    return torch.cat(parts, dim=1)
