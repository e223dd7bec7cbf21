"""What report.html of an evidence folder says beside the results: the protocol, and the qualification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NOBODY = "nobody was named"


def evidence_rows(protocol: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Terms and texts for the report.

    Raises
    ------
    KeyError, TypeError, AttributeError : it is no protocol.
    """
    return tuple(_rows(protocol))


def _rows(protocol: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "protocol fixed", protocol["fixed"]
    yield "responsible for the run, as stated", protocol.get("responsible") or NOBODY
    facts = protocol.get("qualification")
    if facts is None:
        yield "qualification", "none was named"
        return
    yield "qualification", f"{facts['outcome'].upper()} of pathorob-checks {facts['version']}"
    yield "qualified on", facts["created"]
    yield "responsible for the qualification, as stated", facts.get("responsible") or NOBODY
    yield "signature of the qualification", seal_in_words(facts)
    yield "qualified code", f"{facts['code']} ({_whose_code(facts)})"
    yield "other packages and parts of the machine than then", "; ".join(facts["differences"]) or "none"
    yield "SHA-256 of the qualification's manifest.json", facts["manifest_sha256"]


def seal_in_words(facts: Mapping[str, Any]) -> str:
    """Which keys signed the qualification, as its attestation says; a run verifies no signature of it."""
    if "sealed_by" not in facts:
        return "not recorded"  # by earlier versions
    keys = facts["sealed_by"]
    return f"SIGNED by {', '.join(keys)} (not verified by the run)" if keys else "NOT SIGNED"


def _whose_code(facts: Mapping[str, Any]) -> str:
    return "the code of this run" if facts["is_of_this_code"] else "other code than that of this run"
