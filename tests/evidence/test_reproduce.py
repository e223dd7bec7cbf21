"""The protocol of an evidence folder run again: what is equal, noise, different, or refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_checks import made
from made_results import results_of
from terminal import WITHOUT

from pathorob_checks.cli import main
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evidence.reproduction import rerun
from pathorob_checks.evidence.reproduction.comparison import ROUNDING, Pair, Sameness, compared
from pathorob_checks.results.results import Results

# --- comparing ------------------------------------------------------------------------------------------


def pairs(**change: Any) -> dict[str, Sameness]:
    before = made("robustness_index").model_copy(update={"value": 0.7, "interval": (0.6, 0.8)})
    reproduction = compared(results_of([before]), results_of([before.model_copy(update=change)]))
    return {one.quantity: one.sameness for one in reproduction.pairs}


def test_the_same_run_is_equal() -> None:
    assert set(pairs().values()) == {Sameness.EQUAL}


@pytest.mark.parametrize(
    ("shift", "drift", "sameness"),
    [
        (0.9 * ROUNDING, None, Sameness.WITHIN_NOISE),
        (1.1 * ROUNDING, None, Sameness.DIFFERENT),
        (-1.1 * ROUNDING, None, Sameness.DIFFERENT),
        (0.01, None, Sameness.DIFFERENT),  # far within the interval, which is no noise of this kind
        (0.01, 0.01, Sameness.WITHIN_NOISE),  # the precision of the forward pass moves it by so much
        (0.011, 0.01, Sameness.DIFFERENT),
    ],
)
def test_noise_is_rounding_and_precision_and_not_the_interval(
    shift: float, drift: float | None, sameness: Sameness
) -> None:
    assert pairs(value=0.7 + shift, drift=drift)["value"] is sameness
    assert pairs(interval=(0.6, 0.8 + shift), drift=drift)["interval high"] is sameness


def test_another_verdict_is_different_however_near_the_values() -> None:
    assert pairs(verdict=Verdict.INCONCLUSIVE)["verdict"] is Sameness.DIFFERENT


def test_an_interval_that_is_gone_is_different() -> None:
    assert pairs(interval=None)["interval low"] is Sameness.DIFFERENT


def test_a_check_without_another_run_is_not_reproduced() -> None:
    check = made("robustness_index")
    own = check.model_copy(update={"registered": False})
    for before, now in ((own, own), (check, made("clustering_score"))):
        reproduction = compared(results_of([before]), results_of([now]))
        assert reproduction.count(Sameness.NOT_RUN) == 1
        assert not reproduction.is_reproduced


def test_nothing_compared_is_nothing_reproduced() -> None:
    check = made("robustness_index")
    reproduction = compared(results_of([check]).model_copy(update={"checks": ()}), results_of([check]))
    assert not reproduction.is_reproduced
    assert reproduction.summary == "NOT REPRODUCED: 0 values: nothing was compared"


def test_what_was_not_measured_is_not_reproduced() -> None:
    lost = made("robustness_index").model_copy(update={"value": None, "verdict": Verdict.ERROR})
    reproduction = compared(results_of([lost]), results_of([lost]))
    assert not reproduction.is_reproduced
    assert reproduction.summary == "NOT REPRODUCED: 1 value: 1 equal, and none of them was measured"


def test_an_interval_that_is_there_now_only_is_different() -> None:
    before = made("robustness_index")
    now = before.model_copy(update={"interval": (0.2, 0.4)})
    reproduction = compared(results_of([before]), results_of([now]))
    assert reproduction.count(Sameness.DIFFERENT) == 2
    assert not reproduction.is_reproduced


def test_another_version_is_named() -> None:
    results = results_of([made("robustness_index")])
    environment = results.environment.model_copy(
        update={"packages": {"pathorob-checks": "9.9"}, "python": "3.99"}
    )
    reproduction = compared(results, results.model_copy(update={"environment": environment}))
    assert reproduction.elsewhere == ("pathorob-checks: 0.1.0, now 9.9", "python: 3.12, now 3.99")


def test_a_number_and_a_missing_one_are_different() -> None:
    assert Pair(check="a", quantity="value", before=0.5, now=None).sameness is Sameness.DIFFERENT


# --- running again --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs(gate_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of small inputs, with the evidence `ev` of a run on them."""
    folder = tmp_path_factory.mktemp("reproduce") / "inputs"
    shutil.copytree(gate_inputs, folder)
    gate(folder, "--fm-criteria=index.toml", "--fm-evidence=ev")
    return folder


def gate(folder: Path, *options: str) -> None:
    """A run of the gate that passes what it measures."""
    inputs = ("--fm=embeddings:good", "--fm-cohort=coh")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *WITHOUT, *inputs, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def place(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, as the working folder."""
    folder = Path(shutil.copytree(inputs, tmp_path / "place"))
    monkeypatch.chdir(folder)
    return folder


def test_the_same_inputs_give_the_same_values(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "ev", "--out", "again"]) == 0
    out = capsys.readouterr().out
    assert "\nREPRODUCED: " in out
    assert "different" not in out
    values = int(re.findall(r"REPRODUCED: (\d+) value", out)[0])
    hidden = int(re.findall(r"not shown: (\d+) verdict", out)[0])
    table = out.split("not shown")[0].splitlines()
    assert values == hidden + len([line for line in table if line.endswith("equal")])
    document = json.loads((place / "again" / "reproduction.json").read_text())
    assert document["reproduced"] is True
    assert {one["sameness"] for one in document["pairs"]} == {"equal"}
    again = json.loads((place / "again" / "results.json").read_text())
    before = json.loads((place / "ev" / "results.json").read_text())
    assert again["checks"][0]["value"] == before["checks"][0]["value"]
    assert again["environment"]["criteria"]["digest"] == before["environment"]["criteria"]["digest"]
    assert main(["reproduce", "ev", "--out", "again"]) == 1
    assert "two runs are never mixed; name a new folder with --out." in capsys.readouterr().err


def test_other_values_are_different(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rerun.made_records

    def shifted(evaluation: Any, left_out: Any) -> Any:
        records = real(evaluation, left_out)
        for key, check in list(records.checks.items()):
            records.checks[key] = check.model_copy(update={"value": check.value + 0.01})
        return records

    monkeypatch.setattr(rerun, "made_records", shifted)
    assert main(["reproduce", "ev"]) == 1
    out = capsys.readouterr().out
    assert "NOT REPRODUCED" in out
    assert "1 different" in out


@pytest.mark.slow
def test_what_k_left_out_is_left_out_again_also_where_it_can_have_no_value(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop = ('id = "drop"', 'metric = "performance_drop_ood"', "at_least = -0.5", 'rationale = "A test."')
    (place / "two.toml").write_text((place / "index.toml").read_text() + "\n".join(["[[criteria]]", *drop]))
    gate(place, "--fm-criteria=two.toml", "--fm-evidence=part", "-k", "robustness_index")
    assert main(["reproduce", "part", "--out", "again"]) == 0
    assert "REPRODUCED: 4 values: 4 equal" in capsys.readouterr().out
    results = Results.read(place / "again" / "results.json")
    assert results.summary.startswith("PARTIAL: 1 of 2 criteria measured, 1 met; 1 deselected")
    assert [check.criterion for check in results.checks] == ["index"]
    assert results.integrity == ()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["reproduce", "ev", *arguments]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_inputs_that_moved_are_found_where_they_are_said_to_be(place: Path, capsys) -> None:
    (place / "moved").mkdir()
    (place / "coh").rename(place / "moved" / "coh")
    assert "the cohort coh is not at coh any more; give it with --cohort coh=PATH." in refusal(capsys)
    (place / "good").rename(place / "moved" / "good")
    assert "give it with --fm good=embeddings:PATH." in refusal(capsys, "--cohort", "coh=moved/coh")
    moved = ("--cohort", "coh=moved/coh", "--fm", "good=embeddings:moved/good")
    assert main(["reproduce", "ev", *moved]) == 0
    assert "\nREPRODUCED: " in capsys.readouterr().out
    assert "the evidence has no cohort 'other'" in refusal(capsys, *moved, "--cohort", "other=moved/coh")
    (place / "moved" / "coh").rename(place / "renamed")
    assert "give its folder the name that it has" in refusal(
        capsys, "--cohort", "coh=renamed", "--fm", "good=embeddings:moved/good"
    )


def test_other_embeddings_are_refused(place: Path, capsys) -> None:
    shutil.rmtree(place / "good")
    shutil.copytree(place / "bad", place / "good")
    assert "the FM good is not that of the evidence: sha256 is" in refusal(capsys)


def test_another_cohort_is_refused(place: Path, capsys) -> None:
    manifest = next((place / "coh").glob("manifest.csv"))
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    assert "the cohort coh is not that of the evidence: its digest is" in refusal(capsys)


def test_a_folder_that_was_changed_is_refused(place: Path, capsys) -> None:
    (place / "ev" / "log.txt").write_text("changed")
    assert "is not intact (log.txt was changed" in refusal(capsys)


# --- what is taken from the folder ----------------------------------------------------------------------


def facts(kind: str, spec: str, revision: str | None = None) -> dict[str, Any]:
    return {"name": "ours", "kind": kind, "spec": spec, "revision": revision}


NOWHERE = rerun.Places(cache=Path("none"))


def test_an_fm_of_the_hub_is_pinned_to_the_revision_that_was_measured() -> None:
    assert rerun._fm(facts("hf-hub", "hf-hub:org/ours", "abc"), NOWHERE) == "hf-hub:org/ours@abc"
    assert rerun._fm(facts("recipe", "virchow2@v1", "abc"), NOWHERE) == "virchow2@v1"
    assert rerun._fm(facts("demo", "demo:stain-invariant"), NOWHERE) == "demo:stain-invariant"


def test_code_that_the_folder_names_is_run_only_if_the_user_says_so() -> None:
    with pytest.raises(rerun.EvidenceError, match="give it with --fm ours=python:module:factory"):
        rerun._fm(facts("python", "python:module:factory"), NOWHERE)
    allowed = rerun.Places(cache=Path("none"), fms={"ours": "python:module:factory"})
    assert rerun._fm(facts("python", "python:module:factory"), allowed) == "python:module:factory"
    assert "trust_remote_code" not in rerun._TAKEN


def test_every_setting_is_taken_or_left_on_purpose() -> None:
    from dataclasses import fields

    from pathorob_checks.evaluation.settings import Settings

    of_places = {"fms", "names", "cohorts", "baseline", "cache", "metadata", "accepted_names", "device"}
    of_places |= {"trust_remote_code", "method_target"}
    without_effect = {"cache_limit", "engine", "ray_address", "readers", "images", "origins"}
    in_terms = {"criteria", "criteria_digest", "repetitions"}
    assert {one.name for one in fields(Settings)} == (
        set(rerun._TAKEN) | of_places | without_effect | in_terms
    )
