"""Which tests a run has: FM x cohort x criterion, from the options alone, without network, GPU or cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.plugin import fixtures
from pathorob_checks.wording import hint, printable, shortened

if TYPE_CHECKING:
    from pathorob_checks.evaluation.plan import Key, PlannedCheck
    from pathorob_checks.plugin.gate import Gate

MARKERS = (
    "fm_metric(name): this test makes each check of the profile about that metric; without a name, about the "
    "metrics that other packages add",
    "fm_criteria(kind): this test makes each check about a 'mean' over cohorts, about a 'difference' from "
    "the baseline, or about what a 'repair' may not destroy",
)
_NAMES = ("fm_model", "fm_cohort", "fm_criterion")
_MARKS, _KINDS = ("fm_metric", "fm_criteria"), ("mean", "difference", "repair")


class Case(NamedTuple):
    """What one test is about, named like the fixtures; `suffix` is what its id has after FM and cohort."""

    fm_model: str
    fm_cohort: str
    fm_criterion: Key | None
    suffix: str = ""
    method: str = NO_METHOD

    @property
    def id(self) -> str:
        """The part of the test's id in brackets."""
        from pathorob_checks.results.names import subject_id

        return printable(subject_id(self.fm_model, self.method, self.fm_cohort) + self.suffix)


def parametrize(metafunc: pytest.Metafunc, gate: Gate | None) -> None:
    """Parametrize a user's test that uses this plugin's fixtures."""
    names = [name for name in _NAMES if _is_ours(metafunc, name)]
    if not names:
        return
    if gate is None:
        metafunc.parametrize(names, [[None] * len(names)], indirect=True, ids=["no-fm"])
        return
    if "fm_criterion" in names:
        every = cases(gate, list(metafunc.definition.iter_markers()), metafunc.definition.nodeid)
    else:
        every = unrepaired(gate)
    values = {_id(case, names): [getattr(case, name) for name in names] for case in every}
    metafunc.parametrize(names, list(values.values()), ids=list(values), indirect=True)


def _id(case: Case, names: list[str]) -> str:
    parts = [str(getattr(case, name)) for name in names if name != "fm_criterion"]
    if case.method != NO_METHOD:
        parts.insert(1, case.method)
    subject = "-".join(parts)
    return printable(subject + case.suffix)


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether an argument is this plugin's fixture, not one of the user's that has the same name."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        argnames = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if name in (argnames.replace(" ", "").split(",") if isinstance(argnames, str) else argnames):
            return False
    return uses(metafunc.definition, name)


def uses(item: pytest.Item, name: str) -> bool:
    """Whether a test uses this plugin's fixture of that name; a project may have one of that name too."""
    known: Any = getattr(item, "_fixtureinfo", None)
    definitions: Any = known.name2fixturedefs.get(name) if known is not None else None
    return bool(definitions) and definitions[-1].func.__module__ == fixtures.__name__


def unrepaired(gate: Gate) -> Iterator[Case]:
    """A case for each FM on each cohort without a method, whatever the run judges."""
    pairs = dict.fromkeys((one.fm, one.cohort) for one in gate.evaluation.subjects.subjects)
    return (Case(fm, cohort, None) for fm, cohort in pairs)


def subjects(gate: Gate) -> Iterator[Case]:
    """A case for each FM on each cohort."""
    for subject in gate.evaluation.subjects.subjects:
        yield Case(subject.fm, subject.cohort, None, method=subject.method)


def cases(gate: Gate, marks: Sequence[pytest.Mark], test: str) -> Iterator[Case]:
    """A case for each check of the profile that a test makes.

    Parameters
    ----------
    marks : of the test, the closest first.
    test : its id, for messages.
    """
    from pathorob_checks.metrics.registry import added_metrics, metrics

    terms, ours = gate.evaluation.terms, [mark for mark in marks if mark.name in _MARKS]
    if not ours:
        raise pytest.UsageError(
            f"{test} uses the fixture fm_criterion; mark it with "
            "@pytest.mark.fm_metric('robustness_index') or another metric."
        )
    mark = ours[0]
    known = tuple(metrics()) if mark.name == "fm_metric" else _KINDS
    if mark.kwargs or len(mark.args) > 1 or not (mark.args or mark.name == "fm_metric"):
        raise pytest.UsageError(f"{test} is marked with {mark.name}, which takes one of {', '.join(known)}.")
    name = mark.args[0] if mark.args else None
    if name is not None and name not in known:
        remedy = hint(name, known, "name one of {known}")
        raise pytest.UsageError(f"{test} is marked with {mark.name}({shortened(name)}); {remedy}.")
    if mark.name == "fm_criteria":
        for check in terms.of_kind(str(name)):
            yield _case(check, always=True)
        return

    for subject in gate.evaluation.subjects.subjects:
        for metric in (name,) if name else added_metrics():
            checks = terms.of_metric(subject, metric)
            for check in checks:
                yield _case(check, always=name is None or len(checks) > 1)


def _case(check: PlannedCheck, *, always: bool) -> Case:
    """`always` puts the criterion into the id even where the metric has only one."""
    suffix = f"-{check.criterion.id}" if always else ""
    return Case(check.fm, check.criterion.cohort, check.key, suffix, check.method)
