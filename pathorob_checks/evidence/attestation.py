"""The attestation of an evidence folder: an in-toto statement about the run, in a DSSE envelope.

The statement has the predicate `test-result/v0.1` and follows from the manifest and the results alone:
whoever has these can make it again and compare. Outside tools that know in-toto read and verify it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.canonical import canonical_json, digest_of
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import keyless
from pathorob_checks.evidence.envelope import document_of, envelope_of, enveloped, line_of
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.inventory import content_of
from pathorob_checks.evidence.manifest import (
    ATTESTATION,
    MANIFEST,
    Kind,
    Manifest,
    manifest_bytes,
    manifest_of,
    seal,
)
from pathorob_checks.files import write_atomically
from pathorob_checks.results.document import Outcome, ResultsDocument
from pathorob_checks.results.releases import effective_verdicts
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.evidence.signing import Signer

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PROTOCOL = "protocol.json"
# What was left out on purpose is no pass, and what could not be measured none either.
_RESULTS: Mapping[Outcome, str] = {
    Outcome.PASS: "PASSED",
    Outcome.PARTIAL: "WARNED",
    Outcome.INCONCLUSIVE: "WARNED",
    Outcome.ERROR: "FAILED",
    Outcome.FAIL: "FAILED",
}
# The list of the predicate that a verdict puts a check into; what was skipped is in none.
_LISTS: Mapping[Verdict, str] = {
    Verdict.PASS: "passedTests",
    Verdict.INCONCLUSIVE: "warnedTests",
    Verdict.FAIL: "failedTests",
    Verdict.ERROR: "failedTests",
}
_SHA256 = 64  # hexadecimal digits
_LARGEST = 10_000_000  # bytes of an attestation


def attest(folder: Path, results: ResultsDocument, signer: Signer | None) -> Path:
    """Write `attestation.intoto.jsonl`: the last file of an evidence folder.

    Parameters
    ----------
    folder : has its manifest.
    results : of the run.
    signer : what signs it; None leaves it without a signature.

    Returns
    -------
    Its path.

    Raises
    ------
    EvidenceError : the manifest cannot be read, the signature cannot be made, or the file not be written.
    """
    content = manifest_bytes(folder)
    return write_attestation(folder, statement_of(content, manifest_of(content, folder), results), signer)


def write_attestation(folder: Path, statement: bytes, signer: Signer | None) -> Path:
    """Write `attestation.intoto.jsonl` with a statement of `statement`; else as `attest`."""
    envelope = enveloped(statement)
    _write(folder, line_of(envelope) if signer is None else signer.sign(envelope))
    return folder / ATTESTATION


def seal_and_attest(
    folder: EvidenceFolder,
    kind: Kind,
    statement_about: Callable[[bytes, Manifest], bytes],
    signer: Signer | None = None,
    *,
    outcome: Outcome,
    digest: str,
    plan_digest: str,
) -> Path:
    """Finish a folder whose files are written: manifest, then attestation.

    Parameters
    ----------
    kind, outcome, digest, plan_digest : as of `manifest.seal`.
    statement_about : makes the statement of the bytes of `manifest.json`, and of what they say.
    signer : as of `attest`.

    Returns
    -------
    The manifest.

    Raises
    ------
    EvidenceError : as of `attest`; the folder stays incomplete.
    """
    try:
        manifest = seal(folder.path, kind, outcome=outcome, digest=digest, plan_digest=plan_digest)
        listing = manifest_bytes(folder.path)
        write_attestation(folder.path, statement_about(listing, manifest_of(listing, folder.path)), signer)
    except EvidenceError as error:
        folder.remain_incomplete(str(error))
        raise
    return manifest


def add_signature(folder: Path, signer: Signer) -> None:
    """Sign the attestation that a folder has; other signatures stay.

    Raises
    ------
    EvidenceError : it cannot be read or written, or the signature cannot be made beside those that it has.
    """
    try:
        document = document_of(content_of(folder / ATTESTATION, _LARGEST))
        if keyless.is_bundle(document):
            raise EvidenceError(
                f"{folder / ATTESTATION} is signed by sigstore already", remedy="keep it as it is"
            )
        envelope = envelope_of(document)
    except (OSError, ValueError, RecursionError) as error:
        raise EvidenceError(
            f"{folder / ATTESTATION} cannot be read ({getattr(error, 'strerror', None) or error})",
            remedy="run the gate again",
        ) from None
    _write(folder, signer.sign(envelope))


def _write(folder: Path, line: str) -> None:
    try:
        write_atomically(folder / ATTESTATION, f"{line}\n".encode())
    except OSError as error:
        raise EvidenceError(
            f"{folder / ATTESTATION} cannot be written ({error.strerror or error})",
            remedy="make room there, and sign the folder with 'pathorob-checks sign'",
        ) from None


def statement_of(content: bytes, manifest: Manifest, results: ResultsDocument) -> bytes:
    """The in-toto statement (v1) about a run, as canonical JSON.

    Parameters
    ----------
    content : bytes of `manifest.json`, which is the first subject.
    manifest : what they say.
    results : of the run; each FM's weights are a subject, or its identity where they have no digest.

    Notes
    -----
    The verdicts are those that count for the release of an FM.
    """
    return statement(
        content, manifest, PROTOCOL, outcome=results.outcome, models=_models(results), tests=_tests(results)
    )


def statement(
    content: bytes,
    manifest: Manifest,
    configuration: str,
    *,
    outcome: Outcome,
    models: Iterable[tuple[str, str]],
    tests: Iterable[tuple[str, Verdict]],
) -> bytes:
    """The in-toto statement (v1) about evidence of any kind, as canonical JSON.

    Parameters
    ----------
    content, manifest : as of `statement_of`.
    configuration : name of the file with what was planned.
    outcome : of everything.
    models : name and SHA-256 of further subjects.
    tests : id and verdict of each test.

    Notes
    -----
    The form is that of https://github.com/in-toto/attestation, `spec/v1/statement.md` and
    `spec/predicates/test-result.md`.
    """
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    def described(name: str, digest: str) -> Any:
        return ResourceDescriptor(name=name, digest={"sha256": digest}).pb

    planned = manifest.files.get(configuration)
    predicate = test_result_pb2.TestResult(
        result=_RESULTS[outcome],
        configuration=[described(configuration, planned.sha256)] if planned else [],
    )
    predicates = json_format.MessageToDict(predicate) | _lists(tests)
    subjects = {MANIFEST: hashlib.sha256(content).hexdigest(), **dict(models)}
    made = Statement(
        [described(name, digest) for name, digest in subjects.items()],
        PREDICATE_TYPE,
        json_format.MessageToDict(json_format.ParseDict(predicates, test_result_pb2.TestResult())),
    )
    made.validate()
    return canonical_json(json_format.MessageToDict(made.pb)).encode()


def _tests(results: ResultsDocument) -> Iterator[tuple[str, Verdict]]:
    """Checks, integrity checks and other tests."""
    verdicts = effective_verdicts(results.checks, results.releases)
    yield from ((check.id, verdict) for check, verdict in zip(results.checks, verdicts, strict=True))
    yield from ((check.id, check.verdict) for check in results.integrity)
    yield from ((test, Verdict.FAIL) for test in results.other_failures)


def _lists(tests: Iterable[tuple[str, Verdict]]) -> dict[str, Sequence[str]]:
    """The ids, by the list of the predicate."""
    lists: dict[str, list[str]] = {}
    for name, verdict in tests:
        if verdict in _LISTS:
            lists.setdefault(_LISTS[verdict], []).append(printable(name))
    return {name: list(dict.fromkeys(ids)) for name, ids in lists.items()}


def _models(results: ResultsDocument) -> Iterable[tuple[str, str]]:
    """Name and SHA-256 of each FM's weights, or of its identity."""
    for run in results.runs:
        weights = run.fm.identity.get("weights_sha256")
        name = printable(run.fm.name)
        if isinstance(weights, str) and len(weights) == _SHA256:
            yield f"weights of {name}", weights
        else:
            yield f"identity of {name}", digest_of(run.fm.identity)
