"""docs/ci.md and the pages of the project name variables, inputs and files that exist."""

from __future__ import annotations

import re

import pytest
import yaml

from conftest import ROOT
from pathorob_checks.commands.ci import REPORTS, VARIABLES
from pathorob_checks.results.document import Outcome

TEXT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
GITLAB = next(yaml.safe_load_all((ROOT / "ci" / "gitlab.yml").read_text(encoding="utf-8")))["spec"]["inputs"]
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_every_variable_is_told_and_none_that_is_not_there() -> None:
    assert set(re.findall(r"^\| `(PATHOROB_CI_\w+)` \|", TEXT, re.M)) == set(VARIABLES)
    assert set(re.findall(r"PATHOROB_CI_\w+", TEXT)) == set(VARIABLES)
    assert set(REPORTS.values()) <= set(re.findall(r"`([\w.]+)`", TEXT))


def test_every_input_and_output_of_the_action_is_told() -> None:
    github = TEXT[TEXT.index("## GitHub") : TEXT.index("## GitLab")]
    assert set(ACTION["inputs"]) <= set(re.findall(r"`([\w-]+)`", github))
    assert set(ACTION["outputs"]) <= set(re.findall(r"`([\w-]+)`", github))


def test_every_verdict_is_told() -> None:
    codes = TEXT[TEXT.index("## Exit codes") : TEXT.index("## GitHub")]
    assert {outcome.value for outcome in Outcome} <= set(re.findall(r"`(\w+)`", codes))


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_examples_use_what_is_there(block: str) -> None:
    content = yaml.safe_load(block)
    if "include" in content:
        [include] = content["include"]
        assert (ROOT / include["file"]).is_file()
        assert set(include["inputs"]) <= set(GITLAB)
        return
    steps = [step for step in content if "uses" in step]
    assert steps
    for step in steps:
        assert set(step["with"]) <= set(ACTION["inputs"])


@pytest.mark.parametrize("name", ["README.md", "docs/ci.md", "docs/releasing.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:python )?((?:ci|tests|pathorob_checks)/[\w./-]+)", text))
    assert [path for path in named if not (ROOT / path.rstrip("/")).exists()] == []
