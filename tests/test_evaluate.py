"""A run from Python gives what the gate gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cohort_folders import write_cohort
from same_results import without_varying
from terminal import Terminal

from pathorob_checks import PathorobChecksError, Results, evaluate
from pathorob_checks.criteria.files import load_profile
from pathorob_checks.errors import CohortError
from pathorob_checks.evaluation.evaluate import made_records
from pathorob_checks.evaluation.integrity import INTEGRITY_CHECKS
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.results.names import subject_id


@pytest.fixture
def folder(lone_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    write_cohort(lone_terminal.folder / "slides")
    monkeypatch.chdir(lone_terminal.folder)
    return lone_terminal


@pytest.mark.slow
@pytest.mark.parametrize(
    ("criteria", "count", "code", "outcome"),
    [("floor", 24, 0, "inconclusive"), ("means.toml", 12, 1, "fail")],
)
def test_the_gate_and_evaluate_write_the_same_file(
    folder: Terminal, criteria: str, count: int, code: int, outcome: str
) -> None:
    write_cohort(folder.folder / "more", seed=1)
    (folder.folder / "means.toml").write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "means"\n'
        '[[criteria]]\nid = "mean"\nmetric = "robustness_index"\nat_least = 0.2\naggregate = "mean"\n'
        'cohorts = ["slides", "more"]\nrationale = "x"\n'
        '[[criteria]]\nid = "worst"\nmetric = "robustness_index"\nat_least = 0.1\ngroup = "worst-class"\n'
        'rationale = "x"\n'
        '[[criteria]]\nid = "two"\nmetric = "robustness_index"\nat_least = 0.9\nrationale = "x"\n'
    )
    for name in ("slides", "more"):
        (folder.folder / name / "cohort.toml").write_text("k = 7\n")
    fms, cohorts = ["demo:stain-invariant", "demo:color-sensitive"], ["slides", "more"]
    options = [*(f"--fm={fm}" for fm in fms), *(f"--fm-cohort={name}" for name in cohorts)]
    run = folder.pytest(
        *options,
        f"--fm-criteria={criteria}",
        "--fm-baseline=stain-invariant",
        "--fm-repetitions=3",
        "--fm-json=g.json",
    )
    assert run.code == code, run.output

    results = evaluate(
        fms,
        cohorts=cohorts,
        criteria=criteria,
        baseline="stain-invariant",
        repetitions=3,
        cache=folder.cache,
        progress=False,
    )
    results.save("e.json")
    gate, python = folder.results("g.json"), folder.results("e.json")
    assert without_varying(gate) == without_varying(python)
    assert len(gate["checks"]) == count
    assert len(gate["integrity"]) == 4 * len(INTEGRITY_CHECKS)
    assert (results.passed, results.outcome) == (False, outcome)
    assert Results.read("g.json").summary in " ".join(run.output.split())


def test_a_change_against_a_baseline_shows_no_cells_slides_or_groups_of_the_fms_own_value(
    folder: Terminal,
) -> None:
    criteria = load_profile("floor").model_copy(update={"criteria": load_profile("floor").criteria[:1]})
    fms = ["demo:stain-invariant", "demo:color-sensitive"]
    results = evaluate(
        fms,
        cohorts="slides",
        criteria=criteria,
        baseline="stain-invariant",
        cache=folder.cache,
        progress=False,
    )
    [own] = [one for one in results.checks if one.quantity == "value" and one.fm == "color-sensitive"]
    [change] = [one for one in results.checks if one.quantity == "difference"]
    assert own.cells
    assert own.groups
    assert (change.cells, change.slides, change.groups) == ((), (), {})


def test_ids_of_checks_are_those_of_the_packaged_tests(folder: Terminal) -> None:
    listed = folder.pytest("--fm=demo:stain-invariant", "--fm-cohort=slides", "--co", "-q").output
    ids = [line for line in listed.splitlines() if line.startswith("suites/")]
    evaluation = Evaluation(Settings(fms=("demo:stain-invariant",), cohorts=("slides",)))
    planned = [check.id for check in evaluation.terms.checks.values()]
    integrity = [f"suites/test_embedding_integrity.py::test_{name}[stain-invariant-slides]"
                 for name in INTEGRITY_CHECKS]  # fmt: skip
    assert sorted(ids) == sorted(planned + integrity)


def test_what_can_have_no_value_is_refused_before_anything_is_measured(folder: Terminal) -> None:
    manifest = folder.folder / "slides" / "manifest.csv"
    rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join(row for row in rows if not row.endswith(",OOD")) + "\n")
    unmet = "'performance-drop-ood' of cohort slides cannot be measured: .* has no out-of-domain patches"
    with pytest.raises(CohortError, match=unmet):
        evaluate("demo:stain-invariant", cohorts="slides", cache=folder.cache, progress=False)


def test_a_failed_integrity_check_is_in_the_results_and_no_pass(folder: Terminal) -> None:
    (folder.folder / "flat.py").write_text(
        "import torch\n"
        "class Flat:\n"
        "    dimension, batch_size = 4, 8\n"
        "    def preprocess(self, image):\n"
        "        return torch.tensor([[[float(sum(image.resize((1, 1)).getpixel((0, 0))))]]])\n"
        "    def embed(self, batch):\n"
        "        return batch[:, 0, 0] * torch.ones(1, 4) + torch.tensor([1.0, 2.0, 3.0, 4.0])\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder.folder)
        criteria = load_profile("floor").model_copy(update={"criteria": load_profile("floor").criteria[:1]})
        results = evaluate(
            "python:flat:Flat", cohorts="slides", criteria=criteria, cache=folder.cache, progress=False
        )
    [collapsed] = [check for check in results.integrity if check.name == "not_collapsed"]
    assert collapsed.verdict == "fail"
    assert "collapsed" in collapsed.reason
    assert not results.passed
    assert "not_collapsed of Flat on slides: fail: " in results.explain()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fm": "demo:nothing"}, "demo:nothing"),
        ({"cohorts": "nowhere"}, "there is no cohort and no folder 'nowhere'"),
        ({"criteria": "flor"}, "there is no file and no profile 'flor'; did you mean 'floor'"),
        ({"criteria_digest": "0" * 64}, "but --fm-criteria-digest requires 000"),
        ({"baseline": "none.json"}, "cannot be read"),
        ({"baseline_fm": "old"}, "there is no baseline"),
        ({"criteria": []}, "there are no criteria"),
        ({"criteria": [""]}, "the name of a criteria file or of the baseline is empty"),
        ({"baseline": ""}, "the name of a criteria file or of the baseline is empty"),
        ({"fm": []}, "there is no FM to check"),
        ({"engine": "slurm"}, "engine is 'slurm'; choose one of local, ray"),
        ({"readers": "fibers"}, "readers is 'fibers'; choose one of auto, threads, processes"),
        ({"precision": "fp8"}, "precision is 'fp8'; choose one of fp32, bf16, fp16"),
        ({"pooling": "max"}, "pooling is 'max'; choose one of cls"),
        ({"device": "gpu"}, "device is 'gpu'; choose auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "device cuda:99 is not available"),
        ({"batch_size": 0}, "batch_size is 0; give a positive whole number"),
    ],
)
def test_what_is_wrong_from_the_start_is_raised(folder: Terminal, arguments: Any, message: str) -> None:
    given = {"fm": "demo:stain-invariant", "cohorts": "slides", "cache": folder.cache, "progress": False}
    with pytest.raises(PathorobChecksError, match=message):
        evaluate(**{**given, **arguments})


@pytest.mark.slow
def test_embeddings_are_kept_where_the_gate_keeps_them(
    folder: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATHOROB_CHECKS_CACHE", str(tmp_path / "kept"))
    evaluate("demo:stain-invariant", cohorts="slides", progress=False)
    assert len(list((tmp_path / "kept").rglob("manifest.json"))) == 1


def test_an_extraction_that_failed_is_not_repeated_for_every_check(folder: Terminal, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    (folder.folder / "broken.py").write_text(
        "import torch, pathlib\n"
        "class Broken:\n"
        "    dimension, batch_size = 4, 8\n"
        "    def preprocess(self, image):\n"
        "        return torch.zeros(3, 4, 4)\n"
        "    def embed(self, batch):\n"
        f"        with open({str(calls)!r}, 'a') as file: file.write('x')\n"
        "        return torch.full((len(batch), 4), float('nan'))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder.folder)
        evaluation = Evaluation(
            Settings(fms=("python:broken:Broken",), cohorts=("slides",), cache=folder.cache)
        )
        first = evaluation.integrity(evaluation.subjects.subjects[0], "finite_and_not_all_equal")
        calls_of_one_extraction = len(calls.read_text())
        records = made_records(evaluation)
    assert first.verdict == "fail"
    assert {check.verdict for check in records.checks.values()} == {"error"}
    assert len(calls.read_text()) == calls_of_one_extraction


def test_a_subject_with_a_method_has_it_in_its_id() -> None:
    assert Subject("virchow2", "none", "camelyon").id == "virchow2-camelyon"
    assert Subject("virchow2", "combat", "camelyon").id == "virchow2-combat-camelyon"
    assert subject_id("none", "none", "none") == "none-none"


@pytest.mark.slow
def test_a_results_file_of_the_gate_shows_itself(folder: Terminal) -> None:
    folder.pytest("--fm=demo:color-sensitive", "--fm-cohort=slides", "--fm-json=r.json")
    results = Results.read("r.json")
    assert list(results.table().metric) == [
        check["metric"] for check in json.loads(results.to_json())["checks"]
    ]
    assert results.explain(120).startswith(results.summary)
    assert results._repr_html_().count("<tr>") == 1 + len(results.checks)
