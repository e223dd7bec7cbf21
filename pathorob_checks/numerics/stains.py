"""The two stains of an image: their directions in optical density, and how much of each there is.

Macenko et al., "A method for normalizing histology slides for quantitative analysis" (ISBI 2009): light that
passes a stain is absorbed by the Beer-Lambert law, so that optical densities add up. The pixels of a slide
with two stains lie in a plane, between the directions of the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LIGHT = 240.0  # gray level of light that passed nothing
FAINT = 0.15  # optical density; a pixel with less in any channel is background
BLACK = 2.5  # optical density; a pixel with more in every channel is outside of the scan, ink or a fold
EXTREMES = (0.01, 0.99)  # shares of the stained pixels; what is beyond is noise
MOST = 0.99  # share of the pixels, but for black ones, whose amount of a stain is at most the patch's "most"
SHARE = 0.05  # of the pixels that must be stained
APART = math.radians(3)  # two stains that are nearer to each other cannot be told apart


def stain_vectors(density: Tensor, stained: Tensor) -> Tensor:
    """Directions of hematoxylin and eosin: the extreme ones in the plane that holds most of the density.

    Parameters
    ----------
    density : (B, 3, N) float64, optical density of N pixels.
    stained : (B, N) float64, 1 for pixels that count, else 0.

    Returns
    -------
    (B, 2, 3) float64 of length 1: hematoxylin, which absorbs more of the red light, then eosin. Where no
    pixel counts the two are the same direction.
    """
    weighted = density * stained[:, None]
    scatter = weighted @ weighted.transpose(1, 2) / stained.sum(1).clamp_min(1)[:, None, None]
    # Uncentered, so that the plane passes through the origin, as the Beer-Lambert law requires.
    plane = torch.linalg.eigh(scatter).eigenvectors[:, :, 1:].flip(2)  # (B, 3, 2), strongest first
    plane = plane * torch.where(plane.sum(1, keepdim=True) < 0, -1.0, 1.0)
    flat = torch.einsum("bcn,bck->bkn", density, plane)
    angle = torch.atan2(flat[:, 1], flat[:, 0])
    angle = torch.where(stained > 0, angle, torch.nan)
    ends = torch.nanquantile(angle, density.new_tensor(EXTREMES), dim=1).nan_to_num()
    rays = torch.stack([torch.cos(ends), torch.sin(ends)], dim=0)  # (2 axes, 2 ends, B)
    stains = torch.einsum("bck,keb->bec", plane, rays)  # (B, 2 ends, 3)
    order = torch.argsort(stains[:, :, 0] / stains.norm(dim=2), dim=1, descending=True)
    return torch.gather(stains, 1, order[:, :, None].expand(-1, -1, 3))


@dataclass(frozen=True)
class Stains:
    """The stains of B images.

    Attributes
    ----------
    vectors : (B, 2, 3) float64, directions of hematoxylin and eosin, of length 1.
    most : (B, 2) float64, the amount of each that only 1 % of the pixels exceed, black ones left out.
    amounts : (B, 2, N) float32, of each in every pixel; below 0 where a pixel is brighter than `LIGHT`.
    black : (B, N) bool, whether a pixel shows no tissue as every channel is darker than `BLACK`.
    enough : (B,) bool, whether at least `SHARE` of the pixels is stained and the stains can be told apart.
    """

    vectors: Tensor
    most: Tensor
    amounts: Tensor
    black: Tensor
    enough: Tensor


def stains_of(images: Tensor) -> Stains:
    """The stains of each of (B, 3, H, W) uint8 images, on their device."""
    density = _densities(images.device)[images.flatten(2).int()]
    least = density.amin(1)
    black = least > BLACK
    stained = (least >= FAINT) & ~black
    exact = density.double()
    vectors = stain_vectors(exact, stained.double())
    cosine = (vectors[:, 0] * vectors[:, 1]).sum(1)
    apart = cosine < math.cos(APART)
    # Least squares. In place of stains that cannot be told apart are axes, so that there is a solution.
    axes = torch.eye(3, dtype=exact.dtype, device=exact.device)[:2]
    usable = torch.where(apart[:, None, None], vectors, axes)
    amounts = torch.linalg.solve(usable @ usable.transpose(1, 2), usable).float() @ density
    most = _most(amounts, black).double()
    enough = apart & (most > 0).all(1) & (stained.double().mean(1) >= SHARE)
    return Stains(vectors, most, amounts, black, enough)


def _most(amounts: Tensor, black: Tensor) -> Tensor:
    """(B, 2), the nearest rank to the share `MOST` of each of (B, 2, N) amounts where it is not black."""
    last = (~black).sum(1).sub(1).clamp_min(0)
    from_top = last - torch.round(MOST * last.double()).long()
    above = int((1 - MOST) * amounts.shape[2]) + 2
    highest = amounts.masked_fill(black[:, None], -torch.inf).topk(min(above, amounts.shape[2]), dim=2).values
    return highest.gather(2, from_top[:, None, None].expand(-1, 2, 1))[:, :, 0]


def restained(images: Tensor, vectors: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
    """Images as if they had other stains, in amounts of which only 1 % of the pixels have more than `most`.

    Parameters
    ----------
    images : (B, 3, H, W) uint8.
    vectors : (2, 3), directions of hematoxylin and eosin.
    most : (2,), amounts.

    Returns
    -------
    images : (B, 3, H, W) uint8 on the same device; those without enough stain are unchanged, and so are black
        pixels.
    enough : (B,) bool, see `Stains`.
    """
    stains = stains_of(images)
    # Where there is not enough, the quotient may be infinite.
    gain = torch.where(stains.enough[:, None], most.to(stains.most) / stains.most, 1.0).float()
    density = vectors.to(gain).T @ (stains.amounts * gain[:, :, None])
    light = (LIGHT * torch.exp(-density) - 1).round_().clamp_(0, 255).to(torch.uint8)
    changed = (stains.enough[:, None] & ~stains.black)[:, None]
    return torch.where(changed, light, images.flatten(2)).view(images.shape), stains.enough


def _densities(device: torch.device) -> Tensor:
    """(256,) float32, the optical density of each gray level; 1 is added as black has none."""
    levels = torch.arange(256, dtype=torch.float64, device=device)
    return -torch.log((levels + 1) / LIGHT).float()
