"""Which checks and which subject of a run a figure is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pathorob_checks.errors import FigureError
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import MetricFacts, ResultsDocument
from pathorob_checks.results.explanation import QUANTITY_LABELS
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.wording import hint, quoted

_Part = TypeVar("_Part", Check, Run)


def fm_of(part: Check | Run) -> str:
    """The FM of a check or run, with the method that repairs its embeddings."""
    return fm_and_method(_fm_alone(part), part.method)


def _fm_alone(part: Check | Run) -> str:
    return part.fm if isinstance(part, Check) else part.fm.name


def cohort_of(part: Check | Run) -> str:
    """The name of the cohort of a check or run."""
    return part.cohort if isinstance(part, Check) else part.cohort.name


def metric_label(check: Check) -> str:
    """The name of the metric, without the quantity."""
    return check.label.removesuffix(QUANTITY_LABELS[check.quantity])


def facts_of(results: ResultsDocument, check: Check) -> MetricFacts | None:
    """The scale of the check's metric; None where the document does not say."""
    return results.metrics.get(check.metric)


def matching(parts: Iterable[_Part], fm: str | None, cohort: str | None) -> list[_Part]:
    """Those of an FM and a cohort, or of all of them where none is named.

    An FM goes by its whole name, such as `virchow2` or `virchow2 + combat`; where no part has that name, by
    the FM's own name with whatever method.
    """
    parts = list(parts)
    if fm is not None:
        # An FM without a method has a whole name that all its repaired forms begin with.
        named = [part for part in parts if fm_of(part) == fm]
        parts = named or [part for part in parts if fm == _fm_alone(part)]
    return [part for part in parts if cohort in (None, cohort_of(part))]


def of_one_subject(parts: Sequence[_Part], fm: str | None, cohort: str | None, what: str) -> list[_Part]:
    """Those of one FM on one cohort: of the named ones, or of the only ones.

    Parameters
    ----------
    what : what the parts have, such as `a map of the embeddings`; for messages.

    Raises
    ------
    FigureError : there are none, or those of several FMs or cohorts.
    """
    if not parts:
        raise FigureError(f"the results have no {what}", remedy="give results of a run that measured it")
    parts = _of_one(parts, fm, "FM", "fm", fm_of, lambda wanted: matching(parts, wanted, None), what)
    return _of_one(
        parts, cohort, "cohort", "cohort", cohort_of, lambda wanted: matching(parts, None, wanted), what
    )


def of_one_metric(checks: Sequence[Check], metric: str | None, what: str) -> list[Check]:
    """The checks of a metric: of the named one, or of the only one.

    Raises
    ------
    FigureError : there are none, or those of several metrics.
    """

    def of(wanted: str) -> list[Check]:
        return [check for check in checks if check.metric == wanted]

    return _of_one(checks, metric, "metric", "metric", lambda check: check.metric, of, what)


def _of_one(
    parts: Sequence[_Part],
    wanted: str | None,
    noun: str,
    argument: str,
    name_of: Callable[[_Part], str],
    of: Callable[[str], list[_Part]],
    what: str,
) -> list[_Part]:
    known = list(dict.fromkeys(map(name_of, parts)))
    if wanted is not None:
        chosen = of(wanted)
        if not chosen:
            raise FigureError(
                f"the results have no {what} of the {noun} {wanted!r}",
                remedy=hint(wanted, known, "use one of {known}"),
            )
        known = list(dict.fromkeys(map(name_of, chosen)))
        parts = chosen
    if len(known) > 1:
        raise FigureError(
            f"the results have a {what} of {len(known)} {noun}s",
            remedy=f"pass {argument}= with one of {quoted(known)}",
        )
    return list(parts)
