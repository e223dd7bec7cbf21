"""FMs beside each other: their values, paired differences, and places among the published FMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compared import check, drawn, results
from made_checks import passing, unmeasured
from made_results import results_of
from sharded import COHORTS, evaluated, write_run

from pathorob_checks import Results, compare
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import ResultsError
from pathorob_checks.metrics import difference, mean_over_cohorts
from pathorob_checks.metrics.published import published_scores
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.comparing import comparison_of
from pathorob_checks.results.comparison import ComparedValue
from pathorob_checks.results.document import Outcome

BENCHMARK = ("camelyon", "tcga", "tolkach_esca")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, ...]:
    """One of two FMs, and one of each of them."""
    folder = write_run(tmp_path_factory.mktemp("run"))
    return tuple(evaluated(folder, *fms) for fms in (("good", "bad"), ("good",), ("bad",)))


def only(comparison: Any, fm: str) -> ComparedValue:
    """The only value of an FM."""
    [value] = [one for one in comparison.values if one.fm == fm]
    return value


@pytest.mark.slow
def test_a_change_is_the_paired_difference_to_the_first_fm(runs: tuple[Results, ...]) -> None:
    comparison = compare(runs[0])
    assert [one.name for one in comparison.fms] == ["good", "bad"]
    assert len(comparison.values) == 2 * 2 * 2  # without the worst class
    assert len(comparison.changes) == 4
    for value in comparison.changes:
        new, base = (
            next(
                one.resampling
                for one in runs[0].checks
                if (one.fm, one.cohort, one.metric) == (fm, value.cohort, value.metric)
            )
            for fm in ("bad", "good")
        )
        assert new is not None
        assert base is not None
        assert value.change is not None
        expected = difference(new, base)
        assert (value.change.value, value.change.interval) == (expected.value, expected.interval)
    index = next(one for one in comparison.changes if one.metric == "robustness_index")
    assert index.change is not None
    assert (index.change.says, index.change.value < 0) == ("less robust", True)


@pytest.mark.slow
def test_two_files_compare_as_one_run(runs: tuple[Results, ...], tmp_path: Path) -> None:
    paths = [tmp_path / "good.json", tmp_path / "bad.json"]
    for path, one in zip(paths, runs[1:], strict=True):
        one.save(path)
    assert compare(paths).values == compare(runs[0]).values
    assert [one.source for one in compare(paths).fms] == list(map(str, paths))
    assert compare(paths[0]).changes == ()
    assert str(compare(paths[0])) == "good alone"


def test_the_reference_can_be_named(runs: tuple[Results, ...]) -> None:
    comparison = compare(runs[0], to="bad")
    assert [one.name for one in comparison.fms] == ["bad", "good"]
    assert {one.fm for one in comparison.changes} == {"good"}
    with pytest.raises(ResultsError, match="'god' is no FM of these results; did you mean 'good'"):
        compare(runs[0], to="god")


def test_fms_of_one_name_have_the_names_of_their_files() -> None:
    both = comparison_of([results(), results()], ["a.json", "b.json"])
    assert [one.name for one in both.fms] == ["ours (a.json)", "ours (b.json)"]
    assert comparison_of([results(), results()], ["a", "b"], to="ours (b)").reference.source == "b"
    with pytest.raises(ResultsError, match=r"'ours' is the name of several FMs; .*ours \(a\), ours \(b\)"):
        comparison_of([results(), results()], ["a", "b"], to="ours")
    with pytest.raises(ResultsError, match=r"'a\.json' is given twice; give each file once"):
        comparison_of([results(), results()], ["a.json", "a.json"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"problems": ("the run did not finish",)}, "because the run did not finish; let that run finish"),
        ({"problems": ("x is no folder; check the path.",)}, "because x is no folder; let that run finish"),
        ({"crashed": True}, "because a worker crashed"),
        ({"planned": 4}, "because 3 criteria never ran"),
    ],
)
def test_a_run_that_did_not_finish_is_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    killed = results_of([passing()], **changes)
    killed.save(tmp_path / "killed.json")
    with pytest.raises(ResultsError, match=f"the results '2' are not compared, {reason}"):
        compare([results(), killed])
    with pytest.raises(ResultsError, match=rf"killed\.json' are not compared, {reason}"):
        compare([results(), tmp_path / "killed.json"])


def test_results_without_an_fm_are_refused() -> None:
    empty = results().model_copy(update={"checks": (), "runs": ()})
    with pytest.raises(ResultsError, match="there is no FM in the results '1'"):
        compare([empty])
    with pytest.raises(ResultsError, match="there are no results; give"):
        compare([])


def protocol(**settings: Any) -> dict[str, Any]:
    content = {one.computation.name: one.computation.protocol for one in metrics().values()}
    content["robustness_index"] |= settings
    return {"metrics": content}


NOT_COMPARED: dict[str, tuple[Results, str]] = {
    "another cohort": (
        results(cohorts={"camelyon": {"digest": "e"}}),
        "base was measured on another cohort of this name (digest differs)",
    ),
    "other tables": (
        results(cohorts={"camelyon": {"tables": {"camelyon.csv": "other"}, "source": "given"}}),
        "base was measured on another cohort of this name (tables differs)",
    ),
    "another version of the metric": (
        results(protocol=protocol(version=1)),
        "base was measured by another protocol (robustness_index differs)",
    ),
    "another k of the cohort": (
        results(protocol={"cohorts": {"camelyon": {"robustness_index": {"k": 5}}}}),
        "base was measured by another protocol (camelyon differs)",
    ),
    "another k of the value": (
        results(check(resampling=drawn("robustness_index", 0.6, protocol={"k": 5}))),
        "robustness_index: base and new were measured by different protocols (k 11 and 5)",
    ),
    "other slides": (
        results(check(resampling=drawn("robustness_index", 0.6, units=19))),
        "robustness_index: base and new were not measured on the same slides "
        "(1 differ, among them 'slide 19')",
    ),
    "no slides": (
        results(check(resampling=None)),
        "a file has no slides or repetitions from which an interval could be drawn",
    ),
    "the same embeddings": (
        results(fms={"ours": {"embeddings": "base"}}),
        "it has the same embeddings as base",
    ),
    "no facts": (
        results().model_copy(update={"runs": ()}),
        "a file does not say what FM and cohort were",
    ),
    "no value of the reference": (
        results(check(metric="clustering_score", cohort="camelyon")),
        "base has no value of it",
    ),
}


@pytest.mark.parametrize("case", NOT_COMPARED)
def test_what_is_not_comparable_has_no_change_and_a_reason(case: str) -> None:
    other, reason = NOT_COMPARED[case]
    value = only(comparison_of([results(check("base", 0.5, seed=1)), other]), "ours")
    assert (value.change, value.not_compared) == (None, reason)
    assert value.value == 0.6


def test_what_is_comparable_has_a_change() -> None:
    value = only(comparison_of([results(check("base", 0.5, seed=1)), results()]), "ours")
    assert value.change is not None
    assert round(value.change.value, 9) == 0.1
    assert value.change.says == "more robust"
    assert value.not_compared == ""


def test_a_method_is_compared_with_the_fm_that_it_repairs() -> None:
    repaired = check(value=0.7, seed=1, method="combat")
    document = results(check(), repaired)
    run = document.runs[0].model_copy(update={"method": "combat"})
    comparison = comparison_of([document.model_copy(update={"runs": (*document.runs, run)})])
    assert [one.name for one in comparison.fms] == ["ours", "ours + combat"]
    assert comparison.values[1].change is not None


def test_a_value_that_could_not_be_measured_has_a_row() -> None:
    missing = unmeasured(fm="ours", cohort="camelyon", reason="no GPU")
    value = only(comparison_of([results(check("base"), missing)]), "ours")
    assert (value.value, value.verdict, value.reason, value.change) == (None, "error", "no GPU", None)


def test_the_gravest_verdict_on_a_value_is_shown() -> None:
    strict = check(criterion="strict", verdict=Verdict.FAIL, bound=0.9)
    lenient = check(verdict=Verdict.PASS)
    assert only(comparison_of([results(strict, lenient)]), "ours").verdict == "fail"
    assert only(comparison_of([results(lenient, strict)]), "ours").verdict == "fail"


def test_groups_differences_and_own_bounds_are_no_rows_of_their_own() -> None:
    others = [
        check(quantity="worst-center", criterion="worst", value=0.2),
        check(quantity="difference", criterion="not-worse", value=0.1),
        check(registered=False, criterion="mine", value=0.3),
    ]
    assert only(comparison_of([results(check(), *others)]), "ours").value == 0.6


@pytest.mark.parametrize("value", [0.999, 0.544, 0.5, 0.0])
def test_the_place_is_counted_among_all_published_fms(value: float) -> None:
    known = [one.value for one in published_scores("robustness_index") if one.cohort == "camelyon"]
    place = only(compare(results(check(value=value, interval=(value - 0.1, value + 0.05)))), "ours").place
    assert place is not None
    assert place.of == 24 == len(known) + 1
    assert place.rank == 1 + sum(other > value for other in known)
    assert place.best == 1 + sum(other > value + 0.05 for other in known)
    assert place.worst == 1 + sum(other > value - 0.1 for other in known)
    assert place.caveats == ()


def test_without_an_interval_the_place_is_that_of_the_value() -> None:
    place = only(compare(results(check(interval=None))), "ours").place
    assert place is not None
    assert place.best == place.rank == place.worst


def test_a_drop_has_a_place_by_its_mean_over_the_published_cohorts() -> None:
    name = "performance_drop_id"
    checks = [check(metric=name, cohort=cohort, value=-0.05, seed=n) for n, cohort in enumerate(BENCHMARK)]
    *single, mean = compare(results(*checks)).values
    assert [one.place for one in single] == [None, None, None]
    expected = mean_over_cohorts([one.resampling for one in checks if one.resampling])
    assert (mean.quantity, mean.cohort, mean.value) == ("mean", "camelyon+tcga+tolkach_esca", expected.value)
    assert mean.interval == expected.interval
    known = [one.value for one in published_scores(name)]
    assert mean.place is not None
    assert mean.place.rank == 1 + sum(other > mean.value for other in known)
    assert mean.verdict is None
    assert len(compare(results(*checks[:2])).values) == 2


def test_a_cohort_of_another_content_has_no_place() -> None:
    own_folder = only(compare(results(cohorts={"camelyon": {"tables": {}}})), "ours")
    assert (own_folder.place, own_folder.not_placed) == (None, "")
    own_tables = only(compare(results(cohorts={"camelyon": {"own_tables": ("camelyon.csv",)}})), "ours")
    assert own_tables.place is None
    assert own_tables.not_placed == "camelyon.csv of --fm-metadata is not what was published"


def identity(**changes: Any) -> dict[str, Any]:
    content = {"kind": "hf-hub", "pooling": "default", "precision": "fp32", "recipe": {"pooling": "pooled"}}
    return {"identity": {**content, **changes}, "extraction": {"model": {"pooling": "cls"}}}


CAVEATS: dict[str, tuple[Results, tuple[str, ...]]] = {
    "the recipe's pooling": (results(fms={"ours": identity()}), ()),
    "another pooling": (
        results(fms={"ours": identity(pooling="cls")}),
        ("pooled by cls, where the benchmark has clsmean",),
    ),
    "no recipe": (
        results(fms={"ours": identity(recipe=None)}),
        ("pooled by cls, where the benchmark has clsmean",),
    ),
    "precision": (results(fms={"ours": identity(precision="bf16")}), ("computed in bf16, not in fp32",)),
    "unknown": (
        results(fms={"ours": {"identity": {}, "extraction": {}}}),
        (
            "pooled by a way of its own, where the benchmark has clsmean",
            "computed in unknown precision, not in fp32",
        ),
    ),
    "given embeddings": (
        results(fms={"ours": {"identity": {"kind": "embeddings"}}}),
        ("given embeddings, of which neither pooling nor precision is known",),
    ),
    "another version": (
        results(protocol=protocol(version=1)),
        ("measured by version 1 of the metric, not 2",),
    ),
    "another k": (results(check(protocol={"k": 5})), ("5 neighbors instead of 11",)),
}


@pytest.mark.parametrize("case", CAVEATS)
def test_a_place_says_what_keeps_it_from_being_comparable(case: str) -> None:
    document, caveats = CAVEATS[case]
    place = only(compare(document), "ours").place
    assert place is not None
    assert place.caveats == caveats


def test_fewer_repetitions_are_a_caveat() -> None:
    name = "performance_drop_ood"
    checks = [check(metric=name, cohort=cohort, value=-0.05, seed=n) for n, cohort in enumerate(BENCHMARK)]
    content = protocol()
    content["metrics"]["performance_drop"] |= {"repetitions": 3}
    place = compare(results(*checks, protocol=content)).values[-1].place
    assert place is not None
    assert place.caveats == ("3 repetitions instead of 20",)


def test_a_metric_without_neighbors_has_no_other_number_of_them() -> None:
    place = only(compare(results(check(metric="clustering_score", protocol={"k": 5}))), "ours").place
    assert place is not None
    assert place.caveats == ()


def test_a_file_of_schema_1_has_no_release_verdict() -> None:
    old = Results.read(Path(__file__).with_name("results_of_schema_1.json"))
    comparison = compare(old)
    assert comparison.reference.release is None
    assert comparison.reference.outcome in Outcome


def test_fifty_files() -> None:
    documents = [results(check(f"fm {number}", 0.5 + number / 200, seed=number)) for number in range(50)]
    comparison = comparison_of(documents, to="fm 7")
    assert len(comparison.changes) == 49
    assert len(comparison.table()) == 50


def test_the_table_is_tidy(runs: tuple[Results, ...]) -> None:
    table = compare(runs[0]).table()
    assert len(table.drop_duplicates(["fm", "cohort", "metric"])) == len(table) == 8
    assert table.set_index(["fm", "cohort", "metric"]).change.notna().sum() == 4
    assert set(table.reference) == {"good"}
    assert list(table.cohort.unique()) == list(COHORTS)
    assert (str(table.value.dtype), str(table.place.dtype)) == ("float64", "Int64")
