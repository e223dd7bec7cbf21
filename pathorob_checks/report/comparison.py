"""A comparison of FMs: for a terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from pathorob_checks.report.forms import MARK
from pathorob_checks.report.markdown_text import code, prose, table
from pathorob_checks.results.comparing import comparisons_within
from pathorob_checks.results.comparison import Change, Comparison
from pathorob_checks.results.comparison_rows import COLUMNS, groups, notes, rows_of, table_of, verdicts
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.method_changes import effect_sentences
from pathorob_checks.results.numbers import change_and_interval
from pathorob_checks.results.text import wrapped
from pathorob_checks.wording import printable

_NUMBERS = ("value", "change")
_LEAST_FM = 12
_GAP = 2
_FORMULA = ("=", "+", "-", "@")  # what spreadsheets take a text for a formula by


def render_comparison(comparison: Comparison, width: int) -> str:
    """All of it as text, in lines of at most `width` from about 70 columns on."""
    blocks = [
        wrapped(comparison.headline, width=width),
        "\n".join(
            wrapped(f"release verdict on {name}: {sentence}", width=width, indent="  ")
            for name, sentence in verdicts(comparison)
        ),
        _table(comparison, width),
        "\n".join(wrapped(note, width=width, lead="- ", indent="  ") for note in notes(comparison)),
    ]
    return "\n\n".join(filter(None, blocks))


def render_changes(results: ResultsDocument, width: int) -> str:
    """The differences between the FMs of one run, and those that methods make; "" where there are none.

    Differences between FMs are left out where the table has them, beside a baseline among them.
    """
    baseline = results.environment.criteria.baseline
    comparisons = comparisons_within(results)
    if baseline is not None:
        comparisons = [
            one
            for one in comparisons
            if baseline.fm not in {fm.fm for fm in one.fms} or len({fm.fm for fm in one.fms}) == 1
        ]
    blocks = [*(_changes(one, width) for one in comparisons), _effects(results, width)]
    return "\n\n".join(filter(None, blocks))


def _effects(results: ResultsDocument, width: int) -> str:
    """A line for each method of a run."""
    lines = [wrapped(f"- {text}", width=width, indent="  ") for text in effect_sentences(results)]
    return "\n".join(["What each method changes, as far as the intervals show it:", *lines]) if lines else ""


def _changes(comparison: Comparison, width: int) -> str:
    lines = [
        wrapped(
            f"- {group.title}: "
            + "; ".join(
                f"{one.fm} {_change(one.change)}, {one.change.says}" for one in group.values if one.change
            ),
            width=width,
            indent="  ",
        )
        for group in groups(comparison)
        if any(one.change for one in group.values)
    ]
    if not lines:
        return ""
    head = f"Paired differences to {comparison.reference.name} on the same slides:"
    return "\n".join([wrapped(head, width=width), *lines])


def comparison_markdown(comparison: Comparison) -> str:
    """As Markdown, in which names stay text."""
    blocks = [MARK, f"## {prose(comparison.headline)}"]
    blocks.append("\n".join(f"- {code(name)}: {prose(text)}" for name, text in verdicts(comparison)))
    headers, parts = table_of(comparison)
    for group, own in parts:
        rows = [[code(name), *map(prose, rest)] for name, *rest in own]
        blocks += [f"**{prose(group.title)}**", "\n".join(table(headers, rows))]
    blocks.append("\n".join(f"- {prose(note)}" for note in notes(comparison)))
    return "\n\n".join(filter(None, blocks)) + "\n"


def comparison_csv(comparison: Comparison) -> str:
    """As CSV with a heading, a row for each FM, cohort and metric; what is missing is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows_of(comparison):
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return stream.getvalue()


def _harmless(value: object) -> object:
    """A text of others must be no formula in a spreadsheet."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _change(change: Change) -> str:
    return " ".join(filter(None, change_and_interval(change.value, change.interval)))


def _table(comparison: Comparison, width: int) -> str:
    """One table, so that columns are equally wide everywhere; each group has its title above its rows."""
    headers, parts = table_of(comparison)
    rows = [headers, *([printable(cell) for cell in row] for _, own in parts for row in own)]
    if not parts:
        return "No value was measured."
    aligned = ["right" if name in _NUMBERS else "left" for name in headers]
    if _width(rows) > width:
        rows = _narrowed(rows, width)
        aligned = ["left"] * len(rows[0])
    text = tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=aligned)
    lines = [line.rstrip() for line in text.splitlines()]
    heights = [max(cell.count("\n") + 1 for cell in row) for row in rows]
    place = heights.pop(0)
    shown = [*lines[:place], "-" * max(map(len, lines))]
    for group, own in parts:
        end = place + sum(heights[: len(own)])
        shown += [wrapped(group.title, width=width, indent="  "), *lines[place:end], ""]
        place, heights = end, heights[len(own) :]
    return "\n".join(shown).rstrip()


def _narrowed(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Intervals below their values, in two lines each, and the names of FMs in as many as they take."""
    below = {place for place, name in enumerate(rows[0]) if name.endswith("interval")}
    slim = []
    for row in rows:
        cells: list[str] = []
        for place, cell in enumerate(row):
            if place not in below:
                cells.append(cell.replace(" (", "\n(") if place else cell)
            elif cell != "-":
                cells[-1] += "\n" + cell.replace(", ", ",\n").replace(" interval", "\ninterval")
        slim.append(cells)
    room = max(width - _width([row[1:] for row in slim]) - _GAP, _LEAST_FM)
    return [["\n".join(textwrap.wrap(fm, room)) or fm, *rest] for fm, *rest in slim]


def _width(rows: Sequence[Sequence[str]]) -> int:
    columns = zip(*rows, strict=True)
    widths = [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]
    return sum(widths) + _GAP * (len(widths) - 1)
