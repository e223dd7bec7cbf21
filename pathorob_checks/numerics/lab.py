"""Colors in CIE L*a*b*, and giving images the mean and spread of other images' colors.

Reinhard et al., "Color transfer between images" (IEEE Computer Graphics and Applications 21, 2001). The paper
does it in a space of its own; histology uses CIE L*a*b*, with sRGB's primaries and the white D65.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DARK, BRIGHT = 5.0, 85.0  # L*; less is outside of the scan or ink, more is glass, between them is tissue
SHARE = 0.05  # of the pixels that must be tissue
SPREAD = 0.5  # least standard deviation of a channel; what varies less is noise, not to be magnified

# Linear sRGB to CIE XYZ (IEC 61966-2-1), each row over its sum for the white D65.
_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
# L*, a* and b* of the cube roots of X, Y and Z, but for the 16 that are taken from L*.
_OPPONENT = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
_CUBIC = 6 / 29  # a cube root that is less is replaced by a line
_SLOPE = 3 * _CUBIC**2


def lab_of(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 sRGB -> (B, 3, N) float32: L* in 0..100, a*, b*."""
    levels = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    linear = torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).float()
    xyz = _matrix(_to_white(), images) @ linear[images.flatten(2).int()]
    root = torch.where(xyz > _CUBIC**3, xyz.pow(1 / 3), xyz / _SLOPE + 4 / 29)
    lab = _matrix(torch.tensor(_OPPONENT, dtype=torch.float64), images) @ root
    lab[:, 0] -= 16
    return lab


def rgb_of(lab: Tensor) -> Tensor:
    """(B, 3, N) L*, a*, b* -> (B, 3, N) uint8 sRGB; what has no color there gets the ends of its channels."""
    opponent = torch.linalg.inv(torch.tensor(_OPPONENT, dtype=torch.float64))
    root = _matrix(opponent, lab) @ (lab + lab.new_tensor([16.0, 0.0, 0.0])[:, None])
    xyz = torch.where(root > _CUBIC, root**3, (root - 4 / 29) * _SLOPE)
    linear = (_matrix(torch.linalg.inv(_to_white()), lab) @ xyz).clamp_(0, 1)
    light = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.pow(1 / 2.4) - 0.055)
    return (light * 255).round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Colors:
    """The colors of B images.

    Attributes
    ----------
    lab : (B, 3, N) float32, of every pixel.
    tissue : (B, N) bool.
    mean, std : (B, 3) float64, over the tissue pixels; the standard deviation divides by their number.
    enough : (B,) bool, whether at least `SHARE` of the pixels is tissue, of `SPREAD` in every channel.
    """

    lab: Tensor
    tissue: Tensor
    mean: Tensor
    std: Tensor
    enough: Tensor


def colors_of(images: Tensor) -> Colors:
    """The colors of each of (B, 3, H, W) uint8 images, on their device."""
    lab = lab_of(images)
    tissue = (lab[:, 0] > DARK) & (lab[:, 0] < BRIGHT)
    number = tissue.sum(1).clamp_min(1).double()[:, None]
    counts = tissue[:, None]
    # Sums in float64: they must not depend on how a device or its threads divide them.
    mean = (lab * counts).sum(2, dtype=torch.float64) / number
    deviation = (lab.double() - mean[:, :, None]) * counts
    std = (deviation.square().sum(2) / number).sqrt()
    enough = (tissue.double().mean(1) >= SHARE) & (std >= SPREAD).all(1)
    return Colors(lab, tissue, mean, std, enough)


def recolored(images: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Images whose tissue has another mean and standard deviation in each channel of L*a*b*.

    Pixels that are no tissue keep their color: glass is white at every medical center.

    Parameters
    ----------
    images : (B, 3, H, W) uint8.
    mean, std : (3,), of L*, a* and b*.

    Returns
    -------
    images : (B, 3, H, W) uint8 on the same device; those without enough tissue are unchanged.
    enough : (B,) bool, see `Colors`.
    """
    colors = colors_of(images)
    gain = std.to(colors.std) / colors.std.clamp_min(SPREAD)
    shift = mean.to(gain) - gain * colors.mean
    moved = rgb_of(colors.lab * gain.float()[:, :, None] + shift.float()[:, :, None])
    changed = (colors.tissue & colors.enough[:, None])[:, None].expand(-1, 3, -1).reshape(images.shape)
    return torch.where(changed, moved.view(images.shape), images), colors.enough


def _to_white() -> Tensor:
    return torch.tensor(_XYZ, dtype=torch.float64) / torch.tensor(_WHITE, dtype=torch.float64)[:, None]


def _matrix(matrix: Tensor, like: Tensor) -> Tensor:
    return matrix.to(like.device, torch.float32)
