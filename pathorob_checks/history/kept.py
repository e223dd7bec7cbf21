"""What a history keeps of a run, as data."""

from __future__ import annotations

import zlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import HistoryError
from pathorob_checks.metrics.definition import Direction
from pathorob_checks.metrics.resampling import Resampling

Finite = Annotated[float, Field(allow_inf_nan=False)]
_LARGEST = 50_000_000  # bytes of one resampling; a benchmark cohort has some hundred thousand


class _Kept(BaseModel):
    """A row of the file, which may hold anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptRun(_Kept):
    """A run.

    Attributes
    ----------
    id : its number in the file.
    digest : SHA-256 over its results; the same results are kept once.
    created : when it ended, in UTC, such as `2026-05-04T12:00:00Z`.
    outcome, summary : as in the results.
    terms : digest of its criteria, protocol, baseline and own cohorts.
    version : of this package, where it is known.
    """

    id: int
    digest: str
    created: str
    outcome: str
    summary: str
    terms: str
    version: str | None


class KeptCheck(_Kept):
    """A check of a run.

    Attributes
    ----------
    run : what it is of.
    packed : what its interval was drawn from, as compressed JSON; None where there is nothing.
    metric_version : of the metric's computation, where it is known.
    neighbors : the k of the value; None for a metric without neighbors.
    interval : at `confidence`.
    sound : False where an integrity check of the embeddings did not pass; None where that is not known.

    The other attributes are those of `results.check.Check` and of its FM.
    """

    run: KeptRun
    fm: str
    revision: str | None
    method: str
    cohort: str
    metric: str
    metric_version: int | None
    label: str
    criterion: str
    quantity: str
    neighbors: int | None
    value: Finite | None
    interval: tuple[Finite, Finite] | None
    confidence: Annotated[Finite, Field(gt=0, lt=1)] | None
    direction: Direction
    bound: Finite
    verdict: Verdict
    packed: bytes | None
    sound: bool | None

    @property
    def resampling(self) -> Resampling | None:
        """What its interval was drawn from.

        Raises
        ------
        HistoryError : the file is damaged there.
        """
        return None if self.packed is None else unpacked(self.packed)


def packed(resampling: Resampling) -> bytes:
    """A resampling as compressed JSON."""
    return zlib.compress(resampling.model_dump_json().encode(), level=9)


def unpacked(content: bytes) -> Resampling:
    """Undo `packed`.

    Raises
    ------
    HistoryError : it is something else.
    """
    try:
        stream = zlib.decompressobj()
        text = stream.decompress(content, _LARGEST)
        if not stream.eof:
            raise ValueError("it does not end")
        return Resampling.model_validate_json(text)
    except (ValueError, TypeError, zlib.error) as error:
        raise HistoryError(
            f"the history is damaged: the slides of a value cannot be read ({type(error).__name__})",
            remedy="make a new file and add the results files to it with 'pathorob-checks history add'",
        ) from None
