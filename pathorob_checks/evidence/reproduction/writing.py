"""The folder of a reproduction: evidence of its own, which can be signed and verified."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.attestation import seal_and_attest
from pathorob_checks.evidence.cleaned import cleaned_results, write_without_secrets
from pathorob_checks.evidence.environment import environment_document, environment_facts
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.manifest import manifest_of
from pathorob_checks.evidence.provenance import code_facts
from pathorob_checks.evidence.redaction import Redaction
from pathorob_checks.evidence.reproduction.comparison import compared
from pathorob_checks.evidence.reproduction.page import reproduction_page
from pathorob_checks.evidence.reproduction.record import Record, reproduced_evidence
from pathorob_checks.evidence.reproduction.rerun import Archived
from pathorob_checks.evidence.reproduction.verification import (
    ENVIRONMENT,
    EVIDENCE_MANIFEST,
    EVIDENCE_RESULTS,
    PAGE,
    RECORD,
    RESULTS,
    statement_about,
)
from pathorob_checks.report.forms import FORMS
from pathorob_checks.results.results import Results


def refuse_later_evidence(archive: Archived) -> None:
    """Refuse evidence that is from the future by the clock here: its reproduction would never verify.

    Raises
    ------
    EvidenceError : it is.
    """
    created = manifest_of(archive.manifest, Path(EVIDENCE_MANIFEST)).created
    if created > datetime.now(UTC):
        raise EvidenceError(
            f"the evidence is of {created:%Y-%m-%d %H:%M} UTC, later than the clock of this machine",
            remedy="correct the clock",
        )


def write(
    folder: EvidenceFolder,
    archive: Archived,
    results: Results,
    *,
    responsible: str | None = None,
    kept_embeddings: bool = False,
) -> Path:
    """Write record, page, both results, environment, manifest and attestation.

    Parameters
    ----------
    folder : has begun.
    archive : the evidence that was reproduced.
    results : of the run that was made again.
    responsible, kept_embeddings : as of `Record`.

    Returns
    -------
    The manifest.

    Raises
    ------
    EvidenceError : a file cannot be written, or would hold a secret; the folder stays incomplete.
    """
    redaction = Redaction.of_this_machine(dict(os.environ), identify=False)
    results = Results.from_json(FORMS["json"].render(cleaned_results(results, redaction)), RESULTS)
    reproduction = compared(archive.results, results)
    code = code_facts()
    record = Record.model_validate(
        {
            "created": datetime.now(UTC).replace(microsecond=0),
            "responsible": responsible,
            "version": code["version"],
            "code": code["sha256"],
            "evidence": reproduced_evidence(archive.manifest, manifest_of(archive.manifest, folder.path)),
            "kept_embeddings": kept_embeddings,
            **reproduction.to_json(),
        }
    )
    environment = redaction.in_values(environment_document())
    texts = {
        RECORD: record.model_dump_json(by_alias=True, indent=2) + "\n",
        PAGE: reproduction_page(record, environment_facts(environment)),
        RESULTS: FORMS["json"].render(results),
        ENVIRONMENT: json.dumps(environment, indent=2) + "\n",
        EVIDENCE_MANIFEST: archive.manifest.decode(),
        EVIDENCE_RESULTS: archive.results_file.decode(),
    }
    for name, text in texts.items():
        write_without_secrets(folder, name, text, redaction)
    terms = results.environment.criteria
    return seal_and_attest(
        folder,
        "reproduction",
        lambda listing, manifest: statement_about(listing, manifest, record, reproduction),
        outcome=reproduction.outcome,
        digest=terms.digest,
        plan_digest=terms.plan_digest,
    )
