"""Kept runs: adding results files, and the trend of each FM family and criterion."""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from pathorob_checks.commands.earlier_outputs import Recognizes, has_first_line, holds
from pathorob_checks.criteria.verdict import written
from pathorob_checks.errors import HistoryError, PathorobChecksError, ResultsError
from pathorob_checks.figures.trend import Panel, RunValue, trend
from pathorob_checks.files import atomic_writer
from pathorob_checks.history.families import family_of, pattern_of
from pathorob_checks.history.kept import KeptCheck
from pathorob_checks.history.store import History
from pathorob_checks.history.trend import LEVEL, Change, Point, Trend, compared, trends_of
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.numbers import change_and_interval, judged_interval
from pathorob_checks.results.results import Results
from pathorob_checks.results.saving import save_text
from pathorob_checks.results.text import wrapped
from pathorob_checks.wording import counted, hint, percent, printable

FIGURES = ("png", "svg", "pdf")
_TITLE = "pathorob-checks history"  # in the metadata of every figure, to tell it from somebody else's
_COLUMNS = ("date", "FM", "value", "interval", "bound", "verdict", "change")
_CSV_COLUMNS = (
    "family", "method", "cohort", "metric", "criterion", "created", "fm", "revision", "value", "low", "high",
    "direction", "bound", "verdict", "change", "change_low", "change_high", "basis", "p_value", "corrected",
    "fall",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which checks are shown.

    Attributes
    ----------
    fm : the name of an FM or of a family, where `*` stands for any letters; None for all.
    metric, cohort : names; None for all.
    family : a regular expression, see `history.families.family_of`.
    """

    fm: str | None = None
    metric: str | None = None
    cohort: str | None = None
    family: str | None = None


def add(history: History, files: Sequence[Path]) -> Iterator[tuple[str, bool]]:
    """Add results files; gives a line for each, and whether it is in the history now."""
    for file in files:
        try:
            results = Results.read(file)
            for contradiction in contradictions(results):
                raise ResultsError(
                    f"the results file {file} contradicts itself: {contradiction}",
                    remedy="run the gate again",
                )
            _, is_new = history.add(results)
        except PathorobChecksError as error:
            yield f"{file}: not added: {error}", False
            continue
        checks = counted(len(results.checks), "check")
        yield f"{file}: {f'added, {checks}' if is_new else 'was there already'}", True


def trends(history: History, chosen: Chosen) -> tuple[Trend, ...]:
    """The trends that are shown.

    Raises
    ------
    HistoryError : the history cannot be read, or has nothing of what was chosen.
    """
    pattern = pattern_of(chosen.family) if chosen.family is not None else None
    checks = history.checks()
    if not checks:
        raise HistoryError(
            f"the history {history.path} has no run", remedy="add one with 'pathorob-checks history add FILE'"
        )
    kept = _of_name(_of_name(checks, "metric", chosen.metric), "cohort", chosen.cohort)
    if chosen.fm is not None:
        wanted = chosen.fm.casefold()
        names = {check.fm: (check.fm, family_of(check.fm, pattern)) for check in checks}
        fms = {
            fm
            for fm, both in names.items()
            if any(fnmatch.fnmatchcase(name.casefold(), wanted) for name in both)
        }
        if not fms:
            families = sorted({family for _, family in names.values()})
            raise HistoryError(
                f"--fm={chosen.fm}: the history {history.path} has no such FM",
                remedy=hint(chosen.fm, families, "its families are {known}"),
            )
        kept = [check for check in kept if check.fm in fms]
    if not kept:
        raise HistoryError("no kept check has all that was chosen", remedy="leave one of the options out")
    return trends_of(kept, pattern)


def render(shown_trends: Sequence[Trend], width: int) -> str:
    """The trends as tables, the newest run last, and how falls were found."""
    blocks = []
    for one in shown_trends:
        rows = [_row(point) for point in one.points]
        table = tabulate(rows, _COLUMNS, disable_numparse=True)
        blocks.append(f"{_title(one)}\n{table}")
    remarks = "\n".join(wrapped(line, width=width, indent="  ") for line in _remarks(shown_trends))
    return "\n\n".join([*blocks, remarks])


def to_csv(shown_trends: Sequence[Trend]) -> str:
    """All points of the trends as CSV, a row each."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for one in shown_trends:
        for point in one.points:
            check, change = point.check, point.change
            low, high = check.interval or ("", "")
            row: list[object] = [
                one.family,
                one.method,
                one.cohort,
                one.metric,
                one.criterion,
                check.run.created,
                check.fm,
            ]
            row += [check.revision or "", _number(check.value), low, high, check.direction, check.bound]
            writer.writerow([*map(_cell, row), str(check.verdict), *_csv_change(change)])
    return stream.getvalue()


def save_csv(shown_trends: Sequence[Trend], path: Path) -> None:
    """Write `to_csv`.

    Raises
    ------
    ResultsError : the file cannot be written.
    """
    save_text(path, to_csv(shown_trends), "table")


def save_figure(shown_trends: Sequence[Trend], path: Path) -> None:
    """Draw the trends into a file, whole or not at all.

    Raises
    ------
    ResultsError : its name has another ending than `FIGURES`, or it cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FIGURES:
        raise ResultsError(
            f"--figure={path}: '{path.suffix}' is no kind of figure",
            remedy=f"end the name with one of {', '.join('.' + one for one in FIGURES)}",
        )
    figure = trend([_panel(one) for one in shown_trends])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path) as stream:
            metadata = {"Title": _TITLE} | ({"Date": None} if kind == "svg" else {})
            figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
    except OSError as error:
        raise ResultsError(
            f"the figure {path} cannot be written ({error.strerror})",
            remedy="name a file in a folder that you may write to",
        ) from None


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form in which trends are written to a file.

    Attributes
    ----------
    noun : what the file is called.
    save : writes it.
    is_one : whether a file's content is of this form.
    """

    noun: str
    save: Callable[[Sequence[Trend], Path], None]
    is_one: Recognizes


TABLE = Form(noun="table", save=save_csv, is_one=has_first_line(",".join(_CSV_COLUMNS)))
FIGURE = Form(noun="figure", save=save_figure, is_one=holds(_TITLE))


def _of_name(checks: Sequence[KeptCheck], what: str, wanted: str | None) -> list[KeptCheck]:
    """Checks on one metric or cohort."""
    if wanted is None:
        return list(checks)
    known = sorted({getattr(check, what) for check in checks})
    if wanted not in known:
        raise HistoryError(
            f"--{what}={wanted}: the history has no such check",
            remedy=hint(wanted, known, "it has {known}"),
        )
    return [check for check in checks if getattr(check, what) == wanted]


def _title(one: Trend) -> str:
    fm = fm_and_method(one.family, one.method)
    return printable(f"{fm} on {one.cohort}: {one.label} (criterion {one.criterion})")


def _row(point: Point) -> list[str]:
    check = point.check
    value, bound = "-", f"{check.bound:.3f}"
    if check.value is not None:
        value, bound = written(check.value, check.bound, check.direction)
    cells = [
        check.run.created.partition("T")[0],
        check.fm,
        value,
        judged_interval(check.interval, check.bound, check.direction) if check.interval else "-",
        f"{check.direction} {bound}",
        check.verdict.upper() + (", not sound" if check.sound is False else ""),
        _change_text(point.change),
    ]
    return [printable(cell) for cell in cells]


def _change_text(change: Change | None) -> str:
    if change is None:
        return ""
    if change.basis == "not compared":
        return f"{change.value:+.3f} not compared: {change.reason}"
    mark = "FALL " if change.is_fall else ""
    parts = (*change_and_interval(change.value, change.interval), change.basis)
    return mark + " ".join(filter(None, parts))


def _remarks(shown_trends: Sequence[Trend]) -> Iterator[str]:
    number = len(compared(shown_trends))
    if not number:
        yield "There is nothing to compare yet: a change needs two runs of a family with intervals."
        return
    falls = sum(len(one.falls) for one in shown_trends)
    made = counted(number, "comparison")
    verdict = counted(falls, "significant fall") if falls else "No significant fall"
    yield (
        f"{verdict} among {made} with the run before, one-sided at {percent(LEVEL)} for all of them together "
        "by Holm's correction."
    )
    changes = [point.change for one in shown_trends for point in one.points if point.change is not None]
    bases = {change.basis for change in changes}
    if "paired" in bases:
        yield "paired: the same slides, cases or repetitions are drawn for both values."
    if "intervals" in bases:
        reasons = sorted({change.reason for change in changes if change.basis == "intervals"})
        yield (
            f"intervals: by the standard errors of both intervals, because {' or '.join(reasons)}. What "
            "values on the same slides share does not cancel, so that only larger falls are found."
        )
    for one in shown_trends:
        for point in one.falls:
            yield f"FALL: {_title(one)}: {point.check.fm} of {point.check.run.created.partition('T')[0]}"


def _number(value: float | None) -> float | str:
    return "" if value is None else value


def _cell(value: object) -> object:
    """Names as spreadsheets show them: one that begins like a formula is text."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _csv_change(change: Change | None) -> list[object]:
    if change is None:
        return [""] * 7
    low, high = change.interval or ("", "")
    return [
        change.value,
        low,
        high,
        change.basis,
        _number(change.p_value),
        _number(change.corrected),
        str(change.is_fall).lower(),
    ]


def _panel(one: Trend) -> Panel:
    return Panel(
        title=f"{fm_and_method(one.family, one.method)} on {one.cohort}",
        label=one.label,
        values=tuple(
            RunValue(
                when=point.check.run.created.partition("T")[0],
                fm=point.check.fm,
                value=point.check.value,
                interval=point.check.interval,
                bound=point.check.bound,
                is_fall=point.change is not None and point.change.is_fall,
            )
            for point in one.points
        ),
    )
