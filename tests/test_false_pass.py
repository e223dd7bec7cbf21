"""A run never ends with 0 where a required criterion was not measured; by the real command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cohort_folders import write_cohort
from terminal import Run, Terminal

from pathorob_checks.cohorts import registry
from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.evaluation.measuring import Measuring
from pathorob_checks.metrics.measurement import Measurement

INDEX = 'id = "index"\nmetric = "robustness_index"\nat_least = 0.0\nrationale = "A test."\n'
OOD = 'id = "ood"\nmetric = "performance_drop_ood"\nat_least = -1.0\nrationale = "A test."\n'
NODE = "suites/test_robustness_index.py::test_robustness_index[color-sensitive-{}]"


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders, `slides` and `more`, so that a run has two cohorts."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("slides", "more")):
        (write_cohort(folder / name, seed=seed) / "cohort.toml").write_text("k = 1\n")  # not all informative
    return folder


@pytest.fixture
def gate(terminal: Terminal, images: Path) -> Callable[..., Run]:
    """Run the gate on both cohorts with a file of criteria that every value meets."""

    def run(
        *arguments: str,
        criteria: str = INDEX,
        settings: str = "",
        plugin: str = "",
        cohorts: tuple[str, ...] = ("slides", "more"),
    ) -> Run:
        text = f'schema = "pathorob-checks/criteria/1"\nname = "mine"\n{settings}\n[[criteria]]\n{criteria}'
        (terminal.folder / "mine.toml").write_text(text)
        (terminal.folder / "troublemaker.py").write_text(plugin)
        return terminal.pytest(
            "--fm=demo:color-sensitive",
            *(f"--fm-cohort={images / name}" for name in cohorts),
            "--fm-criteria=mine.toml",
            "--fm-json=results.json",
            "--tb=short",
            "-ptroublemaker",
            *(arguments or ("-p", "no:xdist")),
        )

    return run


def test_what_is_measured_and_met_ends_with_0(gate: Callable[..., Run], terminal: Terminal) -> None:
    run = gate()
    assert (run.code, run.headline) == (0, "PASS: 2 of 2 criteria met (1 FM, 2 cohorts)"), run.output
    assert terminal.results()["complete"] is True
    assert terminal.results()["environment"]["criteria"]["completeness"]["measured"] == 2


SKIPS_ONE = """
import pytest
def pytest_collection_modifyitems(items):
    for item in items:
        if "slides" in item.name:
            item.add_marker(pytest.mark.skip(reason="too slow"))
"""
DROPS_ONE = """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "slides" not in item.name]
"""
STOPS_EARLY = """
import pytest
def pytest_runtest_logfinish(nodeid):
    if "robustness_index" in nodeid:
        pytest.exit("enough", returncode=0)
"""
CRASHES = """
import os
def pytest_runtest_setup(item):
    if "slides" in item.name:
        os._exit(3)
"""


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        (SKIPS_ONE, "ERROR: 1 of 2 criteria measured; 1 skipped"),
        (DROPS_ONE, "ERROR: 1 of 2 criteria measured; 1 never ran; 11 integrity checks never ran"),
        (STOPS_EARLY, "ERROR: the run was interrupted (enough); 1 of 2 criteria measured; 1 never ran"),
    ],
    ids=["skipped cohort", "dropped cohort", "stopped early"],
)
def test_a_criterion_that_nobody_measured_is_no_pass(
    plugin: str, line: str, gate: Callable[..., Run], terminal: Terminal
) -> None:
    run = gate(plugin=plugin)
    assert (run.code, run.headline) == (1, line), run.output
    assert terminal.results()["complete"] is False


def test_a_cohort_without_patches_for_a_metric_is_no_pass(
    gate: Callable[..., Run], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = registry.load_cohort

    def emptied(*arguments: Any, **named: Any) -> Cohort:
        cohort = load(*arguments, **named)
        view = cohort.views["robustness_index"]
        empty = replace(view, rows=view.rows[:0], patches=view.patches.iloc[:0])
        return replace(cohort, views={**cohort.views, "robustness_index": empty})

    monkeypatch.setattr(registry, "load_cohort", emptied)
    run = gate()
    assert run.code == 4
    assert "there are no patches to read" in run.errors[0]
    run = gate("-k", "robustness_index")  # which leaves these criteria in
    assert run.code == 4
    assert "there are no patches to read" in run.errors[0]
    assert terminal.results()["complete"] is False


def test_a_crashed_worker_is_no_pass(gate: Callable[..., Run], terminal: Terminal) -> None:
    run = gate("-n1", "--max-worker-restart=0", plugin=CRASHES)
    assert run.code != 0
    assert "a worker crashed" in run.headline
    assert terminal.results()["complete"] is False


def test_stopping_after_a_failure_is_no_pass(gate: Callable[..., Run], terminal: Terminal) -> None:
    run = gate("--maxfail=1", criteria=INDEX.replace("at_least", "at_most"))
    assert run.code == 1
    assert run.headline.startswith("FAIL: 1 of 2 criteria not met")
    assert terminal.results()["environment"]["criteria"]["completeness"]["never_ran"] == 1


def test_a_missing_out_of_domain_center_is_no_pass(
    gate: Callable[..., Run], terminal: Terminal, images: Path
) -> None:
    inside = shutil.copytree(images / "slides", terminal.folder / "inside")
    rows = (inside / "manifest.csv").read_text().splitlines()
    (inside / "manifest.csv").write_text("\n".join(row for row in rows if not row.endswith(",OOD")) + "\n")
    run = gate(criteria=OOD, cohorts=(str(inside),))
    assert run.code == 4
    assert "has no out-of-domain patches" in run.errors[0]
    run = gate("-k", "ood", criteria=OOD, cohorts=(str(inside),))  # which leaves the criterion in
    assert run.code == 4
    assert "has no out-of-domain patches" in run.errors[0]


def test_support_under_the_minimum_is_no_pass(gate: Callable[..., Run], terminal: Terminal) -> None:
    run = gate(criteria=INDEX + "minimum_support = 1.0\n")
    assert run.code == 1
    assert run.headline.startswith("ERROR: 0 of 2 criteria measured")
    assert "the criterion requires 100 %" in " ".join(run.output.split())
    assert {check["verdict"] for check in terminal.results()["checks"]} == {"error"}


MEAN = '[[criteria]]\naggregate = "mean"\ncohorts = ["slides", "{}"]\n' + INDEX


@pytest.mark.slow
def test_a_mean_without_one_of_its_cohorts_is_no_pass(gate: Callable[..., Run], terminal: Terminal) -> None:
    whole = MEAN.format("more").replace('"index"', '"whole"')
    lacking = MEAN.format("tcga").replace('"index"', '"lacking"')
    run = gate("-n2", criteria=INDEX + 'group = "worst-center"\n' + whole + lacking)
    assert run.code == 1
    assert run.headline == "ERROR: 3 of 4 criteria measured; 1 could not be measured"
    assert "the mean needs tcga" in " ".join(run.output.split())
    verdicts = [(one["quantity"], one["cohort"], one["verdict"]) for one in terminal.results()["checks"]]
    assert verdicts == [
        ("worst-center", "slides", "pass"),
        ("worst-center", "more", "pass"),
        ("mean", "slides+more", "pass"),
        ("mean", "slides+tcga", "error"),
    ]


OTHER_PROTOCOL = """
import pytest
@pytest.mark.fm_metric("robustness_index")
def test_theirs(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure("robustness_index", k=3), fm_criterion)
@pytest.mark.fm_metric("robustness_index")
def test_ours(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
"""


def test_a_value_of_another_protocol_is_no_pass(gate: Callable[..., Run], terminal: Terminal) -> None:
    (terminal.folder / "test_mine.py").write_text(OTHER_PROTOCOL)
    run = gate("test_mine.py", cohorts=("slides",))
    assert run.code == 1
    assert "was not measured by the registered protocol" in " ".join(run.output.split())
    assert run.headline == "FAIL: test_theirs[color-sensitive-slides] failed; 1 of 1 criterion met"
    [ours] = terminal.results()["checks"]
    assert ours["protocol"]["k"] != 3


ON_PURPOSE = {
    "keyword": (("-k", "slides"), "; 1 deselected; 11 integrity checks left out"),
    "deselected": (("--deselect", NODE.format("more")), "; 1 deselected"),
    "node id": ((NODE.format("slides"),), "; 1 deselected; 22 integrity checks left out"),
}


@pytest.mark.parametrize("how", ON_PURPOSE)
def test_what_is_left_out_on_purpose_is_partial_and_fails_where_all_is_demanded(
    how: str, gate: Callable[..., Run], terminal: Terminal
) -> None:
    arguments, rest = ON_PURPOSE[how]
    run = gate(*arguments)
    assert (run.code, run.headline) == (0, f"PARTIAL: 1 of 2 criteria measured, 1 met{rest}"), run.output
    assert terminal.results()["complete"] is False
    run = gate(*arguments, "--fm-require-complete")
    assert run.code == 1
    assert run.headline == f"ERROR: 1 of 2 criteria measured{rest}, but the run requires all of them"


def test_an_optional_criterion_may_be_missing(gate: Callable[..., Run]) -> None:
    optional = INDEX.replace('"index"', '"optional"') + "required = false\nminimum_support = 1.0\n"
    run = gate("--fm-require-complete", criteria=f"{INDEX}[[criteria]]\n{optional}")
    assert run.code == 0, run.output
    assert run.headline == "PARTIAL: 2 of 4 criteria measured, 2 met; 2 skipped"


def test_a_run_in_which_nothing_was_measured_is_no_pass(gate: Callable[..., Run]) -> None:
    run = gate(criteria=INDEX + "required = false\nminimum_support = 1.0\n")
    assert (run.code, run.headline) == (1, "ERROR: 0 of 2 criteria measured; 2 skipped")


@pytest.mark.parametrize(
    ("does", "code", "ended"), [("fail", 1, "1 failed"), ("warn", 0, "11 passed"), ("xfail", 0, "1 xfailed")]
)
def test_what_an_inconclusive_verdict_does_is_the_profiles_choice(
    does: str,
    code: int,
    ended: str,
    gate: Callable[..., Run],
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measure = Measuring.value

    def inside(self: Measuring, *arguments: Any, **settings: Any) -> Measurement:
        return replace(measure(self, *arguments, **settings), value=0.5, interval=(0.4, 0.6))

    monkeypatch.setattr(Measuring, "value", inside)
    run = gate(
        criteria=INDEX.replace("0.0", "0.5"),
        settings=f'inconclusive = "{does}"',
        cohorts=("slides",),
    )
    assert run.code == code, run.output
    assert ended in run.output.splitlines()[-1]
    allowed = "" if does == "fail" else ", allowed by profile mine"
    assert run.headline.startswith(
        f"INCONCLUSIVE: 1 of 1 criterion undecided{allowed}: robustness index 0.500"
    )
    [check] = terminal.results()["checks"]
    assert (check["verdict"], check["interval"]) == ("inconclusive", [0.4, 0.6])
