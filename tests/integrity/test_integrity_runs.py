"""The integrity checks in runs of the real command."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cohort_folders import write_cohort
from terminal import Terminal

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.embeddings.extraction import Embeddings

COUNT_LOADS = """
import pathorob_checks.models.timm_model as timm_model
whole = timm_model.TimmModel.__init__
def counting(self, *args, **kwargs):
    with open("loads", "a") as file:
        file.write("load\\n")
    whole(self, *args, **kwargs)
timm_model.TimmModel.__init__ = counting
"""


@pytest.mark.slow
def test_every_run_loads_the_model_once(lone_terminal: Terminal, weights: Path) -> None:
    write_cohort(lone_terminal.folder / "few", slides=4)
    (lone_terminal.folder / "counting.py").write_text(COUNT_LOADS)
    (lone_terminal.folder / "test_mine.py").write_text(
        "from pathorob_checks.plugin.fixtures import GATE\n"
        "def test_drift(request, fm_model, fm_cohort, fm_integrity):\n"
        "    evaluation = request.config.stash[GATE].evaluation\n"
        "    [subject] = evaluation.subjects.subjects\n"
        "    drift = evaluation.inputs.integrity(subject).drift\n"
        "    assert evaluation.inputs.drift(subject) == drift.by_metric() != {}\n"
    )
    arguments = (
        "-pcounting", f"--fm=local-dir:{weights}", "--fm-cohort=few", "--fm-precision=bf16",
        "-kintegrity or drift", "suites/test_embedding_integrity.py", "test_mine.py",
    )  # fmt: skip
    for run_number in (1, 2):
        path = os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])
        run = lone_terminal.pytest(*arguments, PYTHONPATH=path)
        assert (run.code, "12 passed" in run.output) == (0, True), run.output
        assert (lone_terminal.folder / "loads").read_text() == run_number * "load\n"


def test_precomputed_embeddings_are_checked_as_a_matrix_and_the_other_checks_are_skipped(
    lone_terminal: Terminal, cohort: Cohort, embeddings: Embeddings
) -> None:
    write_cohort(lone_terminal.folder / "slides")
    folder = lone_terminal.folder / "given" / "slides"
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", embeddings.values)
    cohort.patches[["slide_id", "patch_id"]].to_csv(folder / "manifest.csv", index=False)
    run = lone_terminal.pytest("--fm=embeddings:given", "--fm-cohort=slides", "-kintegrity", "-rs")
    assert run.code == 0, run.output
    assert "5 passed, 6 skipped" in run.output
    assert "given is given by its embeddings; how an FM embeds can only be tested" in " ".join(
        run.output.split()
    )
    run = lone_terminal.pytest("--fm=embeddings:given", "--fm-cohort=slides", "-kindex")
    assert "FM given: It is given by its embeddings: no model was run" in " ".join(run.output.split())


def test_a_model_in_training_mode_fails_by_name(lone_terminal: Terminal) -> None:
    write_cohort(lone_terminal.folder / "slides")
    (lone_terminal.folder / "ours.py").write_text(
        "import numpy as np, torch\n"
        "class Ours:\n"
        "    def preprocess(self, image):\n"
        "        return torch.from_numpy(np.array(image.resize((8, 8)), dtype=np.float32)).permute(2, 0, 1)\n"
        "    def embed(self, batch):\n"
        "        return torch.nn.functional.dropout(batch.flatten(1), 0.1)\n"
    )
    (lone_terminal.folder / "mine.toml").write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "only"\n'
        'metric = "robustness_index"\nat_least = 0.0\nrationale = "A test."\n'
    )
    run = lone_terminal.pytest("--fm=python:ours:Ours", "--fm-cohort=slides", "--fm-criteria=mine.toml")
    assert run.code == 1
    failed = {line.split("::")[1].split("[")[0] for line in run.output.splitlines() if "FAILED" in line}
    assert failed == {
        "test_same_patch_twice", "test_same_as_stored", "test_batch_size_does_not_matter",
        "test_order_does_not_matter",
    }  # fmt: skip
    output = " ".join(run.output.split())
    assert "FAIL: test_same_patch_twice[Ours-slides] and 3 more tests failed; 1 of 1 criterion met" in output
    assert "the same patch embedded twice differ by 0." in output
    assert "put the model into evaluation mode" in output
    assert "Traceback" not in run.output


def test_embeddings_that_extraction_refuses_fail_the_first_check_only(lone_terminal: Terminal) -> None:
    write_cohort(lone_terminal.folder / "slides")
    (lone_terminal.folder / "ours.py").write_text(
        "import torch\n"
        "class Ours:\n"
        "    def preprocess(self, image):\n"
        "        return torch.zeros(1, 1, 1)\n"
        "    def embed(self, batch):\n"
        "        with open('batches', 'a') as file:\n"
        "            file.write('.')\n"
        "        return torch.full((len(batch), 4), torch.nan)\n"
    )
    run = lone_terminal.pytest("--fm=python:ours:Ours", "--fm-cohort=slides", "-kintegrity")
    assert run.code == 1
    assert "FAILED suites/test_embedding_integrity.py::test_finite_and_not_all_equal" in run.output
    failures, _, summary = run.output.partition("short test summary info")
    output = " ".join(failures.split())
    assert output.count("contain NaN or infinite values") == 1
    assert output.count("not tested, because the embeddings were refused") == 10
    assert "11 failed" in summary
    assert (lone_terminal.folder / "batches").read_text() == ".."  # a blank image on loading, and one batch
