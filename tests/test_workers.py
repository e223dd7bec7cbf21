"""Many workers: each FM embeds each cohort once, tests of one pair stay together, cores are shared."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from cohort_folders import write_cohort
from terminal import WITHOUT, Terminal
from threadpoolctl import threadpool_info, threadpool_limits

from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.plugin import worker as worker_module
from pathorob_checks.plugin.scheduling import subject_of
from pathorob_checks.plugin.worker import Worker

FACTORY = """
import hashlib
import os
from pathlib import Path
import numpy as np
import torch

class Counted:
    dimension, batch_size = 6, 4

    def __init__(self, seed):
        self.seed = seed
        self.model = torch.nn.Linear(1, 1)  # its weights tell two of these apart, and are known again
        torch.nn.init.constant_(self.model.weight, seed)
        torch.nn.init.zeros_(self.model.bias)

    def preprocess(self, image):
        return torch.from_numpy(np.array(image.resize((8, 8)), dtype=np.float32)).permute(2, 0, 1)

    def embed(self, batch):
        if batch[0, 0].std() > 0:  # not the blank image
            digests = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in batch]
            lines = [f"{self.seed} {digest}\\n" for digest in digests]
            with Path(os.environ["COUNTED"]).open("a") as file:
                file.write("".join(lines))
            # wait here
        mean = batch.mean(dim=(2, 3))
        return torch.cat([mean, (mean - 100 - self.seed).square() / 100], dim=1)

def one():
    return Counted(1)

def two():
    return Counted(2)
"""


HOLD = """
            while not Path(os.environ["GATE"]).exists():
                import time; time.sleep(0.05)
"""


@pytest.fixture
def terminal(lone_terminal: Terminal) -> Terminal:
    (lone_terminal.folder / "counted.py").write_text(FACTORY)
    return lone_terminal


@pytest.mark.slow
def test_two_workers_embed_each_patch_of_three_cohorts_once_with_two_models(
    terminal: Terminal,
) -> None:
    cohorts = [write_cohort(terminal.folder / f"c{i}", slides=11, seed=i) for i in range(3)]
    count = terminal.folder / "count"
    run = terminal.pytest(
        "--fm=python:counted:one",
        "--fm=python:counted:two",
        *(f"--fm-cohort={cohort}" for cohort in cohorts),
        "-n2",
        "-k",
        "robustness or clustering",
        "--fm-json=results.json",
        "--tb=no",
        COUNTED=str(count),
    )
    assert len(terminal.results()["runs"]) == 6, run.output
    embedded = Counter(count.read_text().splitlines())
    patches = sum(1 for cohort in cohorts for _ in cohort.glob("images/*.png"))
    assert len(embedded) == 2 * patches
    assert set(embedded.values()) == {1}


@pytest.mark.slow
def test_two_runs_at_once_embed_once_and_the_one_that_waits_says_so(terminal: Terminal) -> None:
    cohort = write_cohort(terminal.folder / "c")
    count, gate = terminal.folder / "count", terminal.folder / "gate"
    (terminal.folder / "counted.py").write_text(FACTORY.replace("# wait here", HOLD))
    environment = terminal.process_environment({"COUNTED": str(count), "GATE": str(gate)})
    command = [sys.executable, "-m", "pytest", *WITHOUT, "--fm=python:counted:one"]
    command += [f"--fm-cohort={cohort}", "--tb=no", "-k", "robustness"]
    outputs = [terminal.folder / "first", terminal.folder / "second"]
    runs = []
    try:
        for place in outputs:
            with place.open("w") as out:
                runs.append(
                    subprocess.Popen(command, stdout=out, stderr=out, cwd=terminal.folder, env=environment)
                )
            wanted = (
                count.exists
                if len(runs) == 1
                else lambda: "is waiting for one on c" in outputs[1].read_text()
            )
            deadline = time.monotonic() + 100
            while not wanted() and time.monotonic() < deadline and runs[-1].poll() is None:
                time.sleep(0.05)
    finally:
        gate.touch()
        codes = [run.wait(120) for run in runs]
    assert (
        "is waiting for one on c: another process is embedding it, 0 of 1 shard done"
        in outputs[1].read_text()
    )
    assert set(Counter(count.read_text().splitlines()).values()) == {1}
    assert codes[0] == codes[1]


SUBJECTS = [
    Subject("a", "none", "x"),
    Subject("a", "none", "x-y"),
    Subject("a-x", "none", "y"),
    Subject("a", "combat", "x"),
]


@pytest.mark.parametrize(
    ("nodeid", "subject"),
    [
        ("suites/test_r.py::test_r[a-x]", "a-x"),
        ("suites/test_p.py::test_p[a-x-drop]", "a-x"),
        ("suites/test_p.py::test_p[a-x-y]", "a-x-y"),
        ("suites/test_p.py::test_p[a-x-y-drop]", "a-x-y"),
        ("suites/test_p.py::test_p[a-combat-x-drop]", "a-combat-x"),
        ("test_own.py::test_own", "test_own.py::test_own"),
        ("test_own.py::test_own[7]", "test_own.py::test_own[7]"),
    ],
)
def test_tests_of_one_subject_are_one_unit_of_work(nodeid: str, subject: str) -> None:
    assert subject_of(nodeid, SUBJECTS) == subject


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(worker_module, "available_cpus", lambda: 4)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    for variable in worker_module._VARIABLES:
        monkeypatch.setenv(variable, "7")  # restored afterwards
        monkeypatch.delenv(variable)
    torch_threads = torch.get_num_threads()
    with threadpool_limits():
        yield
    torch.set_num_threads(torch_threads)


def threads() -> set[int]:
    """Threads that each numerical library loaded by now would use."""
    return {library["num_threads"] for library in threadpool_info()} | {torch.get_num_threads()}


def worker(name: str) -> Worker:
    for variable in worker_module._VARIABLES:
        os.environ.pop(variable, None)
    workerinput = {"workerid": name, "workercount": 2, "testrunuid": "run"}
    return Worker(SimpleNamespace(workerinput=workerinput))  # type: ignore[arg-type]


@pytest.mark.usefixtures("four_cores")
def test_workers_at_work_share_the_cores_and_one_alone_has_them_all(tmp_path: Path) -> None:
    one, two = worker("gw0"), worker("gw1")
    assert os.environ["OMP_NUM_THREADS"] == "2"
    with one.at_work():
        assert one.share() == 4
        with two.at_work():
            assert (one.share(), two.share()) == (2, 2)
            two.rest()  # it waits for an extraction
            assert one.share() == 4
            two.resume()
            assert one.share() == 2
        assert one.share() == 4
    for member in (one, two):
        member.leave()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("four_cores")
def test_libraries_that_are_loaded_already_use_the_share() -> None:
    threadpool_limits(3)
    torch.set_num_threads(3)
    one = worker("gw0")
    assert threads() == {2}
    with one.at_work():
        assert threads() == {4}
    one.leave()


@pytest.mark.usefixtures("four_cores")
def test_what_the_user_decided_about_threads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    one = Worker(SimpleNamespace(workerinput={"workerid": "gw1", "workercount": 2}))  # type: ignore[arg-type]
    with one.at_work():
        assert os.environ["OMP_NUM_THREADS"] == "3"
    assert one.index == 1
