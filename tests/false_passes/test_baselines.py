"""A baseline that is none: doctored, incomplete, of another cohort, or the FM itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attack import INDEX, Attack, assert_not_passed, made_embeddings, rows_of, write_embeddings

from pathorob_checks.errors import CriteriaError
from pathorob_checks.evaluation.baseline import read_baseline
from pathorob_checks.evaluation.evaluate import evaluate

Doctor = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="session")
def released(gate_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of an FM between good and bad, with values inside of their scale."""
    folder = tmp_path_factory.mktemp("released")
    rows = rows_of(gate_inputs / "coh")
    write_embeddings(folder / "old", rows, made_embeddings(rows, biology=0.3, center=0.2))
    second = INDEX.partition("[[criteria]]")
    text = INDEX + second[1] + second[2].replace("robustness_index", "clustering_score").replace("index", "c")
    (folder / "two.toml").write_text(text)
    results = evaluate(
        f"embeddings:{folder / 'old'}",
        cohorts=gate_inputs / "coh",
        criteria=folder / "two.toml",
        cache=folder / "cache",
        progress=False,
    )
    content: dict[str, Any] = json.loads(results.to_json())
    assert 0.05 < content["checks"][0]["value"] < 0.95
    return content


@pytest.fixture
def read(released: dict[str, Any], tmp_path: Path) -> Callable[[Doctor], object]:
    """Read the file after it was doctored."""

    def doctored(change: Doctor) -> object:
        content = copy.deepcopy(released)
        change(content)
        (tmp_path / "old.json").write_text(json.dumps(content))
        return read_baseline(tmp_path / "old.json")

    return doctored


def index(content: dict[str, Any]) -> dict[str, Any]:
    check: dict[str, Any] = content["checks"][0]
    return check


def terms(content: dict[str, Any]) -> dict[str, Any]:
    criteria: dict[str, Any] = content["environment"]["criteria"]
    return criteria


def lowered(content: dict[str, Any]) -> None:
    """Value and interval moved, so that any FM is better; the verdict follows."""
    check = index(content)
    for place in (check, check["resampling"]):
        place["value"] = 0.01
    check.update(interval=[0.0, 0.02], verdict="fail")


def halved(content: dict[str, Any]) -> None:
    side = index(content)["resampling"]
    side["effects"] = [effect / 2 for effect in side["effects"]]


WAYS: dict[str, tuple[Doctor, str]] = {
    "no protocol": (lambda c: terms(c).update(protocol={}), "by which protocol its metrics"),
    "a protocol that is a list": (lambda c: terms(c).update(protocol=[]), "is damaged"),
    "metrics that are a list": (lambda c: terms(c)["protocol"].update(metrics=[]), "by which protocol"),
    "a protocol of text": (
        lambda c: terms(c)["protocol"]["cohorts"].update(coh="x"), "by which protocol its cohorts"),
    "no runs": (lambda c: c.update(runs=[]), "does not say what old and the cohort coh were"),
    "a run of another FM": (lambda c: c["runs"][0]["fm"].update(name="x"), "does not say what old"),
    "a run of another cohort": (lambda c: c["runs"][0]["cohort"].update(name="x"), "does not say what old"),
    "no digest of the cohort": (lambda c: c["runs"][0]["cohort"].update(digest=""), "does not say what old"),
    "no digest of the embeddings": (
        lambda c: c["runs"][0]["fm"].update(embeddings=""), "does not say what old"),
    "two runs of one subject": (lambda c: c["runs"].append(c["runs"][0]), "stand twice"),
    "no run at all to compare with": (lambda c: c.update(checks=[], runs=[]), "has 0 FMs"),
    "effects that are no numbers": (
        lambda c: index(c)["resampling"].update(effects=[float("nan")] * 99), "NaN is not JSON"),
    "effects that are null": (
        lambda c: index(c)["resampling"].update(effects=[None] * 99), "is damaged .checks.0.resampling"),
    "effects that are too many": (
        lambda c: index(c)["resampling"]["effects"].append(0.0), "is damaged .checks.0.resampling"),
    "effects of another spread": (halved, "the interval does not follow from its slides"),
    "effects of two slides exchanged": (
        lambda c: index(c)["resampling"]["units"].__setitem__(1, index(c)["resampling"]["units"][0]),
        "stand twice|does not follow"),
    "a lower value": (lambda c: index(c).update(value=0.01), "is 0.01, but that of its slides is"),
    "a lower value of the slides": (
        lambda c: index(c)["resampling"].update(value=0.01), "but that of its slides is 0.01"),
    "a lower value in both places": (lowered, "the interval does not follow from its slides"),
    "a value that has no log-odds": (
        lambda c: (lowered(c), index(c)["resampling"].update(value=0.0), index(c).update(value=0.0)),
        "the interval does not follow"),
    "a value off its scale": (
        lambda c: (index(c).update(value=-7.0), index(c)["resampling"].update(value=-7.0)), "metric's scale"),
    "another scale": (
        lambda c: index(c)["resampling"].update(scale="identity"), "the interval does not follow"),
    "another metric's slides": (
        lambda c: index(c)["resampling"].update(metric="clustering_score"), "but that of its slides"),
    "another k": (lambda c: index(c)["protocol"].update(k=99), "settings of the value differ"),
    "an interval that was moved": (
        lambda c: index(c).update(interval=[0.0, 1.0]), "the interval does not follow"),
    "an interval the wrong way round": (
        lambda c: index(c).update(interval=index(c)["interval"][::-1]), "wrong order"),
    "a bound that was moved": (lambda c: index(c).update(bound=0.999), "the verdict is .*, but 0"),
    "a verdict that was changed": (
        lambda c: index(c).update(verdict="fail" if index(c)["verdict"] != "fail" else "pass"),
        "the verdict is"),
    "a value without a verdict": (lambda c: index(c).update(verdict="error"), "the verdict is error"),
    "an outcome that its checks deny": (
        lambda c: (c.update(outcome="pass"), index(c).update(bound=0.99, verdict="fail")),
        "its outcome is pass, and its records say fail|the p-value .* contradict each other"),
    "two values of one criterion": (lambda c: c["checks"].append(index(c)), "stand twice"),
    "a run that did not finish": (
        lambda c: terms(c)["completeness"].update(measured=0, never_ran=2, absent=2), "not complete"),
    "criteria left out": (
        lambda c: terms(c)["completeness"].update(planned=3, deselected=1), "not complete .2 of 3 criteria"),
    "complete and not": (
        lambda c: terms(c)["completeness"].update(planned=3), "says complete|not complete .2 of 3"),
    "something went wrong": (
        lambda c: c.update(problems=["Something went wrong."]), "not complete|says complete"),
    "a worker that crashed": (lambda c: terms(c)["completeness"].update(crashed=True), "not complete"),
    "embeddings that are not sound": (
        lambda c: (c["integrity"][0].update(verdict="fail"), c.update(outcome="fail")),
        "its embeddings are not sound"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_doctored_baseline_is_refused(way: str, read: Callable[[Doctor], object]) -> None:
    change, message = WAYS[way]
    with pytest.raises(CriteriaError, match=message) as caught:
        read(change)
    assert caught.value.remedy


def test_the_file_as_it_was_is_a_baseline(read: Callable[[Doctor], object]) -> None:
    baseline: Any = read(lambda content: None)
    assert set(baseline.measured) == {("coh", "robustness_index"), ("coh", "clustering_score")}


def test_an_optional_criterion_without_a_value_takes_nothing_from_the_rest(
    read: Callable[[Doctor], object],
) -> None:
    def left_out(content: dict[str, Any]) -> None:
        content["checks"][1].update(value=None, interval=None, resampling=None, p_value=None,
                                    verdict="skipped", required=False)  # fmt: skip
        content["releases"] = []  # as in a file of before there were any
        terms(content)["completeness"].update(measured=1)
        content.update(complete=False)

    read(left_out)


@pytest.mark.parametrize("key", ["digest", "patches", "slides", "biological_classes", "in_domain_centers"])
def test_a_cohort_that_differs_in_anything_is_another_one(
    key: str, read: Callable[[Doctor], object], released: dict[str, Any]
) -> None:
    from pathorob_checks.results.subject_facts import CohortFacts

    ours = CohortFacts.model_validate(released["runs"][0]["cohort"])
    baseline: Any = read(lambda content: None)
    baseline.check_cohort(ours)
    other = {"digest": "0" * 64, "patches": 1, "slides": 1}.get(key, ("x",))
    with pytest.raises(CriteriaError, match=rf"was measured on another cohort coh \({key} "):
        baseline.check_cohort(ours.model_copy(update={key: other}))


# --- with the whole command ------------------------------------------------------------------------------


def test_an_fm_that_is_its_own_baseline(attack: Attack) -> None:
    attack.run(fm="embeddings:good", results="old.json")
    outcome = attack.run("--fm-baseline=old.json", fm="embeddings:good")
    assert outcome.code == 4, outcome.output  # before anything is measured
    assert "has the same embeddings of coh as the FM that is compared" in " ".join(outcome.output.split())
    assert "or leave --fm-baseline out where the FM has not changed" in " ".join(outcome.output.split())


@pytest.mark.slow
def test_a_model_that_is_its_own_baseline_is_refused_before_it_embeds(attack: Attack) -> None:
    attack.run(fm="demo:stain-invariant", results="old.json", cohort="demo", criteria=None)
    outcome = attack.run("--fm-baseline=old.json", fm="demo:stain-invariant", cohort="demo", criteria=None)
    assert outcome.code == 4, outcome.output
    assert "has the same embeddings of demo as the FM that is compared" in " ".join(outcome.output.split())


def test_an_fm_of_the_run_under_two_names(attack: Attack) -> None:
    write_embeddings(attack.folder / "copy", rows_of(attack.folder / "coh"), biology=1.5, center=0.3)
    outcome = attack.run("--fm=embeddings:copy", "--fm-baseline=good", fm="embeddings:good")
    assert_not_passed(outcome)
    assert "has the same embeddings of coh as the FM that is compared" in " ".join(outcome.output.split())


def test_the_only_fm_of_the_run_as_its_baseline(attack: Attack) -> None:
    attack.write("index.toml", INDEX.replace("at_least = 0.5", "at_least = 0.0"))
    outcome = attack.run("--fm-baseline=bad")
    assert_not_passed(outcome)
    assert "nothing of this run is compared with the baseline bad (this run)" in outcome.headline


def test_a_baseline_whose_cohort_was_relabeled(attack: Attack) -> None:
    attack.run(fm="embeddings:good", results="old.json")
    content = json.loads((attack.folder / "old.json").read_text())
    content["runs"] = []
    attack.write("old.json", json.dumps(content))
    assert_not_passed(attack.run("--fm-baseline=old.json", fm="embeddings:good"))


def test_a_file_and_an_fm_of_one_name(attack: Attack) -> None:
    write_embeddings(attack.folder / "models" / "ours", rows_of(attack.folder / "coh"), biology=1, center=0.3)
    attack.run(fm="embeddings:bad", results="ours")
    outcome = attack.run("--fm=embeddings:models/ours", "--fm-baseline=ours", fm="embeddings:good")
    assert_not_passed(outcome)
    assert "ours is both an FM of this run and a file" in outcome.output


def test_a_criterion_that_bears_the_name_of_a_comparison(attack: Attack) -> None:
    attack.run(fm="embeddings:good", results="old.json")
    attack.write("names.toml", INDEX.replace('"index"', '"not-worse-robustness-index"').replace("0.5", "0.0"))
    outcome = attack.run("--fm-baseline=old.json", criteria="names.toml")
    assert_not_passed(outcome)
    assert "begins with 'not-worse-', as only comparisons with a baseline do" in outcome.output
