"""The JUnit file of a run that has no verdict: one test case, `pathorob_checks` / `run`, with an error."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from pathorob_checks.wording import printable

# The test case of the run itself.
CLASS, NAME = "pathorob_checks", "run"


def may_be_replaced(path: Path) -> bool:
    """Whether nothing is at the path yet, or a JUnit file."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    if not path.exists():
        return True
    try:
        return path.is_file() and parse(path, forbid_dtd=True).getroot().tag in ("testsuites", "testsuite")
    except (ET.ParseError, DefusedXmlException, ValueError, LookupError):
        return False


def junit_error(problem: str, suite_name: str = "pytest") -> bytes:
    """The content of the file.

    Parameters
    ----------
    problem : why the run has no verdict, as a sentence.
    suite_name : of the suite that the test case is in; the default is pytest's.
    """
    problem = printable(problem)
    suites = ET.Element("testsuites", name="pytest tests")
    suite = ET.SubElement(
        suites, "testsuite", name=suite_name, errors="1", failures="0", skipped="0", tests="1", time="0.000"
    )
    case = ET.SubElement(suite, "testcase", classname=CLASS, name=NAME, time="0.000")
    ET.SubElement(case, "error", message=problem).text = problem
    return f'<?xml version="1.0" encoding="utf-8"?>{ET.tostring(suites, encoding="unicode")}'.encode()
