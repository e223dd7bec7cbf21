"""What the results say of an FM, a cohort, and the machine."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import MethodError
from pathorob_checks.evaluation.pictures import images_of, map_of, neighborhoods_of
from pathorob_checks.files import without_home
from pathorob_checks.pretraining import touched
from pathorob_checks.results.cohort_design import design_lines
from pathorob_checks.results.part import builtin
from pathorob_checks.results.subject_facts import CellFacts, CohortFacts, EmbeddingMap, FMFacts, Run
from pathorob_checks.version import version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.subjects import Subject
    from pathorob_checks.metrics.measurement import Measurement

# What decides embeddings and metrics, by distribution name.
_DISTRIBUTIONS = (
    "huggingface-hub",
    "numpy",
    "open-clip-torch",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "pytest",
    "pytest-xdist",
    "safetensors",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torchvision",
    "transformers",
)


def machine_facts() -> dict[str, Any]:
    """Versions and platform of this process, without importing other packages: from installed metadata."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {"pathorob-checks": version(), **{name: _version(name) for name in _DISTRIBUTIONS}},
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def run_of(inputs: Inputs, subject: Subject, measured: Iterable[Measurement] = ()) -> Run | None:
    """The FM and the cohort of a subject; None where this process has no embeddings of it.

    Parameters
    ----------
    measured : of the subject, whose patches with neighbors are to be shown.
    """
    embeddings = inputs.known_embeddings(subject)
    if embeddings is None:
        return None
    resolved, prepared = inputs.resolved(subject.fm), inputs.prepared(subject)
    integrity = inputs.known_integrity(subject)
    description = embeddings.details.get("model")
    loading_notes = description.get("notes", ()) if isinstance(description, dict) else ()
    cohort, measured = inputs.cohort(subject.cohort), tuple(measured)
    pretraining = inputs.subjects.pretraining_of(subject.fm)
    both = touched(pretraining.names, cohort.sources)
    seen = f"It was pretrained on {' and '.join(both)}, from which patches of {cohort.name} come."
    warnings = inputs.repairing(subject).warnings
    notes = dict.fromkeys(
        [*([seen] if both else []), *warnings, *prepared.notes, *map(str, loading_notes), *embeddings.notes]
    )
    fm = FMFacts(
        name=resolved.name,
        spec=without_home(inputs.subjects.specs[subject.fm].text),
        revision=resolved.revision,
        license=prepared.license,
        commercial=prepared.commercial,
        notes=tuple(notes),
        identity=builtin(embeddings.identity),
        dimension=int(embeddings.values.shape[1]),
        embeddings=embeddings.key,
        extraction=builtin(embeddings.details),
        integrity=None if integrity is None else builtin(integrity),
        pretraining=pretraining,
    )
    with_images = inputs.settings.images and inputs.subjects.needs_images(subject.cohort)
    return Run(
        fm=fm,
        method=subject.method,
        cohort=cohort_facts(subject.cohort, cohort),
        map=_map(inputs, subject, cohort),
        neighborhoods=neighborhoods_of(measured, cohort),
        images=images_of(measured, cohort) if with_images else {},
    )


def _map(inputs: Inputs, subject: Subject, cohort: Cohort) -> EmbeddingMap | None:
    """The map of the repaired embeddings; None where they cannot be repaired, which the checks report."""
    try:
        return map_of(inputs.repaired(subject), cohort)
    except MethodError:
        return None


def cohort_facts(name: str, cohort: Cohort) -> CohortFacts:
    """The cohort: its terms of use, its digests, and how much of it there is."""
    outside = cohort.patches.subset == "OOD"
    centers = cohort.patches.medical_center
    return CohortFacts(
        name=name,
        source=without_home(cohort.source),
        sources=cohort.sources,
        digest=cohort.digest,
        images=cohort.images,
        tables=dict(cohort.tables or {}),
        own_tables=cohort.own_tables,
        license=cohort.license,
        commercial=cohort.commercial,
        notes=tuple(cohort.notes),
        patches=len(cohort),
        slides=int(cohort.patches.slide_id.nunique()),
        biological_classes=tuple(sorted(cohort.patches.biological_class.unique().tolist())),
        in_domain_centers=tuple(sorted(centers[~outside].unique().tolist())),
        out_of_domain_centers=tuple(sorted(centers[outside].unique().tolist())),
        cells=_cells(cohort),
    )


def design_text(name: str, cohort: Cohort) -> list[str]:
    """Which slides a cohort has, by biological class and medical center, in printable lines."""
    return design_lines(cohort_facts(name, cohort))


def _cells(cohort: Cohort) -> tuple[CellFacts, ...]:
    labels = ["subset", "medical_center", "biological_class"]
    counts = cohort.patches.groupby(labels, sort=True).slide_id.agg(["size", "nunique"])
    return tuple(
        CellFacts(
            subset=subset,
            medical_center=center,
            biological_class=name,
            patches=int(patches),
            slides=int(slides),
        )
        for (subset, center, name), patches, slides in zip(
            counts.index, counts["size"], counts["nunique"], strict=True
        )
    )
