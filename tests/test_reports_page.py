"""docs/reports.md names options, figures and commands that exist, and its examples for CI can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pathorob_checks import figures
from pathorob_checks.plugin.options import OPTIONS
from pathorob_checks.results.results import Results

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "reports.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_every_option_exists() -> None:
    named = set(re.findall(r"--fm[a-z-]*", TEXT))
    assert len(named) > 5
    ours = {option.flag for option in OPTIONS}
    assert named - ours <= {"--fm-history"}
    assert set(re.findall(r"\bfm_[a-z_]+", TEXT)) <= {option.ini for option in OPTIONS}


def test_every_figure_exists_and_is_listed() -> None:
    section = TEXT[TEXT.index("| figure | shows |") : TEXT.index("`figure.savefig(")]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert set(listed) <= set(figures.__all__)
    assert len(listed) == 8
    assert set(re.findall(r"figures\.(\w+)\(", TEXT)) <= set(listed)


def test_every_method_of_results_exists() -> None:
    named = re.findall(r"\b[rR]esults\.(?!json)([a-z_]+)\(", TEXT)
    assert named
    assert [name for name in named if not hasattr(Results, name)] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda text: text.splitlines()[0].lstrip("# "))
def test_the_jobs_keep_what_they_write(block: str) -> None:
    """The files that a job keeps are those that its commands write."""
    job = yaml.safe_load(block)
    assert job
    written = set(re.findall(r"--(?:fm-(?:json|html|markdown)|junitxml)=(\S+)", block))
    kept = block[block.index("paths: [") :] if "paths: [" in block else block[block.index("path: |") :]
    assert {name for name in written if name not in kept} == set()
    assert "pathorob-checks verdict results.json --complete" in block


def test_there_are_two_jobs() -> None:
    assert len(BLOCKS) == 2
