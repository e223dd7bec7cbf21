"""A few patches of a cohort, embedded by a model in several ways that must not change the embeddings."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from pathorob_checks.embeddings.matrix_checks import row_lengths
from pathorob_checks.embeddings.pipeline import Pipeline
from pathorob_checks.embeddings.shards import Float32, ShardPlan, ShardRows
from pathorob_checks.embeddings.threads import in_order
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.progress import Progress, no_progress

if TYPE_CHECKING:
    import numpy.typing as npt

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.models.foundation_model import FoundationModel

    Float64 = npt.NDArray[np.float64]

Rows = Float32 | list[Float32]

SAMPLE = 12
STORED_SAMPLE = 48  # where the store had embeddings: if 1 in 20 is not the model's, 9 runs in 10 see it
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


class Difference(BaseModel):
    """The largest relative difference between two embeddings of one patch, and that patch's key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    patch: str


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A circumstance that an embedding must not depend on.

    Attributes
    ----------
    contrast : the two ways of embedding, as the subject of a sentence.
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
        remedy="look for what decides embeddings but is not part of the model's identity (files, settings, "
        "hardware), then give a new folder with --fm-cache=DIR",
    ),
    "batch_size": Variation(
        contrast=f"a patch embedded alone and in a batch of {SAMPLE}",
        remedy="let no patch of a batch influence another: batch normalization in training mode does, and "
        "so does scaling by the batch's range",
    ),
    "order": Variation(
        contrast="a batch embedded forwards and backwards",
        remedy="let an embedding depend neither on its place in the batch nor on earlier batches",
    ),
    "threads": Variation(
        contrast=f"a patch preprocessed on one thread and on {THREADS}",
        remedy="keep no state in preprocessing that its threads share",
    ),
}


def check_variation(name: str, difference: Difference, tolerance: float, where: str) -> None:
    """Refuse an embedding that depends on one of `VARIATIONS`.

    Parameters
    ----------
    where : precision and device, for the message.

    Raises
    ------
    EmbeddingError : `difference` is above `tolerance`.
    """
    if not difference.value <= tolerance:
        variation = VARIATIONS[name]
        raise EmbeddingError(
            f"{variation.contrast} differ by {difference.value:.2g} of the embedding's length where at most "
            f"{tolerance:.2g} is allowed (patch '{difference.patch}', {where})",
            remedy=variation.remedy,
        )


def sample(keys: Sequence[str], strata: Iterable[object], size: int, secret: bytes = b"") -> list[int]:
    """Rows of a cohort: one of each stratum, then a second one of each, until there are `size`.

    Parameters
    ----------
    keys : N patch keys, whose digests decide which patches are drawn, in whatever order the rows are.
    strata : N values, one for each patch.
    secret : with random bytes nobody can tell in advance which patches are drawn.

    Returns
    -------
    min(N, size) row numbers, in the order in which they were drawn.
    """
    lots = [hashlib.sha256(secret + key.encode()).digest() for key in keys]
    stratum = list(strata)
    turns: dict[object, int] = {}
    places = []
    for row in sorted(range(len(lots)), key=lots.__getitem__):
        turn = turns[stratum[row]] = turns.get(stratum[row], -1) + 1
        places.append((turn, lots[row], row))
    return [row for *_, row in sorted(places)[:size]]


def sample_of(cohort: Cohort, secret: bytes, size: int = SAMPLE) -> list[int]:
    """Rows of the patches that are embedded again, spread over the cohort's cells; see `sample`."""
    patches = cohort.patches
    cells = zip(patches.medical_center, patches.biological_class, strict=True)
    return sample(cohort.keys, cells, size, secret)


def differences(
    name: str, model: FoundationModel, cohort: Cohort, rows: Sequence[int], stored: Float32
) -> dict[str, Difference]:
    """What each of `VARIATIONS` does to the embeddings of a few patches.

    Parameters
    ----------
    name : the model's name for messages.
    rows : of the cohort. All of them are compared with `stored`, the first `SAMPLE` in the other ways.
    stored : (len(rows), D) float32, as they were extracted.

    Raises
    ------
    CohortError : an image cannot be decoded.
    EmbeddingError : embeddings have the wrong shape or are not finite.
    ModelError : the model fails on an image or a batch.
    """
    drawn = [cohort.keys[row] for row in rows]
    given = embed(name, model, excerpt(cohort, rows), drawn, batch_size=SAMPLE)
    few = excerpt(cohort, rows[:SAMPLE])
    forwards, backwards = few.keys, few.keys[::-1]
    whole, reference = len(few), given[:SAMPLE]
    preprocessed = _preprocessed(name, model, few, threads=1)
    pairs: dict[str, tuple[Rows, Rows]] = {
        "again": (embed(name, model, few, forwards, batch_size=whole), reference),
        "stored": (stored, given),
        "batch_size": (embed(name, model, few, forwards[:ALONE], batch_size=1), reference[:ALONE]),
        "order": (embed(name, model, few, backwards, batch_size=whole)[::-1], reference),
        "threads": (_preprocessed(name, model, few, threads=THREADS), preprocessed),
    }
    return {variation: _largest(one, other, drawn) for variation, (one, other) in pairs.items()}


def excerpt(cohort: Cohort, rows: Sequence[int]) -> Cohort:
    """A few patches of a cohort as a cohort of their own; their images are read once, on this thread."""
    images = [cohort.read_image(row) for row in rows]
    return dataclasses.replace(
        cohort,
        patches=cohort.patches.iloc[list(rows)].reset_index(drop=True),
        read_image=lambda row: images[row].copy(),  # preprocessing may draw on the image that it is given
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
    embedded: list[Float32] = []
    pipeline = Pipeline(name, model, shards, threads, batch_size)
    steps = pipeline.run([0], lambda _, values: embedded.append(values))
    for _ in (progress or no_progress)(steps, len(keys), f"{name} on {cohort.name}: embedding"):
        pass
    return embedded[0]


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
    return row_lengths(np.subtract(one, other, dtype=np.float64)) / row_lengths(other.astype(np.float64))


def _preprocessed(name: str, model: FoundationModel, cohort: Cohort, *, threads: int) -> list[Float32]:
    """The tensor that preprocessing makes of every patch, each flattened."""
    shards = ShardRows(ShardPlan("", tuple(cohort.keys), len(cohort)), cohort)
    pipeline = Pipeline(name, model, shards, threads, 1)
    images = in_order(
        lambda row: np.asarray(pipeline.preprocess(row)).reshape(-1),
        range(len(cohort)),
        threads=threads,
        window=len(cohort),
    )
    return list(images)


def _largest(one: Rows, other: Rows, keys: Sequence[str]) -> Difference:
    """The largest relative difference between rows; 0 or 1 where rows cannot be compared by length."""
    values = [
        float(relative(a[None], b[None])[0])
        if a.shape == b.shape and b.any() and np.isfinite(a).all() and np.isfinite(b).all()
        else float(not np.array_equal(a, b, equal_nan=True))
        for a, b in zip(one, other, strict=True)
    ]
    worst = int(np.argmax(values))
    return Difference(value=values[worst], patch=keys[worst])
