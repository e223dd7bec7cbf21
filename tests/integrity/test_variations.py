"""What an embedding must not depend on, tried on models with one defect each."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import torch
from color_models import (
    Augmenting,
    Coupled,
    Cropping,
    Masking,
    Model,
    Positional,
    Shared,
    SharedBlue,
    Training,
    matrix,
)

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.embeddings import variations
from pathorob_checks.errors import EmbeddingError

Float32 = npt.NDArray[np.float32]


def differences(model: Model, cohort: Cohort, stored: Float32 | None = None) -> dict[str, float]:
    rows = variations.sample_of(cohort, b"")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if stored is None:
            few = variations.excerpt(cohort, rows)
            stored = variations.embed("colors", model, few, few.keys, batch_size=model.batch_size)
        measured = variations.differences("colors", model, cohort, rows, stored)
    return {name: difference.value for name, difference in measured.items()}


@pytest.mark.parametrize("model", [Model(), Masking()], ids=lambda value: type(value).__name__)
def test_a_sound_model_depends_on_nothing_but_the_patch(model: Model, cohort: Cohort) -> None:
    assert max(differences(model, cohort).values()) < 1e-6


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Training(), {"again", "stored", "batch_size", "order"}),
        (Augmenting(), {"again", "stored", "batch_size", "order", "threads"}),
        (Cropping(), {"threads"}),
        (Coupled(), {"batch_size", "stored"}),
        (Positional(), {"order", "batch_size", "stored"}),
        (Shared(), {"threads"}),
        (SharedBlue(), {"threads"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_defect_shows_where_expected(model: Model, expected: set[str], cohort: Cohort) -> None:
    values = differences(model, cohort)
    differing = {name for name, value in values.items() if value > 1e-5}
    assert differing == expected, values


def test_stored_embeddings_of_another_model_are_noticed(cohort: Cohort) -> None:
    values = differences(Model(), cohort, stored=matrix(variations.SAMPLE, 12))
    assert {name for name, value in values.items() if value > 1e-5} == {"stored"}


def test_a_difference_above_the_tolerance_is_refused_in_one_sentence() -> None:
    worst = variations.Difference(value=0.0123, patch="s1-p3")
    variations.check_variation("order", worst, 0.02, "fp32 on cpu")
    with pytest.raises(EmbeddingError) as caught:
        variations.check_variation("order", worst, 1e-5, "fp32 on cpu")
    assert str(caught.value) == (
        "a batch embedded forwards and backwards differ by 0.012 of the embedding's length where at most "
        "1e-05 is allowed (patch 's1-p3', fp32 on cpu); let an embedding depend neither on its place in the "
        "batch nor on earlier batches."
    )


def test_the_precision_of_unknown_embeddings_is_recognized_by_their_values() -> None:
    values = torch.from_numpy(matrix())
    for dtype, name in ((torch.bfloat16, "bf16"), (torch.float16, "fp16"), (torch.float32, "fp32")):
        assert variations.precision_of(values.to(dtype).float().numpy()) == name


def test_the_sample_does_not_depend_on_the_order_of_the_rows(cohort: Cohort) -> None:
    rows = variations.sample_of(cohort, b"")
    order = np.random.default_rng(0).permutation(len(cohort))
    shuffled = dataclasses.replace(cohort, patches=cohort.patches.iloc[order].reset_index(drop=True))
    again = variations.sample_of(shuffled, b"")
    assert [cohort.keys[row] for row in rows] == [shuffled.keys[row] for row in again]
    cells = cohort.patches.iloc[rows].groupby(["medical_center", "biological_class"]).size()
    assert cells.tolist() == [2] * 6


def test_every_secret_draws_other_patches_from_the_same_cells(cohort: Cohort) -> None:
    drawn = [variations.sample_of(cohort, bytes([secret])) for secret in range(5)]
    assert len(set(map(tuple, drawn))) == 5
    for rows in drawn:
        cells = cohort.patches.iloc[rows].groupby(["medical_center", "biological_class"]).size()
        assert cells.tolist() == [2] * 6
