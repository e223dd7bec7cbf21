"""What a bound may be: a number, or a place in the published table that becomes one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from pathorob_checks.criteria.published import (
    is_average_over_cohorts,
    published_fms,
    published_quantile,
    published_value,
    published_values,
)
from pathorob_checks.metrics.definition import Direction
from pathorob_checks.wording import counted, hint, shortened


class PublishedQuantile(BaseModel):
    """A quantile of the published FMs on the cohort in question.

    Attributes
    ----------
    published_quantile : 0 to 1, counted from the least robust.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    published_quantile: float

    @property
    def reference(self) -> str:
        """What it is measured against, whatever the number."""
        return "published quantile"

    def number(self, metric: str, cohorts: Sequence[str], direction: Direction) -> float:  # noqa: ARG002
        """The bound; raises CriteriaError where nothing is published."""
        return published_quantile(metric, cohorts, self.published_quantile)

    def origin(self, metric: str, cohorts: Sequence[str]) -> str:
        """A sentence for the rationale that says where the number comes from."""
        count = len(published_values(metric, cohorts))
        share = f"the {100 * self.published_quantile:g} % quantile of {counted(count, 'published FM')}"
        return f"The bound is {share} {_where(metric, cohorts)}."

    def __str__(self) -> str:
        return f"published {100 * self.published_quantile:g} % quantile"


class PublishedFM(BaseModel):
    """The published value of one FM.

    Attributes
    ----------
    published_fm : name of the FM in the published table.
    margin : by how much less strict the bound is than the value, in the metric's unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    published_fm: str
    margin: float = 0.0

    @property
    def reference(self) -> str:
        """What it is measured against, whatever the margin."""
        return f"published {self.published_fm}"

    def number(self, metric: str, cohorts: Sequence[str], direction: Direction) -> float:
        """The bound; raises CriteriaError where nothing is published."""
        published = published_value(metric, cohorts, self.published_fm)
        return published - self.margin if direction == ">=" else published + self.margin

    def origin(self, metric: str, cohorts: Sequence[str]) -> str:
        """A sentence for the rationale that says where the number comes from."""
        value = published_value(metric, cohorts, self.published_fm)
        place = f"the published {value:.3f} of {self.published_fm} {_where(metric, cohorts)}"
        return f"The bound is {place}" + (f", with a margin of {self.margin:g}." if self.margin else ".")

    def __str__(self) -> str:
        return f"published {self.published_fm}" + (f", margin {self.margin:g}" if self.margin else "")


def _where(metric: str, cohorts: Sequence[str]) -> str:
    # Here and not in the files, because it is a fact of the published table and holds for users' files too.
    if is_average_over_cohorts(metric):
        return "(each FM's average over the benchmark's cohorts; none is published per cohort)"
    return f"on {cohorts[0]}" if len(cohorts) == 1 else f"(mean over {', '.join(cohorts)})"


def finite(value: object, wanted: str) -> float:
    """A number of TOML or YAML as a finite float; raises ValueError with a clause for the user."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{wanted}, not {shortened(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{wanted} that is finite, not {number}")
    return number + 0.0  # -0.0 becomes 0.0, which reads better and has one digest


def _quantile(table: Mapping[str, object]) -> PublishedQuantile:
    quantile = finite(table["published_quantile"], "needs a number as published_quantile")
    if not 0 <= quantile <= 1:
        raise ValueError(f"has the published_quantile {quantile:g}, outside 0..1")
    return PublishedQuantile(published_quantile=quantile)


def _fm(table: Mapping[str, object]) -> PublishedFM:
    fm = table["published_fm"]
    if not isinstance(fm, str) or fm not in published_fms():
        raise ValueError(
            f"has the published_fm {shortened(fm)}, which is unknown; "
            + hint(fm, published_fms(), "published are {known}")
        )
    margin = finite(table.get("margin", 0.0), "needs a number as margin")
    if margin < 0:
        raise ValueError(f"has the margin {margin:g}, which is negative")
    return PublishedFM(published_fm=fm, margin=margin)


_TABLES: tuple[tuple[frozenset[str], frozenset[str], Callable[[Mapping[str, object]], Any]], ...] = (
    (frozenset({"published_quantile"}), frozenset({"published_quantile"}), _quantile),
    (frozenset({"published_fm"}), frozenset({"published_fm", "margin"}), _fm),
)


def _read(value: object) -> float | PublishedQuantile | PublishedFM:
    if isinstance(value, PublishedQuantile | PublishedFM):
        return value
    if isinstance(value, dict):
        for needed, allowed, read in _TABLES:
            if needed <= set(value) <= allowed:
                bound: PublishedQuantile | PublishedFM = read(value)
                return bound
    return finite(
        value, 'must be a number, { published_quantile = 0.5 } or { published_fm = "UNI2-h", margin = 0.02 }'
    )


Bound = Annotated[float | PublishedQuantile | PublishedFM, BeforeValidator(_read)]


def number(bound: Bound, metric: str, cohorts: Sequence[str], direction: Direction) -> float:
    """A bound as a number for a cohort, or for the mean over several.

    Raises
    ------
    CriteriaError : it refers to published values and there are none.
    """
    return bound if isinstance(bound, float) else bound.number(metric, cohorts, direction)
