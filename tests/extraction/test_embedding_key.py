"""The key under which embeddings are stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pathorob_checks.canonical import canonical_json
from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.embeddings.identity import embedding_key


def test_the_key_depends_on_types_but_not_on_the_order_of_the_identity(cohort: Cohort) -> None:
    assert embedding_key({"a": 1, "b": (2, 3)}, cohort) == embedding_key({"b": [2, 3], "a": 1}, cohort)
    assert embedding_key({"a": 1}, cohort) != embedding_key({"a": "1"}, cohort)
    assert embedding_key({"a": 1}, cohort) != embedding_key({"a": 1}, dataclasses.replace(cohort, images="x"))
    fewer = dataclasses.replace(cohort, patches=cohort.patches.iloc[1:])
    assert embedding_key({"a": 1}, cohort) != embedding_key({"a": 1}, fewer)


def test_patches_whose_joined_ids_are_equal_are_other_patches(cohort: Cohort) -> None:
    def key(slide: str, patch: str) -> str:
        first = cohort.patches.iloc[:1].assign(slide_id=slide, patch_id=patch)
        return embedding_key({}, dataclasses.replace(cohort, patches=first))

    assert key("a", "b-c") != key("a-b", "c")


def test_another_decoder_is_another_key(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    before = embedding_key({}, cohort)
    monkeypatch.setattr("PIL.__version__", "0.0")
    assert embedding_key({}, cohort) != before


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1, 2}}, {"a": Path("x")}, {"a": float("nan")}])
def test_an_identity_that_json_cannot_hold_is_an_error(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json(value)
