"""The notebooks of the documentation run, and what their text says of the outputs is true."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebooks import LARGEST_IMAGE, NOTEBOOKS, executed, outputs

import pathorob_checks

# Run in the notebook before its last cell, which removes its files: what the text says.
TRUE_IN_THE_END = {
    "gate_from_python": """
verdicts = {(check.fm, check.metric): check.verdict for check in results.checks}
index = {check.fm: check for check in results.checks if check.metric == "robustness_index"}
assert verdicts["color-sensitive", "robustness_index"] == "fail"
assert {verdict for (fm, _), verdict in verdicts.items() if fm == "stain-invariant"} == {"pass"}
assert index["color-sensitive"].neighbors == 11
assert max(index["color-sensitive"].curves[0].y) < index["color-sensitive"].bound
assert Results.read(file).summary == results.summary
assert "/9j/" not in file.read_text()
""",
    "three_scanners": """
verdicts = {(check.fm, check.metric): check.verdict for check in results.checks}
assert {verdict for (fm, _), verdict in verdicts.items() if fm == "texture"} == {"pass"}
assert verdicts["color-sensitive", "robustness_index"] == "fail"
curves = [check.curves[0].y for check in results.checks if check.metric == "performance_drop_id"]
assert curves[1][0] - curves[1][-1] > 0.1 > curves[0][0] - curves[0][-1]
near = [one for run in results.runs if run.fm.name == "color-sensitive" for one in run.neighborhoods]
same = [one.patch.medical_center == each.medical_center for one in near for each in one.neighbors]
assert near and sum(same) > len(same) / 2
assert all(one.patch.key in results.runs[1].images for one in near)
""",
}
SHOWN = {
    "gate_from_python": {"text/html": 3, "image/png": 4},
    "three_scanners": {"text/html": 1, "image/png": 4},
}
OF_A_MACHINE = ("/home/", "/root", "/tmp", "/Users/", "site-packages", "iopub")
# The other one shows what the tests of examples and of the API show, too.
SLOW = {"gate_from_python": pytest.mark.slow}
pytestmark = pytest.mark.parametrize(
    "path", [pytest.param(path, marks=SLOW.get(path.stem, ()), id=path.stem) for path in NOTEBOOKS]
)


def kinds(notebook: Any) -> dict[str, int]:
    all_kinds = [kind for one in outputs(notebook) for kind in one.get("data", {})]
    return {kind: all_kinds.count(kind) for kind in ("text/html", "image/png")}


def test_a_notebook_runs_and_its_text_is_true(path: Path, tmp_path: Path, session_cache: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    checks = nbformat.v4.new_code_cell(TRUE_IN_THE_END[path.stem])
    notebook.cells.insert(len(notebook.cells) - 1, checks)
    package = str(Path(pathorob_checks.__file__).parents[1])
    environment = {
        "PATHOROB_CHECKS_CACHE": str(session_cache),
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
    }
    executed(notebook, tmp_path, environment)
    assert kinds(notebook) == SHOWN[path.stem]
    assert list(tmp_path.iterdir()) == []


def test_the_outputs_in_the_file_are_those_of_this_version(path: Path) -> None:
    """`python tests/notebooks.py` renews them."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert kinds(notebook) == SHOWN[path.stem]
    assert not [one for one in outputs(notebook) if one.output_type == "error"]
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_the_file_is_small_and_has_nothing_of_a_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for output in outputs(notebook):
        image = output.get("data", {}).get("image/png")
        assert image is None or len(base64.b64decode(image)) <= LARGEST_IMAGE
    content = path.read_text(encoding="utf-8")
    assert not [
        one for one in ("/home/", "/root", "/tmp", "/Users/", "site-packages", "iopub") if one in content
    ]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
