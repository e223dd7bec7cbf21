"""The rows of checks as a plain-text table that fits its terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.check import Check
from pathorob_checks.results.names import fm_and_method, short_names
from pathorob_checks.results.numbers import check_interval
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.wording import ends, percent, printable

Paint = Callable[[str, Verdict], str]  # gives a text the look of a verdict

ALLOWED = "*"  # behind a verdict that is inconclusive and may be
_HEADERS = ("FM", "cohort", "metric", "value", "{} interval", "bound", "verdict (each)")
_NARROW_HEADERS = (*_HEADERS[:4], "{}\ninterval", "bound", "verdict\n(each)")
_ALIGNED = ("left", "left", "left", "right", "left", "left", "left")
_GAP = 2
_ONE_LINE = 100  # columns from which on each row is one line, as far as FMs' names can be cut
_LEAST_CUT = 12  # characters that a cut name keeps
_NARROW_COHORT = 12
_NARROW_METRIC = 13
_LEAST_FM = 8
_LINES = 3
_PIECES = re.compile(r"[^/:@._+-]*[/:@._+-]|[^/:@._+-]+")


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One check as the cells of the table, each of which may hold line breaks."""

    fm: str
    cohort: str
    metric: str
    value: str
    interval: str
    bound: str
    shown_verdict: str
    verdict: Verdict

    def cells(self) -> tuple[str, ...]:
        return (self.fm, self.cohort, self.metric, self.value, self.interval, self.bound, self.shown_verdict)


@dataclass(frozen=True)
class _Form:
    """Rows and the headers that go with them."""

    headers: tuple[str, ...]
    rows: Sequence[_Row]

    @property
    def widths(self) -> list[int]:
        """Columns of each cell."""
        columns = zip(self.headers, *(row.cells() for row in self.rows), strict=True)
        return [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]

    @property
    def width(self) -> int:
        """Columns of the table."""
        return sum(self.widths) + _GAP * (len(self.headers) - 1)


def plain(text: str, _verdict: Verdict) -> str:
    """No look."""
    return text


def render_rows(
    checks: Sequence[Check], width: int, *, allowed: bool, paint: Paint = plain
) -> tuple[str, dict[str, str]]:
    """The table, and each FM's name as the table shows it.

    Parameters
    ----------
    checks : in the order of the rows.
    width : columns; from 100 on each row is one line, below that long names take several.
    allowed : whether the criteria let an inconclusive verdict pass.
    paint : gives the verdicts their look.
    """
    short = short_names(checks)
    names = {full_name(check): fm_and_method(short[check.fm], check.method) for check in checks}
    headers = tuple(header.format(_level(checks)) for header in _HEADERS)
    form = _Form(headers, [_row(check, names, allowed=allowed) for check in checks])
    if form.width > width:
        cut = _with_cut_names(form, names, width) if width >= _ONE_LINE else None
        form, names = cut or _narrowed(form, names, width, _level(checks))
    return _drawn(form, paint), {fm: name.replace("\n", "") for fm, name in names.items()}


def full_name(check: Check) -> str:
    """The whole name of the FM and the method."""
    return fm_and_method(check.fm, check.method)


def _row(check: Check, names: Mapping[str, str], *, allowed: bool) -> _Row:
    value, bound = value_and_bound(check)
    passes = allowed and check.verdict is Verdict.INCONCLUSIVE
    return _Row(
        fm=names[full_name(check)],
        cohort=printable(check.cohort),
        metric=printable(check.label),
        value=value,
        interval=check_interval(check) or "-",
        bound=f"{check.direction} {bound}",
        shown_verdict=check.verdict.upper() + (ALLOWED if passes else ""),
        verdict=check.verdict,
    )


def _level(checks: Iterable[Check]) -> str:
    """`95 %` where all intervals have that confidence."""
    levels = {check.confidence for check in checks if check.confidence is not None} or {0.95}
    return percent(levels.pop()) if len(levels) == 1 else "its"


def _drawn(form: _Form, paint: Paint) -> str:
    """The heading is a row like the others, because tabulate widens every heading of its own by two."""
    text = tabulate(
        [form.headers, *(row.cells() for row in form.rows)],
        tablefmt="plain",
        disable_numparse=True,
        colalign=_ALIGNED,
    )
    lines = [line.rstrip() for line in text.splitlines()]
    first = 1 + max(header.count("\n") for header in form.headers)
    place = first
    for row in form.rows:
        # The verdict is the last of its line.
        lines[place] = lines[place].removesuffix(row.shown_verdict) + paint(row.shown_verdict, row.verdict)
        place += 1 + max(cell.count("\n") for cell in row.cells())
    lines.insert(first, "  ".join("-" * one for one in form.widths))
    return "\n".join(lines)


def _with_cut_names(form: _Form, names: Mapping[str, str], width: int) -> tuple[_Form, dict[str, str]] | None:
    """The rows in one line each, by names that lack their middle; None where that is not enough."""
    room = width - (form.width - form.widths[0])
    if room < _LEAST_CUT:
        return None
    cut = {fm: ends(name, room) for fm, name in names.items()}
    if len(set(cut.values())) < len(cut):
        return None
    shown = {names[fm]: name for fm, name in cut.items()}
    return _Form(form.headers, [replace(row, fm=shown[row.fm]) for row in form.rows]), cut


def _narrowed(form: _Form, names: Mapping[str, str], width: int, level: str) -> tuple[_Form, dict[str, str]]:
    """The rows in several lines each, and each FM's name as they show it."""
    rows = [
        replace(
            row,
            cohort="\n".join(_folded(row.cohort, _NARROW_COHORT)),
            metric="\n".join(textwrap.wrap(row.metric, _NARROW_METRIC, break_on_hyphens=False)),
            interval=row.interval.replace(", ", ",\n"),
        )
        for row in form.rows
    ]
    slim = _Form(tuple(header.format(level) for header in _NARROW_HEADERS), rows)
    room = max(width - (slim.width - slim.widths[0]), _LEAST_FM)
    folded = {fm: "\n".join(_folded(name, room)) for fm, name in names.items()}
    if len(set(folded.values())) < len(folded):
        # Two variants of one model must not look alike: as many lines as the names take.
        folded = {fm: "\n".join(_folded(name, room, None)) for fm, name in names.items()}
    shown = {names[fm]: text for fm, text in folded.items()}
    return _Form(slim.headers, [replace(row, fm=shown[row.fm]) for row in rows]), folded


def _folded(name: str, width: int, lines: int | None = _LINES) -> list[str]:
    """`name` in lines of at most `width`, broken after separators; of more `lines` the middle is cut."""
    folded = [""]
    for piece in _PIECES.findall(name):
        rest = piece
        if folded[-1] and len(folded[-1]) + len(rest) > width:
            folded.append("")
        while len(rest) > width:
            folded[-1], rest = rest[:width], rest[width:]
            folded.append("")
        folded[-1] += rest
    if lines is None or len(folded) <= lines:
        return folded
    return [name[: width - 3] + "...", name[-width:]]
