"""The page of a reproduction: its record for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pathorob_checks.evidence.reproduction.record import Record
from pathorob_checks.report.markdown_text import code, prose
from pathorob_checks.wording import printable

_HEAD = ("| result | check | quantity | evidence | now | noise |", "|---|---|---|---|---|---|")


def reproduction_page(record: Record, machine: str) -> str:
    """reproduction.md.

    Parameters
    ----------
    machine : a sentence about where it was made.
    """
    return "\n".join([*head(record), "", f"Machine: {prose(machine)}", *_rest(record)]) + "\n"


def head(record: Record) -> Iterator[str]:
    """The lines that say what was reproduced, by whom and when, and what came out."""
    evidence = record.evidence
    yield from ("# Reproduction of a run", "", printable(record.summary), "")
    yield f"Made on {record.created:%Y-%m-%d %H:%M} UTC by pathorob-checks {code(record.version)}"
    yield f"(SHA-256 over the files of the code: {code(record.code)})."
    yield ""
    yield f"Responsible, as stated: {prose(record.responsible or 'nobody was named')}"
    yield ""
    yield f"Reproduced: the evidence whose manifest.json has the SHA-256 {code(evidence.manifest_sha256)},"
    yield f"written on {evidence.created:%Y-%m-%d %H:%M} UTC by pathorob-checks {code(evidence.version)};"
    yield f"outcome of its run: {evidence.outcome.upper()}; digest of its terms: {code(evidence.digest)}."
    yield ""
    yield (
        "Kept embeddings were used: only the metrics were reproduced."
        if record.kept_embeddings
        else "Every FM embedded again."
    )


def _rest(record: Record) -> Iterator[str]:
    yield from ("", "## Not as it was", "")
    yield from [f"- {prose(one)}" for one in record.elsewhere] or [
        "Packages, Python, platform and terms are those of the evidence."
    ]
    yield from ("", "## Every value", "", *_HEAD, *rows(record))


def rows(record: Record) -> Iterator[str]:
    """The line of each pair in the table."""
    return map(_row, record.pairs)


def is_row(line: str) -> bool:
    """Whether a line of the page is that of a pair."""
    return line.startswith("| ") and line not in _HEAD


def _row(pair: Mapping[str, float | str | None]) -> str:
    cells = (
        printable(str(pair["sameness"])),
        code(str(pair["check"])),
        printable(str(pair["quantity"])),
        *(_amount(pair[name]) for name in ("before", "now", "noise")),
    )
    return f"| {' | '.join(cells)} |"


def _amount(value: float | str | None) -> str:
    return "-" if value is None else prose(value) if isinstance(value, str) else f"{value:.9g}"
