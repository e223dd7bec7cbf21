"""How repaired embeddings were made, as `pathorob-checks repair` writes it beside them.

A repair that was fitted on all slides of a cohort has seen the slides that test a classifier, and more slides
than the classifier trains on. What a classifier reaches on such embeddings is no measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from pathorob_checks.canonical import digest_of
from pathorob_checks.errors import EmbeddingError, MetricError
from pathorob_checks.files import read_limited, shown
from pathorob_checks.wording import counted, printable

SCHEMA: Final = "pathorob-checks/repaired/1"
FOLDER = "provenance"
_MOST_BYTES = 1 << 28


class RepairedCohort(BaseModel):
    """The cohort whose embeddings were repaired: its name in the run, and its digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    digest: str


class Provenance(BaseModel):
    """The content of the file.

    Attributes
    ----------
    fm, revision, identity, embeddings : the FM, and the key of its embeddings without the repair.
    cohort : whose patches were repaired.
    method, versions : the methods, joined by `+`, and the version of each.
    method_ood, method_target : what they could see, as in the settings of a run.
    repairs : folders of the fitted repairs of embeddings; empty where only images were normalized.
    fitted_slides : ids of the slides that the repairs were fitted on; empty without such repairs.
    machine : versions of packages, and the platform.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    schema_: Literal["pathorob-checks/repaired/1"] = Field(default=SCHEMA, alias="schema")
    fm: str
    revision: str | None
    identity: dict[str, JsonValue]
    embeddings: str
    cohort: RepairedCohort
    method: str
    versions: dict[str, int]
    method_ood: str
    method_target: str | None
    repairs: list[str]
    fitted_slides: list[str]
    machine: dict[str, JsonValue]


class FittedRepair(BaseModel):
    """A repair that was fitted on slides of the cohort that is measured.

    Attributes
    ----------
    method : its methods, joined by `+`.
    slides : how many slides of the cohort it was fitted on.
    provenance : what the file says.
    """

    model_config = ConfigDict(frozen=True)

    method: str
    slides: int
    provenance: Provenance

    @property
    def note(self) -> str:
        """A sentence for the report."""
        return (
            f"{self._what} {counted(self.slides, 'slide')} of this cohort: metrics that train a classifier "
            f"have no value; {self._remedy}."
        )

    @property
    def facts(self) -> dict[str, object]:
        """For the results: without the list of slides, but with its length and digest."""
        kept = self.provenance.model_dump(exclude={"schema_", "fitted_slides", "machine", "repairs"})
        fitted = self.provenance.fitted_slides
        return {
            **kept,
            "fitted_slides": len(fitted),
            "slides": digest_of(fitted),
            "shared_slides": self.slides,
        }

    def refuse_classifiers(self, metric: str) -> None:
        """Refuse a metric that trains a classifier.

        Raises
        ------
        MetricError : always.
        """
        raise MetricError(
            f"{metric}: {self._what[0].lower()}{self._what[1:]} patches that this metric's classifiers must "
            "not have seen",
            remedy=self._remedy,
        )

    @property
    def _what(self) -> str:
        return f"The embeddings were repaired by {printable(self.method)}, which was fitted on"

    @property
    def _remedy(self) -> str:
        return f"measure the unrepaired embeddings with --fm-method={printable(self.method)}"


def fitted_repair(folder: Path, slides: Iterable[str]) -> FittedRepair | None:
    """The repair of embeddings in a folder that was fitted on slides of a cohort; None without one.

    All files are read, so that another name of the cohort hides nothing. Of several repairs it is the one
    that was fitted on most slides of the cohort.

    Parameters
    ----------
    folder : the DIR of `embeddings:DIR`.
    slides : ids of the slides of the cohort that is measured.

    Raises
    ------
    EmbeddingError : a file that says how embeddings were repaired is damaged, or names no slides.
    """
    measured = set(slides)
    provenances = [_read(path) for path in sorted((folder / FOLDER).glob("*.json"))]
    shared = [len(measured.intersection(one.fitted_slides)) for one in provenances]
    if not any(shared):
        return None
    most = shared.index(max(shared))
    return FittedRepair(method=provenances[most].method, slides=shared[most], provenance=provenances[most])


def _read(path: Path) -> Provenance:
    try:
        return Provenance.model_validate_json(read_limited(path, _MOST_BYTES))
    except (OSError, ValidationError) as error:
        raise EmbeddingError(
            f"'{shown(path)}' is not what 'pathorob-checks repair' writes",
            remedy="repair the embeddings again",
        ) from error
