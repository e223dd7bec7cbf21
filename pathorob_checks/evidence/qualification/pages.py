"""The pages of a qualification: its records as a table for reading."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evidence.qualification.record import SECTIONS, Finding, Qualification, Recorded
from pathorob_checks.wording import counted, printable

_WORDS = {
    Verdict.PASS: "PASS",
    Verdict.FAIL: "FAIL",
    Verdict.ERROR: "ERROR",
    Verdict.SKIPPED: "not judged",
}
_TITLES = {
    "installation": "Installation: what is installed is what was released, and fits together",
    "operation": "Operation: metrics, controls, rules and interrupted work do what they should",
    "performance": "Performance: times on this machine, and published scores",
}
RESPONSIBLE = "Responsible, as stated:"
_MARKUP = re.compile(r"([\\`*_\[\]<>|~&])")


def qualification_page(qualification: Qualification, machine: str) -> str:
    """qualification.md.

    Parameters
    ----------
    machine : a sentence about where it was made.
    """
    return "\n".join(_lines(qualification, machine)) + "\n"


def _lines(qualification: Qualification, machine: str) -> Iterator[str]:
    yield from ("# Qualification of pathorob-checks", "", qualification.summary, "")
    made = f"Made on {qualification.created:%Y-%m-%d %H:%M} UTC in {qualification.seconds:.0f} s."
    yield f"{made} {_plain(machine)}."
    yield from ("", responsible_line(qualification))
    yield from ("", f"SHA-256 over the files of the code: `{qualification.code}`")
    for section in SECTIONS:
        records = [one for one in qualification.records if one.finding.section == section]
        yield from ("", f"## {_TITLES[section]}", "", tally(records) + ".", "")
        yield from (
            "| verdict | record | examined | expected | actual | from | note |",
            "|---|---|---|---|---|---|---|",
        )
        yield from map(row, records)


def responsible_line(qualification: Qualification) -> str:
    """The line of the page that names who answers for the qualification."""
    return f"{RESPONSIBLE} {_plain(qualification.responsible or 'nobody was named')}"


def rows(qualification: Qualification) -> list[str]:
    """The lines of all records, section by section."""
    records = qualification.records
    return [row(one) for section in SECTIONS for one in records if one.finding.section == section]


def row(one: Recorded) -> str:
    """The line of a record in the table."""
    finding = one.finding
    cells = (
        finding.id,
        finding.what,
        expected(finding),
        amount(finding.actual, finding.unit),
        finding.origin or "-",
        finding.note or "-",
    )
    return f"| {_WORDS[one.verdict]} | " + " | ".join(map(_plain, cells)) + " |"


def is_row(line: str) -> bool:
    """Whether a line of the page is that of a record."""
    return line.startswith(tuple(f"| {word} |" for word in _WORDS.values()))


def tally(records: list[Recorded]) -> str:
    """How many there are of each verdict."""
    counts = ((sum(one.verdict is verdict for one in records), word) for verdict, word in _WORDS.items())
    return f"{counted(len(records), 'record')}: " + ", ".join(f"{n} {word}" for n, word in counts if n)


def expected(finding: Finding) -> str:
    """What was expected, with its tolerance."""
    text = amount(finding.expected, finding.unit)
    return f"{text} ± {finding.tolerance:g}" if finding.tolerance else text


def amount(value: float | str | None, unit: str) -> str:
    """A value with its unit."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.7g} {unit}".rstrip()


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\1", printable(text))
