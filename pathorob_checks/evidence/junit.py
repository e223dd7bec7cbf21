"""junit.xml of the evidence: what pytest wrote, without what must not be told."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.redaction import Redaction

_FREE_TEXT = "message"  # the attribute in which pytest quotes what a test failed with


def cleaned_junit(path: Path, redaction: Redaction) -> str:
    """The content of a JUnit file; names of tests and properties are cleaned as fields, the rest as text.

    Raises
    ------
    EvidenceError : there is no such file, or it is damaged.
    """
    try:
        root = defusedxml.ElementTree.parse(path).getroot()
    except (OSError, ET.ParseError, DefusedXmlException) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise EvidenceError(
            f"the JUnit file of the run cannot be read ({reason})",
            remedy="leave -p no:junitxml out, and let nothing else write there",
        ) from None
    for element in root.iter():
        if redaction.hosts:
            element.attrib.pop("hostname", None)
        for name, value in element.attrib.items():
            clean = redaction.in_text if name == _FREE_TEXT else redaction.in_field
            element.set(name, clean(value))
        if element.text:
            element.text = redaction.in_text(element.text)
    return f'<?xml version="1.0" encoding="utf-8"?>{ET.tostring(root, encoding="unicode")}\n'
