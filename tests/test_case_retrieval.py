"""What a search for slides finds: planted signals, ties, cases, and what must not change the values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from planted import drop_table, embed
from planted_drops import DropDesign

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import CaseRetrieval, Resampling, case_retrieval, interval_of, metric
from pathorob_checks.metrics.any_cohort_schedule import general_schedule
from pathorob_checks.metrics.inputs import Int64, Labels, Units
from pathorob_checks.metrics.labelled import read_labels
from pathorob_checks.metrics.retrieval_entries import Entries, entries
from pathorob_checks.metrics.retrieval_lists import (
    Database,
    average_precision,
    majority,
    need_results,
    preference,
    right,
    search,
)

Float32 = npt.NDArray[np.float32]
TABLE = drop_table()
CENTERS, CLASSES = ("Aachen", "Bonn"), ("normal", "tumor")


def retrieval(biology: float, center: float, *, noise: float = 0.2, **settings: Any) -> CaseRetrieval:
    return case_retrieval(embed(TABLE, biology=biology, center=center, noise=noise), TABLE, **settings)


def on_a_line(places: list[float], classes: list[int], centers: list[int], cases: list[int]) -> Entries:
    """Entries whose similarity falls with the distance of their places (angles below a half turn)."""
    angles = np.array(places)
    return Entries(
        of_patch=np.arange(len(angles)),
        patches=np.ones(len(angles), dtype=np.int64),
        directions=np.stack([np.cos(angles), np.sin(angles)], axis=1),
        classes=Labels(np.array(classes), CLASSES),
        centers=Labels(np.array(centers), CENTERS),
        slides=Labels(np.arange(len(angles)), tuple(f"s{number}" for number in range(len(angles)))),
        units=Units(np.array(cases), tuple(map(str, sorted(set(cases)))), "case"),
        outside=np.zeros(len(angles), dtype=bool),
    )


def numbers(*values: int) -> Int64:
    return np.array(values, dtype=np.int64)


# The query at 0; by distance: tumor, normal, tumor, normal, tumor. The third is of the query's case.
LINE = on_a_line([0, 0.1, 0.2, 0.3, 0.4, 0.5], [1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 1], [0, 1, 2, 0, 3, 4])
QUERY, REST = numbers(0), numbers(1, 2, 3, 4, 5)


# --- lists --------------------------------------------------------------------------------------------------


def test_results_are_ranked_and_none_is_of_the_querys_own_case() -> None:
    results = search(LINE, LINE.similarity[QUERY], QUERY, REST)
    assert results.rows[0][results.there[0]].tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize(("top", "cls"), [(1, 1), (2, 1), (3, 0), (4, 1)])
def test_the_majority_decides_and_among_equals_the_nearest(top: int, cls: int) -> None:
    results = search(LINE, LINE.similarity[QUERY], QUERY, REST)
    assert majority(LINE, results.first(top)).tolist() == [cls]


def test_average_precision_is_the_mean_precision_at_the_right_results() -> None:
    results = search(LINE, LINE.similarity[QUERY], QUERY, REST)
    assert average_precision(LINE, QUERY, results) == pytest.approx((1 / 1 + 2 / 4) / 2)


def test_a_preference_compares_with_the_centers_share_of_the_database() -> None:
    results = search(LINE, LINE.similarity[QUERY], QUERY, REST)  # one of four is of the query's center
    assert preference(LINE, QUERY, results)(results.first(1)) == pytest.approx((1 - 1 / 4) / (1 - 1 / 4))
    assert preference(LINE, QUERY, results)(results.first(2)) == pytest.approx((1 / 2 - 1 / 4) / (1 - 1 / 4))
    assert preference(LINE, QUERY, results)(results) == pytest.approx(0)


def test_scores_without_a_case_are_those_of_a_database_without_it() -> None:
    rng = np.random.default_rng(0)
    cases = rng.integers(0, 12, 40).tolist()
    some = on_a_line(rng.uniform(0, 3, 40).tolist(), [*rng.integers(0, 2, 40)], [0] * 40, cases)
    queries, members = numbers(*range(10)), numbers(*range(10, 40))
    database = Database(some, members, 3)
    scored = database.scored(search(some, some.similarity[queries], queries, members), right(some, queries))
    changed = 0
    for place, case in enumerate(scored.without.units):
        left = members[some.units.codes[members] != case]
        results = search(some, some.similarity[queries], queries, left)
        expected = right(some, queries)(results.first(3))
        np.testing.assert_array_equal(scored.without.scores[place], expected)
        changed += int((expected != scored.scores).sum())
    assert changed > 5


def test_too_few_results_are_refused_by_the_name_of_the_slide() -> None:
    results = search(LINE, LINE.similarity[QUERY], QUERY, REST)
    with pytest.raises(MetricError, match=r"for slide 's0' a database has 4 results of other cases, and 5"):
        need_results(LINE, QUERY, results, 5, "case_retrieval")


def test_a_slide_with_two_classes_is_two_entries_of_one_unit() -> None:
    table = pd.DataFrame(
        {
            "slide_id": ["a", "a", "a", "b"],
            "biological_class": ["normal", "tumor", "tumor", "tumor"],
            "medical_center": ["Aachen", "Aachen", "Aachen", "Bonn"],
        }
    )
    x = np.array([[2, 0], [0, 1], [0, 3], [1, 1]], dtype=np.float32)
    made = entries(x, read_labels(table, "m"), "m")
    assert made.patches.tolist() == [1, 2, 1]
    assert made.units.codes.tolist() == [0, 0, 1]
    np.testing.assert_allclose(made.directions, [[1, 0], [0, 1], [0.5**0.5, 0.5**0.5]])


def test_a_slide_whose_patches_cancel_out_is_named() -> None:
    x = embed(TABLE, biology=1, center=0)
    first = (TABLE.slide_id == TABLE.slide_id[0]).to_numpy()
    x[first] = np.array([1, -1, 2, -2])[:, None]
    with pytest.raises(MetricError, match=f"the mean embedding of slide '{TABLE.slide_id[0]}' is all zero"):
        case_retrieval(x, TABLE)


# --- planted signals ----------------------------------------------------------------------------------------


def test_embeddings_of_pure_biology_find_their_class_from_every_center() -> None:
    result = retrieval(1, 0)
    assert result.accuracy.value == 1
    assert result.drop is not None
    assert result.drop.value == pytest.approx(0, abs=1e-12)
    assert result.same_center.value == pytest.approx(0, abs=0.1)
    assert result.same_center.interval[0] < 0 < result.same_center.interval[1]
    assert result.ood_accuracies.min() == 1
    assert min(map(min, result.average_precision.values())) == pytest.approx(1)


def test_embeddings_of_pure_center_find_their_center() -> None:
    result = retrieval(0, 1)
    assert result.same_center.value == 1
    assert result.same_center_by_split[0] == 1
    assert result.expected_by_split[0] == 0.5
    assert result.accuracy.interval[0] < 0.5 < result.accuracy.interval[1]
    assert result.accuracies_by_results[5][-1] == 0.5  # in the home center right, elsewhere wrong


def test_embeddings_of_mostly_the_center_lose_accuracy_with_a_confounded_database() -> None:
    result = retrieval(0.4, 2)
    assert result.accuracy.value > 0.95
    assert result.drop.value < -0.2
    assert result.drop.interval[1] < -0.1
    assert result.id_accuracies[-1].mean() == 0.5
    assert [cell.value for cell in result.drop.cells] == sorted(cell.value for cell in result.drop.cells)


def test_noise_finds_neither_class_nor_center() -> None:
    results = [case_retrieval(embed(TABLE, biology=0, center=0, seed=seed), TABLE) for seed in range(8)]
    assert np.mean([one.accuracy.value for one in results]) == pytest.approx(0.5, abs=0.08)
    assert np.mean([one.same_center.value for one in results]) == pytest.approx(0, abs=0.05)


def test_equal_embeddings_prefer_nothing() -> None:
    result = case_retrieval(np.ones((len(TABLE), 3)), TABLE)
    assert result.accuracy.value == 0.5
    assert result.same_center.value == pytest.approx(0, abs=1e-12)


def test_without_a_right_answer_in_the_balanced_database_there_is_no_drop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "pathorob_checks.metrics.retrieval.right",
        lambda slides, queries: lambda results: np.zeros(len(queries)),
    )
    result = retrieval(1, 0)
    assert result.drop is None
    assert list(result.measurements()) == ["retrieval_accuracy", "retrieval_same_center"]
    assert metric("retrieval_drop").missing is not None


# --- against the plain definition ---------------------------------------------------------------------------


def test_values_are_those_of_the_definition_written_plainly() -> None:
    x = embed(TABLE, biology=0.5, center=0.6, noise=0.4)
    result = case_retrieval(x, TABLE, repetitions=4)
    of_slide = {
        slide: (
            np.asarray(x[part.index], dtype=np.float64).mean(axis=0),
            part.biological_class.iloc[0],
            part.medical_center.iloc[0],
        )
        for slide, part in TABLE.groupby("slide_id")
    }

    def cosine(one: str, other: str) -> float:
        a, b = of_slide[one][0], of_slide[other][0]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    accuracies, preferences = [], []
    for draw in general_schedule(TABLE, repetitions=4).repetitions(TABLE, 4):
        queries = TABLE.slide_id.iloc[draw.id_test].unique()
        per_split = []
        for split, rows in enumerate(draw.training):
            database = TABLE.slide_id.iloc[rows].unique()
            is_right: dict[str, list[bool]] = {}
            for query in queries:
                five = sorted(database, key=lambda other: -cosine(query, other))[:5]
                votes = [of_slide[slide][1] for slide in five]
                _, cls, center = of_slide[query]
                is_right.setdefault(cls, []).append(votes.count(cls) > 2)
                if split == 0:
                    share = np.mean([of_slide[slide][2] == center for slide in five])
                    preferences.append((share - 0.5) / 0.5)
            per_split.append(np.mean([np.mean(of_class) for of_class in is_right.values()]))
        accuracies.append(per_split)
    np.testing.assert_allclose(result.id_accuracies, np.transpose(accuracies))
    assert result.same_center.value == pytest.approx(np.mean(preferences))
    means = np.mean(accuracies, axis=0)
    assert result.accuracy.value == pytest.approx(means[0])
    assert result.drop.value == pytest.approx(means[1:].mean() / means[0] - 1)
    assert 0.5 < means[0] < 1


# --- what must not change the values ------------------------------------------------------------------------


def values(result: CaseRetrieval) -> list[float]:
    assert result.drop is not None
    return [part.value for part in (result.accuracy, result.drop, result.same_center)] + [
        end for part in (result.accuracy, result.drop, result.same_center) for end in part.interval or ()
    ]


@pytest.mark.parametrize("seed", range(3))
def test_scale_and_rotation_do_not_change_the_values(seed: int) -> None:
    x = embed(TABLE, biology=0.5, center=0.6, noise=0.4, seed=seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(12, 12)))[0]
    expected = values(case_retrieval(x, TABLE))
    assert len(set(np.round(expected, 6))) > 6
    assert values(case_retrieval(1e-20 * x, TABLE)) == pytest.approx(expected, abs=1e-9)
    assert values(case_retrieval(x @ turn, TABLE)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_a_slides_patches_and_other_names_do_not_change_the_values(seed: int) -> None:
    x = embed(TABLE, biology=0.5, center=0.6, noise=0.4, seed=seed)
    expected = values(case_retrieval(x, TABLE))
    order = np.arange(len(TABLE)).reshape(-1, 4)[:, ::-1].ravel()  # the slides have four patches
    assert values(case_retrieval(x[order], TABLE.iloc[order])) == pytest.approx(expected, abs=1e-9)
    renamed = TABLE.replace({"Aachen": "Ahlen", "Bonn": "Berlin"})
    assert values(case_retrieval(x, renamed)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_all_rows_changes_nothing_where_the_schedule_stays(seed: int) -> None:
    x = embed(TABLE, biology=0.5, center=0.6, noise=0.4, seed=seed)
    order = np.random.default_rng(seed).permutation(len(TABLE))
    place = np.argsort(order)

    class Moved:
        """The general schedule of the table as it was, in the new rows."""

        name = "general"
        training_slides = general_schedule(TABLE).training_slides

        def repetitions(self, patches: pd.DataFrame, count: int) -> Any:
            for draw in general_schedule(TABLE).repetitions(TABLE, count):
                yield replace(
                    draw,
                    training=tuple(place[rows] for rows in draw.training),
                    id_test=place[draw.id_test],
                    ood_test=place[draw.ood_test],
                )

    moved = case_retrieval(x[order], TABLE.iloc[order].reset_index(drop=True), schedule=Moved())
    assert values(moved) == pytest.approx(values(case_retrieval(x, TABLE)), abs=1e-9)


def test_a_slide_never_finds_its_own_case() -> None:
    """Twins of every slide lie beside it: as other slides they are found first, as its case never."""
    table = TABLE.copy()
    number = table.slide_id.str.split("/").str[-1].astype(int)
    pair = table.slide_id.str.rsplit("/", n=1).str[0] + "/" + (number // 2).astype(str)
    rng = np.random.default_rng(0)
    of_pair = {name: rng.normal(size=12) for name in sorted(set(pair))}
    x = np.stack([of_pair[name] for name in pair]) + 0.01 * rng.normal(size=(len(table), 12))
    unknown, known = (case_retrieval(x, t, top=1) for t in (table, table.assign(case_id=pair)))
    assert unknown.accuracy.value > known.accuracy.value + 0.15
    assert known.accuracy.value < 0.75
    assert known.accuracy.resampling.noun == "case"


# --- intervals ----------------------------------------------------------------------------------------------


def test_an_interval_near_the_end_is_longer_towards_the_middle() -> None:
    units = tuple("abcdef")
    side = Resampling(
        metric="retrieval_same_center", value=0.9, scale="fisher", drawn="slides and repetitions",
        units=units, cells=(("X",),) * 6, effects=(0.02, -0.02, 0.01, -0.01, 0.03, -0.03), protocol={},
    )  # fmt: skip
    low, high = interval_of(side)
    assert 0.9 - low > 1.3 * (high - 0.9) > 0
    plain = interval_of(side.model_copy(update={"scale": "identity", "value": 0.0}))
    middle = interval_of(side.model_copy(update={"value": 0.0}))
    assert middle == pytest.approx(plain, rel=0.01)


def test_the_least_error_of_a_value_near_its_end_is_as_long_as_elsewhere() -> None:
    side = Resampling(
        metric="retrieval_same_center", value=0.999, scale="fisher", drawn="slides and repetitions",
        units=("a", "b"), cells=(("X",),) * 2, effects=(0.0, 0.0), least_error=0.01, protocol={},
    )  # fmt: skip
    assert interval_of(side) == pytest.approx((0.999 - 0.0196, 1.0), abs=1e-4)


def test_a_perfect_accuracy_is_as_uncertain_as_its_slides_are_few() -> None:
    few, many = (
        case_retrieval(embed(t, biology=1, center=0), t)
        for t in (TABLE, DropDesign(home=40, away=40, outside_slides=1).table)
    )
    assert few.accuracy.value == many.accuracy.value == 1
    assert few.accuracy.interval[0] == pytest.approx(1 - 3.7 / 44, abs=0.03)
    assert few.accuracy.interval[0] < many.accuracy.interval[0] < 1
    assert many.accuracy.interval[1] == 1


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """The truth is the mean over new slides; benchmarks/coverage.py has more designs and simulations."""
    design = DropDesign(outside_slides=1)
    measured = {
        name: np.array([[part.value, *part.interval] for part in parts])
        for name, parts in zip(
            ("accuracy", "drop", "same center"),
            zip(
                *(
                    (one.accuracy, one.drop, one.same_center)
                    for one in (
                        case_retrieval(design.embeddings(seed), design.table, repetitions=10)
                        for seed in range(60)
                    )
                ),
                strict=True,
            ),
            strict=True,
        )
    }
    for name, ends in measured.items():
        truth = ends[:, 0].mean()
        held = ((ends[:, 1] <= truth) & (truth <= ends[:, 2])).mean()
        assert held >= 0.86, name
        assert (ends[:, 2] - ends[:, 1]).mean() < 1.6 * 3.92 * ends[:, 0].std(), name


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"repetitions": 1}, "1 repetitions are too few"),
        ({"top": 0}, "0 results are too few"),
        ({"top": 17}, "a database has 16 results of other slides, and 17 are retrieved"),
        ({"confidence": 1.0}, "confidence 1.0 gives no interval"),
    ],
)
def test_settings_that_give_no_value_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(MetricError, match=problem):
        retrieval(1, 0, **settings)


def test_the_result_shows_its_values_in_one_line() -> None:
    text = repr(retrieval(1, 0))
    assert text.startswith("<CaseRetrieval: accuracy 1.000 (95 % interval [")
    assert "5 databases, 20 repetitions, 192 patches>" in text
