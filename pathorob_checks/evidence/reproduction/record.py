"""The record of a reproduction: which evidence, by whom, with which code, and what came out."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pathorob_checks.evidence.manifest import Manifest, Sha256
from pathorob_checks.evidence.reproduction.comparison import ROUNDING
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.part import Document, Finite

SCHEMA: Literal["pathorob-checks/reproduction/2"] = "pathorob-checks/reproduction/2"


class ReproducedEvidence(Document):
    """The evidence that was reproduced, by what its `manifest.json` says.

    Attributes
    ----------
    manifest_sha256 : names the folder.
    created : when its manifest was written.
    version : of the package that wrote it.
    outcome : of its run.
    digest, plan_digest : of its terms and its plan.
    """

    manifest_sha256: Sha256
    created: AwareDatetime
    version: str
    outcome: Outcome
    digest: str
    plan_digest: str


class Record(Document):
    """The content of `reproduction.json`.

    Attributes
    ----------
    schema : names this form of the document.
    created : when the run was made again, in UTC.
    responsible : who answers for it, as that person stated it; None names nobody.
    version, code : of the package that made the run again, and SHA-256 over all of its files.
    evidence : what was reproduced.
    kept_embeddings : whether embeddings of an earlier run were used, so that only metrics were reproduced.
    rounding : by how much a number may differ beside the drift of precision.
    summary : what came out, in one sentence.
    reproduced : whether every value is equal or within noise.
    elsewhere : what is not as it was: packages, Python, platform, terms.
    pairs : every number and verdict that was compared.
    """

    schema_: Literal["pathorob-checks/reproduction/2"] = Field(default=SCHEMA, alias="schema")
    created: AwareDatetime
    responsible: str | None = None
    version: str
    code: Sha256
    evidence: ReproducedEvidence
    kept_embeddings: bool
    rounding: Annotated[Finite, Field(ge=0)] = ROUNDING
    summary: str
    reproduced: bool
    elsewhere: tuple[str, ...]
    pairs: tuple[dict[str, float | str | None], ...]


def reproduced_evidence(listing: bytes, manifest: Manifest) -> ReproducedEvidence:
    """What a record says of the evidence with this manifest."""
    return ReproducedEvidence(
        manifest_sha256=hashlib.sha256(listing).hexdigest(),
        created=manifest.created,
        version=manifest.tool.version,
        outcome=manifest.outcome,
        digest=manifest.digest,
        plan_digest=manifest.plan_digest,
    )
