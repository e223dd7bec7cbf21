"""Unsound embeddings: numbers that overflow, vanish, repeat or outweigh all others are measured as if sound.

All start from embeddings that earn a pass, so that only the integrity of the matrix stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from attack import Attack, assert_not_passed, made_embeddings, rows_of, write_embeddings

Values = npt.NDArray[Any]


def overflowed(values: Values) -> Values:
    wide = values * 1e4
    wide[::9] *= 1e3
    return wide.astype(np.float16)


def saturated(values: Values) -> Values:
    wide = values * 1e4
    wide[::9] *= 1e3
    return np.clip(wide, -65504, 65504)


def half_constant(values: Values) -> Values:
    values[::2] = values[0]
    return values


def half_nearly_constant(values: Values) -> Values:
    noise = np.random.default_rng(5).normal(size=values.shape) * 1e-4
    values[::2] = values[0] + noise[::2]
    return values


def rows_of_one_number(values: Values) -> Values:
    values[::2] = 1 + np.arange(len(values))[::2, None]
    return values


def one_row_repeated(values: Values) -> Values:
    values[::10] = values[3]
    return values


def one_giant_column(values: Values) -> Values:
    values[:, 2] *= 1e5
    return values


def one_giant_row(values: Values) -> Values:
    values[5] *= 1e6
    return values


def rows_that_vanish(values: Values) -> Values:
    values[::3] *= 1e-25
    return values


def a_row_of_zeros(values: Values) -> Values:
    values[7] = 0
    return values


def a_value_that_is_no_number(values: Values) -> Values:
    values[7, 3] = np.nan
    return values


WAYS: dict[Callable[[Values], Values], str] = {
    overflowed: "contain NaN or infinite values",
    saturated: "contain 65504, the largest number of float16",
    lambda values: values * np.float32(1e19): "typical length of",
    lambda values: values * np.float32(1e-25): "typical length of",
    half_constant: "have the embedding of another patch",
    half_nearly_constant: "have the embedding of another patch",
    rows_of_one_number: "have the embedding of another patch",
    one_row_repeated: "have the embedding of another patch",
    one_giant_column: "embeddings have collapsed",
    one_giant_row: "times longer or shorter than the typical one",
    rows_that_vanish: "times longer or shorter than the typical one",
    a_row_of_zeros: "are all zeros",
    a_value_that_is_no_number: "contain NaN or infinite values",
}
NAMES = [*(way.__name__.replace("<lambda>", "scaled") for way in WAYS)]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize(("way", "words"), WAYS.items(), ids=NAMES)
def test_it_does_not_pass(way: Callable[[Values], Values], words: str, attack: Attack) -> None:
    rows = rows_of(attack.folder / "coh")
    write_embeddings(attack.folder / "unsound", rows, way(made_embeddings(rows, biology=1.5, center=0.3)))
    outcome = attack.run(fm="embeddings:unsound")
    assert_not_passed(outcome)
    assert words in " ".join(outcome.output.split())
