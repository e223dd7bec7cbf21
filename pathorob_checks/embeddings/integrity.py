"""Whether an embedding is a sound measurement of a patch: of what it must not depend, and what it must show.

The first half looks at a matrix alone, so also at one that was computed elsewhere; each check raises an
`EmbeddingError`. The second half asks a model to embed a few patches in several ways.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.embeddings.pipeline import Pipeline, in_order
from pathorob_checks.embeddings.shards import Float32, ShardPlan, ShardRows
from pathorob_checks.errors import EmbeddingError, named

if TYPE_CHECKING:
    import numpy.typing as npt

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.models.foundation_model import FoundationModel

    Float64 = npt.NDArray[np.float64]

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
Rows = Float32 | list[Float32]

# Where patches differ by less than 1 % of an embedding's length, rounding in bf16 (0.4 %) would decide who
# is whose neighbor. Networks with random weights reach 20 %.
LEAST_SPREAD = 0.01
# An embedding of nothing but class and medical center has two directions; one that describes tissue has
# more. Networks with random weights need 7 for so much of the variance, the demo encoders 10 and 21.
LEAST_DIRECTIONS, SHARE_OF_VARIANCE = 3, 0.99
# Only equal images have equal embeddings, and a cohort has next to none.
MOST_TWINS, TWIN_TOLERANCE = 0.05, 1e-5
# Half of the columns die when one of two concatenated tokens is blank; trained networks lose none or a few.
MOST_DEAD_COLUMNS, DEAD_TOLERANCE = 0.25, 1e-6

_COVARIANCE_ROWS = 512
_ROWS_AT_ONCE = 512

SAMPLE = 12
ALONE = 4  # patches of the sample that are embedded one by one: what couples a batch couples all of it
THREADS = 8
# Largest relative difference between two embeddings of one patch by one model. Batches of another size are
# summed in another order, on a GPU by other kernels; lower precision may differ by 8 units of its rounding,
# which are 2**-8 and 2**-11.
TOLERANCES = {
    ("fp32", "cpu"): 1e-5,
    ("fp32", "cuda"): 1e-4,
    ("bf16", "cpu"): 2**-5,
    ("bf16", "cuda"): 2**-5,
    ("fp16", "cpu"): 2**-8,
    ("fp16", "cuda"): 2**-8,
}


# -- what a matrix tells by itself -------------------------------------------------------------------------


def check_spread(values: Float32) -> float:
    """How far patches lie from their mean, as a share of an embedding's length (root mean squares).

    Parameters
    ----------
    values : (N, D) float32, finite.

    Raises
    ------
    EmbeddingError : less than `LEAST_SPREAD`.
    """
    length = float(np.sqrt(np.square(values, dtype=np.float64).sum(axis=1).mean()))
    spread = float(np.sqrt(values.var(axis=0, dtype=np.float64).sum()))
    if not spread >= LEAST_SPREAD * length:
        raise EmbeddingError(
            f"the embeddings of {len(values)} patches are nearly constant: they differ by "
            f"{spread / length:.2g} of their length, and {LEAST_SPREAD:.2g} is the least",
            remedy="check that the weights were loaded, that preprocessing keeps the image's contrast, and "
            "that --fm-pooling reads the right token",
        )
    return spread / length


def check_directions(values: Float32) -> int:
    """How many principal directions hold `SHARE_OF_VARIANCE` of the variance between patches.

    Of more than 512 patches as many are drawn.

    Raises
    ------
    EmbeddingError : fewer than `LEAST_DIRECTIONS`, or than there can be.
    """
    found = directions(values)
    least = min(LEAST_DIRECTIONS, values.shape[1], len(values) - 1)
    if found < least:
        raise EmbeddingError(
            f"the embeddings have collapsed: {found} of {values.shape[1]} directions hold "
            f"{SHARE_OF_VARIANCE:.0%} of the variance of {len(values)} patches, and {least} is the least",
            remedy="check that the weights were loaded and trained, and look for a column that outweighs all "
            "others",
        )
    return found


def directions(values: Float32) -> int:
    """See `check_directions`; 0 where nothing varies."""
    rows = np.random.default_rng(0).permutation(len(values))[:_COVARIANCE_ROWS]
    centered = (values[rows] - values[rows].mean(axis=0, dtype=np.float64)).astype(np.float32)
    # The covariance and the Gram matrix have the same eigenvalues; the smaller one is cheaper.
    product = centered @ centered.T if len(centered) < centered.shape[1] else centered.T @ centered
    variances = np.maximum(np.linalg.eigvalsh(product.astype(np.float64))[::-1], 0)
    if not variances.sum() > 0:
        return 0
    shares = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(shares, SHARE_OF_VARIANCE)) + 1


def check_twins(values: Float32, keys: Sequence[str]) -> float:
    """Share of patches whose embedding is, to `TWIN_TOLERANCE` of its length, also that of another patch.

    Parameters
    ----------
    keys : N patch keys, for the message.

    Raises
    ------
    EmbeddingError : more than `MOST_TWINS`.
    """
    # Twins lie side by side in whatever direction the patches are sorted.
    direction = np.random.default_rng(0).standard_normal(values.shape[1])
    blocks = np.split(values, range(_ROWS_AT_ONCE, len(values), _ROWS_AT_ONCE))
    order = np.argsort(np.concatenate([block.astype(np.float64) @ direction for block in blocks]))
    twins = np.zeros(len(values), dtype=np.bool_)
    for start in range(0, len(order) - 1, _ROWS_AT_ONCE):
        these = order[start : start + _ROWS_AT_ONCE + 1]
        rows = values[these].astype(np.float64)
        close = _lengths(np.diff(rows, axis=0)) <= TWIN_TOLERANCE * _lengths(rows[1:])
        twins[these[1:][close]] = True
        twins[these[:-1][close]] = True
    share = float(twins.mean())
    if share > MOST_TWINS:
        raise EmbeddingError(
            f"{named(keys[row] for row in np.flatnonzero(twins).tolist())} of {len(values)} have the "
            f"embedding of another patch, {share:.0%} where {MOST_TWINS:.0%} is the most",
            remedy="look at these patches; if their images differ, check that preprocessing keeps what they "
            "show and that the model does not saturate",
        )
    return share


def check_columns(values: Float32) -> float:
    """Share of columns that have one value, to `DEAD_TOLERANCE` of it, on all patches.

    Raises
    ------
    EmbeddingError : more than `MOST_DEAD_COLUMNS`.
    """
    range_ = values.max(axis=0).astype(np.float64) - values.min(axis=0)
    dead = range_ <= DEAD_TOLERANCE * np.abs(values).max(axis=0)
    share = float(dead.mean())
    if share > MOST_DEAD_COLUMNS:
        raise EmbeddingError(
            f"{int(dead.sum())} of {len(dead)} columns have the same value on all {len(values)} patches, "
            f"{share:.0%} where {MOST_DEAD_COLUMNS:.0%} is the most (the first is column "
            f"{int(np.flatnonzero(dead)[0])})",
            remedy="check that all weights were loaded and that --fm-pooling concatenates no blank token",
        )
    return share


# -- what a model shows when it is asked in several ways ---------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The largest relative difference between two embeddings of one patch, and that patch's key."""

    value: float
    patch: str


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A circumstance that an embedding must not depend on.

    Attributes
    ----------
    contrast : the two ways, as the subject of a sentence.
    remedy : where to look if they differ.
    """

    contrast: str
    remedy: str


VARIATIONS: Mapping[str, Variation] = {
    "again": Variation(
        contrast="the same patch embedded twice",
        remedy="put the model into evaluation mode and take random augmentation out of preprocessing",
    ),
    "stored": Variation(
        contrast="the stored embedding and the one that the model gives now",
        remedy="find what decides embeddings beside the model's identity (files, settings, hardware), then "
        "give a new folder with --fm-cache=DIR",
    ),
    "batch_size": Variation(
        contrast=f"a patch embedded alone and in a batch of {SAMPLE}",
        remedy="let no patch of a batch influence another: batch normalization in training mode does, and "
        "scaling by the batch's range",
    ),
    "order": Variation(
        contrast="a batch embedded forwards and backwards",
        remedy="let an embedding depend neither on its place in the batch nor on what came before",
    ),
    "threads": Variation(
        contrast=f"a patch preprocessed on one thread and on {THREADS}",
        remedy="keep no state in preprocessing that its threads share",
    ),
}


def check_variation(name: str, found: Difference, tolerance: float, where: str) -> None:
    """Refuse an embedding that depends on one of `VARIATIONS`.

    Parameters
    ----------
    where : precision and device, for the message.

    Raises
    ------
    EmbeddingError : `found` is above `tolerance`.
    """
    if not found.value <= tolerance:
        variation = VARIATIONS[name]
        raise EmbeddingError(
            f"{variation.contrast} differ by {found.value:.2g} of the embedding's length (patch "
            f"'{found.patch}', {where}), and {tolerance:.2g} is the most",
            remedy=variation.remedy,
        )


def sample(keys: Sequence[str], strata: Iterable[object], size: int) -> list[int]:
    """Rows of a cohort: one of each stratum, then a second one of each, until there are `size`.

    Parameters
    ----------
    keys : N patch keys, whose digests decide which patches these are, in whatever order they stand.
    strata : N values, one for each patch.

    Returns
    -------
    min(N, size) row numbers, in the order of their choice.
    """
    lots = [hashlib.sha256(key.encode()).digest() for key in keys]
    stratum = list(strata)
    turns: dict[object, int] = {}
    places = []
    for row in sorted(range(len(lots)), key=lots.__getitem__):
        turn = turns[stratum[row]] = turns.get(stratum[row], -1) + 1
        places.append((turn, lots[row], row))
    return [row for *_, row in sorted(places)[:size]]


def sample_of(cohort: Cohort) -> list[int]:
    """Rows of the patches that a model is tried on: over medical centers and biological classes."""
    patches = cohort.patches
    cells = zip(patches.medical_center, patches.biological_class, strict=True)
    return sample(cohort.keys, cells, SAMPLE)


def differences(
    name: str, model: FoundationModel, cohort: Cohort, rows: Sequence[int], stored: Float32
) -> dict[str, Difference]:
    """What each of `VARIATIONS` does to the embeddings of a few patches.

    Parameters
    ----------
    name : the model's name for messages.
    rows : of the cohort.
    stored : (len(rows), D) float32, as they were extracted.

    Raises
    ------
    CohortError : an image cannot be decoded.
    EmbeddingError : embeddings have the wrong shape or are not finite.
    ModelError : the model fails on an image or a batch.
    """
    few = excerpt(cohort, rows)
    forwards, backwards = few.keys, few.keys[::-1]
    whole = len(rows)
    reference = embed(name, model, few, forwards, batch_size=whole)
    pictures = _preprocessed(model, few, threads=1)
    ways: dict[str, tuple[Rows, Rows]] = {
        "again": (embed(name, model, few, forwards, batch_size=whole), reference),
        "stored": (stored, reference),
        "batch_size": (embed(name, model, few, forwards[:ALONE], batch_size=1), reference[:ALONE]),
        "order": (embed(name, model, few, backwards, batch_size=whole)[::-1], reference),
        "threads": (_preprocessed(model, few, threads=THREADS), pictures),
    }
    return {way: _largest(one, other, forwards) for way, (one, other) in ways.items()}


def excerpt(cohort: Cohort, rows: Sequence[int]) -> Cohort:
    """A few patches of a cohort as one of their own, their images read once, on this thread."""
    images = [cohort.read_image(row) for row in rows]
    return dataclasses.replace(
        cohort,
        patches=cohort.patches.iloc[list(rows)].reset_index(drop=True),
        read_image=lambda row: images[row].copy(),  # preprocessing may draw on what it is given
        reading_order=None,
    )


def embed(
    name: str,
    model: FoundationModel,
    cohort: Cohort,
    keys: Sequence[str],
    *,
    batch_size: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> Float32:
    """(len(keys), D) float32 embeddings of these patches, in this order; raises as `differences`.

    `progress` wraps the patches as they are embedded.
    """
    shards = ShardRows(ShardPlan("", tuple(keys), len(keys)), cohort)
    found: list[Float32] = []
    pipeline = Pipeline(name, model, shards, threads, batch_size)
    steps: Iterable[Any] = pipeline.run([0], lambda _, values: found.append(values))
    for _ in progress(steps, len(keys), f"{name} on {cohort.name}") if progress else steps:
        pass
    return found[0]


def precision_of(values: Float32) -> str:
    """The coarsest of `bf16`, `fp16` and `fp32` that can hold these values."""
    import torch

    tensor = torch.from_numpy(np.array(values))
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        if torch.equal(tensor.to(dtype).float(), tensor):
            return name
    return "fp32"


def relative(one: Float32, other: Float32) -> Float64:
    """Row by row, the length of the difference over the length of `other`; (N,) float64."""
    return _lengths(np.subtract(one, other, dtype=np.float64)) / _lengths(other.astype(np.float64))


def _lengths(rows: Float64) -> Float64:
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", rows, rows)))


def _preprocessed(model: FoundationModel, cohort: Cohort, *, threads: int) -> list[Float32]:
    """What preprocessing makes of every patch, each flattened."""
    images = in_order(
        lambda row: np.asarray(model.preprocess(cohort.read_image(row))).reshape(-1),
        range(len(cohort)),
        threads=threads,
        window=len(cohort),
    )
    return list(images)


def _largest(one: Rows, other: Rows, keys: Sequence[str]) -> Difference:
    values = [
        float(relative(a[None], b[None])[0])
        if a.shape == b.shape and b.any()
        else float(not np.array_equal(a, b))
        for a, b in zip(one, other, strict=True)
    ]
    worst = int(np.argmax(values))
    return Difference(value=values[worst], patch=keys[worst])
