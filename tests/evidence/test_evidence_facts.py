"""Environment, provenance, bill of materials, log and JUnit of the evidence."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from drawn_results import results_of, run_of
from evidence_documents import protocol_of

from pathorob_checks.canonical import digest_of
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import environment, provenance
from pathorob_checks.evidence.bom import bill_of_materials
from pathorob_checks.evidence.environment import (
    environment_document,
    environment_facts,
    installed_packages,
    requirements_text,
)
from pathorob_checks.evidence.junit import cleaned_junit
from pathorob_checks.evidence.log import Log
from pathorob_checks.evidence.redaction import Redaction

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ON_HUB = run_of().model_copy(
    update={
        "fm": run_of().fm.model_copy(
            update={
                "revision": COMMIT,
                "license": "cc-by-nc-nd-4.0",
                "identity": {"repository": "org/model", "weights_sha256": "a" * 64, "precision": "fp32"},
            }
        ),
        "cohort": run_of().cohort.model_copy(update={"digest": "d" * 64, "license": "CC0-1.0"}),
    }
)
CODE = {"name": "pathorob-checks", "version": "0.1.0", "sha256": "c" * 64}
PACKAGES = [
    {"name": "numpy", "version": "2.0.0", "record_sha256": "e" * 64, "license": "BSD-3-Clause"},
    {"name": "odd", "version": "1", "record_sha256": None, "license": "Whatever you like & more"},
    {"name": "none", "version": "1+local", "record_sha256": None, "license": None},
]
NOBODY = Redaction()


def test_every_installed_package_is_there_once_with_the_digest_of_its_record():
    packages = {one["name"]: one for one in installed_packages()}
    assert {"numpy", "torch", "pytest", "scikit-learn"} <= packages.keys()
    record = metadata.distribution("numpy").read_text("RECORD")
    assert record is not None
    assert packages["numpy"]["version"] == metadata.version("numpy")
    assert packages["numpy"]["record_sha256"] == hashlib.sha256(record.encode()).hexdigest()
    assert list(packages) == sorted(packages)


def test_the_environment_names_nobody_unless_it_shall(monkeypatch):
    monkeypatch.setenv("USER", "magdalena")
    monkeypatch.setenv("LOGNAME", "magdalena")
    monkeypatch.setenv("UNRELATED", "unrelated-value")
    monkeypatch.setattr("socket.gethostname", lambda: "path-lab-7")
    document = environment_document(processes=2)
    text = json.dumps(document)
    assert "magdalena" not in text
    assert "path-lab-7" not in text
    assert "unrelated-value" not in text
    assert document["processes"] == 2
    assert document["processor"]["cores_usable"] >= 1
    assert document["threads"]["torch"] >= 1
    assert environment_facts(document).startswith("Python 3.")
    identified = environment_document(identify=True)["identified"]
    assert "magdalena" in identified["person"]
    assert identified["machine"] == "path-lab-7"


def test_a_gpu_is_named_with_memory_driver_and_cuda(monkeypatch):
    gpu = SimpleNamespace(name="NVIDIA H100", total_memory=85_000_000_000, major=9, minor=0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: gpu)
    monkeypatch.setattr(environment, "_driver", lambda: "550.54.15")
    document = environment_document()
    facts = {"name": "NVIDIA H100", "memory_bytes": 85_000_000_000, "capability": "9.0"}
    assert document["gpu"]["devices"] == [facts, facts]
    assert document["gpu"]["driver"] == "550.54.15"
    assert "cuda" in document["gpu"]
    assert environment_facts(document).endswith("usable cores, NVIDIA H100")


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (a@b)",
    ],
)
def test_the_version_of_the_driver_is_read_from_the_kernel(line, tmp_path, monkeypatch):
    (tmp_path / "version").write_text(f"{line}\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")
    monkeypatch.setattr(environment, "_NVIDIA", tmp_path / "version")
    assert environment._driver() == "550.54.15"


def test_provenance_has_the_digests_of_weights_cohort_and_code():
    results = results_of(runs=(ON_HUB,))
    document = provenance.provenance_document(results, protocol_of(results), {})
    [fm], [cohort] = document["fms"], document["cohorts"]
    assert (fm["weights_sha256"], fm["revision"]) == ("a" * 64, COMMIT)
    assert fm["identity_sha256"] == digest_of(ON_HUB.fm.identity)
    assert cohort["digest"] == "d" * 64
    assert document["command"] == ["pytest", "--fm=ours"]
    assert len(document["code"]["sha256"]) == 64
    assert document["ci"] is None


def test_the_digest_of_the_code_follows_every_file_but_compiled_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)
    digests = []
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.toml", ""), ("c.pyc", "")):
        (tmp_path / name).write_text(text)
        digests.append(provenance.code_facts()["sha256"])
    assert len(set(digests)) == 3
    assert digests[2] == digests[3]


@pytest.mark.parametrize(
    ("variables", "facts"),
    [
        (
            {
                "GITHUB_RUN_ID": "7",
                "GITHUB_SHA": COMMIT,
                "GITHUB_REPOSITORY": "org/repo",
                "GITHUB_ACTOR": "me",
            },
            {"system": "GitHub Actions", "run": "7", "commit": COMMIT, "repository": "org/repo"},
        ),
        (
            {"CI_PIPELINE_ID": "8", "CI_COMMIT_SHA": COMMIT},
            {"system": "GitLab CI", "run": "8", "commit": COMMIT},
        ),
    ],
)
def test_the_job_of_a_ci_is_named_and_not_who_started_it(variables, facts):
    job = provenance.ci_facts(variables)
    assert job is not None
    assert facts.items() <= job.items()
    assert "me" not in job.values()


def test_the_image_of_a_container_is_what_says_so_from_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_DOCKER", tmp_path / "docker")
    monkeypatch.setattr(provenance, "_PODMAN", tmp_path / "podman")
    assert provenance.container_facts({}) is None
    assert provenance.container_facts({"CONTAINER_IMAGE": "reg/x@sha256:1"}) == {
        "image": "reg/x@sha256:1", "image_id": None,
    }  # fmt: skip
    (tmp_path / "docker").touch()
    assert provenance.container_facts({}) == {"image": None, "image_id": None}
    (tmp_path / "podman").write_text('engine="podman"\nimage="reg/y:1"\nimageid="abc"\n')
    assert provenance.container_facts({}) == {"image": "reg/y:1", "image_id": "abc"}


def test_the_bill_is_valid_and_has_models_data_and_packages():
    results = results_of(runs=(ON_HUB,))
    text = bill_of_materials(results, PACKAGES, CODE)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    parts = {(one["type"], one["name"]): one for one in bill["components"]}
    model = parts["machine-learning-model", "ours"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert model["purl"] == f"pkg:huggingface/org/model@{COMMIT}"
    assert parts["data", "camelyon"]["licenses"] == [{"license": {"id": "CC0-1.0"}}]
    assert parts["library", "numpy"]["purl"] == "pkg:pypi/numpy@2.0.0"
    assert "licenses" not in parts["library", "none"]
    assert parts["library", "odd"]["licenses"] == [{"license": {"name": "Whatever you like & more"}}]
    assert bill["metadata"]["timestamp"].startswith("2026-03-01")


def test_equal_runs_have_equal_bills_and_others_another():
    results = results_of(runs=(ON_HUB,))
    assert bill_of_materials(results, PACKAGES, CODE) == bill_of_materials(results, PACKAGES, CODE)
    assert bill_of_materials(results, PACKAGES, CODE) != bill_of_materials(results, PACKAGES[:1], CODE)


def test_an_fm_without_weights_and_a_cohort_of_unknown_license_are_valid_too():
    results = results_of()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill_of_materials(results, [], CODE)) is None


def test_the_log_has_lines_without_colors_and_what_was_overwritten(tmp_path: Path):
    log = Log(tmp_path / "log.txt", Redaction(users=("magdalena",)))
    for piece in (
        "\x1b[32mPASS",
        "ED\x1b[0m by magdalena\n",
        "  5 %\r 50 %\r100 %\n",
        "a\x1b]0;t\x07\x08b\u202e\n",
    ):
        log.write(piece)
    assert (tmp_path / "log.txt").read_text() == "PASSED by USER\n100 %\na\\x08b\\u202e\n"
    log.write("the end")
    log.close()
    assert (tmp_path / "log.txt").read_text().endswith("\nthe end\n")
    assert log.problem is None


def test_a_log_that_cannot_be_written_stops_nothing_and_says_so(tmp_path: Path):
    log = Log(tmp_path / "missing" / "log.txt", NOBODY)
    log.write("a\nb\n")
    log.close()
    assert log.problem == "No such file or directory"


def test_the_junit_file_loses_its_host_and_keeps_the_names_of_its_tests(tmp_path: Path):
    path = tmp_path / "junit.xml"
    path.write_text(
        '<testsuites><testsuite name="pytest" hostname="path-lab-7"><testcase name="test_x[magdalena-coh]">'
        '<failure message="by magdalena">/home/magdalena/x.py: magdalena</failure></testcase></testsuite>'
        "</testsuites>"
    )
    mine = Redaction(homes=("/home/magdalena",), users=("magdalena",), hosts=("path-lab-7",))
    text = cleaned_junit(path, mine)
    assert 'name="test_x[magdalena-coh]"' in text
    assert '<failure message="by USER">~/x.py: USER</failure>' in text
    assert "path-lab-7" not in text
    assert 'hostname="path-lab-7"' in cleaned_junit(path, NOBODY)


@pytest.mark.parametrize("content", [None, "<a>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
def test_a_junit_file_that_is_none_is_refused(content: str | None, tmp_path: Path):
    if content is not None:
        (tmp_path / "junit.xml").write_text(content)
    with pytest.raises(EvidenceError, match="JUnit file of the run cannot be read"):
        cleaned_junit(tmp_path / "junit.xml", NOBODY)


@pytest.mark.parametrize(
    ("of_tool", "line"),
    [
        ("1.2.0", "pathorob-checks==1.2.0"),
        ("1.3.dev1+gabc", "# pathorob-checks==1.3.dev1+gabc is no release: install it from its commit"),
    ],
)
def test_a_version_that_is_no_release_is_pinned_as_a_comment(of_tool, line):
    document = environment_document()
    document["tool"]["version"] = of_tool
    document["packages"] = [
        {"name": "pathorob-checks", "version": "1"},
        {"name": "torch", "version": "2.5+cpu"},
    ]
    assert requirements_text(document).splitlines()[1:] == [line, "torch==2.5+cpu"]
