"""The gate on embeddings that a repair has written: what it has seen is no measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal import Terminal
from test_methods_in_runs import write

from pathorob_checks import Results, evaluate
from pathorob_checks.cli import main
from pathorob_checks.embeddings.repaired import fitted_repair
from pathorob_checks.errors import EmbeddingError

CRITERIA = """
schema = "pathorob-checks/criteria/1"
name = "ours"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.5
rationale = "Biology outweighs the medical center."
[[criteria]]
id = "drop"
metric = "performance_drop_id"
at_least = -0.1
rationale = "A tenth of the accuracy may be lost."
[[criteria]]
id = "class"
metric = "class_prediction"
at_least = 0.5
rationale = "Biology is still there."
"""
TRAIN_CLASSIFIERS = {"drop", "class"}
REMEDY = "measure the unrepaired embeddings with --fm-method=center"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "slides"
    target.mkdir()
    write(target, [("A", 12, 12), ("B", 12, 12)], center=8.0, biology=5.0)
    (target / "ours.toml").write_text(CRITERIA)
    return target


def repair(out: str, method: str = "center") -> None:
    options = ["--fm=embeddings:slides", "--fm-cohort=slides", "--fm-cache=cache"]
    assert main(["repair", *options, f"--method={method}", f"--out={out}"]) == 0


def gated(out: str, cohort: str = "slides") -> Results:
    return evaluate(
        f"embeddings:{out}", cohorts=cohort, criteria="slides/ours.toml", cache="cache", progress=False
    )


@pytest.mark.usefixtures("folder")
def test_nothing_passes_by_a_repair_that_saw_the_test_patches() -> None:
    repair("repaired")
    results = gated("repaired")
    checks = {one.criterion: one for one in results.checks}
    assert {name for name, one in checks.items() if str(one.verdict) == "error"} == TRAIN_CLASSIFIERS
    for name in TRAIN_CLASSIFIERS:
        assert checks[name].value is None
        assert "were repaired by center, which was fitted on patches" in checks[name].reason
        assert checks[name].reason.endswith(REMEDY + ".")
    assert str(checks["index"].verdict) == "pass"
    assert (str(results.outcome), results.passed) == ("error", False)
    (run,) = results.runs
    (note,) = [one for one in run.fm.notes if "repaired by" in one]
    assert "48 slides of this cohort" in note
    repaired = run.fm.extraction["repair"]
    assert isinstance(repaired, dict)
    assert (repaired["method"], repaired["fitted_slides"], repaired["shared_slides"]) == ("center", 48, 48)


def test_a_folder_or_cohort_by_another_name_hides_no_repair(folder: Path) -> None:
    repair("repaired")
    Path("repaired", "slides").rename(Path("repaired", "other"))
    folder.rename(folder.with_name("other"))
    Path("slides").mkdir()
    Path("slides", "ours.toml").write_text(CRITERIA)
    checks = {one.criterion: str(one.verdict) for one in gated("repaired", "other").checks}
    assert checks == {"index": "pass", "drop": "error", "class": "error"}


@pytest.mark.slow
def test_a_repair_that_was_fitted_on_other_slides_is_measured(folder: Path) -> None:
    repair("repaired")
    provenance = Path("repaired", "provenance", "slides.json")
    content = json.loads(provenance.read_text())
    assert len(content["fitted_slides"]) == 48
    content["fitted_slides"] = ["a slide of another cohort"]
    provenance.write_text(json.dumps(content))
    assert {str(one.verdict) for one in gated("repaired").checks} == {"pass"}
    assert folder.is_dir()


@pytest.mark.usefixtures("folder")
def test_a_folder_that_does_not_say_what_its_repair_has_seen_is_refused() -> None:
    repair("repaired")
    provenance = Path("repaired", "provenance", "slides.json")
    content = json.loads(provenance.read_text())
    del content["fitted_slides"]
    provenance.write_text(json.dumps(content))
    with pytest.raises(EmbeddingError, match="repair the embeddings again"):
        fitted_repair(Path("repaired"), ["A-normal-0"])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"schema": "another"}'])
def test_a_damaged_provenance_is_refused_in_one_sentence(content: bytes) -> None:
    repair("repaired")
    Path("repaired", "provenance", "slides.json").write_bytes(content)
    with pytest.raises(
        EmbeddingError, match=r"is not what 'pathorob-checks repair' writes; repair the"
    ) as caught:
        fitted_repair(Path("repaired"), ["A-normal-0"])
    assert str(caught.value).count(";") == 1


def test_a_folder_without_repairs_has_none(folder: Path) -> None:
    assert fitted_repair(folder, ["A-normal-0"]) is None


def test_the_gate_says_what_it_cannot_measure_and_what_was_repaired(
    folder: Path, lone_terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder.parent
    monkeypatch.chdir(here)
    repair("repaired")
    done = lone_terminal.pytest(
        f"--fm=embeddings:{here}/repaired",
        f"--fm-cohort={folder}",
        f"--fm-criteria={folder}/ours.toml",
        f"--fm-html={here}/r.html",
    )
    assert done.code == 1
    page = (here / "r.html").read_text()
    for text in (" ".join(done.output.split()), " ".join(page.split())):
        assert "center, which was fitted on 48 slides of this cohort" in text
    assert REMEDY in " ".join(done.output.split())
