"""What a results file says of an FM and a cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.embeddings.integrity import Integrity
    from pathorob_checks.models.loading import PreparedModel, ResolvedModel
    from pathorob_checks.models.spec import ModelSpec


def fm_facts(
    spec: ModelSpec,
    resolved: ResolvedModel,
    prepared: PreparedModel,
    embeddings: Embeddings,
    integrity: Integrity | None = None,
) -> dict[str, Any]:
    """The FM: what was asked for, what that was at the time, and how its embeddings came about.

    `integrity` is what its tests established, None where they did not run or had no FM to ask.
    """
    described = embeddings.details.get("model")
    loaded = described.get("notes", ()) if isinstance(described, dict) else ()
    return {
        "name": resolved.name,
        "spec": spec.text,
        "revision": resolved.revision,
        "license": prepared.license,
        "commercial": prepared.commercial,
        "notes": list(dict.fromkeys([*prepared.notes, *map(str, loaded), *embeddings.notes])),
        "identity": embeddings.identity,
        "dimension": int(embeddings.values.shape[1]),
        "embeddings": embeddings.key,
        "extraction": embeddings.details,
        "integrity": integrity and integrity.model_dump(mode="json"),
    }


def cohort_facts(name: str, cohort: Cohort) -> dict[str, Any]:
    """The cohort: its terms, its digests, and how much of it there is."""
    subset = cohort.patches.subset
    centers = cohort.patches.medical_center
    return {
        "name": name,
        "source": cohort.source,
        "digest": cohort.digest,
        "tables": dict(cohort.tables or {}),
        "license": cohort.license,
        "commercial": cohort.commercial,
        "notes": list(cohort.notes),
        "patches": len(cohort),
        "slides": int(cohort.patches.slide_id.nunique()),
        "biological_classes": sorted(cohort.patches.biological_class.unique().tolist()),
        "in_domain_centers": sorted(centers[subset != "OOD"].unique().tolist()),
        "out_of_domain_centers": sorted(centers[subset == "OOD"].unique().tolist()),
    }
