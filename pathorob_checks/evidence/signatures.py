"""The attestation of a folder as it is found: what it says, and who signed it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import keyless
from pathorob_checks.evidence.envelope import PAYLOAD_TYPE, document_of, envelope_of
from pathorob_checks.evidence.manifest import ATTESTATION
from pathorob_checks.wording import brief

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

_NOBODY = (
    "who wrote this folder, because it is NOT SIGNED: whoever can write to it could have made all of it anew"
)
_OTHER_STATEMENT = (
    f"{ATTESTATION} does not say what follows from manifest.json and results.json: it is about another "
    "folder, or one of them was changed"
)


class Signed(StrEnum):
    """What is known of who signed."""

    NO = "NOT SIGNED"
    UNVERIFIED = "SIGNATURE NOT VERIFIED"
    YES = "SIGNED"


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whom sigstore must vouch for: an account, and who keeps it."""

    identity: str
    issuer: str


@dataclass(frozen=True, kw_only=True)
class Trusted:
    """Whose signatures count.

    Attributes
    ----------
    keys : public keys by the names of their files; each of them must have signed.
    account : who must have signed by sigstore; None where that is not asked.
    """

    keys: Mapping[str, SSlibKey] = field(default_factory=dict)
    account: Account | None = None


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """What is wrong with an attestation, what was verified of it, and what was not."""

    findings: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    signed: Signed = Signed.UNVERIFIED


def examine(content: bytes, statement: bytes, trusted: Trusted) -> Signatures:
    """Compare an attestation with what it should say, and verify its signatures.

    Parameters
    ----------
    content : of `attestation.intoto.jsonl`.
    statement : what follows from the folder.
    trusted : whose signatures count.
    """
    try:
        document = document_of(content)
        if keyless.is_bundle(document):
            return _of_bundle(document, statement, trusted)
        envelope = envelope_of(document)
    except (ValueError, RecursionError) as error:
        reason = brief(str(error)) or type(error).__name__
        return Signatures(findings=(f"{ATTESTATION} is damaged ({reason})",))
    if (envelope.payload_type, envelope.payload) != (PAYLOAD_TYPE, statement):
        return Signatures(findings=(_OTHER_STATEMENT,))
    return _of_envelope(envelope, trusted)


def _of_envelope(envelope: Envelope, trusted: Trusted) -> Signatures:
    signers = [f"the key {brief(name, 16)}" for name in envelope.signatures]
    by = {name: _is_signed_by(envelope, key) for name, key in trusted.keys.items()}
    findings = [_missing(name, key, signers) for name, key in trusted.keys.items() if not by[name]]
    if trusted.account is not None:
        findings.append(f"{ATTESTATION} is not signed by sigstore")
    if not signers:
        return Signatures(findings=tuple(findings), unverified=(_NOBODY,), signed=Signed.NO)
    known = {key.keyid for key in trusted.keys.values()}
    unverified = [
        f"the signature of {signer}, because its public key was not given; give it with --key=PUB.pem"
        for signer, name in zip(signers, envelope.signatures, strict=True)
        if name not in known
    ]
    verified = [
        f"the signature of the key {brief(key.keyid, 16)} ({name})"
        for name, key in trusted.keys.items()
        if by[name]
    ]
    return Signatures(
        findings=tuple(findings),
        verified=tuple(verified),
        unverified=tuple(unverified),
        signed=Signed.YES if verified else Signed.UNVERIFIED,
    )


def _is_signed_by(envelope: Envelope, key: SSlibKey) -> bool:
    from securesystemslib.exceptions import Error

    try:
        return key.keyid in envelope.verify([key], threshold=1)
    except (Error, ValueError):
        return False


def _missing(file: str, key: SSlibKey, signers: list[str]) -> str:
    if not signers:
        return f"{ATTESTATION} is not signed, and the key {file} should have signed it"
    if f"the key {brief(key.keyid, 16)}" in signers:
        return f"the signature in {ATTESTATION} was not made by the key {file} over this statement"
    return f"{ATTESTATION} is not signed by the key {file}, but by {', '.join(signers)}"


def _of_bundle(document: dict[str, Any], statement: bytes, trusted: Trusted) -> Signatures:
    findings = [f"{ATTESTATION} is signed by sigstore, and not by the key {name}" for name in trusted.keys]
    if _statement_in(document) != statement:
        return Signatures(findings=(*findings, _OTHER_STATEMENT))
    account = trusted.account
    if account is None:
        remedy = "give it with --identity and --issuer"
        unverified = f"the signature of sigstore, because no account was given; {remedy}"
        return Signatures(findings=tuple(findings), unverified=(unverified,))
    try:
        signed = keyless.statement_in_bundle(document, account.identity, account.issuer)
    except EvidenceError as error:
        return Signatures(findings=(*findings, str(error).rstrip(".")))
    if signed != statement:
        return Signatures(findings=(*findings, _OTHER_STATEMENT))
    return Signatures(
        findings=tuple(findings), verified=(f"signed by {account.identity} ({account.issuer})",)
    )


def _statement_in(document: dict[str, Any]) -> bytes:
    """The payload of the envelope in a bundle, which is not verified yet."""
    envelope = document.get("dsseEnvelope")
    payload = envelope.get("payload") if isinstance(envelope, dict) else None
    if not isinstance(payload, str):
        raise ValueError("its bundle holds no DSSE envelope")
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise ValueError("the payload of its envelope is not base64") from None
