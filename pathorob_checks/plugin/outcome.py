"""What a run has come to: the records heard so far, and how much of what was asked they cover."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pathorob_checks.plugin.pairs import Pair

if TYPE_CHECKING:
    import pytest

    from pathorob_checks.report.coverage import Check, Coverage, Key
    from pathorob_checks.report.record import CheckRecord


@dataclass
class Outcome:
    """What the controller has heard, and in a worker what it collected.

    Attributes
    ----------
    records : by test id.
    runs : the FM and the cohort behind the records.
    selected, deselected : collected checks by test id, with the criterion that each asserts; None: unknown.
    whole : whether the command asks for the whole profile, not for paths or node ids.
    problem : why the results file could not be written.
    failed : tests that failed without a record.
    """

    records: dict[str, CheckRecord] = field(default_factory=dict)
    runs: dict[Pair, dict[str, Any]] = field(default_factory=dict)
    selected: dict[str, Key | None] | None = None
    deselected: dict[str, Key | None] = field(default_factory=dict)
    whole: bool = False
    crashed: bool = False
    problem: str = ""
    failed: list[str] = field(default_factory=list)

    def hear(self, text: str) -> None:
        """Take in what `Gate.tell` wrote on a report."""
        from pathorob_checks.report.record import CheckRecord

        message = json.loads(text)
        record = CheckRecord.from_json(json.dumps(message["check"]))
        self.records[record.id] = record
        self.runs |= {Pair(record.fm, run["cohort"]["name"]): run for run in message["runs"]}

    def select(self, items: Iterable[pytest.Item]) -> None:
        """Note the tests that pytest is going to run."""
        self.selected = {**(self.selected or {}), **_checks_among(items)}

    def deselect(self, items: Iterable[pytest.Item]) -> None:
        """Note the tests that the user left out."""
        self.deselected |= _checks_among(items)

    def to_json(self) -> str:
        """For the controller: what this worker collected."""
        return json.dumps({"selected": self.selected, "deselected": self.deselected})

    def hear_collected(self, text: str) -> None:
        """Undo `to_json`; every worker collects the same."""
        told = json.loads(text)
        if told["selected"] is not None:
            self.selected = _with_keys(told["selected"])
            self.deselected = _with_keys(told["deselected"])

    def failed_without_criterion(self) -> list[str]:
        """Tests that failed and assert no criterion, such as those of an FM's integrity."""
        return [test for test in dict.fromkeys(self.failed) if test not in (self.selected or {})]

    def coverage(self, checks: Iterable[Check]) -> Coverage:
        """How much of what was asked is measured."""
        from pathorob_checks.report.coverage import Collected, coverage

        collected = (
            Collected(selected=self.selected, deselected=self.deselected)
            if self.selected is not None
            else None
        )
        return coverage(checks, collected, self.records.values(), whole=self.whole, crashed=self.crashed)


def parameter(item: pytest.Item, name: str, default: object = None) -> Any:
    """A test's parameter, as parametrization gave it."""
    callspec = getattr(item, "callspec", None)
    return default if callspec is None else callspec.params.get(name, default)


def _checks_among(items: Iterable[pytest.Item]) -> dict[str, Key | None]:
    """Tests that assert a criterion of the profile, or that a user wrote with `check`."""
    return {
        item.nodeid: parameter(item, "criterion")
        for item in items
        if parameter(item, "criterion") or "check" in getattr(item, "fixturenames", ())
    }


def _with_keys(told: dict[str, list[str] | None]) -> dict[str, Key | None]:
    return {test: None if key is None else (key[0], key[1], key[2]) for test, key in told.items()}
