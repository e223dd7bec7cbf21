"""xdist's workers that are killed: the run ends, reports the loss, and measures what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attack import Attack, Outcome, assert_not_passed
from terminal import WITHOUT

from pathorob_checks.plugin import scheduling
from pathorob_checks.plugin.scheduling import UnitScheduling

# A plugin, because the packaged tests are in no folder whose conftest.py could have it.
KILLER = """
import os, signal, time
from pathlib import Path

def pytest_runtest_call(item):
    deaths, pids = Path("deaths"), Path("pids")
    count = len(deaths.read_text()) if deaths.exists() else 0
    if os.environ["DIES_IN"] in item.nodeid and count < int(os.environ["DEATHS"]):
        deaths.write_text("x" * (count + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    if "WAITS" in os.environ and not Path("killed").exists():
        pids.mkdir(exist_ok=True)
        (pids / str(os.getpid())).write_text(item.nodeid)
        time.sleep(200)
"""


def variables(gate: Attack, **environment: str) -> dict[str, str]:
    gate.write("killer.py", KILLER)
    path = os.pathsep.join([str(gate.folder), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path, "DIES_IN": "no test", "DEATHS": "0", **environment}


def recorded(outcome: Outcome) -> set[str]:
    """The tests of the results that have a record."""
    assert outcome.results is not None
    return {one["id"] for part in ("checks", "integrity") for one in outcome.results[part]}


def test_the_rest_of_a_killed_workers_subject_is_measured(small_gate: Attack) -> None:
    lost = "suites/test_embedding_integrity.py::test_not_collapsed[good-coh]"
    outcome = small_gate.run(
        "-p",
        "killer",
        "-n1",  # the worker has run all tests of the first FM when it is killed in those of the second
        "--fm=embeddings:good",
        **variables(small_gate, DIES_IN="test_not_collapsed[good-coh]", DEATHS="1"),
    )
    assert_not_passed(outcome)
    assert (small_gate.folder / "deaths").read_text() == "x"
    assert f" crashed while running '{lost}'" in outcome.output
    assert outcome.results is not None
    assert outcome.results["environment"]["criteria"]["completeness"]["crashed"]
    checks, integrity = outcome.results["checks"], outcome.results["integrity"]
    assert {one["fm"] for one in checks if one["value"] is not None} == {"bad", "good"}
    assert lost not in recorded(outcome)
    assert len(recorded(outcome)) == len([*checks, *integrity]) == 23


@pytest.mark.slow
def test_workers_that_die_in_every_test_end_the_run(small_gate: Attack) -> None:
    outcome = small_gate.run(
        "-p",
        "killer",
        "-n1",
        "--max-worker-restart=1",
        **variables(small_gate, DIES_IN="test_", DEATHS="99"),
    )
    assert_not_passed(outcome)
    assert outcome.headline.startswith("ERROR: ")
    assert "maximum crashed workers reached: 1" in outcome.output


@pytest.mark.slow
def test_all_workers_killed_at_once_from_outside(small_gate: Attack) -> None:
    command = [sys.executable, "-m", "pytest", *WITHOUT, "-p", "killer", "-n2", "--tb=no"]
    command += ["--fm=embeddings:bad", "--fm=embeddings:good", "--fm-cohort=coh", "--fm-criteria=index.toml"]
    command += ["--fm-json=results.json"]
    environment = small_gate.terminal.process_environment(variables(small_gate, WAITS="1"))
    pids, output = small_gate.folder / "pids", small_gate.folder / "output"
    with output.open("w") as file:
        run = subprocess.Popen(command, cwd=small_gate.folder, env=environment, stdout=file, stderr=file)
        try:
            workers = waiting(pids, 2, run)
            (small_gate.folder / "killed").touch()
            for worker in workers:
                os.kill(int(worker.name), signal.SIGKILL)
            assert run.wait(200) != 0, output.read_text()
        finally:
            run.kill()
    results = small_gate.terminal.results()
    assert results["outcome"] in ("error", "fail")
    assert results["environment"]["criteria"]["completeness"]["crashed"]
    lost = {worker.read_text() for worker in workers}
    assert len(lost) == 2
    measured = {one["id"] for part in ("checks", "integrity") for one in results[part] if not one["reason"]}
    assert "INTERNALERROR" not in output.read_text()
    assert not lost & measured


def waiting(pids: Path, count: int, run: subprocess.Popen[bytes]) -> list[Path]:
    """The files of so many workers that are in a test."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and run.poll() is None:
        files = list(pids.glob("*")) if pids.exists() else []
        if len(files) == count and all(file.read_text() for file in files):
            return files
        time.sleep(0.1)
    raise AssertionError("the workers did not begin")


class FakeWorker:
    """A worker as a scheduler sees it. It begins a test when it knows the next one, or that none follows."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.ahead: list[int] = []
        self.shutting_down = self.is_dead = False

    def send_runtest_some(self, indices: list[int]) -> None:
        if self.is_dead:
            raise OSError("cannot send")
        self.ahead += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def can_run(self) -> bool:
        return len(self.ahead) > 1 or (self.shutting_down and bool(self.ahead))


def config() -> Any:
    return SimpleNamespace(hook=SimpleNamespace(pytest_collectreport=lambda report: None))


def distributed(units: tuple[int, ...], workers: int, killed_in: set[str]) -> tuple[list[str], list[str]]:
    """The tests that were run and those that were lost, when workers die in some and are replaced."""
    tests = [f"{unit}::{number}" for unit, size in enumerate(units) for number in range(size)]
    scheduler = UnitScheduling(config(), workers, lambda nodeid: nodeid.partition("::")[0])
    alive: list[FakeWorker] = []

    def begin(name: str) -> None:
        worker = FakeWorker(name)
        alive.append(worker)
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
        if scheduler.collection_is_completed:
            scheduler.schedule()

    for number in range(workers):
        begin(f"gw{number}")
    run: list[str] = []
    lost: list[str] = []
    while able := [worker for worker in alive if worker.can_run]:
        worker = able[0]
        test = tests[worker.ahead[0]]
        if test in killed_in:
            alive.remove(worker)
            worker.is_dead = True
            crashed = scheduler.remove_node(worker)
            assert crashed == test
            lost.append(test)
            begin(f"gw{workers + len(lost) - 1}")
        else:
            run.append(test)
            scheduler.mark_test_complete(worker, worker.ahead.pop(0))
    assert scheduler.tests_finished
    assert all(worker.shutting_down for worker in alive)
    return run, lost


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("units", [(1,), (2,), (1, 1, 1, 1), (3, 3, 1), (2, 5), (1, 4, 1)])
def test_every_test_but_the_lost_one_runs_once_wherever_a_worker_dies(
    units: tuple[int, ...], workers: int
) -> None:
    tests = {f"{unit}::{number}" for unit, size in enumerate(units) for number in range(size)}
    assert sorted(distributed(units, workers, set())[0]) == sorted(tests)
    for victim in tests:
        for victims in ({victim}, {victim, f"{len(units) - 1}::0"}):
            run, lost = distributed(units, workers, victims)
            assert set(lost) == victims
            assert sorted(run) == sorted(tests - victims)


def test_a_lost_workers_rest_comes_after_other_units() -> None:
    run, _ = distributed((3, 3), 1, {"0::0"})
    assert run == ["1::0", "1::1", "1::2", "0::1", "0::2"]


def test_a_unit_that_cannot_be_sent_waits_for_another_worker() -> None:
    scheduler = UnitScheduling(config(), 2, lambda nodeid: nodeid)
    dead, alive = FakeWorker("gw0"), FakeWorker("gw1")
    dead.is_dead = True
    for worker in (dead, alive):
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, ["a", "b"])
    scheduler.schedule()
    assert scheduler.remove_node(dead) is None
    assert alive.ahead == [0, 1]


def test_a_worker_with_other_tests_gets_none_and_is_reported() -> None:
    reports: list[pytest.CollectReport] = []
    hook = SimpleNamespace(pytest_collectreport=lambda report: reports.append(report))
    scheduler = UnitScheduling(SimpleNamespace(hook=hook), 2, lambda nodeid: nodeid)  # type: ignore[arg-type]
    one, other = FakeWorker("gw0"), FakeWorker("gw1")
    for worker, tests in ((one, ["a", "b"]), (other, ["b", "a"])):
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    assert [report.outcome for report in reports] == ["failed"]
    assert (one.ahead, other.ahead, other.shutting_down) == ([0, 1], [], True)


@pytest.mark.parametrize(
    ("dist", "unit"),
    [
        ("load", "fm-demo"),
        ("loadscope", "suites/test_x.py"),
        ("loadfile", "suites/test_x.py"),
        ("loadgroup", "suites/test_x.py::test_x[fm-demo-robustness]"),
        ("worksteal", None),
        ("each", None),
    ],
)
def test_what_stays_together_with_each_dist(dist: str, unit: str | None) -> None:
    from pathorob_checks.evaluation.subjects import Subject

    options = SimpleNamespace(tx=["2*popen"], loadscopereorder=True)
    known: Any = SimpleNamespace(getvalue=lambda name: dist if name == "dist" else options.tx, option=options)
    made = scheduling.scheduler(known, [Subject("fm", "none", "demo")])
    if unit is None:
        assert made is None
    else:
        assert made is not None
        assert made._unit_of("suites/test_x.py::test_x[fm-demo-robustness]") == unit
