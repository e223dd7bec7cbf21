"""FMs beside each other, as one typed document; every report on a comparison is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.document import Outcome, Release
from pathorob_checks.results.part import Document, Finite
from pathorob_checks.results.published_places import Place
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    import pandas as pd

Says = Literal["more robust", "less robust", "undecided"]


class Change(Document):
    """The paired difference to the reference FM: positive where this FM has the higher value.

    Attributes
    ----------
    value : in the metric's unit.
    interval : paired, at `confidence`; None where nothing can be drawn.
    note : how the interval was made.
    says : `more robust` or `less robust` where the whole interval is on one side of 0.
    """

    value: Finite
    interval: tuple[Finite, Finite] | None
    confidence: Finite
    note: str
    says: Says


class ComparedFM(Document):
    """An FM of a comparison.

    Attributes
    ----------
    name : of the FM within the comparison: with its file where several files have an FM of this name.
    fm, method : as in its file.
    source : the file; "" for results that were not read from one.
    revision : full commit on the hub; None for a model that is on no hub.
    outcome : of its run.
    release : the verdict on it; None in files of older versions.
    """

    name: str
    fm: str
    method: str
    source: str
    revision: str | None
    outcome: Outcome
    release: Release | None


class ComparedValue(Document):
    """One metric of one FM on one cohort, or its mean over several.

    Attributes
    ----------
    fm : name of the FM within the comparison.
    cohort : name of the cohort; of a mean those of all, joined by `+`.
    metric, label : name of the metric, and what tables call it.
    quantity : `value` or `mean`.
    value, interval, confidence, support : as in a check; None where it was not measured.
    k : number of neighbors; None for a metric without.
    higher_is_better : False where lower values are more robust.
    verdict : the gravest of its criteria; None for a mean that is no criterion.
    reason : of that verdict, where nothing was measured.
    change : difference to the reference; None for the reference itself, and where there is none.
    not_compared : why there is none, as a clause.
    place : among the published FMs; None where nothing comparable is published.
    not_placed : why there is none although the cohort is one of the benchmark, as a clause.
    """

    fm: str
    cohort: str
    metric: str
    label: str
    quantity: Literal["value", "mean"]
    value: Finite | None
    interval: tuple[Finite, Finite] | None
    confidence: Finite | None
    support: Finite | None
    k: int | None
    higher_is_better: bool
    verdict: Verdict | None
    reason: str = ""
    change: Change | None = None
    not_compared: str = ""
    place: Place | None = None
    not_placed: str = ""


class Comparison(Document):
    """Several FMs beside each other; every report on the comparison is made from it.

    Attributes
    ----------
    fms : tuple of ComparedFM
        The reference first.
    values : tuple of ComparedValue
        By cohort and metric, those of all FMs one after the other; means over cohorts last.
    reference : ComparedFM
        The FM that the others are compared with.
    changes : tuple of ComparedValue
        The values that have a difference to the reference.
    headline : str
        What is compared with what, as a clause.

    See Also
    --------
    pathorob_checks.compare : The function that makes it.
    """

    fms: tuple[ComparedFM, ...] = Field(min_length=1)
    values: tuple[ComparedValue, ...]

    @property
    def reference(self) -> ComparedFM:
        """The FM that the others are compared with."""
        return self.fms[0]

    @property
    def changes(self) -> tuple[ComparedValue, ...]:
        """The values with a difference to the reference."""
        return tuple(one for one in self.values if one.change is not None)

    @property
    def headline(self) -> str:
        """What is compared with what, as a clause."""
        others = len(self.fms) - 1
        name = self.reference.name
        return f"{counted(others, 'FM')} compared with {name}" if others else f"{name} alone"

    def table(self) -> pd.DataFrame:
        """Return the comparison as a tidy table, a row for each FM, cohort and metric.

        Returns
        -------
        pandas.DataFrame
            With the columns fm, cohort, metric, quantity (`value` or `mean`), value, low and high (the ends
            of the interval), confidence, support, k, verdict and its reason; reference, change, change_low,
            change_high, change_says and not_compared; place, place_best, place_worst, places and caveats;
            release (the verdict on the FM), source (the file) and revision. Numbers are float64, k and places
            Int64.
        """
        import pandas as pd

        from pathorob_checks.results.comparison_rows import COLUMNS, NUMBERS, WHOLE_NUMBERS, rows_of

        table = pd.DataFrame(rows_of(self), columns=list(COLUMNS))
        kinds = {**dict.fromkeys(NUMBERS, "float64"), **dict.fromkeys(WHOLE_NUMBERS, "Int64")}
        return table.astype(kinds)

    def __repr__(self) -> str:
        return f"<Comparison: {self}>"

    def __str__(self) -> str:
        return printable(self.headline)

    def _repr_html_(self) -> str:
        from pathorob_checks.results.comparison_rows import html_of

        return html_of(self)
