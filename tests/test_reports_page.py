"""docs/reports.md names options, figures and methods that exist."""

from __future__ import annotations

import re
from pathlib import Path

from pathorob_checks import figures
from pathorob_checks.plugin.options import OPTIONS
from pathorob_checks.results.results import Results

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "reports.md").read_text(encoding="utf-8")


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
