"""The whole command, `pytest --fm=SPEC`."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub, loopback_hub, write_tiny_vit
from terminal import Terminal

# For tests of what a run does, whatever it measures.
INDEX = (
    'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "only"\n'
    'metric = "robustness_index"\nat_least = 0.0\nrationale = "A test."\n'
)
CHECKS = ("robustness_index", "performance_drop_id", "performance_drop_ood", "clustering_score")


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with loopback_hub() as running:
        yield running


@pytest.mark.slow
def test_the_positive_control_passes_and_writes_its_results(terminal: Terminal) -> None:
    run = terminal.pytest("--fm=demo:stain-invariant", "--fm-json=results.json", subprocess=True)
    assert run.code == 0, run.output
    assert "suites/test_robustness_index.py ." in run.output
    assert "PASS: 4 of 4 criteria met (1 FM, 1 cohort)" in run.output
    assert max(map(len, run.output.split("robustness of foundation models")[1].splitlines())) <= 80
    results = terminal.results()
    assert results["schema"] == "pathorob-checks/results/2"
    assert results["complete"] is True
    assert [check["metric"] for check in results["checks"]] == list(CHECKS)
    assert {check["verdict"] for check in results["checks"]} == {"pass"}
    [entry] = results["runs"]
    assert entry["fm"]["spec"] == "demo:stain-invariant"
    assert entry["cohort"]["out_of_domain_centers"] == ["center-C"]
    v = results["checks"][1]["protocol"]["cramers_v"]
    assert len(v) >= 5
    assert (v[0], v[-1]) == (0, 1)


@pytest.mark.slow
def test_the_negative_control_fails_and_says_why(terminal: Terminal) -> None:
    run = terminal.pytest("--fm=demo:color-sensitive", "-q", "--fm-repetitions=3", subprocess=True)
    assert run.code == 1
    assert "of 4 criteria not met: robustness index 0." in run.output
    assert "the medical center outweighs" in run.output
    assert re.search(r"Weakest:    \w+ of center-", run.output)
    assert "Suspect:    embedding: " in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("columns", [80, 160])
def test_an_explanation_uses_the_width_of_the_terminal(
    terminal: Terminal, slides: Path, columns: int
) -> None:
    (terminal.folder / "mine.toml").write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "only"\nrule = "point"\n'
        'metric = "robustness_index"\nat_least = 0.99\nrationale = "A test."\n'
    )
    run = terminal.pytest(
        "--fm=demo:stain-invariant", f"--fm-cohort={slides}", "--fm-criteria=mine.toml", COLUMNS=str(columns)
    )
    explained = run.output.split("= FAILURES =")[1].split("robustness of foundation models")[0]
    lines = [
        line for line in explained.splitlines() if line.startswith(("Meaning:", "What to do:", " " * 12))
    ]
    assert lines
    assert columns - 25 < max(map(len, lines)) <= columns


@pytest.mark.slow
def test_two_workers_say_what_one_process_says(terminal: Terminal, slides: Path) -> None:
    arguments = ["--fm=demo:stain-invariant", "--fm=demo:color-sensitive", f"--fm-cohort={slides}"]
    arguments += ["--fm-repetitions=3"]
    alone = terminal.pytest(*arguments, "--fm-json=one.json", "-p", "no:xdist")
    together = terminal.pytest(*arguments, "--fm-json=two.json", "-n2")
    assert alone.code == together.code
    one, two = terminal.results("one.json"), terminal.results("two.json")
    assert one["complete"]
    assert one["checks"] == two["checks"]
    assert len(one["checks"]) == 8
    table = "robustness of foundation models"
    assert table in together.output
    assert (
        alone.output.split(table)[1].split("results file")[0]
        == together.output.split(table)[1].split("results file")[0]
    )


def test_ids_are_listed_without_network_or_cache(lone_terminal: Terminal, slides: Path) -> None:
    run = lone_terminal.pytest(
        "--fm=hf-hub:acme/vit_tiny", "--fm=hf-hub:other/vit_tiny", f"--fm-cohort={slides}", "--co", "-q",
        HF_ENDPOINT="http://127.0.0.1:9",
    )  # fmt: skip
    assert run.code == 0, run.output
    assert "suites/test_robustness_index.py::test_robustness_index[acme/vit_tiny-slides]" in run.output
    assert "suites/test_performance_drop.py::test_performance_drop_ood[other/vit_tiny-slides]" in run.output
    assert not lone_terminal.cache.exists()


def test_a_part_of_the_checks_is_called_partial(terminal: Terminal, slides: Path) -> None:
    run = terminal.pytest(
        "--fm=demo:color-sensitive", f"--fm-cohort={slides}", "-k", "robustness", "--fm-json=results.json"
    )
    assert "PARTIAL: " in run.output
    assert "3 deselected" in " ".join(run.output.split())
    assert "PASS: " not in run.output
    assert terminal.results()["complete"] is False


def test_a_node_id_from_the_report_can_be_run_again(terminal: Terminal, slides: Path) -> None:
    node = "suites/test_robustness_index.py::test_robustness_index[color-sensitive-slides]"
    run = terminal.pytest("--fm=demo:color-sensitive", f"--fm-cohort={slides}", node, "-v")
    assert "collected 1 item" in run.output
    assert f"{node} " in run.output


@pytest.mark.slow
def test_stopping_at_the_first_failure_leaves_the_rest_unmeasured(terminal: Terminal) -> None:
    arguments = ("--fm=demo:color-sensitive", "--fm-criteria=release", "--fm-json=results.json", "--tb=no")
    run = terminal.pytest(*arguments, "-x")
    assert run.code == 1
    assert "4 never ran" in " ".join(run.output.split())
    assert terminal.results()["complete"] is False


@pytest.mark.slow
def test_junit_has_one_case_per_criterion_with_its_value(terminal: Terminal, slides: Path) -> None:
    terminal.pytest("--fm=demo:color-sensitive", f"--fm-cohort={slides}", "--junitxml=junit.xml", "--tb=no")
    cases = ET.parse(terminal.folder / "junit.xml").getroot().findall(".//testcase")
    by_name = {case.get("name", "").split("[")[0]: case for case in cases}
    for name in CHECKS:
        properties = {prop.get("name") for prop in by_name[f"test_{name}"].findall(".//property")}
        assert {"pathorob_checks.value", "pathorob_checks.bound"} <= properties


@pytest.mark.slow
def test_a_users_own_test_gets_a_row(terminal: Terminal, slides: Path) -> None:
    (terminal.folder / "test_mine.py").write_text(
        "from pathorob_checks.metrics import robustness_index\n"
        "def test_three_neighbors(fm_embeddings, fm_check):\n"
        "    inside = (fm_embeddings.patches.subset == 'ID').to_numpy()\n"
        "    patches = fm_embeddings.patches[inside].reset_index(drop=True)\n"
        "    fm_check(robustness_index(fm_embeddings.values[inside], patches, k=3), at_least=0.0)\n"
        "def test_seven(fm_measure, fm_check):\n"
        "    fm_check(fm_measure('robustness_index', k=7), at_least=1.0, rule='point', rationale='Ours.')\n"
    )
    run = terminal.pytest(
        "--fm=demo:color-sensitive", f"--fm-cohort={slides}", "--fm-json=results.json", "test_mine.py"
    )
    rows = {check["id"]: check for check in terminal.results()["checks"]}
    assert len(rows) == 6  # beside the profile's four
    three, seven = (
        rows[f"test_mine.py::test_{name}[color-sensitive-slides]"] for name in ("three_neighbors", "seven")
    )
    assert (three["protocol"]["k"], seven["protocol"]["k"]) == (3, 7)
    assert three["verdict"] == "pass"
    assert "of 6 criteria" in run.output
    assert "Ours." in run.output


def test_a_test_with_a_fixture_called_fm_cohort_of_its_own_is_left_alone(terminal: Terminal) -> None:
    (terminal.folder / "test_other.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def fm_cohort():\n"
        "    return 3\n"
        "def test_theirs(fm_cohort):\n"
        "    assert fm_cohort == 3\n"
        "@pytest.mark.parametrize('fm_model', [1, 2])\n"
        "def test_theirs_too(fm_model):\n"
        "    assert fm_model\n"
    )
    run = terminal.pytest("-q")
    assert "3 passed" in run.output
    assert "foundation" not in run.output


def test_the_plugins_fixtures_without_fm_are_a_named_skip(terminal: Terminal) -> None:
    (terminal.folder / "test_mine.py").write_text("def test_it(fm_embeddings):\n    assert False\n")
    run = terminal.pytest("-rs")
    assert run.code == 0
    assert "give --fm=SPEC" in run.output


def test_options_can_come_from_the_ini_file_and_the_environment(terminal: Terminal, slides: Path) -> None:
    (terminal.folder / "pytest.ini").write_text(f"[pytest]\nfm_cohort = {slides}\nfm_json = from_ini.json\n")
    (terminal.folder / "mine.toml").write_text(INDEX)
    run = terminal.pytest("--fm=demo:color-sensitive", PATHOROB_CHECKS_CRITERIA="mine.toml")
    assert run.code == 0, run.output
    assert "PASS: 1 of 1 criteria met" in run.output.replace("criterion", "criteria")
    assert terminal.results("from_ini.json")["environment"]["criteria"]["name"] == "mine"


def test_a_criterion_that_is_not_required_is_skipped_where_it_cannot_be_measured(
    terminal: Terminal, slides: Path
) -> None:
    folder = shutil.copytree(slides, terminal.folder / "inside")
    rows = (folder / "manifest.csv").read_text().splitlines()
    (folder / "manifest.csv").write_text("\n".join(row for row in rows if not row.endswith(",OOD")) + "\n")
    criteria = (
        'schema = "pathorob-checks/criteria/1"\nname = "mine"\n[[criteria]]\nid = "ood"\n'
        'metric = "performance_drop_ood"\nat_least = -1.0\nrationale = "A test."\nrequired = {}\n'
    )
    index = '[[criteria]]\nid = "i"\nmetric = "robustness_index"\nat_least = 0.0\nrationale = "A test."\n'
    for required, code, word in (("true", 4, None), ("false", 0, "skipped")):
        (terminal.folder / "mine.toml").write_text(criteria.format(required) + index)
        run = terminal.pytest(
            "--fm=demo:color-sensitive",
            "--fm-cohort=inside",
            "--fm-criteria=mine.toml",
            "--fm-json=results.json",
        )
        assert run.code == code, run.output
        assert "has no out-of-domain patches" in " ".join(run.output.split())
        if word is None:
            assert terminal.results()["checks"] == []
            continue
        check = terminal.results()["checks"][-1]
        assert (check["verdict"], check["value"]) == (word, None)
        assert terminal.results()["complete"] is False


def test_a_model_from_the_hub_is_embedded_once_and_again_when_it_changes(
    lone_terminal: Terminal, tmp_path: Path, slides: Path, hub: LoopbackHub
) -> None:
    terminal = lone_terminal
    environment = hub.settings(tmp_path / "home")
    hub.add("acme/vit", write_tiny_vit(tmp_path / "first", seed=1))
    (terminal.folder / "mine.toml").write_text(INDEX)
    arguments = ["--fm=hf-hub:acme/vit", f"--fm-cohort={slides}", "--fm-criteria=mine.toml"]
    arguments += ["--fm-json=results.json", "--tb=short"]
    first = terminal.pytest(*arguments, **environment)
    assert first.code == 0
    assert "[vit-slides]" in first.output or first.code == 0
    before = terminal.results()
    assert before["complete"], first.output
    assert before["runs"][0]["fm"]["dimension"] == 2 * 48
    stored = {path: path.stat().st_mtime_ns for path in terminal.cache.rglob("*.safetensors")}
    assert len(stored) == 1

    second = terminal.pytest(*arguments, **environment)
    assert second.code == first.code
    assert {path: path.stat().st_mtime_ns for path in terminal.cache.rglob("*.safetensors")} == stored
    assert terminal.results()["checks"] == before["checks"]

    hub.add("acme/vit", write_tiny_vit(tmp_path / "second", seed=2))
    terminal.pytest(*arguments, **environment)
    after = terminal.results()
    assert after["runs"][0]["fm"]["revision"] != before["runs"][0]["fm"]["revision"]
    assert after["runs"][0]["fm"]["embeddings"] != before["runs"][0]["fm"]["embeddings"]
    assert after["checks"] != before["checks"]


@pytest.mark.slow
def test_a_crashed_worker_leaves_the_run_incomplete(terminal: Terminal, slides: Path) -> None:
    (terminal.folder / "test_mine.py").write_text(
        "import os\n"
        "def test_seven(fm_measure, fm_check):\n"
        "    fm_check(fm_measure('robustness_index', k=7), at_least=0.0)\n"
        "def test_crash(fm_measure, fm_check):\n"
        "    os._exit(3)\n"
    )
    (terminal.folder / "mine.toml").write_text(INDEX)
    arguments = ("--fm=demo:color-sensitive", f"--fm-cohort={slides}", "--fm-criteria=mine.toml")
    run = terminal.pytest(*arguments, "test_mine.py", "-n2", "--fm-json=results.json")
    assert run.code == 1
    assert "never ran" in run.output
    assert "a worker crashed" in " ".join(run.output.split())
    assert terminal.results()["complete"] is False
