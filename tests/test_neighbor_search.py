"""All metrics that read neighbors share one search, and none has another value for it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from planted import embed, patch_table

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.measuring import Measuring
from pathorob_checks.evaluation.observer import Observer
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.metrics import (
    NeighborSearch,
    margin_aware_index,
    metrics,
    neighbor_search,
    robustness_index,
    searched_patches,
)
from pathorob_checks.metrics.neighbor_search import cosine_distances

PATCHES = patch_table(slides=4, patches=6)
EMBEDDINGS = embed(PATCHES, biology=0.6, center=0.5, noise=0.3)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the lists of every search that is made."""
    made: list[int] = []
    search = neighbor_search._search

    def counted(patches: neighbor_search.SearchedPatches, length: int, *further: object) -> object:
        made.append(length)
        return search(patches, length, *further)  # type: ignore[arg-type]

    monkeypatch.setattr(neighbor_search, "_search", counted)
    return made


def test_metrics_that_share_a_search_have_the_values_that_each_has_alone(searches: list[int]) -> None:
    shared = NeighborSearch(ahead=15)
    for k in (3, 9, 15):
        ours = robustness_index(EMBEDDINGS, PATCHES, k=k, neighbors=shared).measurement()
        assert ours == robustness_index(EMBEDDINGS, PATCHES, k=k).measurement()
        assert ours.support
    longest = searched_patches(EMBEDDINGS, PATCHES, "any").length(15)
    assert searches == [longest, 9, 15, 21]  # once ahead, and once for each call without the shared search


def test_longer_lists_than_were_found_are_searched_for(searches: list[int]) -> None:
    shared, searched = NeighborSearch(), searched_patches(EMBEDDINGS, PATCHES, "any")
    shared.lists(searched, 5)
    longer = shared.lists(searched, 12)
    np.testing.assert_array_equal(shared.lists(searched, 5).rows, longer.rows[:, :5])
    assert searches == [5, 12]


@pytest.mark.parametrize("change", ["embeddings", "slides", "classes", "fewer rows", "paired"])
def test_a_search_of_other_patches_is_refused(change: str) -> None:
    shared = NeighborSearch()
    shared.lists(searched_patches(EMBEDDINGS, PATCHES, "any"), 5)
    x, patches, paired = EMBEDDINGS.copy(), PATCHES.copy(), False
    if change == "embeddings":
        x[7] *= -1
    elif change == "slides":
        patches.loc[0, "slide_id"] = patches.slide_id[6]
    elif change == "classes":
        patches.loc[patches.slide_id == patches.slide_id[0], "biological_class"] = "tumor"
    elif change == "fewer rows":
        x, patches = x[:-1], patches[:-1]
    else:
        patches["subset"], paired = np.where(np.arange(len(patches)) % 2, "one", "two"), True
    other = searched_patches(x, patches, "any", paired=paired)
    with pytest.raises(MetricError, match="searched for other embeddings or another table"):
        shared.lists(other, 5)


@pytest.mark.parametrize("paired", [False, True])
def test_the_lists_have_the_cosine_distance_of_each_neighbor(paired: bool) -> None:
    patches = PATCHES.copy()
    x = EMBEDDINGS
    if paired:  # the same patches in two subsets, for which one search suffices
        patches = pd.concat([patches.assign(subset=name) for name in ("one", "two")], ignore_index=True)
        x = np.concatenate([x, x])
    searched = searched_patches(x, patches, "any")
    assert searched.paired is paired
    searched_lists = NeighborSearch().lists(searched, 10)
    wide = x.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    expected = 1 - np.einsum("qd,qld->ql", wide[searched_lists.queries], wide[searched_lists.rows])
    np.testing.assert_allclose(searched_lists.distances, expected, rtol=0, atol=2e-6)
    exact = cosine_distances(
        searched.array, np.repeat(searched_lists.queries, 10), searched_lists.rows.ravel()
    )
    np.testing.assert_allclose(exact.reshape(expected.shape), expected, rtol=0, atol=1e-14)


def test_the_distance_of_equal_directions_is_zero_and_of_almost_equal_ones_exact() -> None:
    x: npt.NDArray[np.float32] = np.array([[3, 4], [6, 8], [3, 4.000001], [-3, -4]], dtype=np.float32)
    distances = cosine_distances(x, np.array([0, 0, 0]), np.array([1, 2, 3]))
    angle = np.arctan2(x[2, 1], np.float64(3)) - np.arctan2(np.float64(4), 3)
    assert distances[0] == 0
    assert distances[1] == pytest.approx(1 - np.cos(angle), rel=0.01)
    assert distances[2] == pytest.approx(2, abs=1e-15)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), several=st.booleans(), paired=st.booleans())
def test_neighbors_of_each_type_are_those_that_sorting_all_distances_gives(
    seed: int, several: bool, paired: bool
) -> None:
    """Also where slides have patches of several classes, and where a patch has fewer than are asked for."""
    rng = np.random.default_rng(seed)
    slides = rng.integers(0, 8, 60)
    table = pd.DataFrame(
        {
            "slide_id": slides.astype(str),
            "medical_center": np.array(["A", "B", "C"])[slides % 3],
            "biological_class": np.array(["n", "t"])[rng.integers(0, 2, 60) if several else slides // 3 % 2],
            "subset": np.array(["one", "two"])[np.arange(60) % 2] if paired else "ID",
        }
    )
    x = rng.normal(size=(60, 5)).astype(np.float32)
    try:
        searched = searched_patches(x, table, "any")
    except MetricError:
        assume(False)
    searched_lists = NeighborSearch().typed(searched, 9)
    columns = [
        table[name].to_numpy() for name in ("biological_class", "medical_center", "slide_id", "subset")
    ]
    same_class, same_center, same_slide, same_part = (column[:, None] == column for column in columns)
    wide = x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    for lists, kind in (
        (searched_lists.so, same_class & ~same_center),
        (searched_lists.os, ~same_class & same_center),
    ):
        distance = np.where(kind & ~same_slide & same_part, 1 - wide @ wide.T, np.inf)[searched_lists.queries]
        order = np.argsort(distance, axis=1)[:, :9]
        expected = np.where(np.isinf(np.take_along_axis(distance, order, axis=1)), -1, order)
        np.testing.assert_array_equal(lists, expected)
        assert (lists >= 0).any()


def test_all_metrics_of_a_run_search_an_fm_and_view_once(searches: list[int]) -> None:
    view = SimpleNamespace(rows=np.arange(len(PATCHES)), patches=PATCHES, k=9, paired=False)
    inputs = SimpleNamespace(
        cohort=lambda name: SimpleNamespace(name=name, views={"robustness_index": view}),
        repaired=lambda subject, view: EMBEDDINGS,
        settings=SimpleNamespace(device="cpu"),
        observer=Observer(),
    )
    run = Measuring(inputs, SimpleNamespace(profile=load_profile("full")))  # type: ignore[arg-type]
    subject = Subject("fm", "none", "cohort")
    takers = [one.name for one in metrics().values() if one.computation.takes_neighbors]
    assert {"robustness_index", "mari", "croma_median"} <= set(takers)
    values = {name: run.value(subject, name).value for name in takers}
    assert len(searches) == 1
    assert values["mari"] == margin_aware_index(EMBEDDINGS, PATCHES, k=9).value
    assert values["robustness_index"] == robustness_index(EMBEDDINGS, PATCHES, k=9).value
    run.value(subject._replace(fm="other"), "mari")
    assert len(searches) == 4  # one for the other FM, and two for the calls without a run
