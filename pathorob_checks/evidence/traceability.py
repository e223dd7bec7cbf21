"""From each requirement to the criteria, tests, values and verdicts that speak to it, and back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pathorob_checks.criteria.templates import filled_in
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.names import fm_and_method

NO_CHECK, NO_RECORD = "no check", "no record"
_FORMULA = ("=", "+", "-", "@", "\t")  # with these a spreadsheet begins a formula


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One requirement and one check that speaks to it; the fields are the columns of the table.

    Attributes
    ----------
    requirement : "" for a criterion that names none.
    test : id of the test; "" where no check was planned.
    value, low, high, bound : as in the results file.
    verdict : of the check, `no record`, or `no check` where none was planned.
    figure : place in report.html, `report.html#...`.
    """

    requirement: str
    criterion: str
    owner: str | None = None
    fm: str = ""
    cohort: str = ""
    metric: str = ""
    quantity: str = ""
    test: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    direction: str = ""
    bound: float | None = None
    rule: str = ""
    verdict: str
    figure: str = ""


COLUMNS = tuple(field.name for field in fields(Trace))


def traces(results: ResultsDocument, protocol: Mapping[str, Any], report: str) -> list[Trace]:
    """Every requirement of every planned check, then criteria without requirement, then the rest.

    A requirement that a template has left open is none.

    Parameters
    ----------
    protocol : see `protocol.protocol_document`.
    report : the text of report.html, whose places are referred to.
    """
    places = _places(results, report)
    known = {(one.fm, one.method, one.cohort, one.criterion): n for n, one in enumerate(results.checks)}
    rows: list[Trace] = []
    for planned in protocol["planned"]:
        number = known.pop(tuple(planned[key] for key in ("fm", "method", "cohort", "criterion")), None)
        for requirement in filled_in(planned["requirements"]) or [""]:
            if number is None:
                rows.append(_unrecorded(requirement, planned))
            else:
                rows.append(_recorded(requirement, results.checks[number], places[number]))
    for number in known.values():  # a user's own test
        check = results.checks[number]
        rows += [_recorded(one, check, places[number]) for one in filled_in(check.requirements) or [""]]
    rows += _without_check(protocol, {(one.requirement, one.criterion) for one in rows})
    order = {requirement: n for n, requirement in enumerate(requirements_of(rows))}
    return sorted(rows, key=lambda one: order.get(one.requirement, len(order)))


def requirements_of(rows: Sequence[Trace]) -> tuple[str, ...]:
    """The requirements, each once, sorted."""
    return tuple(sorted({one.requirement for one in rows if one.requirement}))


def _recorded(requirement: str, check: Check, place: str) -> Trace:
    low, high = check.interval or (None, None)
    return Trace(
        requirement=requirement,
        criterion=check.criterion,
        owner=check.owner,
        fm=fm_and_method(check.fm, check.method),
        cohort=check.cohort,
        metric=check.metric,
        quantity=check.quantity,
        test=check.id,
        value=check.value,
        low=low,
        high=high,
        confidence=check.confidence,
        direction=check.direction,
        bound=check.bound,
        rule=check.rule,
        verdict=str(check.verdict),
        figure=place,
    )


def _unrecorded(requirement: str, planned: Mapping[str, Any]) -> Trace:
    copied = ("criterion", "owner", "cohort", "metric", "quantity", "direction", "bound", "rule")
    return Trace(
        requirement=requirement,
        fm=fm_and_method(planned["fm"], planned["method"]),
        test=planned["id"],
        verdict=NO_RECORD,
        **{name: planned[name] for name in copied},
    )


def _without_check(protocol: Mapping[str, Any], traced: set[tuple[str, str]]) -> Iterator[Trace]:
    """Requirements and criteria of the profile that no check of this run speaks to."""
    checked = {criterion for _, criterion in traced}
    for entry in protocol["terms"]["criteria"].get("criteria", ()):
        if entry["id"] in checked:
            continue
        for requirement in filled_in(entry.get("requirements") or ()) or [""]:
            yield Trace(
                requirement=requirement,
                criterion=entry["id"],
                owner=entry.get("owner"),
                metric=entry["metric"],
                verdict=NO_CHECK,
            )


def _places(results: ResultsDocument, report: str) -> list[str]:
    """For each check the figures of its FM and cohort in the report, else its own place there."""
    subjects: dict[tuple[str, str], int] = {}
    places = []
    for number, check in enumerate(results.checks):
        subject = subjects.setdefault((fm_and_method(check.fm, check.method), check.cohort), len(subjects))
        names = (f"figures-{subject}", f"missed-{number}", "checks")
        place = next((name for name in names if f'id="{name}"' in report), "")
        places.append(f"report.html#{place}" if place else "report.html")
    return places


def traces_as_csv(rows: Sequence[Trace]) -> str:
    """The table as RFC 4180; a spreadsheet takes no cell for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in rows:
        writer.writerow([_cell(getattr(one, name)) for name in COLUMNS])
    return text.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else repr(value)
