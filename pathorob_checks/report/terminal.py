"""The table and the one line that a run ends with, as plain text."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from pathorob_checks.criteria.verdict import Verdict, percent, written
from pathorob_checks.metrics.measurement import METRICS
from pathorob_checks.report.coverage import Coverage
from pathorob_checks.report.explain import interval_text, label_of, printable, wrapped
from pathorob_checks.report.record import CheckRecord

_HEADERS = ("FM", "cohort", "metric", "value", "{}\ninterval", "bound", "verdict")
_ALIGNED = ("left", "left", "left", "right", "left", "left", "left")
_GAP = 2
_NARROW_COHORT = 12
_NARROW_METRIC = 14
_LEAST_FM = 8
_LINES = 3
_PIECES = re.compile(r"[^/:@._+-]*[/:@._+-]|[^/:@._+-]+")
_COMMIT = re.compile(r"(@[0-9a-f]{8})[0-9a-f]{32}$")
_NAMED_FAILURES = 3


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One record as the cells of the table; `interval` may hold a line break."""

    fm: str
    cohort: str
    metric: str
    value: str
    interval: str
    bound: str
    verdict: str

    def cells(self) -> tuple[str, ...]:
        return (self.fm, self.cohort, self.metric, self.value, self.interval, self.bound, self.verdict)


def render_table(records: Sequence[CheckRecord], width: int, profile: str | None = None) -> str:
    """The table of all checks, the bounds with their reasons, and why anything was not measured.

    Parameters
    ----------
    records : one FM's stay in this order; several FMs stand beside each other per cohort and metric.
    width : columns of the terminal; 80 holds typical names, below about 70 long names are shortened.
    profile : the name of the profile the bounds come from.
    """
    if not records:
        return "No criterion was checked."
    ordered = _side_by_side(records)
    names = _short_names(records)
    rows = [_row(record, names) for record in ordered]
    if _width(rows) > width:
        rows, names = _narrowed(rows, names, width)
    blocks = [_table(rows, _level(records))]
    unbroken = {fm: name.replace("\n", "") for fm, name in names.items()}
    legend = [f"{name}: {fm}" for fm, name in unbroken.items() if name != printable(fm)]
    if legend:
        blocks.append("\n".join(wrapped(line, width=width, indent="  ") for line in legend))
    blocks.append(_bounds(ordered, width, profile))
    blocks += _reasons(ordered, width)
    return "\n\n".join(blocks)


def summary_line(
    records: Sequence[CheckRecord],
    coverage: Coverage,
    *,
    demanded: bool = False,
    unsound: Sequence[str] = (),
) -> str:
    """The run in one line; its first word is the run's outcome.

    FAIL (a criterion is known not to be met) comes before ERROR (something could not be measured, never ran
    or a worker crashed), that before FAIL for a test without a criterion, that before INCONCLUSIVE, that
    before PARTIAL (left out on purpose). PASS is said only where every planned criterion was measured and met
    and no other test failed.

    Parameters
    ----------
    demanded : completeness is: a part is then an error.
    unsound : ids of tests that failed and assert no criterion: what the criteria say may mean nothing.
    """
    count = Counter(record.verdict for record in records)
    total, measured = coverage.planned, coverage.measured
    optional = sum(one.verdict is Verdict.SKIPPED and not one.required for one in records)
    open_ends = [
        said
        for number, said in (
            (count[Verdict.ERROR], f"{count[Verdict.ERROR]} could not be measured"),
            (count[Verdict.INCONCLUSIVE], f"{count[Verdict.INCONCLUSIVE]} inconclusive"),
            (count[Verdict.SKIPPED], f"{count[Verdict.SKIPPED]} skipped"),
            (coverage.never_ran, f"{coverage.never_ran} never ran"),
            (coverage.left_out, f"PARTIAL: {coverage.left_out} left out"),
            (coverage.crashed, "a worker crashed"),
            (unsound and count[Verdict.FAIL], f"{_tests(unsound)} failed"),
        )
        if number
    ]
    rest = "".join(f"; {said}" for said in open_ends)
    if count[Verdict.FAIL]:
        failures = _named(record for record in records if record.verdict is Verdict.FAIL)
        return f"FAIL: {count[Verdict.FAIL]} of {_criteria(total)} not met: {failures}{rest}"
    if not total:
        return "ERROR: no criterion was checked" + ("; a worker crashed" if coverage.crashed else "")
    lost = count[Verdict.ERROR] or coverage.never_ran or count[Verdict.SKIPPED] > optional
    if lost or coverage.must_fail(require_complete=demanded):
        why = "; all required ones were to be measured" if demanded and coverage.left_out else ""
        return f"ERROR: {measured} of {_criteria(total)} measured{rest}{why}"
    if unsound:
        return f"FAIL: {_tests(unsound)} failed; {count[Verdict.PASS]} of {_criteria(total)} met{rest}"
    if count[Verdict.INCONCLUSIVE]:
        undecided = _named(record for record in records if record.verdict is Verdict.INCONCLUSIVE)
        others = "".join(f"; {said}" for said in open_ends if "inconclusive" not in said)
        return f"INCONCLUSIVE: {count[Verdict.INCONCLUSIVE]} of {_criteria(total)}: {undecided}{others}"
    if measured < total:
        met = f", {count[Verdict.PASS]} met" if measured else ""
        return f"PARTIAL: {measured} of {_criteria(total)} measured{met}{rest.replace('PARTIAL: ', '')}"
    fms, cohorts = len({record.fm for record in records}), len({record.cohort for record in records})
    return (
        f"PASS: {total} of {_criteria(total)} met "
        f"({fms} FM{'s' * (fms > 1)}, {cohorts} cohort{'s' * (cohorts > 1)})"
    )


def _tests(ids: Sequence[str]) -> str:
    """Tests without a criterion, the first of them by name."""
    name = ids[0].rpartition("::")[2] if ids else ""
    return f"{name} and {len(ids) - 1} more tests" if len(ids) > 1 else name


def _criteria(number: int) -> str:
    return "1 criterion" if number == 1 else f"{number} criteria"


def _named(records: Iterable[CheckRecord]) -> str:
    """The first few failures by name: all of them would be a second table."""
    records = list(records)
    short = _short_names(records)
    names = []
    for record in records:
        against = _OPPOSITE[record.direction] if record.verdict is Verdict.FAIL else record.direction
        value, bound = _value_and_bound(record)
        where = f"{short[record.fm]}, {printable(record.cohort)}"
        names.append(f"{label_of(record)} {value} {against} {bound} ({where})")
    more = len(names) - _NAMED_FAILURES
    return ", ".join(names[:_NAMED_FAILURES]) + (f", and {more} more" if more > 0 else "")


_OPPOSITE = {">=": "<", "<=": ">"}


def _value_and_bound(record: CheckRecord) -> tuple[str, str]:
    if record.value is None:
        return "-", f"{record.bound:.3f}"
    return written(record.value, record.bound, record.direction)


def _side_by_side(records: Sequence[CheckRecord]) -> list[CheckRecord]:
    fms = list(dict.fromkeys(record.fm for record in records))
    if len(fms) == 1:
        return list(records)
    cohorts = list(dict.fromkeys(record.cohort for record in records))
    criteria = list(dict.fromkeys(record.criterion for record in records))

    def place(record: CheckRecord) -> tuple[int, int, int, int]:
        known = METRICS.index(record.metric) if record.metric in METRICS else len(METRICS)
        return (
            cohorts.index(record.cohort),
            known,
            criteria.index(record.criterion),
            fms.index(record.fm),
        )

    return sorted(records, key=place)


def _short_names(records: Iterable[CheckRecord]) -> dict[str, str]:
    """Each FM's name for tables: a commit is told by its first eight digits, where that stays distinct."""
    full = {record.fm: printable(record.fm) for record in records}
    short = {fm: _COMMIT.sub(r"\1", name) for fm, name in full.items()}
    return short if len(set(short.values())) == len(short) else full


def _row(record: CheckRecord, names: Mapping[str, str]) -> _Row:
    value, bound = _value_and_bound(record)
    return _Row(
        fm=names[record.fm],
        cohort=printable(record.cohort),
        metric=label_of(record),
        value=value,
        interval=interval_text(record.interval) if record.interval is not None else "-",
        bound=f"{record.direction} {bound}",
        verdict=record.verdict.upper(),
    )


def _level(records: Iterable[CheckRecord]) -> str:
    """`95 %` where all intervals have that confidence."""
    levels = {record.confidence for record in records if record.confidence is not None} or {0.95}
    return percent(levels.pop()) if len(levels) == 1 else "its"


def _table(rows: Sequence[_Row], level: str) -> str:
    """The heading is a row like the others, because tabulate widens every heading of its own by two."""
    text = tabulate(
        [[header.format(level) for header in _HEADERS], *(row.cells() for row in rows)],
        tablefmt="plain",
        disable_numparse=True,
        colalign=_ALIGNED,
    )
    lines = [line.rstrip() for line in text.splitlines()]
    lines.insert(
        max(header.count("\n") for header in _HEADERS) + 1, "  ".join("-" * one for one in _widths(rows))
    )
    return "\n".join(lines)


def _widths(rows: Sequence[_Row]) -> list[int]:
    columns = zip(_HEADERS, *(row.cells() for row in rows), strict=True)
    return [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]


def _width(rows: Sequence[_Row]) -> int:
    return sum(_widths(rows)) + _GAP * (len(_HEADERS) - 1)


def _narrowed(
    rows: Sequence[_Row], names: Mapping[str, str], width: int
) -> tuple[list[_Row], dict[str, str]]:
    """The rows in several lines each, and each FM's name as they show it."""
    slim = [
        replace(
            row,
            cohort="\n".join(_folded(row.cohort, _NARROW_COHORT)),
            metric="\n".join(textwrap.wrap(row.metric, _NARROW_METRIC, break_on_hyphens=False)),
            interval=row.interval.replace(", ", ",\n"),
        )
        for row in rows
    ]
    room = max(width - (_width(slim) - _widths(slim)[0]), _LEAST_FM)
    folded = {fm: "\n".join(_folded(name, room)) for fm, name in names.items()}
    if len(set(folded.values())) < len(folded):
        # Two variants of one model must not look alike: as many lines as the names take.
        folded = {fm: "\n".join(_folded(name, room, None)) for fm, name in names.items()}
    shown = {names[fm]: text for fm, text in folded.items()}
    return [replace(row, fm=shown[row.fm]) for row in slim], folded


def _folded(name: str, width: int, lines: int | None = _LINES) -> list[str]:
    """`name` in lines of at most `width`, broken after separators; beyond `lines` its middle is left out."""
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
    # Both ends tell models apart: the organisation in front, the variant or revision behind.
    return [name[: width - 3] + "...", name[-width:]]


def _bounds(records: Sequence[CheckRecord], width: int, profile: str | None) -> str:
    """Each bound once with its reason; cohorts are named where they are held to different bounds."""
    every = {record.cohort for record in records}
    rules = {record.rule for record in records}
    held: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        asked = f"{label_of(record)} {record.direction} {record.bound:.3f}"
        traced = "; ".join(filter(None, (", ".join(record.requirements), record.owner)))
        rule = f"rule {record.rule}" if len(rules) > 1 else ""
        cohorts = held.setdefault((asked, record.criterion, record.rationale, rule, traced), [])
        if record.cohort not in cohorts:
            cohorts.append(record.cohort)
    terms = ", ".join(
        filter(
            None,
            (
                f"profile {printable(profile)}" if profile else "",
                f"rule {rules.pop()}" if len(rules) == 1 else "",
            ),
        )
    )
    lines = [f"Bounds ({terms}):" if terms else "Bounds:"]
    for (asked, _, rationale, rule, traced), cohorts in held.items():
        where = "" if set(cohorts) == every else ", ".join(cohorts)
        notes = "; ".join(filter(None, (where, rule, traced)))
        lines.append(
            wrapped(f"- {asked}{f' ({notes})' if notes else ''}: {rationale}", width=width, indent="  ")
        )
    return "\n".join(lines)


def _reasons(records: Sequence[CheckRecord], width: int) -> list[str]:
    """Why a criterion has no verdict, where the table does not show it; each reason is told once."""
    told: dict[tuple[Verdict, str], list[str]] = {}
    for record in records:
        if not record.verdict.is_measured or (record.verdict is Verdict.INCONCLUSIVE and record.drift):
            where = f"{label_of(record)} of {record.fm} on {record.cohort}"
            told.setdefault((record.verdict, record.reason), []).append(where)
    if not told:
        return []
    lines = ["Without a verdict:"]
    for (verdict, reason), places in told.items():
        sentence = f"- {verdict.upper()} {', '.join(places)}: {reason or 'no reason was given'}"
        lines.append(wrapped(sentence, width=width, indent="  "))
    return ["\n".join(lines)]
