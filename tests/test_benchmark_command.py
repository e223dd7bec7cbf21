"""The whole command on the benchmark in miniature, with models and cohorts from a hub on 127.0.0.1."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import miniature
import numpy as np
import pytest
from loopback_hub import LoopbackHub, loopback_hub, write_tiny_vit
from terminal import Run, Terminal
from tiny_models import write_tiny_transformers

from pathorob_checks.embeddings.pathorob_layout import write_pathorob_layout
from pathorob_checks.evidence.qualification import golden_cohorts as golden

METRICS = ("robustness_index", "performance_drop_id", "performance_drop_ood", "clustering_score")


GOLDEN = Path(__file__).parent.parent / "fixtures/golden/upstream.json"


@dataclass(frozen=True)
class Machines:
    """What all tests share: a hub, the folder with the miniature tables, and a user's caches."""

    hub: LoopbackHub
    home: Path
    cache: Path
    metadata: Path


@dataclass(frozen=True)
class Lab:
    """A user's machine: a terminal, a hub, and the folder with the miniature tables."""

    terminal: Terminal
    hub: LoopbackHub
    home: Path
    metadata: Path

    def pytest(self, *arguments: str, **environment: str) -> Run:
        # A token that must appear nowhere.
        settings = self.hub.settings(self.home, HF_TOKEN="hf_secret", **environment)
        run = self.terminal.pytest(*arguments, f"--fm-metadata={self.metadata}", **settings)
        assert "hf_secret" not in run.output
        return run

    def command(self, *arguments: str, subprocess: bool = False, **environment: str) -> Run:
        settings = {**self.hub.settings(self.home, HF_TOKEN="hf_secret"), **environment}
        run = self.terminal.command(
            *arguments, f"--fm-metadata={self.metadata}", subprocess=subprocess, **settings
        )
        assert "hf_secret" not in run.output
        return run


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    root = tmp_path_factory.mktemp("lab")
    with loopback_hub() as hub:
        miniature.publish(hub, root / "repositories")
        hub.add("acme/vit", write_tiny_vit(root / "vit", seed=1))
        hub.add("acme/dinov2", write_tiny_transformers(root / "dinov2", "dinov2_with_registers"))
        hub.add("closed/fm", root / "vit")
        hub.repositories["closed/fm"].gated = True
        metadata = miniature.write_tables(root / "metadata")
        yield Machines(hub, root / "home", root / "cache", metadata)


@pytest.fixture
def lab(machines: Machines, terminal: Terminal) -> Lab:
    own = replace(terminal, cache=machines.cache)
    return Lab(own, machines.hub, machines.home, machines.metadata)


@pytest.mark.slow
def test_a_real_model_meets_all_three_cohorts_and_every_metric(lab: Lab) -> None:
    run = lab.pytest("--fm=hf-hub:acme/vit", "--fm-json=results.json", "--tb=no")
    assert run.code == 1, run.output
    results = lab.terminal.results()
    failed = {(check["cohort"], check["metric"]) for check in results["checks"] if check["verdict"] == "fail"}
    assert failed == {("tcga", "robustness_index"), ("tcga", "performance_drop_id")}
    measured = {
        (check["cohort"], check["metric"]) for check in results["checks"] if check["value"] is not None
    }
    assert measured == {(cohort, metric) for cohort in miniature.COHORTS for metric in METRICS}, run.output
    assert results["complete"]
    cohorts = {entry["cohort"]["name"]: entry["cohort"] for entry in results["runs"]}
    assert cohorts["tcga"]["commercial"] is False
    assert cohorts["tolkach_esca"]["commercial"] is None
    assert len(cohorts["camelyon"]["tables"]["camelyon.csv"]) == 64
    assert "Licenses: no commercial use: cohort tcga; unknown: FM vit, cohort tolkach_esca" in " ".join(
        run.output.split()
    )
    assert "differ from the published tables: values cannot be compared" in " ".join(run.output.split())
    assert max(map(len, run.output.splitlines())) <= 200


def test_what_forbids_commercial_use_is_left_out_and_named(lab: Lab) -> None:
    run = lab.pytest(
        "--fm=hf-hub:acme/vit",
        "--fm-commercial",
        "--fm-licensed=hf-hub:acme/vit",
        "--fm-json=commercial.json",
        "--tb=no",
        "-k",
        "robustness_index",
    )
    results = lab.terminal.results("commercial.json")
    assert {check["cohort"] for check in results["checks"]} == {"camelyon"}
    text = " ".join(run.output.split())
    for cohort in ("tcga", "tolkach_esca"):
        assert f"cohort {cohort} is left out by --fm-commercial: its license" in text
    assert len(results["environment"]["left_out"]) == 2
    nothing = lab.pytest("--fm=hf-hub:acme/vit", "--fm-commercial", "--fm-cohort=tcga")
    assert nothing.code == 4
    assert "--fm-commercial leaves nothing to check" in nothing.output


@pytest.mark.slow
def test_after_prefetch_the_same_run_needs_no_network(lab: Lab, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    # In a process of its own: --to moves huggingface_hub's cache before that is imported.
    filled = lab.command(
        "prefetch", "--fm=hf-hub:acme/vit", "--fm-cohort=camelyon", "--to", str(carried), subprocess=True
    )
    assert filled.code == 0, filled.output
    assert "FM vit: complete at" in filled.output
    moved = tmp_path / "moved"
    shutil.copytree(carried, moved, symlinks=True)
    shutil.rmtree(carried)
    lab.hub.requests.clear()
    terminal = replace(lab.terminal, cache=moved / "pathorob-checks")
    run = terminal.pytest(
        "--fm=hf-hub:acme/vit", "--fm-cohort=camelyon", "--fm-json=offline.json", "--tb=no",
        f"--fm-metadata={lab.metadata}", "-k", "robustness_index",
        **lab.hub.settings(tmp_path / "none", HF_HUB_CACHE=str(moved / "huggingface"), HF_HUB_OFFLINE="1"),
    )  # fmt: skip
    assert run.code == 0, run.output
    assert terminal.results("offline.json")["checks"][0]["value"] is not None, run.output
    assert not lab.hub.requests


def test_a_transformers_model_is_embedded(lab: Lab) -> None:
    run = lab.pytest(
        "--fm=hf-hub:acme/dinov2",
        "--fm-cohort=camelyon",
        "--fm-json=t.json",
        "--tb=no",
        "-k",
        "robustness_index",
    )
    assert run.code == 0, run.output
    results = lab.terminal.results("t.json")
    assert results["checks"][0]["value"] is not None, run.output
    model = results["runs"][0]["fm"]["extraction"]["model"]
    assert model["library"] == "transformers"
    assert model["pooling"] == "clsmean"


@pytest.mark.slow
def test_two_workers_agree_on_the_revisions_and_the_table(lab: Lab) -> None:
    arguments = ("--fm=hf-hub:acme/vit", "--fm-cohort=camelyon", "--fm-cohort=tolkach_esca", "--tb=no")
    run = lab.pytest(*arguments, "-n", "2", "--fm-json=n2.json", "-k", "robustness_index")
    assert run.code == 0, run.output
    single = lab.pytest(*arguments, "--fm-json=n0.json", "-k", "robustness_index")
    assert single.code == run.code
    assert lab.terminal.results("n2.json")["checks"] == lab.terminal.results("n0.json")["checks"]


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.COHORTS)
def test_precomputed_embeddings_give_the_published_protocols_value(
    name: str, lone_terminal: Terminal
) -> None:
    """The golden cohorts through the command line: neither images nor a hub are asked for."""
    upstream = json.loads(GOLDEN.read_text())["robustness_index"][name]
    whole, weights = golden.COHORTS[name]
    table = golden.TABLES[whole]()
    metadata = lone_terminal.folder / "metadata"
    metadata.mkdir()
    for file, make in golden.TABLES.items():
        make().to_csv(metadata / f"{file}.csv", index=False)
    features = golden.embeddings(table, seed=100 + list(golden.COHORTS).index(name), **weights)
    write_pathorob_layout(lone_terminal.folder / "features", name, table, features)
    run = lone_terminal.pytest(
        "--fm=embeddings:features", f"--fm-cohort={name}", "--fm-metadata=metadata", "--fm-json=results.json",
        "--tb=no", "-k", "robustness_index", HF_HUB_OFFLINE="1",
    )  # fmt: skip
    check = lone_terminal.results()["checks"][0]
    assert check["value"] == pytest.approx(upstream["summary"]["robustness_index"], abs=1e-6), run.output


def test_the_doctor_tells_what_to_do_about_a_gate(lab: Lab) -> None:
    run = lab.command("doctor", "--fm=hf-hub:closed/fm", "--fm-cohort=camelyon")
    assert run.code == 1
    text = " ".join(run.output.split())
    assert "FAIL FM fm: closed/fm is gated and this account may not read it; accept the terms at" in text
    assert "HF_TOKEN" in text
    assert "PASS cohort camelyon: 512 patches" in text


def test_the_doctor_finds_nothing_wrong_and_downloads_no_weights(lab: Lab, tmp_path: Path) -> None:
    lab.hub.requests.clear()
    run = lab.command(
        "doctor", "--fm=hf-hub:acme/vit", "--fm-cohort=camelyon", HF_HOME=str(tmp_path / "home")
    )
    assert run.code == 0, run.output
    text = " ".join(run.output.split())
    for subject in ("hub", "token", "FM vit", "cohort camelyon", "device", "disk", "cache", "time"):
        assert f" {subject}: " in text
    assert "pin it: --fm=hf-hub:acme/vit@" in text
    assert not [path for path in lab.hub.requests if path.startswith("GET") and path.endswith(".safetensors")]
    assert max(map(len, run.output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("fault", "words", "starts"),
    [
        ({"html": True}, "is not a file of a Hugging Face Hub", True),
        ({"status": 503}, "HTTP 503", False),
        ({"status": 401}, "HF_TOKEN", False),
        ({"corrupt": 99}, "another digest", True),
    ],
)
def test_what_a_server_does_wrong_is_one_sentence(
    lab: Lab, tmp_path: Path, fault: dict[str, int], words: str, starts: bool
) -> None:
    """A repository that cannot be had stops a run before it starts; a file of it is an error in the run."""
    repo = f"acme/{next(iter(fault))}-fault-{next(iter(fault.values()))}"
    commit = lab.hub.add(repo, write_tiny_vit(tmp_path / "vit", seed=3))
    for name, value in fault.items():
        setattr(lab.hub.repositories[repo], name, value)
    run = lab.pytest(
        f"--fm=hf-hub:{repo}@{commit}",
        "--fm-cohort=demo",
        "-k",
        "robustness_index",
        "--fm-json=faulty.json",
    )
    assert run.code == (1 if starts else 4), run.output
    assert words in " ".join(run.output.split()), run.output
    assert "Traceback" not in run.output
    assert not starts or lab.terminal.results("faulty.json")["checks"][0]["verdict"] == "error"


@pytest.mark.parametrize("fault", [{"cuts": 2}, {"flaky": 2}, {"corrupt": 1}])
def test_a_hub_that_stumbles_is_asked_again(lab: Lab, tmp_path: Path, fault: dict[str, int]) -> None:
    repo = f"acme/{next(iter(fault))}"
    commit = lab.hub.add(repo, write_tiny_vit(tmp_path / "vit", seed=4))
    for name, value in fault.items():
        setattr(lab.hub.repositories[repo], name, value)
    run = lab.command(
        "prefetch", f"--fm=hf-hub:{repo}@{commit}", "--fm-cohort=demo", HF_HOME=str(tmp_path / "home")
    )
    assert run.code == 0, run.output
    blob = next((tmp_path / "home").rglob("model.safetensors"))
    assert np.frombuffer(blob.read_bytes(), np.uint8).tolist() == list(
        (tmp_path / "vit/model.safetensors").read_bytes()
    )
