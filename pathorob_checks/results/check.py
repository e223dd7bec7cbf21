"""What was checked: one criterion, or one integrity check, applied to one subject."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pathorob_checks.criteria.verdict import Rule, Verdict
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.definition import Direction, Quantity
from pathorob_checks.metrics.measurement import CellValue, GroupValue, SlideValue
from pathorob_checks.metrics.pictured import Curve, Grid
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.short_text import short_text
from pathorob_checks.results.part import Document, Finite, Json


class Suspect(Document):
    """What is likely to be at fault where a criterion is not met.

    Attributes
    ----------
    kind : `embedding`, `precision` or `cohort`.
    sentence : why, without naming the kind again.
    """

    kind: Literal["embedding", "precision", "cohort"]
    sentence: str


class ComparedWith(Document):
    """The baseline of a difference.

    Attributes
    ----------
    fm : name of its FM.
    source : where its value is from.
    value : what the difference is from.
    """

    fm: str
    source: str
    value: Finite


class Check(Document):
    """One criterion applied to one subject.

    Attributes
    ----------
    id : str
        The test's id.
    fm, method, cohort : str
        The subject; `cohort` joins the names of several by `+` for a mean.
    metric : str
        Name of the metric.
    criterion : str
        The criterion's id within its profile.
    quantity : {'value', 'worst-center', 'worst-class', 'mean', 'difference'}
        What is held against the bound.
    group : str or None
        Name of the worst medical center or biological class, where the quantity is one.
    value : float or None
        As in `Measurement`; None where there is none. Of the worst group, of the mean or of the difference,
        where the quantity is one.
    interval : tuple of (float, float) or None
        Of the value, at `confidence`.
    support : float or None
        Share (0 to 1) of informative patches.
    confidence : float or None
        Of the interval, between 0 and 1.
    interval_note : str
        How the interval was made and what it leaves out.
    drift : float or None
        By how much the precision of the forward pass may move the value; it widens the interval.
    p_value : float or None
        One-sided, of the hypothesis that the truth is on the other side of the bound than the value; None
        without an interval.
    bound : float
        What the value must reach, on the metric's scale.
    direction : {'>=', '<='}
        On which side of the bound the value must lie.
    rule : {'point', 'confident', 'three-way'}
        How value and interval are held against the bound.
    verdict : {'pass', 'fail', 'inconclusive', 'skipped', 'error'}
        What became of it.
    reason : str
        Why, as a clause.
    required : bool
        As in the criterion.
    registered : bool
        Whether the criterion is one of the profile, which the digest covers.
    minimum_support : float or None
        As in the criterion.
    rationale : str
        Why the bound is what it is.
    source, owner : str or None
        As in the criterion.
    requirements : tuple of str
        As in the criterion.
    label : str
        Short name of metric and quantity.
    meaning : str
        What the value says, as a sentence; "" without a value.
    remedies : tuple of str
        What to do about it, in sentences; empty for a criterion that is met.
    suspects : tuple of Suspect
        Likeliest first; empty for a criterion that is met.
    baseline : ComparedWith or None
        What the value is a difference from.
    protocol : dict of str to JSON-like values
        Settings that the value was measured with.
    cells : tuple of CellValue
        As in `Measurement`, worst first.
    slides : tuple of SlideValue
        As in `Measurement`, worst first.
    groups : dict of str to tuple of GroupValue
        As in `Measurement`, worst first.
    resampling : Resampling or None
        What a later run needs for a paired interval with this value.
    curves : tuple of Curve
        As in `Measurement`.
    grids : tuple of Grid
        As in `Measurement`.
    neighbors : int or None
        The k that the value was measured with, of `protocol`; None for a metric without neighbors.

    Examples
    --------
    >>> from pathorob_checks.results.check import Check
    >>> check = Check(
    ...     id="test_mine.py::test_index[ours-camelyon]",
    ...     fm="ours",
    ...     cohort="camelyon",
    ...     metric="robustness_index",
    ...     criterion="index",
    ...     value=0.31,
    ...     interval=(0.25, 0.38),
    ...     support=0.9,
    ...     bound=0.5,
    ...     direction=">=",
    ...     rule="three-way",
    ...     verdict="fail",
    ...     reason="0.310 < 0.500",
    ...     rationale="Biology outweighs the medical center.",
    ...     label="robustness index",
    ... )
    >>> check.verdict.value, check.verdict.is_measured
    ('fail', True)
    >>> check.model_copy(update={"protocol": {"k": 11}}).neighbors
    11
    >>> Check.model_validate_json(check.model_dump_json()) == check
    True
    """

    id: str
    fm: str
    method: str = NO_METHOD
    cohort: str
    metric: str
    criterion: str
    quantity: Quantity = "value"
    group: str | None = None
    value: Finite | None
    interval: tuple[Finite, Finite] | None
    support: Finite | None
    confidence: Finite | None = None
    interval_note: str = ""
    drift: Finite | None = None
    p_value: Annotated[Finite, Field(ge=0, le=0.5)] | None = None
    bound: Finite
    direction: Direction
    rule: Rule
    verdict: Verdict
    reason: str
    required: bool = True
    registered: bool = True
    minimum_support: Finite | None = None
    rationale: str
    source: str | None = None
    owner: str | None = None
    requirements: tuple[str, ...] = ()
    label: str
    meaning: str = ""
    remedies: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    baseline: ComparedWith | None = None
    protocol: Json = Field(default_factory=dict)
    cells: tuple[CellValue, ...] = ()
    slides: tuple[SlideValue, ...] = ()
    groups: dict[str, tuple[GroupValue, ...]] = Field(default_factory=dict)
    resampling: Resampling | None = None
    curves: tuple[Curve, ...] = ()
    grids: tuple[Grid, ...] = ()

    def __repr__(self) -> str:
        from pathorob_checks.results.names import fm_and_method
        from pathorob_checks.results.outcome import value_and_bound

        value, bound = value_and_bound(self)
        subject = f"{self.label} of {fm_and_method(self.fm, self.method)} on {self.cohort}"
        return short_text(
            f"Check {self.verdict.upper()}", f"{subject}: {value} (bound {self.direction} {bound})"
        )

    @property
    def neighbors(self) -> int | None:
        """The k that the value was measured with; None for a metric without neighbors."""
        k = self.protocol.get("k")
        return k if isinstance(k, int) else None

    @model_validator(mode="after")
    def _a_verdict_needs_a_value(self) -> Check:
        if self.verdict.is_measured and self.value is None:
            raise ValueError(f"the check {self.id} has the verdict {self.verdict} and no value")
        return self


class IntegrityCheck(Document):
    """One test that an FM's embeddings are a sound measurement.

    Attributes
    ----------
    id : the test's id.
    name : what was tested.
    fm, method, cohort : the subject.
    verdict : pass, fail, skipped (with the reason) or error.
    reason : why, as a clause.
    figures : what was compared with a tolerance, by name; empty where the test has no number.
    inapplicable : for what the check is none, where that is why it was skipped; "" else.
    """

    id: str
    name: str
    fm: str
    method: str = NO_METHOD
    cohort: str
    verdict: Verdict
    reason: str = ""
    figures: dict[str, Finite] = Field(default_factory=dict)
    inapplicable: Literal["", "given embeddings", "full precision"] = ""
