"""Which files of tests begin first: a long file that begins last leaves the other cores idle at the end."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
# Those whose tests took half a minute of one core or more; simulations and the qualification take minutes.
LONG_FILES = (
    "evidence/test_qualification.py",
    "test_interval_coverage.py",
    "false_passes/test_gate_that_did_not_run.py",
    "security/test_names_in_reports.py",
    "evidence/test_evidence_of_runs.py",
    "test_html_report.py",
    "test_bad_input.py",
    "test_user_identity.py",
    "test_gate.py",
    "test_table.py",
)
_PLACES = {FOLDER / name: number for number, name in enumerate(LONG_FILES)}


def place(path: Path) -> int:
    """The place of a file among all: 0 is first."""
    return _PLACES.get(path, len(_PLACES))
