"""Which tests a run has: FM x cohort x criterion, from the options alone, without network, GPU or cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pathorob_checks.plugin import fixtures
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.evaluation.plan import Key, PlannedCheck
    from pathorob_checks.plugin.gate import Gate

MARKERS = (
    "fm_metric(name): this test makes each check of the profile about that metric; without a name, about the "
    "metrics that other packages add",
    "fm_criteria(quantity): this test makes each check about a 'mean' over cohorts, or about a 'difference' "
    "from the baseline",
)
_NAMES = ("fm", "cohort", "criterion")


class Case(NamedTuple):
    """What one test is about; `suffix` is what its id has after FM and cohort."""

    fm: str
    cohort: str
    criterion: Key | None
    suffix: str = ""

    @property
    def id(self) -> str:
        """The part of the test's id in brackets."""
        return printable(f"{self.fm}-{self.cohort}{self.suffix}")


def parametrize(metafunc: pytest.Metafunc, gate: Gate | None) -> None:
    """Parametrize a user's test that uses this plugin's fixtures."""
    names = [name for name in _NAMES if _is_ours(metafunc, name)]
    if not names:
        return
    if gate is None:
        metafunc.parametrize(names, [[None] * len(names)], indirect=True, ids=["no-fm"])
        return
    if "criterion" in names:
        every = cases(gate, list(metafunc.definition.iter_markers()), metafunc.definition.nodeid)
    else:
        every = subjects(gate)
    values = {_id(case, names): [getattr(case, name) for name in names] for case in every}
    metafunc.parametrize(names, list(values.values()), ids=list(values), indirect=True)


def _id(case: Case, names: list[str]) -> str:
    subject = "-".join(str(getattr(case, name)) for name in names if name != "criterion")
    return printable(subject + case.suffix)


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether an argument is this plugin's fixture, not one of the user's that has the same name."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        argnames = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if name in (argnames.replace(" ", "").split(",") if isinstance(argnames, str) else argnames):
            return False
    definitions = metafunc._arg2fixturedefs.get(name, ())
    return bool(definitions) and definitions[-1].func.__module__ == fixtures.__name__


def subjects(gate: Gate) -> Iterator[Case]:
    """A case for each FM on each cohort."""
    for subject in gate.evaluation.subjects.subjects:
        yield Case(subject.fm, subject.cohort, None)


def cases(gate: Gate, marks: Sequence[pytest.Mark], test: str) -> Iterator[Case]:
    """A case for each check of the profile that a test makes.

    Parameters
    ----------
    marks : of the test, the closest first.
    test : its id, for messages.
    """
    terms = gate.evaluation.terms
    quantity = _argument(marks, "fm_criteria")
    if quantity is not None:
        for check in terms.of_quantity(quantity):
            yield _case(check, always=True)
        return
    if not any(mark.name == "fm_metric" for mark in marks):
        raise pytest.UsageError(
            f"{test} uses the fixture criterion; mark it with "
            "@pytest.mark.fm_metric('robustness_index') or another metric."
        )
    name = _argument(marks, "fm_metric")
    from pathorob_checks.metrics.registry import added_metrics

    for subject in gate.evaluation.subjects.subjects:
        for metric in (name,) if name else added_metrics():
            checks = terms.of_metric(subject, metric)
            for check in checks:
                yield _case(check, always=name is None or len(checks) > 1)


def _case(check: PlannedCheck, *, always: bool) -> Case:
    """`always` puts the criterion into the id even where the metric has only one."""
    suffix = f"-{check.criterion.id}" if always else ""
    return Case(check.fm, check.criterion.cohort, check.key, suffix)


def _argument(marks: Sequence[pytest.Mark], name: str) -> str | None:
    """The one word that a marker of ours has."""
    mark = next((mark for mark in marks if mark.name == name), None)
    return str(mark.args[0]) if mark is not None and len(mark.args) == 1 else None
