"""Signatures without a key of one's own: sigstore vouches for the person or the CI job that signs."""

from __future__ import annotations

import base64
import binascii
import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.envelope import PAYLOAD_TYPE
from pathorob_checks.wording import brief

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from sigstore.oidc import IdentityToken

NAME = "sigstore"
LIBRARY = "sigstore>=4.0"
_LATER = "sign the folder later with 'pathorob-checks sign', or use a key"


class SigstoreSigner:
    """Signs with a certificate of sigstore, which names the account that signed.

    Raises
    ------
    EvidenceError : sigstore is not installed.
    """

    def __init__(self) -> None:
        _require()

    @property
    def name(self) -> str:
        """Who vouches."""
        return NAME

    def sign(self, envelope: Envelope) -> str:
        """The bundle of sigstore as a JSON line: envelope, certificate and entry in the public log.

        The account is that of the CI job, or of who is asked in a browser from a terminal.
        """
        if envelope.signatures:
            raise EvidenceError(
                "the attestation is signed by a key already, and sigstore adds no signature to it",
                remedy="sign with another key",
            )
        from sigstore import dsse
        from sigstore.models import ClientTrustConfig
        from sigstore.sign import SigningContext

        try:
            trust = ClientTrustConfig.production()
            with SigningContext.from_trust_config(trust).signer(_identity(trust)) as signer:
                return one_line(signer.sign_dsse(dsse.Statement(envelope.payload)).to_json())
        except EvidenceError:
            raise
        except Exception as error:  # of many kinds: network, identity, log, certificate
            raise EvidenceError(f"sigstore did not sign ({_reason(error)})", remedy=_LATER) from None


def _identity(trust: Any) -> IdentityToken:
    from sigstore.oidc import IdentityToken, Issuer, detect_credential

    token = detect_credential()
    if token is not None:
        return IdentityToken(token)
    if sys.stdin is None or not sys.stdin.isatty():
        raise EvidenceError("sigstore finds no account of a CI job, and there is no terminal", remedy=_LATER)
    return Issuer(trust.signing_config.get_oidc_url()).identity_token()


def one_line(text: str) -> str:
    """A JSON text in the form of an attestation's line."""
    from pathorob_checks.canonical import canonical_json

    return canonical_json(json.loads(text))


def is_bundle(document: Any) -> bool:
    """Whether a JSON document is a bundle of sigstore."""
    return isinstance(document, dict) and "verificationMaterial" in document


def payload_in_bundle(document: dict[str, Any]) -> bytes:
    """The payload of the envelope in a bundle, which is not verified yet; raises ValueError without one."""
    envelope = document.get("dsseEnvelope")
    payload = envelope.get("payload") if isinstance(envelope, dict) else None
    if not isinstance(payload, str):
        raise ValueError("its bundle holds no DSSE envelope")
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise ValueError("the payload of its envelope is not base64") from None


def statement_in_bundle(document: dict[str, Any], identity: str, issuer: str) -> bytes:
    """The statement that a bundle holds, once its signature, certificate and log entry are verified offline.

    Parameters
    ----------
    document : a bundle.
    identity : the account that must have signed: an address, or the URI of a workflow.
    issuer : who vouches for the account, such as `https://accounts.google.com`.

    Raises
    ------
    EvidenceError : sigstore is not installed, or does not accept the bundle.
    """
    _require()
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    try:
        bundle = Bundle.from_json(json.dumps(document))
        policy = Identity(identity=identity, issuer=issuer)
        kind, statement = Verifier.production(offline=True).verify_dsse(bundle, policy)
    except Exception as error:  # of many kinds, for whatever a stranger's file may hold
        raise EvidenceError(
            f"sigstore does not accept the signature ({_reason(error)})",
            remedy="ask who signed, and with which account",
        ) from None
    if kind != PAYLOAD_TYPE:
        raise EvidenceError("sigstore's envelope does not hold an in-toto statement", remedy="sign it again")
    return statement


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return brief(lines[0] if lines else type(error).__name__).rstrip(".")


def _require() -> None:
    if importlib.util.find_spec("sigstore") is None:
        raise EvidenceError(
            "signing and verifying by sigstore needs the library sigstore, which is not installed",
            remedy=f"install it with pip install '{LIBRARY}', or use a key",
        )
