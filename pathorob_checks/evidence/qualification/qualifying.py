"""The whole qualification: every step in turn, then the folder that it leaves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.evidence.attestation import seal_and_attest
from pathorob_checks.evidence.environment import environment_document, environment_facts
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.provenance import code_facts
from pathorob_checks.evidence.qualification.controls import controls
from pathorob_checks.evidence.qualification.golden import golden
from pathorob_checks.evidence.qualification.installation import installation
from pathorob_checks.evidence.qualification.interruption import interruption
from pathorob_checks.evidence.qualification.pages import qualification_page
from pathorob_checks.evidence.qualification.published import published
from pathorob_checks.evidence.qualification.record import Finding, Qualification, outcome_of, recorded
from pathorob_checks.evidence.qualification.verification import (
    ENVIRONMENT,
    PAGE,
    RECORDS,
    statement_about,
)
from pathorob_checks.evidence.qualification.worked_examples import worked_examples
from pathorob_checks.evidence.redaction import Redaction

if TYPE_CHECKING:
    from pathorob_checks.evidence.signing import Signer

Step = Callable[[], Iterator[Finding]]

STEPS: Mapping[str, Step] = {
    "digests of installed files, versions and ranges": installation,
    "verdicts and releases on worked examples": worked_examples,
    "metrics on the golden cohorts": golden,
    "positive and negative control of the demo": controls,
    "an extraction that is killed and goes on": interruption,
}
PUBLISHED = "published scores"


def qualify(
    embeddings: Path | None = None,
    fm: str | None = None,
    *,
    cohorts: Sequence[str] = (),
    metadata: Path | None = None,
    responsible: str | None = None,
    show: Callable[[str], None] = lambda _: None,
) -> Qualification:
    """Examine this installation; takes one to three minutes on two cores.

    Parameters
    ----------
    embeddings, fm, cohorts, metadata : see `published.published`.
    responsible : who answers for it, as that person states it; None names nobody.
    show : called with a line when a step begins and when it has ended.

    Returns
    -------
    A step that cannot be done is in it as an error, and then the outcome is no PASS.
    """
    steps = dict(STEPS) | {PUBLISHED: lambda: published(embeddings, fm, cohorts, metadata)}
    started = time.monotonic()
    findings: list[Finding] = []
    for number, (title, step) in enumerate(steps.items(), 1):
        show(f"[{number}/{len(steps)}] {title} ...")
        begun = time.monotonic()
        findings += step()
        show(f"      {time.monotonic() - begun:.0f} s")
    records = recorded(findings)
    code = code_facts()
    return Qualification(
        created=datetime.now(UTC).replace(microsecond=0),
        version=code["version"],
        code=code["sha256"],
        seconds=round(time.monotonic() - started, 1),
        responsible=responsible,
        records=records,
        outcome=outcome_of(records),
    )


def begun_folder(path: str | os.PathLike[str]) -> EvidenceFolder:
    """A new folder that says that it is incomplete; raises EvidenceError where it cannot be used."""
    folder = EvidenceFolder(path, "--out")
    folder.begin()
    return folder


def write(folder: EvidenceFolder, qualification: Qualification, signer: Signer | None = None) -> Path:
    """Write records, page, environment, manifest and attestation.

    Parameters
    ----------
    folder : of `begun_folder`.
    signer : what signs the attestation; None leaves it unsigned.

    Returns
    -------
    The manifest.

    Raises
    ------
    EvidenceError : a file cannot be written; the folder stays incomplete.
    """
    redaction = Redaction.of_this_machine(dict(os.environ), identify=False)
    qualification = Qualification.model_validate_json(
        json.dumps(
            redaction.in_values(qualification.model_dump(mode="json", by_alias=True), kept=("responsible",))
        )
    )
    environment = redaction.in_values(environment_document())
    folder.write(RECORDS, qualification.model_dump_json(by_alias=True, indent=2) + "\n")
    folder.write(PAGE, qualification_page(qualification, environment_facts(environment)))
    folder.write(ENVIRONMENT, json.dumps(environment, indent=2) + "\n")
    return seal_and_attest(
        folder,
        "qualification",
        lambda listing, manifest: statement_about(listing, manifest, qualification),
        signer,
        outcome=qualification.outcome,
        digest=qualification.code,
        plan_digest=qualification.plan_digest,
    )
