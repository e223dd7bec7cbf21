"""The qualification that a run refers to: verified, and named by the digest of its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.inventory import sha256_of
from pathorob_checks.evidence.manifest import MANIFEST, read_manifest
from pathorob_checks.evidence.provenance import code_facts
from pathorob_checks.evidence.verification import verify


def qualification_facts(folder: Path) -> dict[str, Any]:
    """What protocol and provenance say of a qualification, as JSON-like content.

    Raises
    ------
    EvidenceError : the folder is not intact, or is no qualification.
    """
    for finding in verify(folder).findings:
        raise EvidenceError(
            f"the qualification {folder} is not intact ({finding})",
            remedy="qualify again with 'pathorob-checks qualify --out=DIR'",
        )
    manifest = read_manifest(folder)
    if manifest.kind != "qualification":
        raise EvidenceError(
            f"{folder} is the evidence of a run and no qualification",
            remedy="name a folder of 'pathorob-checks qualify --out=DIR'",
        )
    return {
        "manifest_sha256": sha256_of(folder / MANIFEST),
        "outcome": manifest.outcome.value,
        "created": manifest.created.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "version": manifest.tool.version,
        "code": manifest.digest,
        "is_of_this_code": manifest.digest == code_facts()["sha256"],
    }
