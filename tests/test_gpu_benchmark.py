"""The command that measures on a GPU: each part ends in time, and what it measured is kept."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks belong to a checkout", allow_module_level=True)

PARTS = {
    "works": "record.row(step='first', value=1.5); record.note('a | b')",
    "fails": "record.row(step='before'); raise ValueError('no such thing')",
    "row_fails": """
        with record.attempt(record.row(step='bad')):
            raise ValueError('only here')
        record.row(step='good')
        """,
    "hangs": """
        import subprocess, sys, time
        record.row(step='begun')
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
        record.row(step='child', number=child.pid)
        time.sleep(600)
        """,
    "crashes": "import os; record.row(step='before'); print('last words', flush=True); os._exit(7)",
}


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that runs parts, with those of `PARTS` as modules that its processes find."""
    for name, code in PARTS.items():
        body = "\n".join(f"    {line}" for line in dedent(code).strip().splitlines())
        (tmp_path / f"part_{name}.py").write_text(f"def measure(record, task):\n{body}\n")
    path = os.pathsep.join([str(tmp_path), str(BENCHMARKS), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from gpu_parts import driver as module

    monkeypatch.setattr(module.machine, "facts", lambda: {"card": "none"})
    return module


COMMAND = [
    sys.executable,
    "-c",
    "import sys, time; from pathlib import Path; from gpu_parts.record import Task, measure; "
    "_, module, file, seconds, work = sys.argv[1:]; "
    "task = Task('cpu', True, time.monotonic() + float(seconds), Path(work)); "
    "sys.exit(measure(module, Path(file), task))",
]


def run(driver: Any, out: Path, seconds: float, *names: str, share: float = 1.0) -> int:
    parts = [driver.Part(name, f"part_{name}", f"Heading of {name}", share) for name in names]
    return int(driver.run_parts(parts, COMMAND, out, seconds, shown="python benchmarks/gpu.py --out results"))


def result(out: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((out / f"{name}.json").read_text()))


def test_parts_that_work_make_a_table_and_exit_code_0(driver: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(driver, out, 60, "works") == 0
    assert result(out, "works")["rows"] == [{"step": "first", "value": 1.5}]
    page = (out / "gpu.md").read_text()
    assert "`python benchmarks/gpu.py --out results`" in page
    assert "- card: none" in page
    assert "| first  | 1.5     |" in page
    assert sorted(path.name for path in out.iterdir()) == ["gpu.md", "works.json"]


@pytest.mark.parametrize(
    ("name", "error", "steps"),
    [
        ("fails", "ValueError: no such thing", ["before"]),
        ("row_fails", "1 of 2 rows failed", ["bad", "good"]),
        ("crashes", "ended with exit code 7: step: before / last words", ["before"]),
    ],
)
def test_a_part_that_fails_keeps_its_rows_and_the_next_one_runs(
    driver: Any, tmp_path: Path, name: str, error: str, steps: list[str]
) -> None:
    out = tmp_path / "out"
    assert run(driver, out, 60, name, "works") == 1
    failed = result(out, name)
    assert error in failed["error"]
    assert [row["step"] for row in failed["rows"]] == steps
    assert result(out, "works")["error"] is None
    assert f"**{error}" in (out / "gpu.md").read_text()


def test_a_part_that_hangs_is_ended_with_all_that_it_started(driver: Any, tmp_path: Path) -> None:
    out, began = tmp_path / "out", time.monotonic()
    assert run(driver, out, 30, "hangs", "works", share=0.3) == 1
    assert time.monotonic() - began < 30
    hung = result(out, "hangs")
    assert hung["error"] == "stopped after 9 s, its share of the time"
    assert [row["step"] for row in hung["rows"]] == ["begun", "child"]
    assert not alive(hung["rows"][1]["number"])
    assert result(out, "works")["error"] is None


def alive(number: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_part_for_which_no_time_is_left_says_so(driver: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "works.json").write_text('{"rows": [{"step": "of an earlier command"}]}')
    assert run(driver, out, 0.5, "works") == 1
    late = result(out, "works")
    assert (late["rows"], late["error"]) == ([], "not started, because no time was left")


def test_the_tests_that_need_a_gpu_are_found(driver: Any, pytester: pytest.Pytester) -> None:
    from gpu_parts.cuda_tests import files_with_gpu_tests

    files = [path.name for path in files_with_gpu_tests(Path(__file__).parent)]
    assert {"test_extraction_on_cuda.py", "test_parity.py", "test_timm_model.py"} <= set(files)
    assert Path(__file__).name not in files
    pytester.makepyfile(
        """
        import pytest
        no_gpu = pytest.mark.skipif(False, reason="no CUDA device on this machine")

        @no_gpu
        def test_fails():
            assert 1 == 2, "they differ"

        @pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=no_gpu)])
        def test_on(device): pass

        @pytest.mark.skipif(True, reason="no Ray")
        def test_of_ray(): pass
        """
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPU_TEST_OUTCOMES", str(pytester.path / "outcomes"))
        patch.delenv("PYTEST_XDIST_WORKER", raising=False)  # this test may run in a worker, that one does not
        pytester.runpytest("-p", "gpu_parts.only_gpu", "-p", "no:xdist").assert_outcomes(
            failed=1, passed=1, deselected=2
        )
    lines = [json.loads(line) for line in (pytester.path / "outcomes").read_text().splitlines()]
    assert [(line["test"].partition("::")[2], line["outcome"]) for line in lines] == [
        ("test_fails", "failed"),
        ("test_on[cuda]", "passed"),
    ]
    assert "they differ" in lines[0]["message"]


def test_what_differs_between_two_results_is_counted(driver: Any) -> None:
    import numpy as np
    from gpu_parts.parity import compared

    cpu = {"value": 0.5, "a": np.array([1.0, np.nan, 3.0]), "note": "same"}
    device = {"value": 0.5, "a": np.array([1.0, np.nan, 3.25]), "note": "same"}
    comparison = compared(cpu, device)
    assert (
        comparison["numbers"],
        comparison["different"],
        comparison["largest difference"],
        comparison["where"],
    ) == (
        5,
        1,
        0.25,
        "a",
    )
    assert compared(cpu, {**device, "a": np.array([1.0, 2.0, 3.0])})["largest difference"] == np.inf


def test_only_metrics_that_read_embeddings_are_measured(driver: Any) -> None:
    from gpu_parts.views import of_all_metrics

    measured = {view.computation.name for view in of_all_metrics()}
    assert "robustness_index" in measured
    assert "pretraining_overlap" not in measured
