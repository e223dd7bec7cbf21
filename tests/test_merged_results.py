"""Results files of several jobs merged: as the whole run's, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniature
import numpy as np
import pytest
from attack import write_embeddings
from sharded import COHORTS, evaluated, write_run

from pathorob_checks import Results
from pathorob_checks.commands.merge import merge
from pathorob_checks.commands.verdict import verdict
from pathorob_checks.errors import ResultsError
from pathorob_checks.evaluation.merging import merged
from pathorob_checks.evaluation.part import part_of
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.document import Outcome

Content = dict[str, Any]
MEAN = """schema = "pathorob-checks/criteria/1"
name = "means"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.1
rationale = "A test."
{more}
[[criteria]]
id = "mean"
metric = "robustness_index"
at_least = 0.1
aggregate = "mean"
cohorts = ["camelyon", "tolkach_esca"]
rationale = "A test."
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def jobs(folder: Path) -> tuple[Results, ...]:
    """One of each cohort, with a baseline of the run."""
    return tuple(evaluated(folder, "good", "bad", cohorts=(one,), baseline="good") for one in COHORTS)


@pytest.fixture(scope="module")
def good(folder: Path) -> tuple[Results, ...]:
    """Jobs of one FM that meets its criteria."""
    return tuple(evaluated(folder, cohorts=(one,)) for one in COHORTS)


def whole(jobs: tuple[Results, ...], *cohorts: str) -> Results:
    return merged([part_of(f"{place}.json", one) for place, one in enumerate(jobs)], cohorts)


def changed(results: Results, change: Callable[[Content], object]) -> Results:
    content = json.loads(results.to_json())
    change(content)
    return Results.from_json(json.dumps(content))


def without_date(results: Results) -> Content:
    return {name: value for name, value in json.loads(results.to_json()).items() if name != "created"}


@pytest.mark.slow
def test_a_run_on_two_cohorts_is_the_merge_of_two_runs(folder: Path, jobs: tuple[Results, ...]) -> None:
    run = evaluated(folder, "good", "bad", baseline="good")
    assert len(run.checks) == 16
    assert run.releases[1].verdict == "fail"
    result = whole(jobs)
    assert without_date(result) == without_date(run)
    assert result.created == max(job.created for job in jobs)
    assert not list(contradictions(result))


@pytest.mark.slow
def test_a_baseline_from_a_file_is_the_same_in_all_jobs(folder: Path, good: tuple[Results, ...]) -> None:
    whole(good).save(folder / "released.json")  # a merged file can be a baseline
    results = [
        evaluated(folder, "bad", cohorts=chosen, baseline="released.json")
        for chosen in (COHORTS, COHORTS[:1], COHORTS[1:])
    ]
    assert [check.quantity for check in results[0].checks].count("difference") == 4
    assert without_date(whole(tuple(results[1:]))) == without_date(results[0])


def test_jobs_may_differ_by_fm_and_by_cohort(folder: Path, good: tuple[Results, ...]) -> None:
    bad = tuple(evaluated(folder, "bad", cohorts=(one,)) for one in COHORTS)
    run = evaluated(folder, "good", "bad")
    assert without_date(whole((*good, *bad))) == without_date(run)


def test_an_fm_that_lacks_a_cohort_of_another_is_not_complete(
    folder: Path, good: tuple[Results, ...]
) -> None:
    result = whole((*good, evaluated(folder, "bad", cohorts=COHORTS[:1])))
    assert (result.complete, result.outcome) == (False, Outcome.FAIL)
    only_good = whole((good[0], good[1], evaluated(folder, "fine", cohorts=COHORTS[:1])))
    assert (only_good.complete, only_good.outcome) == (False, Outcome.ERROR)
    assert "3 never ran; 11 integrity checks never ran" in only_good.summary


def test_a_cohort_that_must_be_there_is_missed(good: tuple[Results, ...]) -> None:
    assert whole(good, *COHORTS).passed
    with pytest.raises(ResultsError, match="none of the files has the cohort south; give the file"):
        whole(good[:1], *COHORTS)


def test_a_merged_file_is_merged_again(good: tuple[Results, ...]) -> None:
    assert whole((whole(good),)) == whole(good)


def test_what_a_job_left_out_is_left_out_of_the_whole(good: tuple[Results, ...]) -> None:
    def without_the_drop(content: Content) -> None:
        content["checks"].pop()
        counts = content["environment"]["criteria"]["completeness"]
        counts |= {"measured": 2, "deselected": 1, "absent": 1}
        content |= {"complete": False, "outcome": "partial"}
        content["releases"] = json.loads(_as_partial(content).to_json())["releases"]

    partial = changed(good[0], without_the_drop)
    result = whole((partial, good[1]))
    assert (result.outcome, result.complete) == (Outcome.PARTIAL, False)
    assert result.environment.criteria.completeness.deselected == 1


def _as_partial(content: Content) -> Results:
    """With the verdicts on the FMs that follow from the checks that are left."""
    from pathorob_checks.results.releases import releases_of

    results = Results.from_json(json.dumps(content))
    planned = {(one.fm, one.method): one.planned for one in results.releases}
    releases = releases_of(results.checks, planned, results.environment.criteria.profile)
    return results.model_copy(update={"releases": releases})


def put(*path: str | int, value: Any) -> Callable[[Content], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


TERMS = ("environment", "criteria")
COUNTS = (*TERMS, "completeness")
REFUSED: dict[str, tuple[Callable[[Content], object], str]] = {
    "unfinished": (
        put("problems", value=["the run did not finish"]),
        r"^0\.json is of a run that did not finish; run that job again",
    ),
    "not started": (
        lambda content: (
            content["problems"].append("no GPU"),
            put(*TERMS, "planned", value=[])(content),
        ),
        r"of a run that did not start \(no GPU\)",
    ),
    "older": (
        put(*TERMS, "planned", value=[]),
        "does not say what its run had to measure, because an older version wrote it",
    ),
    "a verdict": (put("checks", 0, "verdict", value="inconclusive"), "contradicts itself: .*; do not use it"),
    "another outcome": (put("outcome", value="partial"), "contradicts itself: its outcome is partial"),
    "criteria of another version": (
        put(*TERMS, "profile", "criteria", 0, "metric", value="new_index"),
        r"criteria that this version cannot read \(",
    ),
    "criteria with a new key": (
        put(*TERMS, "profile", "speed", value=1),
        "criteria that this version reads in another way",
    ),
    "a narrowed plan": (
        lambda content: content["environment"]["criteria"]["planned"].pop(0),
        "a plan that does not follow from its criteria and records",
    ),
    "a digest": (put(*TERMS, "digest", value="0" * 64), "a digest that does not follow from its criteria"),
    "another protocol": (
        put(*TERMS, "protocol", "metrics", "robustness_index", "draws", value=100),
        "a digest that does not follow from its criteria",
    ),
    "another cohort": (
        put("runs", 0, "cohort", "digest", value="0" * 64),
        "a digest that does not follow from its criteria",
    ),
    "no cohort": (put("runs", value=[]), "does not say what the cohort north held, because nothing of it"),
    "counts": (put(*COUNTS, "absent", value=1), "counts that do not follow from its records"),
    "own tests left out": (
        lambda content: (
            put(*COUNTS, "planned", value=4)(content),
            put(*COUNTS, "deselected", value=1)(content),
            content.update(complete=False, outcome="partial"),
        ),
        "counts that do not follow from its records",
    ),
    "another FM": (
        put("runs", 0, "fm", "identity", "pooling", value="cls"),
        r"good is one FM in 0\.json and another in 1\.json \('pooling'\); merge files of one FM",
    ),
    "another dimension": (put("runs", 0, "fm", "dimension", value=8), r"another in 1\.json \('dimension'\)"),
    "another package": (
        put("environment", "packages", "torch", value="0.1"),
        r"0\.json and 1\.json were computed with different versions of torch \(0\.1 and \S+\); run all jobs",
    ),
    "no package": (put("environment", "packages", value={}), r"different versions of \S+ \(none and \S+\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_a_part_is_refused(case: str, good: tuple[Results, ...]) -> None:
    change, message = REFUSED[case]
    with pytest.raises(ResultsError, match=message) as error:
        whole((changed(good[0], change), good[1]))
    assert str(error.value).count("\n") == 0
    assert error.value.remedy


def test_a_file_of_schema_1_is_refused(good: tuple[Results, ...]) -> None:
    old = Results.read(Path(__file__).with_name("results_of_schema_1.json"))
    with pytest.raises(ResultsError, match="because an older version wrote it"):
        whole((good[0], old))


@pytest.mark.slow
def test_jobs_with_other_terms_are_refused(
    folder: Path, good: tuple[Results, ...], jobs: tuple[Results, ...]
) -> None:
    fewer = evaluated(folder, cohorts=COHORTS[1:], repetitions=2)
    with pytest.raises(ResultsError, match=r"judged by different criteria \('repetitions'\); run all jobs"):
        whole((good[0], fewer))
    with pytest.raises(ResultsError, match=r"have different baselines \(none and good \(this run\)\)"):
        whole((good[0], jobs[1]))


def test_an_fm_twice_on_a_cohort_is_refused(folder: Path, good: tuple[Results, ...]) -> None:
    with pytest.raises(ResultsError, match=r"^0\.json and 1\.json both hold good on north; give one file"):
        whole((good[0], good[0]))
    (folder / "other").mkdir()
    (folder / "other" / "good").symlink_to(folder / "bad")
    other = evaluated(folder, "other/good", cohorts=COHORTS[:1])
    with pytest.raises(ResultsError, match="both hold good on north with different values"):
        whole((*good, other))


def test_machines_may_differ_and_are_all_named(good: tuple[Results, ...]) -> None:
    other = changed(good[1], put("environment", "platform", value="Linux-9"))
    other = changed(other, put("environment", "packages", "pytest", value="99"))
    environment = whole((good[0], other)).environment
    assert environment.platform == f"{good[0].environment.platform}; Linux-9"
    assert str(environment.packages["pytest"]).endswith("; 99")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings of two of the benchmark's cohorts, and its tables."""
    folder = tmp_path_factory.mktemp("published")
    miniature.write_tables(folder / "tables")
    for cohort in ("camelyon", "tolkach_esca"):
        patches = miniature.patches_of(cohort)
        rows = patches.to_dict("records")
        classes = patches.biological_class.astype("category").cat.codes
        values = np.eye(8)[classes] + np.random.default_rng(0).normal(size=(len(rows), 8))
        write_embeddings(folder / "ours", rows, values.astype(np.float32), cohort=cohort)
    return folder


@pytest.mark.parametrize("family", ["", 'family = "holm"'])
def test_a_mean_over_cohorts_is_made_of_the_values_of_the_jobs(published: Path, family: str) -> None:
    criteria = MEAN.format(more="").replace('name = "means"', f'name = "means"\n{family}')
    (published / "means.toml").write_text(criteria)
    run, *jobs = (
        evaluated(published, "ours", cohorts=cohorts, criteria="means.toml", metadata=published / "tables")
        for cohorts in (("camelyon", "tolkach_esca"), ("camelyon",), ("tolkach_esca",))
    )
    assert [job.outcome for job in jobs] == [Outcome.ERROR, Outcome.ERROR]
    assert [check.quantity for check in run.checks] == ["value", "value", "mean"]
    result = whole(tuple(jobs))
    assert without_date(result) == without_date(run)
    assert result.complete
    alone = whole(tuple(jobs[:1]))
    assert (alone.complete, alone.outcome) == (False, Outcome.ERROR)
    assert "the mean needs a value on tolkach_esca, which none of the merged files has" in alone.explain(300)


def test_a_mean_without_values_stays_missing(published: Path) -> None:
    only = MEAN.format(more='cohorts = ["tolkach_esca"]')
    only += '[[criteria]]\nid = "worst"\nmetric = "robustness_index"\ngroup = "worst-class"\n'
    only += 'at_least = 0.0\nrationale = "A test."\n'
    (published / "only.toml").write_text(only)
    jobs = tuple(
        evaluated(published, "ours", cohorts=(one,), criteria="only.toml", metadata=published / "tables")
        for one in ("camelyon", "tolkach_esca")
    )
    result = whole(jobs)
    assert (result.complete, result.outcome) == (False, Outcome.ERROR)
    assert "needs a value on camelyon" in result.explain()


def test_the_command_ends_as_the_whole_run(
    tmp_path: Path, good: tuple[Results, ...], jobs: tuple[Results, ...]
) -> None:
    for name, results, code in (("good", good, 0), ("jobs", jobs, 1)):
        paths = [tmp_path / f"{name}-{cohort}.json" for cohort in COHORTS]
        for path, job in zip(paths, results, strict=True):
            job.save(path)
        out = tmp_path / f"{name}.json"
        sentence, ended = merge(paths, out, COHORTS)
        assert (sentence, ended) == (whole(results).summary, code)
        assert verdict(out, complete=True) == (sentence, code)
    with pytest.raises(ResultsError, match="is to be written and is one of those that are merged"):
        merge(paths, paths[0])
