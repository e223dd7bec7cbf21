"""pytest's JUnit file of a gated run: from its start on it is none of an earlier run, and no empty pass.

pytest writes the file when its session has ended. Until then, and for a run that does not come so
far, the file holds an error.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.report.junit_error import CLASS, NAME, junit_error, may_be_replaced
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results


def junit_path(options: argparse.Namespace) -> Path | None:
    """Where pytest will write its JUnit file, by its options; None where it writes none."""
    given = getattr(options, "xmlpath", None)
    return Path(os.path.expanduser(os.path.expandvars(given))).absolute() if given else None  # noqa: PTH111


def write_error(path: Path | None, suite_name: str, problem: str) -> None:
    """Write a JUnit file with an error, also in place of that of an earlier run.

    A file that is no JUnit file, or belongs to an evidence folder, stays as it is.

    Parameters
    ----------
    path : of the file, by `junit_path`; nothing is written without one.
    suite_name : as pytest calls its suite.
    problem : why the run has no verdict, as a sentence.
    """
    if path is None:
        return
    from pathorob_checks.files import write_atomically

    with contextlib.suppress(OSError):  # pytest says so when it cannot write the file either
        if not _is_evidence(path.parent) and may_be_replaced(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, junit_error(problem, suite_name))


def add_run(config: pytest.Config, results: Results, *, has_failed_tests: bool) -> None:
    """Put the outcome of the run into pytest's JUnit file, if it writes one: as properties of the suite.

    Readers of JUnit files look at test cases only, so a run with which something went wrong has one with an
    error, and so has one that failed although no test did.
    """
    from pathorob_checks.results.document import Outcome
    from pathorob_checks.results.properties import of_run

    unseen = results.outcome in (Outcome.ERROR, Outcome.FAIL) and not has_failed_tests
    for writer in _writers(config):
        for name, text in of_run(results):
            writer.add_global_property(name, text)
        if results.problems or unseen:
            writer.pytest_runtest_logreport(_error(results.summary))


def _error(sentence: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=f"{CLASS}::{NAME}",
        location=(CLASS, None, NAME),
        keywords={},
        outcome="failed",
        longrepr=printable(sentence),
        when="setup",
    )


def add_text(config: pytest.Config, report: pytest.TestReport, text: str) -> None:
    """Put text beside a test case of pytest's JUnit file, whatever pytest captured of the test."""
    for writer in _writers(config):
        element = ET.Element("system-out")
        element.text = printable(text)
        writer.node_reporter(report).append(element)


def _writers(config: pytest.Config) -> Iterator[Any]:
    """pytest's own plugin that writes the file, where it is asked for."""
    return (one for one in config.pluginmanager.get_plugins() if hasattr(one, "add_global_property"))


def _is_evidence(folder: Path) -> bool:
    from pathorob_checks.evidence.manifest import INCOMPLETE, MANIFEST

    return any((folder / name).exists() for name in (INCOMPLETE, MANIFEST))
