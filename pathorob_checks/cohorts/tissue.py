"""A seeded renderer of hematoxylin and eosin (H&E) stained tissue.

Every patch is rendered alone, from the seed and its own place in the cohort, so that patches can be
rendered in any order and on any thread. What a patch shows (nuclei, cytoplasm, fibers, gaps) comes from a
`Tissue`, how it looks (stains, light, sharpness, compression) from an `Optics`; neither knows the other.

Light follows the Beer-Lambert law: a pixel is `white * exp(-(h * H + e * E))` with h and e the optical
densities of the two stains (natural logarithm) and H and E their unit vectors over red, green and blue.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Map = npt.NDArray[np.float32]
"""Field over the patch, (size, size) float32, unless its own comment says otherwise."""

GRAIN = 3  # pixels per cell of the grid on which cell borders are computed: they are smooth


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """One biological class. The recipe file explains units and ranges of the fields."""

    name: str
    density: float
    nuclear_diameter: float
    size_spread: float
    eccentricity: float
    regularity: float
    clumping: float
    alignment: float
    chromatin: float
    chromatin_texture: float
    rim: float
    nucleoli: float
    cytoplasm: float
    membranes: float
    fibers: float
    gaps: float


@dataclass(frozen=True, kw_only=True)
class Optics:
    """Staining and scanning of one medical center. The recipe file explains units and ranges."""

    name: str
    subset: str
    hematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    hematoxylin_strength: float
    eosin_strength: float
    white_point: tuple[float, float, float]
    blur: float
    noise: float
    jpeg_quality: int


@dataclass(frozen=True, kw_only=True)
class SlideVariation:
    """How far a slide departs from its class and its center. The recipe file explains the units."""

    density: float
    nuclear_size: float
    thickness: float
    stain_balance: float
    stain_direction: float
    white_point: float


@dataclass(frozen=True, order=True)
class Place:
    """Where a patch belongs: indices into the recipe's classes and centers, then within the cell."""

    tissue: int
    optics: int
    slide: int
    patch: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the patches of a rendered cohort.

    Attributes
    ----------
    size : pixels on a side of a patch.
    pixel_size : micrometers per pixel.
    k : neighbors of the robustness index on this cohort.
    slides_per_cell : subset ("ID", "OOD") -> slides of one class at one center.
    """

    name: str
    seed: int
    size: int
    pixel_size: float
    k: int
    patches_per_slide: int
    slides_per_cell: Mapping[str, int]
    variation: SlideVariation
    tissues: tuple[Tissue, ...]
    optics: tuple[Optics, ...]

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read a recipe file; a missing or unknown field raises KeyError or TypeError."""
        raw = tomllib.loads(text)
        return cls(
            name=raw["name"],
            seed=raw["seed"],
            size=raw["patch"]["size"],
            pixel_size=raw["patch"]["pixel_size"],
            k=raw["k"],
            patches_per_slide=raw["patches_per_slide"],
            slides_per_cell=raw["slides_per_cell"],
            variation=SlideVariation(**raw["slide_variation"]),
            tissues=tuple(Tissue(**entry) for entry in raw["classes"]),
            optics=tuple(Optics(**_with_tuples(entry)) for entry in raw["centers"]),
        )

    def places(self) -> Iterator[Place]:
        """Every patch of the cohort, by class, center, slide and patch."""
        for t in range(len(self.tissues)):
            for o, optics in enumerate(self.optics):
                for s in range(self.slides_per_cell[optics.subset]):
                    for p in range(self.patches_per_slide):
                        yield Place(t, o, s, p)


def _with_tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def render(recipe: Recipe, place: Place) -> Image.Image:
    """RGB image (recipe.size x recipe.size) of one patch; the same bytes on every call."""
    words = (place.tissue, place.optics, place.slide)
    slide = np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=words))
    patch = np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(*words, place.patch)))
    tissue, optics = _on_slide(
        recipe.tissues[place.tissue], recipe.optics[place.optics], recipe.variation, slide
    )
    hematoxylin, eosin = stain_maps(tissue, recipe.size, recipe.pixel_size, patch)
    return photograph(hematoxylin, eosin, optics, patch)


def _on_slide(
    tissue: Tissue, optics: Optics, variation: SlideVariation, rng: np.random.Generator
) -> tuple[Tissue, Optics]:
    """The class and the center as they are on one slide."""

    def factor(spread: float) -> float:
        return float(np.exp(spread * rng.standard_normal()))

    def moved(vector: tuple[float, float, float], spread: float) -> tuple[float, float, float]:
        r, g, b = (np.array(vector) + spread * rng.standard_normal(3)).tolist()
        return r, g, b

    thickness, balance = factor(variation.thickness), factor(variation.stain_balance)
    return (
        replace(
            tissue,
            density=tissue.density * factor(variation.density),
            nuclear_diameter=tissue.nuclear_diameter * factor(variation.nuclear_size),
        ),
        replace(
            optics,
            hematoxylin=moved(optics.hematoxylin, variation.stain_direction),
            eosin=moved(optics.eosin, variation.stain_direction),
            hematoxylin_strength=optics.hematoxylin_strength * thickness * balance,
            eosin_strength=optics.eosin_strength * thickness / balance,
            white_point=moved(optics.white_point, variation.white_point),
        ),
    )


def stain_maps(tissue: Tissue, size: int, pixel_size: float, rng: np.random.Generator) -> tuple[Map, Map]:
    """Optical densities of hematoxylin and eosin, each (size, size) float32 and >= 0."""
    fibers, direction = _fibers(size, rng)
    centers = _nuclear_centers(tissue, size, pixel_size, rng)
    nuclei = _Nuclei.draw(tissue, centers, direction, size, pixel_size, rng)
    cover, chromatin = nuclei.paint(tissue, size, rng)
    borders = _cell_borders(centers, size)

    coarse, fine = _noise(rng, size, 9), _noise(rng, size, size // 3)
    eosin = tissue.cytoplasm * (1 + 0.16 * coarse + 0.10 * fine + tissue.fibers * fibers)
    eosin += tissue.membranes * borders
    eosin *= 1 - 0.55 * cover  # chromatin leaves little room for eosin
    hematoxylin = chromatin + (1 - cover) * (0.06 + 0.05 * tissue.cytoplasm * (1 + 0.5 * coarse))

    # Tissue tears where it is weakest: at low points of a smooth field, along fibers and cell borders.
    weakness = _noise(rng, size, 5) + 0.35 * _noise(rng, size, 16) - 0.25 * fibers * tissue.fibers
    weakness += 0.3 * borders - 2.5 * cover
    limit = np.quantile(weakness[::4, ::4], 1 - tissue.gaps)
    kept = 1 - _step((weakness - limit) * np.float32(7))
    return np.maximum(hematoxylin, 0) * kept, np.maximum(eosin, 0) * kept


def photograph(hematoxylin: Map, eosin: Map, optics: Optics, rng: np.random.Generator) -> Image.Image:
    """RGB image of two stain maps as one medical center would deliver it."""
    stains = np.array([optics.hematoxylin, optics.eosin], dtype=np.float32)
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    stains *= np.array([[optics.hematoxylin_strength], [optics.eosin_strength]], dtype=np.float32)
    white = np.array(optics.white_point, dtype=np.float32)
    light = np.stack([hematoxylin, eosin], axis=-1) @ stains
    np.exp(-light, out=light)
    light *= white
    sharp = Image.fromarray(_to_bytes(light))
    seen = np.asarray(sharp.filter(ImageFilter.GaussianBlur(optics.blur)), dtype=np.float32)
    grain = rng.standard_normal(seen.shape, dtype=np.float32)
    grain *= np.float32(optics.noise)
    grain += seen
    file = io.BytesIO()
    Image.fromarray(_to_bytes(grain)).save(file, "JPEG", quality=optics.jpeg_quality)
    file.seek(0)
    with Image.open(file) as decoded:
        return decoded.convert("RGB")


def _to_bytes(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _step(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Smooth step from 0 to 1 around x = 0."""
    return np.float32(0.5) * (1 + np.tanh(x))


def _noise(rng: np.random.Generator, size: int, cells: int, across: int | None = None) -> Map:
    """Smooth noise with mean 0 and a standard deviation near 1, `cells` x `across` bumps on the patch."""
    grid = rng.standard_normal((cells + 3, (across or cells) + 3), dtype=np.float32)
    # Pillow's bicubic resize is separable and runs without the interpreter's lock; the outermost cells,
    # which it would have to extrapolate, stay outside the patch.
    box = (1.5, 1.5, grid.shape[1] - 1.5, grid.shape[0] - 1.5)
    field = np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC, box=box))
    return field * np.float32(1.4)  # interpolation takes about half of the variance


def _fibers(size: int, rng: np.random.Generator) -> tuple[Map, Map]:
    """Wavy bundles of fibers, and the angle (radians, in x-y image axes) in which they run."""
    angle = rng.uniform(0, np.pi)
    warp = _noise(rng, size, 2) * np.float32(0.06 * size)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) - np.float32(size / 2)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across = x * cos + y * sin + warp
    along = y * cos - x * sin
    # A sheet of streaks, finer than the pixels, is looked up at the warped coordinates. It is wide enough
    # for the patch's diagonal and the warp.
    wide = 2 * size
    sheet = np.float32(0.7) * _noise(rng, wide, wide // 3, wide // 35)
    sheet += _noise(rng, wide, wide // 8, wide // 70)
    scale, middle = np.float32(1.2), np.float32(wide / 2)
    rows = np.clip(across * scale + middle, 0, wide - 1).astype(np.int32)
    columns = np.clip(along * scale + middle, 0, wide - 1).astype(np.int32)
    dy, dx = np.gradient(warp)
    return sheet[rows, columns] * np.float32(0.8), np.arctan2(cos + dx, -(sin + dy))


def _nuclear_centers(
    tissue: Tissue, size: int, pixel_size: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(n, 2) float32 x, y in pixels, on a shaken hexagonal lattice that reaches beyond the patch."""
    area = 1e6 * (1 - tissue.clumping) / (tissue.density * pixel_size**2)  # pixels per lattice point
    pitch = float(np.sqrt(area * 2 / np.sqrt(3)))
    margin = 16.0
    reach = (size + 2 * margin) * 0.75  # half a diagonal: the lattice is turned at random
    count = int(reach / pitch) + 2
    i, j = np.meshgrid(np.arange(-count, count + 1), np.arange(-count, count + 1))
    lattice = np.stack([(i + 0.5 * (j % 2)).ravel(), (j * np.sqrt(3) / 2).ravel()], axis=1) * pitch
    lattice = lattice + rng.uniform(0, 1, 2) * pitch
    lattice = lattice + rng.standard_normal(lattice.shape) * pitch * 0.36 * (1 - tissue.regularity)
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = lattice @ turn + size / 2
    points = points[((points > -margin) & (points < size + margin)).all(axis=1)]
    # Clumping removes the nuclei under the low points of a smooth field.
    field = _noise(rng, size, 4)
    x, y = np.clip(points, 0, size - 1).astype(np.int64).T
    height = field[y, x] + 0.5 * rng.standard_normal(len(points))
    kept: npt.NDArray[np.float32] = points[height >= np.quantile(height, tissue.clumping)].astype(np.float32)
    return kept


def _cell_borders(centers: npt.NDArray[np.float32], size: int) -> Map:
    """1 midway between the two nearest nuclei (borders of their Voronoi cells), falling to 0."""
    cells = -(-size // GRAIN)
    axis = (np.arange(cells, dtype=np.float32) + np.float32(0.5)) * np.float32(size / cells)
    dx = (axis[None, :] - centers[:, :1]) ** 2
    dy = (axis[None, :] - centers[:, 1:]) ** 2
    distance = dy[:, :, None] + dx[:, None, :]
    first = distance.min(axis=0)
    distance[distance == first] = np.inf
    gap = np.sqrt(distance.min(axis=0)) - np.sqrt(first)
    border: Map = np.exp(-((gap / np.float32(3.5)) ** 2))
    return np.asarray(Image.fromarray(border).resize((size, size), Image.Resampling.BICUBIC))


@dataclass(frozen=True, kw_only=True)
class _Nuclei:
    """n nuclei, each array (n,) float32 unless noted; lengths in pixels, angles in radians."""

    centers: npt.NDArray[np.float32]  # (n, 2) x, y
    major: npt.NDArray[np.float32]  # half axes
    minor: npt.NDArray[np.float32]
    angle: npt.NDArray[np.float32]
    dent: npt.NDArray[np.float32]  # (n, 2) sine and cosine share of the outline's third harmonic
    darkness: npt.NDArray[np.float32]  # hematoxylin against the class's mean
    nucleolus: npt.NDArray[np.float32]  # (n, 2) place of the nucleolus, in half axes

    @classmethod
    def draw(
        cls,
        tissue: Tissue,
        centers: npt.NDArray[np.float32],
        direction: Map,
        size: int,
        pixel_size: float,
        rng: np.random.Generator,
    ) -> Self:
        n = len(centers)
        x, y = np.clip(centers, 0, size - 1).astype(np.int64).T
        radius = np.exp(tissue.size_spread * rng.standard_normal(n))
        radius *= tissue.nuclear_diameter / 2 / pixel_size
        # Sections cut ellipsoids anywhere, so that the eccentricity seen varies below the class's.
        eccentricity = tissue.eccentricity * np.sqrt(rng.uniform(0.75, 1, n))
        ratio = np.sqrt(1 - eccentricity**2)
        free = rng.uniform(-np.pi / 2, np.pi / 2, n)
        drawn = {
            "centers": centers,
            "major": radius / np.sqrt(ratio),
            "minor": radius * np.sqrt(ratio),
            "angle": direction[y, x] + (1 - tissue.alignment) * free,
            "dent": 0.045 * rng.standard_normal((n, 2)),
            "darkness": np.clip(1 + 0.14 * rng.standard_normal(n), 0.6, 1.4),
            "nucleolus": 0.25 * rng.standard_normal((n, 2)),
        }
        return cls(**{f.name: np.asarray(drawn[f.name], dtype=np.float32) for f in fields(cls)})

    def paint(self, tissue: Tissue, size: int, rng: np.random.Generator) -> tuple[Map, Map]:
        """Share of each pixel covered by nuclei, and the optical density of their hematoxylin."""
        half = int(np.ceil(self.major.max() * 1.25)) + 1
        corner = np.floor(self.centers).astype(np.int64)
        # All nuclei at once: (n, w, w) windows, each around its own nucleus.
        steps = np.arange(-half, half + 1)
        shift = (corner - self.centers).astype(np.float32)
        dx = (steps.astype(np.float32)[None, :] + shift[:, :1])[:, None, :]
        dy = (steps.astype(np.float32)[None, :] + shift[:, 1:])[:, :, None]
        cos, sin = np.cos(self.angle)[:, None, None], np.sin(self.angle)[:, None, None]
        u = (dx * cos + dy * sin) / self.major[:, None, None]
        v = (dy * cos - dx * sin) / self.minor[:, None, None]
        uu, vv = u * u, v * v
        square = uu + vv
        # Third harmonic of the outline without an arctangent: r^3 sin 3t = 3u^2v - v^3, likewise cos.
        cubic = self.dent[:, :1, None] * v * (3 * uu - vv)
        cubic += self.dent[:, 1:, None] * u * (uu - 3 * vv)
        distance = np.sqrt(square) - cubic / np.maximum(square, np.float32(0.25))
        inside = _step((1 - distance) * (self.minor * np.float32(0.9))[:, None, None])
        inner = _step((np.float32(0.74) - distance) * (self.minor * np.float32(0.7))[:, None, None])
        stain = inside * (1 + np.float32(0.4 * tissue.rim)) - np.float32(tissue.rim) * inner
        if tissue.nucleoli > 0:
            far = (u - self.nucleolus[:, :1, None]) ** 2 + (v - self.nucleolus[:, 1:, None]) ** 2
            stain += np.float32(tissue.nucleoli) * inside * np.exp(far * np.float32(-22))
        stain *= self.darkness[:, None, None]

        pad = half + 17  # centers reach 16 pixels beyond the patch
        width = size + 2 * pad
        rows, columns = corner[:, 1:] + pad + steps, corner[:, :1] + pad + steps
        flat = (rows[:, :, None] * width + columns[:, None, :]).ravel()
        cover = np.zeros(width * width, dtype=np.float32)
        chromatin = np.zeros(width * width, dtype=np.float32)
        np.maximum.at(cover, flat, inside.ravel())
        np.maximum.at(chromatin, flat, stain.ravel())
        window = slice(pad, pad + size)
        cover = cover.reshape(width, width)[window, window]
        chromatin = chromatin.reshape(width, width)[window, window]
        grains = _noise(rng, size, size // 3) + np.float32(0.8) * _noise(rng, size, size // 6)
        texture = 1 + np.float32(tissue.chromatin_texture) * grains
        return cover, chromatin * np.maximum(texture, np.float32(0.3)) * np.float32(tissue.chromatin)
