"""The packaged suites as pytest runs them: one test for each part of the plan.

They are not collected as a user's test functions are. Fixtures, `python_functions`, `usefixtures` and the
like are a project's means to change its own tests, and must not change what the gate checks.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.plugin import parametrizing
from pathorob_checks.plugin.checking import Checking
from pathorob_checks.plugin.fixtures import GATE
from pathorob_checks.plugin.selection import SUITES, suites

if TYPE_CHECKING:
    from pathorob_checks.plugin.gate import Gate


class Suite(pytest.Module):
    """One packaged file of tests."""

    def _getobj(self) -> ModuleType:
        """The module under its full name: a project may have a file of tests that is called the same."""
        return importlib.import_module(f"pathorob_checks.suites.{self.path.stem}")

    def collect(self) -> Iterable[pytest.Item]:
        """A test for each FM, cohort and criterion of each function."""
        gate = self.config.stash[GATE]
        for name, function in vars(self.obj).items():
            if name.startswith("test_"):
                yield from self._tests(gate, name, function)

    def _tests(self, gate: Gate, name: str, function: Callable[..., None]) -> Iterator[pytest.Item]:
        marks = list(getattr(function, "pytestmark", ()))
        needs = inspect.signature(function).parameters
        if "fm_criterion" in needs:
            cases = parametrizing.cases(gate, marks, f"{self.nodeid}::{name}")
        else:
            cases = parametrizing.subjects(gate)
        for case in cases:
            test: SuiteTest = SuiteTest.from_parent(
                self, name=f"{name}[{case.id}]", function=function, case=case
            )
            test.own_markers.extend(marks)
            test.keywords.update((mark.name, mark) for mark in marks)
            yield test


def suite(parent: Any, path: Path) -> Suite:
    """The packaged file of tests at `path`, with the id that reports print."""
    made: Suite = Suite.from_parent(parent, path=path, nodeid=f"{SUITES}/{path.name}")
    return made


def packaged_tests(session: pytest.Session) -> list[pytest.Item]:
    """All packaged tests of a run, before pytest collects: with xdist the controller never does."""
    return [test for path in suites() for test in suite(session, path).collect()]


class SuiteTest(pytest.Item):
    """One packaged check of one FM.

    Attributes
    ----------
    function : the test as its file has it.
    case : the FM, the cohort and the criterion that it is about.
    """

    def __init__(self, *, function: Callable[..., None], case: parametrizing.Case, **others: Any) -> None:
        super().__init__(**others)
        self.function, self.case = function, case

    def runtest(self) -> None:
        """Call the function with what it needs."""
        gate = self.config.stash[GATE]
        key = self.case.fm_criterion
        criterion = None if key is None else gate.evaluation.terms.checks[key].criterion
        subject = gate.subject(self.case.fm_model, self.case.fm_cohort, self.case.method)
        checking = Checking(gate, self, subject, criterion)
        offered = {
            "fm_measure": checking.measure,
            "fm_check": checking.check,
            "fm_integrity": checking.integrity,
            "fm_criterion": criterion,
        }
        needs = inspect.signature(self.function).parameters
        self.function(**{name: offered[name] for name in needs})

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where the test stands, and the title of its failure."""
        return self.path, self.function.__code__.co_firstlineno - 1, self.name
