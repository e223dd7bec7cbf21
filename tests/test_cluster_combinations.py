"""Which combinations of classes and centers are clustered, and what a sample of them says."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import clustering_score
from pathorob_checks.metrics.cluster_combinations import MOST, _meetings, choose, work
from pathorob_checks.metrics.inputs import Labels
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.registry import metric
from pathorob_checks.metrics.resampling import Resampling


def labels_of(filled: np.ndarray) -> tuple[Labels, Labels]:
    classes, centers = np.nonzero(filled)
    return tuple(
        Labels(codes, tuple(f"{lead}{n:04d}" for n in range(size)))
        for codes, lead, size in zip((classes, centers), "kc", filled.shape, strict=True)
    )  # type: ignore[return-value]


@pytest.mark.parametrize(("classes", "centers"), [(2, 2), (2, 12), (4, 12), (6, 2), (6, 6), (3, 16)])
def test_up_to_the_bound_all_are_taken_in_the_order_of_the_table(classes, centers):
    filled = np.ones((classes, centers), dtype=bool)
    chosen = choose(*labels_of(filled))
    assert len(chosen.pairs) <= MOST
    every = product(combinations(range(classes), 2), combinations(range(centers), 2))
    assert chosen.pairs == list(every)
    assert not chosen.is_sample


def test_only_combinations_whose_four_cells_are_filled_are_taken():
    filled = np.random.default_rng(0).random((4, 6)) < 0.7
    wanted = [
        (those, two)
        for those, two in product(combinations(range(4), 2), combinations(range(6), 2))
        if filled[np.ix_(those, two)].all()
    ]
    chosen = choose(*labels_of(filled))
    assert sorted(tuple(map(tuple, map(sorted, pair))) for pair in chosen.pairs) == wanted
    for code in range(6):
        assert chosen.of_center[code] == sum(code in two for _, two in wanted)
    for code in range(4):
        assert chosen.of_class[code] == sum(code in those for those, _ in wanted)


@pytest.mark.parametrize(("classes", "centers"), [(2, 300), (20, 300), (3, 30), (9, 9)])
def test_in_a_sample_every_class_and_center_takes_part_about_equally_often(classes, centers):
    chosen = choose(*labels_of(np.ones((classes, centers), dtype=bool)))
    assert len(set(chosen.pairs)) == len(chosen.pairs) == MOST < chosen.total
    for part, count in ((0, classes), (1, centers)):
        times = Counter(code for pair in chosen.pairs for code in pair[part])
        assert len(times) == count
        assert max(times.values()) - min(times.values()) <= max(3, 0.1 * 2 * MOST / count)


def test_a_sample_depends_on_names_and_not_on_the_order_of_the_rows():
    classes, centers = labels_of(np.ones((2, 40), dtype=bool))
    order = np.random.default_rng(1).permutation(len(classes.codes))
    shuffled = choose(
        Labels(classes.codes[order], classes.names), Labels(centers.codes[order], centers.names)
    )

    def unordered(pairs):
        return {(frozenset(those), frozenset(two)) for those, two in pairs}

    assert unordered(shuffled.pairs) == unordered(choose(classes, centers).pairs)


def test_many_centers_and_classes_are_chosen_from_at_once():
    assert choose(*labels_of(np.ones((300, 300), dtype=bool))).total == 2_011_522_500


@pytest.mark.parametrize("players", range(2, 10))
def test_every_two_meet_once(players):
    met = [tuple(sorted(two)) for two in _meetings(list(range(players)))]
    assert sorted(met) == list(combinations(range(players), 2))
    assert len(set(sum(met[: players // 2], ()))) == players // 2 * 2


def cohort(centers: int) -> pd.DataFrame:
    rows = product(range(centers), "AB", range(4), range(4))
    table = pd.DataFrame(rows, columns=["number", "biological_class", "slide", "patch_id"])
    table["medical_center"] = [f"C{number:02d}" for number in table.number]
    table["slide_id"] = table.medical_center + table.biological_class + table.slide.astype(str)
    return table


def embeddings_of(patches: pd.DataFrame, seed: int) -> np.ndarray:
    """Some centers stand far from the others, so that combinations differ much."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(patches.number.max() + 1, 8)) * rng.choice(
        [0.2, 2.5], (patches.number.max() + 1, 1)
    )
    values = rng.normal(size=(len(patches), 8)) * 0.6 + centers[patches.number]
    values[:, 0] += 2 * (patches.biological_class == "B")
    return values.astype(np.float32)


FEW = {"trials": 2, "clusters": range(2, 4)}


@pytest.mark.slow
def test_the_interval_of_a_sample_holds_the_score_of_all():
    patches = cohort(9)
    inside = 0
    for seed in range(6):
        embeddings = embeddings_of(patches, seed)
        everything = clustering_score(embeddings, patches, **FEW)
        sample = clustering_score(embeddings, patches, most_combinations=9, **FEW)
        assert (sample.all_combinations, len(sample.combinations), len(everything.combinations)) == (
            36,
            9,
            36,
        )
        low, high = sample.interval
        inside += low <= everything.value <= high
        assert high - low > everything.interval[1] - everything.interval[0]
        assert "9 of 36 combinations" in sample.interval_note
        assert "combinations of" not in everything.interval_note
        assert len(sample.groups["medical_center"]) == 9
    assert inside == 6


def test_the_progress_says_how_many_combinations_there_are():
    shown = []

    def progress(items, total, text):
        shown.append(text)
        return items

    patches = cohort(4)
    clustering_score(embeddings_of(patches, 0), patches, most_combinations=2, progress=progress, **FEW)
    assert shown == ["clustering 2 of 6 combinations"]


def test_one_combination_is_no_sample():
    patches = cohort(4)
    with pytest.raises(MetricError, match="allow at least two"):
        clustering_score(embeddings_of(patches, 0), patches, most_combinations=1, **FEW)


def test_the_bound_is_part_of_the_protocol():
    assert metric("clustering_score").computation.protocol["most_combinations"] == MOST


def test_the_work_is_known_before_it_is_done():
    many = work(cohort(60))
    assert many.is_sample
    assert many.text == "400 of 1,770 combinations of two classes and two medical centers"
    assert 60 < many.seconds < 600
    assert not work(cohort(4)).is_sample


def test_a_score_beyond_1_lies_in_its_interval():
    rng = np.random.default_rng(0)
    patches = cohort(2)
    far = rng.normal(size=(len(patches), 4)) * 0.01
    far[:, 0] += np.where(patches.biological_class == "B", 1, -1)
    result = clustering_score(far.astype(np.float32), patches, trials=3, clusters=[2])
    assert result.value > 1
    assert result.interval[0] < 1 < result.interval[1] == result.value
    for group in result.groups["medical_center"]:
        assert group.interval[0] <= group.value <= group.interval[1]


@pytest.mark.parametrize("value", [1.003, -1.002])
def test_no_interval_leaves_its_value_out(value):
    units = Resampling(
        metric="clustering_score",
        value=value,
        scale="bounded",
        drawn="slides",
        units=tuple("abcd"),
        cells=(("X / tumor",),) * 4,
        effects=(0.001, -0.001, 0.002, -0.002),
        protocol={},
    )
    low, high = interval_of(units)
    assert low <= value <= high
