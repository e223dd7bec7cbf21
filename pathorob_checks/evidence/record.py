"""The evidence of one run, from before anything is measured to the manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.attestation import attest
from pathorob_checks.evidence.bom import bill_of_materials
from pathorob_checks.evidence.cleaned import cleaned_results, write_without_secrets
from pathorob_checks.evidence.environment import environment_document, environment_facts, requirements_text
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.junit import cleaned_junit
from pathorob_checks.evidence.log import Log
from pathorob_checks.evidence.manifest import write_manifest
from pathorob_checks.evidence.pages import (
    deviations_page,
    limitations_page,
    protocol_page,
    signature_page,
    traceability_page,
)
from pathorob_checks.evidence.protocol import AS_WRITTEN, protocol_document
from pathorob_checks.evidence.provenance import provenance_document
from pathorob_checks.evidence.redaction import Redaction
from pathorob_checks.evidence.report_rows import evidence_rows
from pathorob_checks.evidence.traceability import traces, traces_as_csv
from pathorob_checks.report.forms import FORMS
from pathorob_checks.report.html import html_report
from pathorob_checks.results.results import Results

if TYPE_CHECKING:
    from pathorob_checks.evaluation.run import Evaluation
    from pathorob_checks.evidence.signing import Signer

_ON_SIGNATURE_PAGE = ("protocol.json", "results.json", "provenance.json", "traceability.csv", "deviations.md")


class Evidence:
    """What one run leaves behind in a folder.

    Parameters
    ----------
    path : of the folder, as the user wrote it.
    identify : tell the person and the machine.
    by : who is responsible for the run, as the user states it; None names nobody.
    signer : what signs the attestation; None leaves it unsigned.
    qualification : facts of the one that the run refers to; None refers to none.
    variables : of the process.

    Attributes
    ----------
    folder : where everything is written.
    log : takes in what the run prints.
    is_begun : whether the folder was made and its protocol written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        identify: bool = False,
        by: str | None = None,
        signer: Signer | None = None,
        qualification: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = EvidenceFolder(path)
        self._by = by
        self._identify, self.signer, self._qualification = identify, signer, qualification
        self._variables = dict(os.environ if variables is None else variables)
        self._redaction = Redaction.of_this_machine(self._variables, identify=identify)
        self.log = Log(self.folder.path / "log.txt", self._redaction)
        self.is_begun = False
        self._protocol: dict[str, Any] = {}
        self._environment: dict[str, Any] = {}
        self._results: Results | None = None

    def fix(self, evaluation: Evaluation, command: Sequence[str], *, processes: int = 1) -> None:
        """Write the protocol and the environment; nothing may have been measured yet.

        Parameters
        ----------
        evaluation : whose terms are fixed.
        command : the command line, a word each.
        processes : that will measure at the same time.

        Raises
        ------
        EvidenceError : they cannot be written, or would hold a secret.
        """
        clean = self._redaction.in_values
        protocol = protocol_document(
            evaluation, command, datetime.now(UTC), require_complete=evaluation.require_complete
        )
        self._protocol = clean(
            {**protocol, "responsible": self._by, "qualification": self._qualification}, kept=AS_WRITTEN
        )
        environment = environment_document(processes=processes, identify=self._identify)
        self._environment = clean(environment, kept=("identified",))
        self._write("protocol.json", _json(self._protocol))
        self._write("protocol.md", protocol_page(self._protocol))
        self._write("environment.json", _json(self._environment))
        self._write("requirements.txt", requirements_text(self._environment))
        self.is_begun = True

    def conclude(self, results: Results) -> None:
        """Write all that follows from the results; a later call replaces what an earlier one wrote.

        Raises
        ------
        EvidenceError : a file cannot be written, or would hold a secret.
        """
        self._results = results = cleaned_results(results, self._redaction)
        protocol, environment = self._protocol, self._environment
        provenance = self._redaction.in_values(provenance_document(results, protocol, self._variables))
        self._write("results.json", FORMS["json"].render(results))
        report = html_report(results, evidence_rows(protocol))
        self._write("report.html", report)
        self._write("provenance.json", _json(provenance))
        self._write("bom.cdx.json", bill_of_materials(results, environment["packages"], provenance["code"]))
        trace_rows = traces(results, protocol, report)
        self._write("traceability.csv", traces_as_csv(trace_rows))
        self._write("traceability.md", traceability_page(trace_rows, results))
        self._write("deviations.md", deviations_page(results, protocol))
        self._write("limitations.md", limitations_page(results, protocol))
        page = signature_page(
            results,
            protocol,
            {name: self._sha256(name) for name in _ON_SIGNATURE_PAGE},
            environment_facts(environment),
            is_signed=self.signer is not None,
        )
        self._write("signature-page.html", page)

    def seal(self, junit: Path) -> Path:
        """Write what is known only when the run has ended, then the manifest and the attestation.

        Parameters
        ----------
        junit : the JUnit file that pytest wrote.

        Returns
        -------
        The manifest.

        Raises
        ------
        EvidenceError : a file is missing, cannot be written, or would hold a secret; the folder stays
            incomplete.
        """
        assert self._results is not None  # noqa: S101 (`conclude` comes first)
        self.log.close()
        if self.log.problem is not None:
            raise EvidenceError(
                f"{self.folder}/log.txt lacks a part of the log ({self.log.problem})",
                remedy="run again into a new folder, with enough space",
            )
        self._write("junit.xml", cleaned_junit(junit, self._redaction))
        with self.folder.completing():
            manifest = write_manifest(self.folder.path, self._results)
            attest(self.folder.path, self._results, self.signer)
        return manifest

    def remain_incomplete(self, reason: str) -> None:
        """Leave the folder as one that is never finished, and say why in it."""
        self.log.close()
        self.folder.remain_incomplete(self._redaction.in_text(reason))

    def _write(self, name: str, text: str) -> None:
        write_without_secrets(self.folder, name, text, self._redaction)

    def _sha256(self, name: str) -> str:
        return hashlib.sha256(self.folder.read(name).encode()).hexdigest()


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, allow_nan=False, indent=2, ensure_ascii=False) + "\n"
