"""The integrity checks of a subject: whether the FM's embeddings are a sound measurement at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import EmbeddingError, PathorobChecksError
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.results.check import IntegrityCheck

if TYPE_CHECKING:
    from pathorob_checks.embeddings.integrity import Integrity
    from pathorob_checks.evaluation.inputs import Inputs

Figures = dict[str, float]
Inapplicable = Literal["", "given embeddings", "full precision"]
FIRST = "finite_and_not_all_equal"
_SUITE = "suites/test_embedding_integrity.py"


class _NotApplicableError(Exception):
    """An integrity check that has nothing to look at: for what, and the reason as a sentence."""

    def __init__(self, inapplicable: Inapplicable, reason: str) -> None:
        super().__init__(reason)
        self.inapplicable = inapplicable


def integrity_check(inputs: Inputs, subject: Subject, name: str) -> IntegrityCheck:
    """Make one of `INTEGRITY_CHECKS`.

    Returns
    -------
    The record: `fail` where the embeddings are not sound, `skipped` where there is no FM to run or nothing to
    compare, `error` where the FM, its images or the cache cannot be used.
    """
    try:
        return _record(subject, name, *_made(inputs, subject, name))
    except _NotApplicableError as skip:
        record = _record(subject, name, Verdict.SKIPPED, str(skip), {})
        return record.model_copy(update={"inapplicable": skip.inapplicable})


def not_made(subject: Subject, name: str, reason: str) -> IntegrityCheck:
    """The record of an integrity check whose test stopped before it was made."""
    return _record(subject, name, Verdict.ERROR, reason, {})


def _record(subject: Subject, name: str, verdict: Verdict, reason: str, figures: Figures) -> IntegrityCheck:
    return IntegrityCheck(
        id=integrity_id(subject, name),
        name=name,
        fm=subject.fm,
        method=subject.method,
        cohort=subject.cohort,
        verdict=verdict,
        reason=reason,
        figures=figures,
    )


def _made(inputs: Inputs, subject: Subject, name: str) -> tuple[Verdict, str, Figures]:
    try:
        if name != FIRST and _are_refused(inputs, subject):
            return Verdict.ERROR, f"not tested, because the embeddings were refused; see {FIRST}.", {}
        return Verdict.PASS, "", INTEGRITY_CHECKS[name](inputs, subject)
    except EmbeddingError as error:
        return Verdict.FAIL, str(error), {}
    except PathorobChecksError as error:
        return Verdict.ERROR, str(error), {}


def _are_refused(inputs: Inputs, subject: Subject) -> bool:
    """Whether extraction refuses the embeddings: that fails the first check; the others cannot be made."""
    try:
        inputs.embeddings(subject)
    except EmbeddingError:
        return True
    return False


def integrity_id(subject: Subject, name: str) -> str:
    """Id of the test that makes a check."""
    return f"{_SUITE}::test_{name}[{subject.id}]"


def _embeddings(inputs: Inputs, subject: Subject) -> Figures:
    """Extraction refuses embeddings that are not finite or all equal."""
    inputs.embeddings(subject)
    return {}


def _spread(inputs: Inputs, subject: Subject) -> Figures:
    from pathorob_checks.embeddings.matrix_checks import check_spread

    return {"spread": check_spread(inputs.embeddings(subject).values)}


def _directions(inputs: Inputs, subject: Subject) -> Figures:
    from pathorob_checks.embeddings.matrix_checks import check_directions

    return {"directions": check_directions(inputs.embeddings(subject).values)}


def _twins(inputs: Inputs, subject: Subject) -> Figures:
    from pathorob_checks.embeddings.matrix_checks import check_twins

    keys = inputs.cohort(subject.cohort).keys
    return {"twins": check_twins(inputs.embeddings(subject).values, keys)}


def _columns(inputs: Inputs, subject: Subject) -> Figures:
    from pathorob_checks.embeddings.matrix_checks import check_columns

    return {"dead_columns": check_columns(inputs.embeddings(subject).values)}


def _variation(variation: str, inputs: Inputs, subject: Subject) -> Figures:
    return {"difference": _integrity(inputs, subject).check(variation)}


def _precision(inputs: Inputs, subject: Subject) -> Figures:
    integrity = _integrity(inputs, subject)
    if integrity.drift is None:
        raise _NotApplicableError(
            "full precision",
            f"computed in {integrity.precision}; there is no higher precision to compare with",
        )
    integrity.drift.check()
    return {f"drift.{name}": drift for name, drift in integrity.drift.by_metric().items()}


def _integrity(inputs: Inputs, subject: Subject) -> Integrity:
    integrity = inputs.integrity(subject)
    if integrity is None:
        raise _NotApplicableError(
            "given embeddings",
            f"{subject.fm} is given by its embeddings; how an FM embeds can only be tested on the FM itself",
        )
    return integrity


INTEGRITY_CHECKS: Mapping[str, Callable[[Inputs, Subject], Figures]] = {
    FIRST: _embeddings,
    "not_nearly_constant": _spread,
    "not_collapsed": _directions,
    "patches_differ": _twins,
    "columns_vary": _columns,
    "same_patch_twice": partial(_variation, "again"),
    "same_as_stored": partial(_variation, "stored"),
    "batch_size_does_not_matter": partial(_variation, "batch_size"),
    "order_does_not_matter": partial(_variation, "order"),
    "reading_threads_do_not_matter": partial(_variation, "threads"),
    "precision_keeps_the_embeddings": _precision,
}
