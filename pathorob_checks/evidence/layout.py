"""What is in an evidence folder: the names of its files, and what each is for."""

from __future__ import annotations

from collections.abc import Mapping

from pathorob_checks.evidence.manifest import ATTESTATION, MANIFEST

# In the order in which a reader opens them; the last two are about all the others.
FILES: Mapping[str, str] = {
    "protocol.json": "the terms of the run, its plan and its options, fixed before anything was measured",
    "protocol.md": "the same for reading",
    "results.json": "every value, interval, bound and verdict: the results file",
    "junit.xml": "how each test ended, as pytest tells other tools",
    "report.html": "the report with all figures, for reading and printing",
    "environment.json": "installed packages, Python, operating system, processor, memory, GPUs and threads",
    "requirements.txt": "the same packages with their versions, for pip: to repeat the run later",
    "provenance.json": "digests of weights, cohorts, tables and code; revisions; command line; container; CI",
    "bom.cdx.json": "bill of materials (CycloneDX): FMs, cohorts and installed packages",
    "log.txt": "what the run printed",
    "traceability.csv": "requirement, criterion, test, value, interval, bound, verdict and figure",
    "traceability.md": "the same for reading",
    "deviations.md": "what differed from the protocol, and what was looked for",
    "limitations.md": "what the design of the study and this run cannot show",
    "signature-page.html": "a page to print and sign by hand",
    MANIFEST: "the SHA-256 of every file above; the run has ended",
    ATTESTATION: "the outcome, the weights and the manifest, signed where a key was given",
}

PROTOCOL_SCHEMA = "pathorob-checks/protocol/1"
ENVIRONMENT_SCHEMA = "pathorob-checks/environment/1"
PROVENANCE_SCHEMA = "pathorob-checks/provenance/1"
