"""From a network's tokens to one embedding per image, with no class or register token in the mean.

The output of a vision transformer is a sequence of tokens: class token, registers, patches. Nothing in it
marks where the patches begin, so the number of tokens is checked against the grid of the image before
anything is averaged.

torch is imported only where tokens are pooled, so that the options of pytest can import `POOLINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from pathorob_checks.errors import ModelError

if TYPE_CHECKING:
    import torch

Pooling = Literal["clsmean", "cls", "mean", "pooled"]
"""`cls`: the class token. `mean`: the mean of the patch tokens. `clsmean`: both, concatenated in this order.
`pooled`: the model's own pooled output."""

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

SIDE_BY_SIDE = "side-by-side"
"""No pooling, but what each is cut from: class token, mean of the patches, and `pooled` where a model has no
other of its own."""

Grid = Callable[[int, int], tuple[int, int]]
Norm = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True)
class SideBySide:
    """Which columns of a wide embedding are the embedding by each pooling.

    Attributes
    ----------
    own : the pooling that the model has where none is requested.
    columns : by pooling, its first column and the one after its last.
    left_out : by pooling that the model does not support, the reason as a clause.
    """

    own: str
    columns: Mapping[str, tuple[int, int]]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """JSON-like, for the model's description."""
        columns = {pooling: list(limits) for pooling, limits in self.columns.items()}
        return {"own": self.own, "columns": columns, "left_out": dict(self.left_out)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SideBySide:
        """Undo `to_dict`."""
        columns = {name: (int(first), int(end)) for name, (first, end) in content["columns"].items()}
        return cls(str(content["own"]), columns, dict(content["left_out"]))

    @classmethod
    def of(cls, own: str, widths: Mapping[str, int], left_out: Mapping[str, str]) -> SideBySide:
        """From the widths of what stands side by side, in this order: `cls` before `mean`."""
        columns, start = {}, 0
        for pooling, width in widths.items():
            columns[pooling] = (start, start + width)
            start += width
        if "cls" in columns and "mean" in columns:
            columns = {"clsmean": (columns["cls"][0], columns["mean"][1]), **columns}
        return cls(own, columns, left_out)


class TokenLayoutError(ModelError):
    """Tokens that do not match the model's own description of them."""


@dataclass(frozen=True)
class TokenLayout:
    """How a model describes its tokens.

    Attributes
    ----------
    prefix_tokens : number of tokens before the patches (class token, registers, distillation token).
    class_token : whether the first of them is a class token.
    grid : height and width of an image in pixels -> rows and columns of patches; None where it is unknown,
        so that the number of tokens cannot be checked.
    """

    prefix_tokens: int = 0
    class_token: bool = False
    grid: Grid | None = None

    @property
    def possible(self) -> tuple[Pooling, ...]:
        """The poolings that such a model supports."""
        token: tuple[Pooling, ...] = ("clsmean", "cls") if self.class_token and self.grid else ()
        mean: tuple[Pooling, ...] = ("mean",) if self.grid else ()
        return (*token, *mean, "pooled")

    def absent(self) -> str:
        """What a pooling that is not `possible` lacks."""
        return "class token" if self.grid else "class or patch tokens"


def choose_pooling(requested: str | None, layout: TokenLayout, origin: str) -> tuple[str, str | None]:
    """The pooling in force, and a note for the user where it is not the one to be expected.

    Parameters
    ----------
    requested : by the user or the recipe; None chooses by the layout.
    origin : the model as the user knows it, for messages.

    Raises
    ------
    ModelError : when the model does not support the requested pooling.
    """
    if requested is not None:
        if requested in layout.possible:
            return requested, None
        problem = (
            f"{origin} has no {layout.absent()} for pooling {requested}"
            if requested in POOLINGS
            else f"there is no pooling {requested}"
        )
        raise ModelError(problem, remedy=f"for this model choose --fm-pooling={' or '.join(layout.possible)}")
    if not layout.class_token:
        return "pooled", None
    if layout.grid is None:
        problem = f"{origin} has a class token, but the number of patches that follow it is unknown"
        return "pooled", fallback_note(problem)
    return "clsmean", None


def fallback_note(problem: str) -> str:
    """The note for the user where the model's own pooled output replaces the benchmark's pooling."""
    return (
        f"{problem}: the model's own pooled output is used instead of clsmean, so its values cannot be "
        "compared with the benchmark's."
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
    prefix_tokens : number of tokens before the patches.
    grid : rows and columns of patches.
    class_token : whether the first token is a class token.
    pooling : `cls`, `mean` or `clsmean`.
    origin : the model as the user knows it, for messages.
    norm : the norm that the model applies after pooling, if any.

    Returns
    -------
    (B, D), or (B, 2 D) for `clsmean`, float32.

    Raises
    ------
    TokenLayoutError : when the number of tokens is not that of prefix and grid.
    ModelError : when the pooling needs a class token and there is none.
    """
    import torch

    rows, columns = grid
    if tokens.ndim != 3 or tokens.shape[1] != prefix_tokens + rows * columns:
        prefix = "1 prefix token" if prefix_tokens == 1 else f"{prefix_tokens} prefix tokens"
        raise TokenLayoutError(
            f"{origin} yields features of shape {tuple(tokens.shape[1:])} per image where {prefix} and "
            f"{rows} x {columns} patches were expected",
            remedy="choose --fm-pooling=pooled",
        )
    if pooling != "mean" and not (class_token and prefix_tokens > 0):
        raise ModelError(
            f"{origin} has no class token for pooling {pooling}", remedy="choose --fm-pooling=mean or pooled"
        )
    norm = norm or torch.nn.Identity()
    parts: list[torch.Tensor] = []
    if pooling != "mean":
        parts.append(norm(tokens[:, 0]).float())
    if pooling != "cls":
        # Summed in float32: the sum of some hundred half-precision tokens would lose digits.
        parts.append(norm(tokens[:, prefix_tokens:].float().mean(dim=1)).float())
    return torch.cat(parts, dim=1)
