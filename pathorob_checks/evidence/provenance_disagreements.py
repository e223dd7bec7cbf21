"""Whether the provenance of an evidence folder is about the FMs, cohorts and protocol of its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pathorob_checks.evidence.provenance import fms_of, weights_sha256
from pathorob_checks.results.document import ResultsDocument

PROVENANCE = "provenance.json"


def provenance_disagreements(
    provenance: Mapping[str, Any], protocol: Mapping[str, Any], results: ResultsDocument
) -> Iterator[str]:
    """A clause for each thing that it tells differently; raises as a wrong shape does."""
    fms = sorted(
        (fm.name, fm.revision or "", weights_sha256(fm) or "", fm.embeddings) for fm in fms_of(results)
    )
    named_fms = sorted(
        (fm["name"], fm["revision"] or "", fm["weights_sha256"] or "", fm["embeddings"])
        for fm in provenance["fms"]
    )
    if fms != named_fms:
        yield f"{PROVENANCE} is about other FMs, revisions, weights or embeddings than results.json"
    cohorts = {run.cohort.name: run.cohort.digest for run in results.runs}
    if {cohort["name"]: cohort["digest"] for cohort in provenance["cohorts"]} != cohorts:
        yield f"{PROVENANCE} is about other cohorts than results.json"
    for key, what in (("command", "command"), ("qualification", "qualification")):
        if provenance.get(key) != protocol.get(key):
            yield f"{PROVENANCE} has another {what} than protocol.json"
