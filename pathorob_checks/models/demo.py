"""Two encoders without weights: controls, one that passes the gate and one that fails it.

Both embed every patch by itself, in float64: sums over a batch are made in another order than those over one
patch, and on flat areas, where stains can hardly be told apart, the difference in rounding would grow.

`demo:stain-invariant` undoes staining and describes nuclei; `demo:color-sensitive` describes color. Both
are formulas: nothing in them is trained. The formulas were chosen by looking at demo cohorts.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from pathorob_checks.errors import SpecError
from pathorob_checks.models.foundation_model import FoundationModel
from pathorob_checks.numerics import stains

SOURCES = (Path(__file__), Path(stains.__file__))  # what decides the embeddings
WORKING_SIDE = 112  # pixels; half the resolution of a 224 px patch, where blur and JPEG leave little trace

_OPENINGS = (5, 7, 9, 13)  # pixels, width of the square that must fit into a nucleus
_AREAS = (0.3, 0.5, 0.7)  # of the strongest hematoxylin of the patch
_BLOBS = (1.4, 2.2, 3.4)  # pixels, standard deviation of a Laplacian of Gaussian
_RIDGE = 1e-8  # added to the squares of two stains, which are equal in a patch of one color
_CONTRAST = 1e-6  # of a spot's response with the least around it; rounding on flat areas makes no spots
_ONE_THREAD = threading.Lock()  # the number of threads is the process's
_BANDS = (2.5, 5.0, 8.0, 11.0, 15.0, 20.0)  # cycles per patch, limits of the spectrum's rings

# Features of the stain-invariant encoder: name -> (middle, spread). The metrics compare directions of
# embeddings, so that features must be centered and of similar size. The constants are medians and half
# interquartile ranges, rounded to two and one digits, over patches rendered from the demo cohort's recipe
# with another seed. They are part of the encoder and the same for every image; no label was used
# to compute them.
_SCALES: dict[str, tuple[float, float]] = {
    "area_0.3": (0.35, 0.1),
    "area_0.5": (0.21, 0.09),
    "area_0.7": (0.11, 0.04),
    "opening_5": (0.46, 0.09),
    "opening_7": (0.14, 0.09),
    "opening_9": (0.064, 0.04),
    "opening_13": (0.028, 0.01),
    "blob_count_1.4": (11.0, 3.0),
    "blob_energy_1.4": (0.15, 0.04),
    "blob_skew_1.4": (0.97, 0.6),
    "blob_count_2.2": (8.9, 3.0),
    "blob_energy_2.2": (0.17, 0.04),
    "blob_skew_2.2": (0.97, 0.7),
    "blob_count_3.4": (6.8, 1.0),
    "blob_energy_3.4": (0.15, 0.03),
    "blob_skew_3.4": (0.77, 0.8),
    "cluster_5.0": (0.25, 0.05),
    "cluster_9.0": (0.13, 0.02),
    "nuclei_share_0": (-1.9, 0.6),
    "nuclei_tilt_0": (0.25, 0.1),
    "nuclei_share_1": (-1.2, 0.3),
    "nuclei_tilt_1": (0.2, 0.08),
    "nuclei_share_2": (-1.5, 0.1),
    "nuclei_tilt_2": (0.19, 0.1),
    "nuclei_share_3": (-1.8, 0.5),
    "nuclei_tilt_3": (0.15, 0.2),
    "nuclei_share_4": (-2.3, 0.3),
    "nuclei_tilt_4": (0.13, 0.2),
    "eosin_share_0": (-1.4, 0.2),
    "eosin_tilt_0": (0.29, 0.1),
    "eosin_share_1": (-1.2, 0.3),
    "eosin_tilt_1": (0.27, 0.2),
    "eosin_share_2": (-1.6, 0.2),
    "eosin_tilt_2": (0.22, 0.2),
    "eosin_share_3": (-2.0, 0.5),
    "eosin_tilt_3": (0.19, 0.3),
    "eosin_share_4": (-2.7, 0.3),
    "eosin_tilt_4": (0.18, 0.3),
}


def load(name: str, device: str) -> FoundationModel:
    """The demo encoder of that name, on that torch device."""
    try:
        encoder = DEMO_MODELS[name]
    except KeyError:
        choices = " or ".join(f"demo:{choice}" for choice in DEMO_MODELS)
        raise SpecError(f"there is no demo model {name!r}", remedy=f"choose {choices}") from None
    return encoder(device=device)


def _identity(name: str, preprocessing: str) -> Mapping[str, object]:
    source = b"".join(file.read_bytes() for file in SOURCES)
    return {
        "name": f"demo:{name}",
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "preprocessing": preprocessing,
        "precision": "fp32",
    }


def _pixels(image: Image.Image, side: int) -> Tensor:
    """(3, side, side) float32 in 0..1; shrinking averages over the pixels that it merges."""
    small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).to(torch.float32).div_(255)


def _one_by_one(batch: Tensor, device: torch.device, describe: Callable[[Tensor], Tensor]) -> Tensor:
    """(B, D) float32, each row from its image alone, however many there are; see the module's docstring.

    On one thread: an image is too small to share, and where cores are busy threads would wait for each other.
    """
    with _ONE_THREAD:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            rows = [describe(image[None].to(device, torch.float64)) for image in batch]
        finally:
            torch.set_num_threads(threads)
    return torch.cat(rows).float().cpu()


class StainInvariantEncoder:
    """Separates the stains of each image by itself and describes where its hematoxylin is.

    The stain vectors are those of Macenko et al., see `numerics.stains`. Each stain is then scaled by its own
    range in the image, so that only its arrangement remains: areas, sizes of nuclei (openings), blobs, and a
    spectrum that separates fine from coarse and aligned from scattered structures.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.identity = _identity(
            "stain-invariant", f"RGB, bilinear with antialiasing to {WORKING_SIDE} px, 0..1"
        )
        self.dimension = len(_SCALES)
        self.batch_size = 32
        self.device = torch.device(device)
        scales = torch.tensor(list(_SCALES.values()), dtype=torch.float64, device=self.device)
        self._middle, self._spread = scales.unbind(1)
        self._bank = _FilterBank(self.device)

    def preprocess(self, image: Image.Image) -> Tensor:
        """RGB image of any size -> (3, 112, 112) float32 in 0..1."""
        return _pixels(image, WORKING_SIDE)

    @torch.inference_mode()
    def embed(self, batch: Tensor) -> Tensor:
        """(B, 3, 112, 112) -> (B, dimension) float32, every value in -1..1."""
        return _one_by_one(batch, self.device, self._scaled)

    def _scaled(self, image: Tensor) -> Tensor:
        features = self.describe(image)
        raw = torch.stack([features[name] for name in _SCALES], dim=1)
        # The hyperbolic tangent limits the weight of one extreme feature.
        return torch.tanh((raw - self._middle) / (2 * self._spread))

    @torch.inference_mode()
    def describe(self, batch: Tensor) -> dict[str, Tensor]:
        """The features of (B, 3, 112, 112) float64, each (B,), before they are centered and scaled."""
        hematoxylin, eosin = separate_stains(batch.to(self.device))
        nuclei = torch.sigmoid((hematoxylin - 0.45) * 12)
        features = {
            f"area_{limit}": torch.sigmoid((hematoxylin - limit) * 12).mean((1, 2)) for limit in _AREAS
        }
        area = nuclei.mean((1, 2)).clamp_min(1e-3)
        features |= {f"opening_{w}": _opening(nuclei, w).mean((1, 2)) / area for w in _OPENINGS}
        features |= self._bank.blobs(nuclei)
        features |= self._bank.clusters(nuclei)
        features |= self._bank.spectrum("nuclei", nuclei)
        features |= self._bank.spectrum("eosin", eosin)
        return features


def separate_stains(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Hematoxylin and eosin of each image, scaled to its own range.

    Parameters
    ----------
    batch : (B, 3, H, W) float64, light in 0..1.

    Returns
    -------
    hematoxylin, eosin : (B, H, W) float64, about 0 where there is least and 1 where there is most of it.
    """
    count, _, height, width = batch.shape
    light = batch.flatten(2)
    # An empty background is the brightest part of an image, but not every image has some.
    white = torch.quantile(light[:, :, ::4], 0.995, dim=2, keepdim=True).clamp_min(0.85)
    density = -torch.log(light.clamp_min(1 / 255) / white).clamp_max(0)
    sample = density[:, :, ::3]  # a third of the pixels is enough for directions and ranges
    stained = (sample.sum(dim=1) > 0.3).to(sample.dtype)
    vectors = stains.stain_vectors(sample, stained)
    squares = vectors @ vectors.transpose(1, 2) + _RIDGE * torch.eye(
        2, dtype=batch.dtype, device=batch.device
    )
    amounts = torch.linalg.solve(squares, vectors @ density)  # (B, 2, H * W)
    low, high = torch.quantile(amounts[:, :, ::3], batch.new_tensor([0.10, 0.985]), dim=2).unsqueeze(3)
    scaled = ((amounts - low) / (high - low).clamp_min(1e-3)).clamp(-0.2, 1.3)
    hematoxylin, eosin = scaled.reshape(count, 2, height, width).unbind(1)
    return hematoxylin, eosin


def _opening(mask: Tensor, width: int) -> Tensor:
    """Grayscale opening of (B, H, W) by a square: what remains is at least `width` pixels wide."""
    eroded = -_widest(_widest(-mask, width, 1), width, 2)
    return _widest(_widest(eroded, width, 1), width, 2)


def _widest(field: Tensor, width: int, dim: int) -> Tensor:
    """Running maximum of (B, H, W) over `width` (odd) pixels along `dim`, in the number of doublings."""
    pad = [0, 0, 0, 0]
    pad[4 - 2 * dim : 6 - 2 * dim] = [width // 2, width // 2]
    maximum, reach = functional.pad(field, pad, value=-math.inf), 1
    while reach < width:
        step = min(reach, width - reach)
        length = maximum.shape[dim] - step
        maximum = torch.maximum(maximum.narrow(dim, 0, length), maximum.narrow(dim, step, length))
        reach += step
    return maximum


class _FilterBank:
    """Fixed filters on the Fourier transform of a (B, 112, 112) map."""

    def __init__(self, device: torch.device) -> None:
        side, exact = WORKING_SIDE, torch.float64
        y = torch.fft.fftfreq(side, dtype=exact, device=device)[:, None]
        x = torch.fft.rfftfreq(side, dtype=exact, device=device)[None, :]
        square = (2 * math.pi) ** 2 * (x * x + y * y)  # squared angular frequency
        self._gauss = {s: torch.exp(-square * s * s / 2) for s in (1.0, *_BLOBS, 5.0, 9.0)}
        # Laplacian of Gaussian, scaled by sigma^2 so that its response does not depend on a blob's size.
        self._blob = {s: square * s * s * self._gauss[s] for s in _BLOBS}
        # Of whole numbers of cycles: rounding must not move a frequency into another ring.
        radius = torch.sqrt((side * x).round().square() + (side * y).round().square())
        # Columns other than the first hold two conjugate frequencies.
        twice = torch.where((x > 0) & (x < 0.5), 2.0, 1.0).to(exact)
        limits = pairwise(_BANDS)
        rings = [((radius >= low) & (radius < high)) * twice for low, high in limits]
        self._rings = torch.stack(rings).flatten(1)  # (bands, frequencies)
        double = 2 * torch.atan2(y, x)
        self._cos, self._sin = torch.cos(double).flatten(), torch.sin(double).flatten()
        hann = torch.hann_window(side, periodic=False, dtype=exact, device=device)
        self._window = hann[:, None] * hann[None, :]

    def blobs(self, nuclei: Tensor) -> dict[str, Tensor]:
        """Number and strength of round spots of three sizes."""
        transform = torch.fft.rfft2(nuclei)
        features: dict[str, Tensor] = {}
        for sigma, filtered in self._blob.items():
            response = torch.fft.irfft2(transform * filtered, s=nuclei.shape[1:])
            top = _widest(_widest(response, 5, 1), 5, 2)
            bottom = -_widest(_widest(-response, 5, 1), 5, 2)
            peaks = (response == top) * (top - bottom > _CONTRAST) * torch.sigmoid((response - 0.25) * 20)
            features[f"blob_count_{sigma}"] = torch.sqrt(peaks.sum((1, 2)))
            square = response * response
            energy = square.mean((1, 2)).sqrt()
            features[f"blob_energy_{sigma}"] = energy
            features[f"blob_skew_{sigma}"] = (square * response).mean((1, 2)) / energy.pow(3).clamp_min(1e-6)
        return features

    def clusters(self, nuclei: Tensor) -> dict[str, Tensor]:
        """How unevenly the nuclei are spread, on two scales, relative to a Poisson process."""
        transform = torch.fft.rfft2(nuclei)
        root = nuclei.mean((1, 2)).clamp_min(1e-3).sqrt()
        features: dict[str, Tensor] = {}
        for sigma in (5.0, 9.0):
            smooth = torch.fft.irfft2(transform * self._gauss[sigma], s=nuclei.shape[1:])
            features[f"cluster_{sigma}"] = smooth.std((1, 2)) / root
        return features

    def spectrum(self, name: str, field: Tensor) -> dict[str, Tensor]:
        """Share of each ring of frequencies, and how strongly the ring's energy favors one direction."""
        centered = (field - field.mean((1, 2), keepdim=True)) * self._window
        power = torch.fft.rfft2(centered).abs().square().flatten(1)
        energy = power @ self._rings.T  # (B, bands)
        tilt = torch.hypot((power * self._cos) @ self._rings.T, (power * self._sin) @ self._rings.T)
        total = energy.sum(1).clamp_min(1e-9)
        features: dict[str, Tensor] = {}
        for band in range(energy.shape[1]):
            features[f"{name}_share_{band}"] = torch.log(energy[:, band] / total + 1e-4)
            features[f"{name}_tilt_{band}"] = tilt[:, band] / energy[:, band].clamp_min(1e-9)
        return features


class ColorSensitiveEncoder:
    """Describes the colors of an image and nothing else, so that stain and scanner dominate it.

    For each of red, green and blue: mean, standard deviation, five quantiles and a histogram of eight bins.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.identity = _identity(
            "color-sensitive", f"RGB, bilinear with antialiasing to {WORKING_SIDE} px, 0..1"
        )
        self.device = torch.device(device)
        exact = torch.float64
        self._levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=exact, device=self.device)
        self._bins = torch.linspace(0.0625, 0.9375, 8, dtype=exact, device=self.device)
        self.dimension = 3 * (2 + len(self._levels) + len(self._bins))
        self.batch_size = 32

    def preprocess(self, image: Image.Image) -> Tensor:
        """RGB image of any size -> (3, 112, 112) float32 in 0..1."""
        return _pixels(image, WORKING_SIDE)

    @torch.inference_mode()
    def embed(self, batch: Tensor) -> Tensor:
        """(B, 3, 112, 112) -> (B, dimension) float32."""
        return _one_by_one(batch, self.device, self._described)

    def _described(self, image: Tensor) -> Tensor:
        light = image.flatten(2)
        quantiles = torch.quantile(light[:, :, ::4], self._levels, dim=2).permute(1, 2, 0)
        # Bins overlap by half, so that a color at a border does not jump from one bin to the next.
        nearness = 1 - (light[:, :, ::4, None] - self._bins).abs() * 8
        histogram = nearness.clamp_min(0).mean(2)
        # Constants put ordinary tissue near zero: directions of embeddings are what the metrics compare.
        columns = [
            4 * (light.mean(2) - 0.65),
            4 * (light.std(2) - 0.15),
            (4 * (quantiles - 0.65)).flatten(1),
            (2 * (histogram - 0.125)).flatten(1),
        ]
        return torch.cat(columns, dim=1)


DEMO_MODELS: Mapping[str, type[StainInvariantEncoder] | type[ColorSensitiveEncoder]] = {
    "stain-invariant": StainInvariantEncoder,
    "color-sensitive": ColorSensitiveEncoder,
}
