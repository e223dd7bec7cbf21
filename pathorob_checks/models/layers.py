"""Layer classes for recipes, because no `config.json` can hold a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.layers.helpers import to_2tuple
from timm.layers.mlp import SwiGLUPacked
from torch import nn

from pathorob_checks.errors import ModelError


class ConvStem(nn.Module):
    """CTransPath's patch embedding: convolutions where a Swin transformer has one linear map.

    Two 3 x 3 convolutions of stride 2 (batch norm, ReLU) and a 1 x 1 convolution, after Wang et al.,
    "Transformer-based unsupervised contrastive learning for histopathological image classification"
    (Medical Image Analysis 2022). The parameters are those that timm's `SwinTransformer` passes to its
    `embed_layer`.

    Parameters
    ----------
    img_size, patch_size : pixels; the patch size must be 4, the product of the two strides.
    in_chans, embed_dim : channels in and out.
    norm_layer : applied to the channels at the end.
    output_fmt : `NHWC` is (B, rows, columns, C), `NCHW` is (B, C, rows, columns).
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 4,
        in_chans: int = 3,
        embed_dim: int = 96,
        norm_layer: Callable[[int], nn.Module] | None = None,
        strict_img_size: bool = True,
        output_fmt: str = "NHWC",
        **factory: Any,
    ) -> None:
        super().__init__()
        if to_2tuple(patch_size) != (4, 4) or embed_dim % 8:
            raise ValueError("ConvStem needs patches of 4 px and a width that is divisible by 8")
        # Where a config.json states the size, it is a list.
        self.img_size: tuple[int, int] = to_2tuple(img_size)
        self.patch_size = (4, 4)
        self.grid_size = (self.img_size[0] // 4, self.img_size[1] // 4)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self._strict = strict_img_size
        self._channels_last = output_fmt == "NHWC"
        steps: list[nn.Module] = []
        width = in_chans
        for wider in (embed_dim // 8, embed_dim // 4):
            steps += [
                nn.Conv2d(width, wider, kernel_size=3, stride=2, padding=1, bias=False, **factory),
                nn.BatchNorm2d(wider, **factory),
                nn.ReLU(inplace=True),
            ]
            width = wider
        steps.append(nn.Conv2d(width, embed_dim, kernel_size=1, **factory))
        self.proj = nn.Sequential(*steps)
        self.norm = norm_layer(embed_dim) if norm_layer is not None else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, in_chans, H, W) -> (B, H / 4, W / 4, embed_dim), or channels first."""
        if self._strict and tuple(images.shape[-2:]) != self.img_size:
            raise ValueError(f"images are {tuple(images.shape[-2:])} px instead of {self.img_size} px")
        patches: torch.Tensor = self.norm(self.proj(images).permute(0, 2, 3, 1))
        return patches if self._channels_last else patches.permute(0, 3, 1, 2)


LAYERS: Mapping[str, Any] = {"SwiGLUPacked": SwiGLUPacked, "SiLU": nn.SiLU, "ConvStem": ConvStem}


def known_layers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a config whose names of layer classes in the table are replaced; timm knows the others."""
    return {
        key: LAYERS.get(value, value) if key.endswith("_layer") and isinstance(value, str) else value
        for key, value in arguments.items()
    }


def with_layers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments whose names of layer classes (`*_layer`) are replaced by the classes.

    Raises
    ------
    ModelError : when a recipe names a layer that is not in the table.
    """
    resolved = dict(arguments)
    for key, value in arguments.items():
        if key.endswith("_layer") and isinstance(value, str):
            if value not in LAYERS:
                raise ModelError(
                    f"a recipe uses the unknown layer {value}",
                    remedy=f"add it to the table of layers, beside {', '.join(LAYERS)}",
                )
            resolved[key] = LAYERS[value]
    return resolved
