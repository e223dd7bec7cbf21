"""What an interval is drawn from: independent units (slides, repetitions, trials) and the effect of each.

A unit's effect is how much the value falls, to first order, when the unit is left out (a jackknife). Effects
are few numbers, so that they fit into a results file, and a later run can form the paired interval of a
difference from two files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pathorob_checks.metrics.short_text import short_text
from pathorob_checks.wording import counted, rounded_percent

Scale = Literal["logit", "bounded", "share", "fisher", "identity"]
Unit = Literal["slides", "repetitions", "slides and repetitions"]
Finite = Annotated[float, Field(allow_inf_nan=False)]

LITTLE_SUPPORT = 0.1  # below, fewer than a tenth of the patches decide
_NEAR = 0.5  # of the smallest cell; from there on, the value depends on how large the cells are


class Candidate(BaseModel):
    """One of several values of which a measurement is the worst, with the error of its own.

    Attributes
    ----------
    name : str
        What it is the value of, such as `Bonn / tumor`.
    value : float
        On the metric's scale.
    error : float or None
        Its standard error; None where a slide stands alone, so that nothing says how slides differ.
    slides_error : float
        The part of `error` that the slides make: squared, it falls with their number. The other part is the
        draw of the repetitions.
    freedom : float or None
        Degrees of freedom of `error`; None where it has no spread.
    least_error : float
        As in `Resampling`.
    slides : int
        Number of slides (or cases) that it was measured on.
    are_alike : bool
        Whether all of them contribute alike, so that `error` says nothing.

    Examples
    --------
    >>> from pathorob_checks.metrics import Candidate
    >>> cell = Candidate(
    ...     name="Bonn / tumor", value=0.2, error=0.05, slides_error=0.04, freedom=9.0, slides=10
    ... )
    >>> cell.are_alike, cell.least_error
    (False, 0.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: Finite
    error: Annotated[Finite, Field(ge=0)] | None
    slides_error: Annotated[Finite, Field(ge=0)]
    freedom: Annotated[Finite, Field(gt=0)] | None
    least_error: Annotated[Finite, Field(ge=0)] = 0.0
    slides: Annotated[int, Field(ge=1)]
    are_alike: bool = False


class FixedNeighbors(BaseModel):
    """How far the neighborhoods of a value reach: their size is fixed and does not grow with the cohort.

    Attributes
    ----------
    k : int
        Number of neighbors.
    own_cell : int
        Patches that the smallest cell (medical center x biological class) has on other slides than the
        patch's own: so many neighbors can share both with it.
    support : float
        Share (0 to 1) of informative patches.

    Examples
    --------
    >>> from pathorob_checks.metrics import FixedNeighbors
    >>> FixedNeighbors(k=177, own_cell=176, support=1.0).changes_with_cells
    'k = 177 is beyond the 176 patches that the smallest cell has on other slides'
    >>> FixedNeighbors(k=11, own_cell=176, support=0.5).changes_with_cells
    ''
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: Annotated[int, Field(ge=1)]
    own_cell: Annotated[int, Field(ge=0)]
    support: Annotated[Finite, Field(ge=0, le=1)]

    @property
    def changes_with_cells(self) -> str:
        """A clause on why the value itself changes as cells grow at this k; "" where it hardly does."""
        if self.k >= _NEAR * self.own_cell:
            where = "beyond" if self.k > self.own_cell else "near"
            patches = counted(self.own_cell, "patch", "patches")
            return f"k = {self.k} is {where} the {patches} that the smallest cell has on other slides"
        if self.support < LITTLE_SUPPORT:
            return f"at k = {self.k} only {rounded_percent(self.support)} of the patches are informative"
        return ""


class Resampling(BaseModel):
    """A value and the effects of the units that it was measured on.

    A unit's effect is how much the value falls, to first order, when the unit is left out (a jackknife).

    Attributes
    ----------
    metric : str
        As in `Measurement`.
    value : float
        As in `Measurement`.
    scale : {'logit', 'bounded', 'share', 'fisher', 'identity'}
        On which effects add up: `logit` (values from 0 to 1), `bounded` (as it is, cut off at -1 and 1),
        `share` (cut off at 0 and 1), `fisher` (as it is, from -1 to 1, in an interval that is symmetric in
        the inverse hyperbolic tangent) or `identity`.
    drawn : {'slides', 'repetitions', 'slides and repetitions'}
        `slides` are drawn with replacement (and trials, where the metric has them). Where repetitions take
        part, their own draws already are in the value: the interval is Student's t.
    units : tuple of str
        Their names; ids of slides, or of cases, where those are drawn.
    cells : tuple of tuple of str
        The cells (center x class) in which each unit has patches. Units are drawn within strata: cells and
        what is linked to them by units that have patches in several.
    effects : tuple of float
        Of each unit, on the scale.
    protocol : mapping of str to JSON-like values
        Settings that two resamplings must share to be compared.
    weights : tuple of float, or None
        Of the units within their stratum, such as the numbers of their patches; None where all weigh the
        same.
    least_error : float
        Standard error that the value has at least, whatever the effects say: near a perfect accuracy few
        slides differ.
    informative_slides : int or None
        Number of slides with informative patches, where all slides are alike: the value is at an end of its
        scale, or leaving one out changes it as leaving out any other does. None elsewhere.
    jumps_between : tuple of (float, float) or None
        Least and greatest value on halves of the slides where the value jumps between them: no sum of effects
        tells that, so the interval includes both. None where the value is stable.
    candidates : tuple of Candidate, or None
        Where the value is the worst of several: all of them, so that the interval can allow for the choice.
        Units and effects are those of the worst. None elsewhere.
    neighbors : FixedNeighbors or None
        How far the neighborhoods reach that the value reads; None where it reads none of a fixed size.

    Raises
    ------
    ValueError
        Units, cells and effects differ in length, a value is not finite, or ends are in the wrong order.

    See Also
    --------
    difference : The paired difference of two.

    Examples
    --------
    >>> from pathorob_checks.metrics import Resampling
    >>> drops = Resampling(
    ...     metric="performance_drop_id",
    ...     value=-0.05,
    ...     scale="identity",
    ...     drawn="repetitions",
    ...     units=("0", "1"),
    ...     cells=(("repetitions",), ("repetitions",)),
    ...     effects=(-0.01, 0.01),
    ...     protocol={"repetitions": 2},
    ... )
    >>> Resampling.model_validate_json(drops.model_dump_json()) == drops  # a file keeps it
    True
    >>> drops.model_copy(update={"jumps_between": (-0.2, 0.1)}).unstable
    'the value is unstable: on halves of the slides it goes from -0.20 to 0.10'
    >>> drops.unstable, drops.noun, drops.unplannable_at_k
    ('', 'repetition', '')
    >>> jumping = drops.model_copy(update={"jumps_between": (-0.2, 0.1)})
    >>> jumping.jumps_over(-0.1), jumping.jumps_over(0.2)
    (True, False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    value: Finite
    scale: Scale
    drawn: Unit
    units: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    effects: tuple[Finite, ...]
    protocol: Mapping[str, Any]
    weights: tuple[Annotated[Finite, Field(gt=0)], ...] | None = None
    least_error: Annotated[Finite, Field(ge=0)] = 0.0
    informative_slides: int | None = Field(default=None, ge=0)
    jumps_between: tuple[Finite, Finite] | None = None
    candidates: tuple[Candidate, ...] | None = None
    neighbors: FixedNeighbors | None = None

    @model_validator(mode="after")
    def _units_belong_together(self) -> Resampling:
        if not len(self.units) == len(self.cells) == len(self.effects):
            raise ValueError("units, cells and effects must have the same length")
        if self.weights is not None and len(self.weights) != len(self.units):
            raise ValueError("units and weights must have the same length")
        if self.jumps_between is not None and self.jumps_between[0] > self.jumps_between[1]:
            raise ValueError("the ends of jumps_between must be in order")
        return self

    def __repr__(self) -> str:
        effects = f"effects of {counted(len(self.units), 'unit')} ({self.drawn})"
        return short_text(f"Resampling of {self.metric}", f"{self.value:.3f}", effects)

    def __str__(self) -> str:
        return repr(self)

    @property
    def noun(self) -> str:
        """What a unit is: `slide`, `case` or `repetition`."""
        if self.protocol.get("drawn") == "cases":
            return "case"
        return "repetition" if self.drawn == "repetitions" else "slide"

    @property
    def unstable(self) -> str:
        """A clause that says between what the value jumps; "" where it is stable, as far as is printed."""
        if self.jumps_between is None:
            return ""
        least, greatest = (f"{end:.2f}" for end in self.jumps_between)
        if least == greatest:
            return ""
        return f"the value is unstable: on halves of the slides it goes from {least} to {greatest}"

    def jumps_over(self, bound: float) -> bool:
        """Return whether the value jumps from one side of a bound to the other, so that slides do not decide.

        Parameters
        ----------
        bound : float
            On the metric's scale.

        Returns
        -------
        bool
            Whether the bound lies between the values on halves of the slides.
        """
        if self.jumps_between is None or not self.unstable:
            return False
        least, greatest = self.jumps_between
        return least <= bound <= greatest

    @property
    def unplannable_at_k(self) -> str:
        """A clause that says why no number of slides follows at this k; "" where one does."""
        why = self.neighbors.changes_with_cells if self.neighbors else ""
        if not why:
            return ""
        return f"it cannot be planned at a fixed k: {why}, so that value and support change as cells grow"
