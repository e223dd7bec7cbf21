"""What encoders of every library share: device, precision, pooling, and the test on a blank image."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch

from pathorob_checks.errors import ModelError
from pathorob_checks.models.devices import batch_size_for
from pathorob_checks.models.failures import brief
from pathorob_checks.models.pixel_steps import split
from pathorob_checks.models.pooling import (
    SIDE_BY_SIDE,
    SideBySide,
    TokenLayout,
    TokenLayoutError,
    choose_pooling,
    fallback_note,
    pool_tokens,
)
from pathorob_checks.models.precision import autocast_type, reproducible_kernels
from pathorob_checks.models.transfers import Transfers

if TYPE_CHECKING:
    from PIL import Image

    from pathorob_checks.models.pooling import Norm
    from pathorob_checks.models.preprocessing import Transform
    from pathorob_checks.models.recipes import Recipe
    from pathorob_checks.models.transfers import Arriving


class Encoder(ABC):
    """A network on its device, with its preprocessing and a pooling that fits its tokens.

    Parameters
    ----------
    network : with its weights, in any mode, on any device.
    origin : the model as the user knows it, for messages.
    identity : see `FoundationModel.identity`; kept as given.
    layout : of the network's tokens.
    transform : from a PIL image to the network's input.
    size : height and width of that input.
    device : `cpu`, `cuda` or `cuda:N`.
    precision : `fp32` (with TF32 off), `bf16` or `fp16` (by autocast, the weights stay float32).
    pooling : one of `pooling.POOLINGS`; None takes the recipe's, else `clsmean` for a model with a class
        token, else `pooled`; `SIDE_BY_SIDE` gives what each pooling can be cut from.
    batch_size : patches per batch; None takes a number that suits the device.
    recipe : how the benchmark uses this model, where that is known.
    description : facts for the report, which this class completes.
    notes : sentences for the user.

    Attributes
    ----------
    pixels : the preprocessing in two parts, which leaves scaling and normalizing to the device; None where it
        does not have them.
    description : architecture, pooling in force, prefix tokens, preprocessing, dimension and notes; readable
        and JSON-like.

    Raises
    ------
    ModelError : when the model has no such pooling, or cannot embed a blank image.
    """

    def __init__(
        self,
        network: Any,
        *,
        origin: str,
        identity: Mapping[str, object],
        layout: TokenLayout,
        transform: Transform,
        size: tuple[int, int],
        device: str,
        precision: str,
        pooling: str | None,
        batch_size: int | None,
        recipe: Recipe | None,
        description: Mapping[str, object],
        notes: list[str],
    ) -> None:
        self.identity = identity
        self._origin = origin
        self.device = torch.device(device)
        self._autocast = autocast_type(precision)
        self._model = network.eval().requires_grad_(False).to(self.device)
        self._layout = layout
        self._transform = transform
        self.pixels = split(transform, self.device)
        self._transfers = Transfers(self.device)
        self.batch_size = batch_size or batch_size_for(self.device)
        wide = pooling == SIDE_BY_SIDE
        requested = (None if wide else pooling) or (recipe.pooling if recipe else None)
        self._pooling, note = choose_pooling(requested, layout, origin)
        self._parts: tuple[str, ...] = (self._pooling,)
        notes = [*notes, *([note] if note else [])]
        # A blank image shows the real width, and an impossible pooling, before any patch is read.
        try:
            self.dimension = self._width(size)
        except TokenLayoutError as error:
            if requested is not None:
                raise
            self._pooling, self._parts = "pooled", ("pooled",)
            self.dimension = self._width(size)
            notes.append(fallback_note(error.problem))
        side_by_side = self._stand_side_by_side(size) if wide else None
        if recipe is not None:
            notes += self._disagreements(recipe, requested=pooling)
        self.description: dict[str, object] = {
            **description,
            "recipe": recipe.name if recipe else None,
            "pooling": SIDE_BY_SIDE if side_by_side else self._pooling,
            **({"side_by_side": side_by_side.to_dict()} if side_by_side else {}),
            "prefix_tokens": layout.prefix_tokens,
            "precision": precision,
            "dimension": self.dimension,
            "notes": notes,
        }

    @abstractmethod
    def _forward(self, images: torch.Tensor) -> Any:
        """(B, 3, H, W) on the device -> the network's output."""

    @abstractmethod
    def _tokens(self, output: Any) -> torch.Tensor:
        """The tokens in the output of `_forward`, after the last norm that applies to each of them."""

    @abstractmethod
    def _own_pooling(self, output: Any) -> torch.Tensor:
        """The model's own pooled output in the output of `_forward`, (B, D)."""

    def _norm_after_pooling(self) -> Norm | None:
        return None

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image of any size -> (3, H, W) float32 tensor on the CPU."""
        return self._transform(image if image.mode == "RGB" else image.convert("RGB"))

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) float32, or uint8 of `pixels` -> (B, `dimension`) float32 tensor on the CPU.

        Raises
        ------
        ModelError : when the number of tokens is not the one that the pooling expects.
        torch.OutOfMemoryError : when the device's memory is too small for the batch.
        """
        return self.begin(batch).result()

    def begin(self, batch: torch.Tensor) -> Arriving:
        """Begin to `embed` a batch: a GPU may still be at work when this returns.

        Until the result was asked for, the batch must not be changed. Raises as `embed`; so may the result.
        """
        with (
            torch.inference_mode(),
            reproducible_kernels(),
            torch.autocast(self.device.type, dtype=self._autocast, enabled=self._autocast is not None),
        ):
            images = batch.to(self.device)
            if images.dtype == torch.uint8 and self.pixels is not None:
                images = self.pixels.scaled(images)
            output = self._forward(images)
            parts = [self._part(pooling, output, images).float() for pooling in self._parts]
            return self._transfers.fetch(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))

    def in_fp32(self) -> Self:
        """The same network and preprocessing without autocast: what a lower precision is compared with."""
        full = copy.copy(self)
        full._autocast = None
        return full

    def _stand_side_by_side(self, size: tuple[int, int]) -> SideBySide:
        """From now on embed to the parts that every pooling is cut from."""
        layout, own = self._layout, self._pooling
        left_out = {
            pooling: f"{self._origin} has no {layout.absent()}"
            for pooling in ("clsmean", "cls", "mean")
            if pooling not in layout.possible
        }
        parts = [pooling for pooling in ("cls", "mean") if pooling in layout.possible]
        widths: dict[str, int] = {}
        for pooling in (*parts, *(["pooled"] if own == "pooled" else [])):
            self._parts = (pooling,)
            try:
                widths[pooling] = self._width(size)
            except TokenLayoutError as error:
                left_out |= dict.fromkeys((pooling, "clsmean"), error.problem)
        self._parts = tuple(widths)
        self.dimension = sum(widths.values())
        return SideBySide.of(own, widths, left_out)

    def _part(self, pooling: str, output: Any, images: torch.Tensor) -> torch.Tensor:
        if pooling == "pooled":
            return self._checked(self._own_pooling(output))
        return self._pooled(pooling, self._tokens(output), images)

    def _pooled(self, pooling: str, tokens: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        layout = self._layout
        if layout.grid is None:
            raise AssertionError("choose_pooling accepts no pooling of tokens without a grid")
        return pool_tokens(
            tokens,
            prefix_tokens=layout.prefix_tokens,
            grid=layout.grid(int(images.shape[-2]), int(images.shape[-1])),
            class_token=layout.class_token,
            pooling=pooling,
            origin=self._origin,
            norm=self._norm_after_pooling(),
        )

    def _checked(self, pooled: torch.Tensor) -> torch.Tensor:
        if pooled.ndim != 2:
            raise ModelError(
                f"{self._origin} does not pool its output, of shape {tuple(pooled.shape[1:])} per image",
                remedy="choose --fm-pooling=clsmean, cls or mean if it has tokens",
            )
        return pooled

    def _width(self, size: tuple[int, int]) -> int:
        try:
            return int(self.embed(torch.zeros(1, 3, *size)).shape[1])
        except ModelError:
            raise
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self._origin} does not fit into the memory of {self.device}",
                remedy="free the device, try --fm-precision=bf16, or name another with --fm-device",
            ) from error
        except Exception as error:  # any network may be behind a config, and may raise anything
            raise ModelError(
                f"{self._origin} cannot embed a blank image of {size[0]} x {size[1]} px ({brief(error)})",
                remedy="load it with your own python:module:factory",
            ) from error

    def _disagreements(self, recipe: Recipe, requested: str | None) -> list[str]:
        """Notes on a model that differs from its recipe."""
        checks = []
        if recipe.pooling != "pooled":
            checks.append(("prefix token", recipe.prefix_tokens, self._layout.prefix_tokens))
        if requested in (None, recipe.pooling):
            checks.append(("column", recipe.dimension, self.dimension))
        return [
            f"{self._origin} has {actual} {noun if actual == 1 else noun + 's'}, but its recipe "
            f"{recipe.name} expects {expected}: the recipe may have been written for another model."
            for noun, expected, actual in checks
            if expected != actual
        ]
