"""Embeddings and patches for the pictures of a report: a map, and the patches that a metric misses."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.errors import CohortError
from pathorob_checks.metrics.registry import metric
from pathorob_checks.results.subject_facts import EmbeddingMap, Neighborhood, PatchFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.metrics.measurement import Measurement

MOST_PATCHES = 1_000  # on a map
_SEED = 1337
_DECIMALS = 4
_SIDE = 96  # pixels of a patch's image
_QUALITY = 75


def map_of(values: npt.NDArray[np.float32], cohort: Cohort) -> EmbeddingMap | None:
    """The patches in the plane of the first two principal components; None where there are none.

    Where there are many, those of every class and center are thinned alike, and the components are those of
    the patches that are left.

    Parameters
    ----------
    values : (N, D) embeddings of all patches of the cohort.
    """
    chosen = _sample(len(cohort))
    embeddings = np.asarray(values[chosen], dtype=np.float64)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if len(chosen) < 3 or not np.isfinite(embeddings).all() or (norms == 0).any():
        return None
    from sklearn.decomposition import PCA

    components = PCA(n_components=2, svd_solver="randomized", random_state=_SEED)
    places = components.fit_transform(embeddings / norms)
    explained = np.nan_to_num(components.explained_variance_ratio_)
    patches = cohort.patches.iloc[chosen]
    classes, centers = (
        patches[name].astype("category").cat for name in ("biological_class", "medical_center")
    )
    return EmbeddingMap(
        x=tuple(np.round(places[:, 0], _DECIMALS).tolist()),
        y=tuple(np.round(places[:, 1], _DECIMALS).tolist()),
        biological_class=tuple(classes.codes.tolist()),
        medical_center=tuple(centers.codes.tolist()),
        classes=tuple(map(str, classes.categories)),
        centers=tuple(map(str, centers.categories)),
        explained=(float(explained[0]), float(explained[1])),
        patches=len(cohort),
    )


def _sample(patches: int) -> npt.NDArray[np.int64]:
    """Ascending positions of at most `MOST_PATCHES` of so many patches."""
    if patches <= MOST_PATCHES:
        return np.arange(patches)
    return np.sort(np.random.default_rng(_SEED).choice(patches, MOST_PATCHES, replace=False))


def nearest_rows(measured: Iterable[Measurement], cohort: Cohort) -> Iterator[tuple[str, int, list[int]]]:
    """For each patch that a metric misses: the metric, its row in the cohort, and those of its neighbors."""
    for measurement in measured:
        rows = cohort.views[metric(measurement.metric).computation.view].rows
        for one in measurement.nearest:
            yield measurement.metric, int(rows[one.row]), rows[list(one.neighbors)].tolist()


def neighborhoods_of(measured: Iterable[Measurement], cohort: Cohort) -> tuple[Neighborhood, ...]:
    """The patches that metrics miss, with their neighbors."""
    return tuple(
        Neighborhood(
            metric=name,
            patch=patch_facts(cohort, row),
            neighbors=tuple(patch_facts(cohort, neighbor) for neighbor in neighbors),
        )
        for name, row, neighbors in nearest_rows(measured, cohort)
    )


def images_of(measured: Iterable[Measurement], cohort: Cohort) -> dict[str, str]:
    """Images of these patches by their keys; without those that cannot be read."""
    shown = [row for _, row, neighbors in nearest_rows(measured, cohort) for row in (row, *neighbors)]
    images = {patch_facts(cohort, row).key: image_of(cohort, row) for row in dict.fromkeys(shown)}
    return {key: image for key, image in images.items() if image is not None}


def patch_facts(cohort: Cohort, row: int) -> PatchFacts:
    """What a report says of a patch."""
    patch = cohort.patches.iloc[row]
    return PatchFacts(
        slide_id=patch.slide_id,
        patch_id=patch.patch_id,
        biological_class=patch.biological_class,
        medical_center=patch.medical_center,
    )


def image_of(cohort: Cohort, row: int) -> str | None:
    """A patch as a small JPEG, base64; None where it has no image that can be read."""
    try:
        image = cohort.read_image(row).convert("RGB")
    except CohortError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(content.getvalue()).decode("ascii")
