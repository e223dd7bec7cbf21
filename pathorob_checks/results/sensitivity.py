"""How values of an FM on a cohort change with the settings that nobody states: the document of a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA: Final = "pathorob-checks/sensitivity/1"

Setting = Literal["pooling", "precision", "batch size", "k"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Own(_Frozen):
    """One metric at the FM's own settings.

    Attributes
    ----------
    metric : its name.
    value : in the metric's unit.
    interval : of the value, at the document's confidence; None where there is none.
    """

    metric: str
    value: Finite
    interval: tuple[Finite, Finite] | None


class Change(_Frozen):
    """One metric with one setting changed.

    Attributes
    ----------
    metric : its name.
    setting, choice : what was changed, and to what.
    value : in the metric's unit.
    difference : value less that at the FM's own settings.
    interval : of the difference, on the same slides, at the document's confidence; None where there is none.
    same_embeddings : whether the embeddings are equal to the bit to those of the FM's own settings.
    note : how the interval was made, or why there is none.
    """

    metric: str
    setting: Setting
    choice: str
    value: Finite
    difference: Finite
    interval: tuple[Finite, Finite] | None
    same_embeddings: bool = False
    note: str


class LeftOut(_Frozen):
    """A choice that could not be measured.

    Attributes
    ----------
    setting, choice : what was to be changed, and to what.
    reason : a clause.
    """

    setting: Setting
    choice: str
    reason: str


class Extraction(_Frozen):
    """One pass over the cohort's images, or the embeddings given.

    Attributes
    ----------
    precision : in which the network computed; None where nobody states it.
    batch_size : patches per batch; None for given embeddings.
    key : under which the embeddings are stored.
    identity : of the model.
    """

    precision: str | None
    batch_size: int | None
    key: str
    identity: Mapping[str, Any]


class Sensitivity(_Frozen):
    """One FM on one cohort.

    Attributes
    ----------
    fm, cohort : their names.
    cohort_digest : of the cohort's table and images.
    settings : the FM's own, by setting; those that it does not have are missing.
    own : the metrics at these settings.
    changes : metric by metric, setting by setting.
    left_out : what could not be measured.
    extractions : what all values were measured on.
    """

    fm: str
    cohort: str
    cohort_digest: str
    settings: Mapping[Setting, str]
    own: tuple[Own, ...]
    changes: tuple[Change, ...]
    left_out: tuple[LeftOut, ...]
    extractions: tuple[Extraction, ...]

    def own_value(self, metric: str) -> float:
        """The value of a metric at the FM's own settings."""
        return next(one.value for one in self.own if one.metric == metric)


class SensitivityDocument(_Frozen):
    """What `pathorob-checks sensitivity --out` writes.

    Attributes
    ----------
    version : of this package.
    confidence : of all intervals.
    subjects : FM by FM, cohort by cohort.
    """

    schema_: Literal["pathorob-checks/sensitivity/1"] = Field(default=SCHEMA, alias="schema")
    version: str
    confidence: Annotated[float, Field(gt=0, lt=1)]
    subjects: tuple[Sensitivity, ...]

    def largest(self) -> tuple[Sensitivity, Change] | None:
        """The change with the greatest difference in either direction; None where nothing was changed."""
        every = [(subject, change) for subject in self.subjects for change in subject.changes]
        return max(every, key=lambda pair: abs(pair[1].difference), default=None)
