"""Not worse than a baseline: from a results file, or another FM of the same run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pathorob_checks.cohorts import demo, tissue
from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.protocol import protocol_of
from pathorob_checks.errors import CriteriaError
from pathorob_checks.evaluation.baseline import baseline_of_this_run, read_baseline
from pathorob_checks.metrics.ends import own_interval
from pathorob_checks.metrics.intervals import DRAWS, SEED
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.results.subject_facts import CohortFacts

PROFILE = load_profile("floor")
PROTOCOL = protocol_of(PROFILE, metrics(), {"demo": {"robustness_index": {"k": 11}}})
DRAWN = Resampling(
    metric="robustness_index",
    value=0.6,
    scale="logit",
    drawn="slides",
    units=("a", "b"),
    cells=(("A / x",), ("A / x",)),
    effects=(0.1, -0.1),
    protocol={"k": 11},
)
OLD = Path(__file__).with_name("results_of_schema_1.json")
COHORT = {
    "name": "demo", "digest": "d1", "tables": {}, "patches": 540, "source": "", "license": "", "slides": 3,
    "commercial": None, "notes": [], "biological_classes": [], "in_domain_centers": [],
    "out_of_domain_centers": [],
}  # fmt: skip
FM = {
    "name": "old", "spec": "old", "revision": None, "license": "", "commercial": None,
    "identity": {"weights": "w1"}, "dimension": 2, "embeddings": "k1", "extraction": {},
}  # fmt: skip


def run(cohort="demo", fm="old", **changes):
    return {"fm": {**FM, "name": fm, **changes}, "cohort": {**COHORT, "name": cohort}}


def check(metric="robustness_index", fm="old", cohort="demo", **changes):
    drawn = DRAWN.model_copy(update={"metric": metric})
    return {
        "id": "t", "fm": fm, "cohort": cohort, "metric": metric, "criterion": metric, "value": 0.6,
        "interval": own_interval(drawn, 0.95, DRAWS, SEED), "confidence": 0.95, "support": None, "bound": 0.5,
        "direction": ">=", "rule": "point", "verdict": "pass", "reason": "", "rationale": "", "label": metric,
        "resampling": drawn.model_dump(mode="json"), **changes,
    }  # fmt: skip


def document(*checks, **changes):
    checks = list(checks) or [check()]
    measured = sum(one["value"] is not None for one in checks)
    completeness = {"planned": len(checks), "measured": measured}
    terms = {"name": "floor", "files": [], "digest": "", "profile": {}, "protocol": PROTOCOL,
             "completeness": completeness}  # fmt: skip
    environment = {"python": "", "implementation": "", "platform": "", "machine": "", "packages": {},
                   "criteria": terms}  # fmt: skip
    subjects = dict.fromkeys((one["cohort"], one["fm"]) for one in checks)
    content = {
        "schema": "pathorob-checks/results/2",
        "created": "2026-03-01T10:00:00Z",
        "complete": True,
        "outcome": "pass",
        "summary": "PASS",
        "environment": environment,
        "metrics": {},
        "runs": [run(*subject) for subject in subjects],
        "checks": checks,
    }
    return json.loads(json.dumps({**content, **changes}))


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "old.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_a_baseline_asks_for_what_it_has_with_the_profiles_margin(file):
    baseline = read_baseline(file(document(check(), check("clustering_score"), check(cohort="tcga"))))
    criteria = baseline.criteria("new", ("demo",), PROFILE)
    assert [(one.id, one.bound, one.quantity, one.rule) for one in criteria] == [
        ("not-worse-robustness-index", -0.02, "difference", "three-way"),
        ("not-worse-clustering-score", -0.05, "difference", "three-way"),
    ]
    assert criteria[0].rationale == "Not worse than old (old.json) by more than 0.02."


def test_only_whole_registered_and_measured_values_count(file):
    others = [
        check("clustering_score", quantity="worst-center", resampling=None, interval=None),
        check("performance_drop_id", registered=False),
        check("performance_drop_ood", value=None, verdict="skipped", required=False, resampling=None),
    ]
    baseline = read_baseline(file(document(check(), *others, complete=False, outcome="partial")))
    assert list(baseline.measured) == [("demo", "robustness_index")]
    assert baseline.measured["demo", "robustness_index"] == DRAWN


def test_of_several_fms_one_must_be_named(file):
    path = file(document(check(), check(fm="older")))
    with pytest.raises(CriteriaError, match=r"has 2 FMs; name one with --fm-baseline-fm: old, older"):
        read_baseline(path)
    assert read_baseline(path, "older").fm == "older"
    with pytest.raises(CriteriaError, match="has no FM 'oldest'; name one with --fm-baseline-fm: old, older"):
        read_baseline(path, "oldest")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a results file"),
        ("[]", "is not a results file"),
        (document(schema="pathorob-checks/results/3"), "has the schema 'pathorob-checks/results/3', not"),
        ({**document(), "environment": {}}, r"is damaged \(environment"),
        (document(checks=[]), "has 0 FMs"),
        (document(check(resampling=None)), "has only values without an interval"),
        (document({k: v for k, v in check().items() if k != "bound"}), r"is damaged \(checks.0.bound: "),
        (document(check(value=float("nan"))), "is not a results file"),
    ],
)
def test_a_file_that_cannot_be_compared_with_is_refused(content, message, file):
    with pytest.raises(CriteriaError, match=message) as caught:
        read_baseline(file(content))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("part", "digest"),
    [
        (demo.recipe_bytes(), "da4bd668d21ecdc8d5758bfc8b568b4c98920a6c3369d74a960c715658ce76e4"),
        (
            Path(tissue.__file__).read_bytes(),
            "97cd9d3d743db97649534996f755b97b75ddcfad74cede05754d57c96798956a",
        ),
    ],
    ids=["recipe", "generator"],
)
def test_the_demo_cohort_is_the_one_that_earlier_results_were_measured_on(part, digest):
    # Even another word in a comment changes its digest, and earlier demo results become incomparable.
    assert hashlib.sha256(part).hexdigest() == digest


def test_a_file_of_schema_1_is_still_a_baseline():
    baseline = read_baseline(OLD)
    known_then = [name for name, one in metrics().items() if one.published is not None]
    assert list(baseline.measured) == [("demo", name) for name in known_then]
    units = json.loads(OLD.read_text())["checks"][0]["resampling"]["units"]
    assert baseline.measured["demo", "robustness_index"].effects == tuple(effect for _, _, effect in units)
    assert baseline.runs["demo"].cohort.patches == 540


def test_a_file_that_is_not_there_is_named_by_its_path(tmp_path):
    with pytest.raises(CriteriaError, match=r"none.json cannot be read .*; give a results file"):
        read_baseline(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("part", "name", "key", "message"),
    [
        ("metrics", "performance_drop", "repetitions", "performance_drop: repetitions 3, here 20"),
        ("cohorts", "demo", "robustness_index", 'demo: robustness_index 3, here {"k": 11}'),
    ],
)
def test_another_protocol_is_refused_before_anything_is_measured(part, name, key, message, file):
    content = document()
    content["environment"]["criteria"]["protocol"][part][name][key] = 3
    with pytest.raises(CriteriaError, match="measured by another protocol") as caught:
        read_baseline(file(content)).check_protocol(PROTOCOL)
    assert message in str(caught.value)
    read_baseline(file(document())).check_protocol(PROTOCOL)


def test_a_baseline_of_other_cohorts_is_refused(file):
    with pytest.raises(CriteriaError, match=r"has no cohort of this run \(it has tcga\)"):
        read_baseline(file(document(check(cohort="tcga")))).check_protocol(PROTOCOL)


@pytest.mark.parametrize("change", [{"digest": "d2"}, {"tables": {"a.csv": "x"}}, {"patches": 539}])
def test_another_cohort_of_the_same_name_is_refused(change, file):
    baseline = read_baseline(file(document()))
    baseline.check_cohort(CohortFacts(**COHORT))
    with pytest.raises(CriteriaError, match=f"on another cohort demo \\({next(iter(change))}"):
        baseline.check_cohort(CohortFacts(**{**COHORT, **change}))


def test_embeddings_without_images_are_compared_by_their_tables(file):
    tables = {**COHORT, "tables": {"a.csv": "x"}, "source": "org/repository@0123"}
    baseline = read_baseline(file(document(runs=[{**run(), "cohort": tables}])))
    baseline.check_cohort(CohortFacts(**{**tables, "digest": "d2", "source": "org/repository"}))
    with pytest.raises(CriteriaError, match="another cohort"):
        baseline.check_cohort(CohortFacts(**{**tables, "digest": "d2"}))


def test_an_fm_of_the_run_is_not_compared_with_itself():
    baseline = baseline_of_this_run("old", [("demo", "robustness_index")])
    assert baseline.criteria("old", ("demo",), PROFILE) == []
    assert len(baseline.criteria("new", ("demo",), PROFILE)) == 1


def test_an_fm_of_the_same_name_is_compared_and_one_of_the_same_embeddings_is_refused(file: Path):
    baseline = read_baseline(file(document()))
    assert len(baseline.criteria("old", ("demo",), PROFILE)) == 1
    baseline.check_subject("demo", "k2", {"weights": "w2"})
    for key, weights in (("k1", "w2"), ("k2", "w1")):
        with pytest.raises(CriteriaError, match="has the same embeddings of demo as the FM"):
            baseline.check_subject("demo", key, {"weights": weights})
