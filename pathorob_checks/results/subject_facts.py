"""The FM and the cohort behind some checks, as facts."""

from __future__ import annotations

from pydantic import Field

from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.pretraining import Pretraining
from pathorob_checks.results.part import Document, Finite, Json


class FMFacts(Document):
    """A foundation model: what was requested, what that was at the time, and how it embedded.

    Attributes
    ----------
    name, spec : as in the run and as the user wrote it.
    revision : full commit on the hub; None for a model that is on no hub.
    license : of the weights.
    commercial : whether the license allows commercial use; None where that is not known.
    notes : sentences for the reader.
    identity : everything that decides an embedding.
    dimension : number of columns of its embeddings.
    embeddings : the key under which they are stored.
    extraction : how they were extracted.
    integrity : how the FM embeds a few patches in several ways; None where there is no FM to run.
    pretraining : what it is stated to have been pretrained on; None in older files.
    """

    name: str
    spec: str
    revision: str | None
    license: str
    commercial: bool | None
    notes: tuple[str, ...] = ()
    identity: Json
    dimension: int
    embeddings: str
    extraction: Json
    integrity: Json | None = None
    pretraining: Pretraining | None = None


class CellFacts(Document):
    """How much of a class from a center is in a subset.

    Attributes
    ----------
    subset : `ID` for in-domain, `OOD` for out-of-domain, or the name of a paired subset.
    medical_center, biological_class : the cell.
    patches, slides : how many there are.
    """

    subset: str
    medical_center: str
    biological_class: str
    patches: int
    slides: int


class CohortFacts(Document):
    """A cohort: its digests, its terms of use, and how much of it there is.

    Attributes
    ----------
    name : as in the run.
    source : where its images are from.
    digest : of everything that decides a number: images, labels, slides, subsets, and how each metric reads
        them. In files before `images` existed, of the images alone.
    images : digest of the images alone; None in older files.
    tables : digests of the tables that define the views, by file name.
    own_tables : those of a benchmark cohort that are not the published ones.
    license : of its images.
    commercial : whether the license allows commercial use; None where that is not known.
    notes : sentences for the reader.
    patches, slides : how many there are.
    biological_classes : their names.
    in_domain_centers, out_of_domain_centers : names of the medical centers.
    sources : which data sets or hospitals its slides come from; empty where that is not stated.
    cells : patches and slides of each subset, center and class; empty in older files.
    """

    name: str
    source: str
    sources: tuple[str, ...] = ()
    digest: str
    images: str | None = None
    tables: dict[str, str]
    own_tables: tuple[str, ...] = ()
    license: str
    commercial: bool | None
    notes: tuple[str, ...] = ()
    patches: int
    slides: int
    biological_classes: tuple[str, ...]
    in_domain_centers: tuple[str, ...]
    out_of_domain_centers: tuple[str, ...]
    cells: tuple[CellFacts, ...] = ()


class PatchFacts(Document):
    """A patch of a cohort.

    Attributes
    ----------
    slide_id, patch_id : as in the cohort's table; together they identify the patch.
    biological_class, medical_center : its labels.
    """

    slide_id: str
    patch_id: str
    biological_class: str
    medical_center: str

    @property
    def key(self) -> str:
        """What identifies the patch within its cohort."""
        return f"{self.slide_id}-{self.patch_id}"


class Neighborhood(Document):
    """A patch that pulls a metric down, and its nearest neighbors.

    Attributes
    ----------
    metric : name of the metric.
    patch : the patch.
    neighbors : its nearest neighbors, nearest first.
    """

    metric: str
    patch: PatchFacts
    neighbors: tuple[PatchFacts, ...]


class EmbeddingMap(Document):
    """Patches in the plane of the first two principal components of their L2-normalised embeddings.

    Attributes
    ----------
    x, y : position of each patch; a sample where there are many.
    biological_class, medical_center : of each patch, as numbers into `classes` and `centers`.
    classes, centers : the names.
    explained : share (0 to 1) of the variance along x and y.
    patches : number of patches of the cohort, of which those drawn are a sample.
    """

    x: tuple[Finite, ...]
    y: tuple[Finite, ...]
    biological_class: tuple[int, ...]
    medical_center: tuple[int, ...]
    classes: tuple[str, ...]
    centers: tuple[str, ...]
    explained: tuple[Finite, Finite]
    patches: int


class Run(Document):
    """The FM and the cohort behind some checks.

    Attributes
    ----------
    fm, method, cohort : the subject.
    map : the embeddings in a plane; None in older files.
    neighborhoods : patches that pull a metric down, with their neighbors.
    images : JPEG files (base64) of patches in `neighborhoods`, by their keys. Made for a report
        with images only, and never in a results file.
    """

    fm: FMFacts
    method: str = NO_METHOD
    cohort: CohortFacts
    map: EmbeddingMap | None = None
    neighborhoods: tuple[Neighborhood, ...] = ()
    images: dict[str, str] = Field(default_factory=dict)
