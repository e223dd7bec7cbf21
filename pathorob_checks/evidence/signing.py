"""Who signs an evidence folder: a key in a file, or a person known to sigstore."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pathorob_checks.errors import EvidenceError
from pathorob_checks.files import expanded, read_limited
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

PASSPHRASE = "PATHOROB_CHECKS_KEY_PASSPHRASE"  # noqa: S105 (the name of a variable)
SIGSTORE = "sigstore"
_LARGEST = 1_000_000  # bytes of a key file
_CURVE = "secp256r1"
_MAKE_ONE = "make one with 'openssl genpkey -algorithm ED25519 -out KEY.pem'"
_KINDS = "an Ed25519 or ECDSA P-256 key"


class Signer(Protocol):
    """What signs the statement in an envelope."""

    @property
    def name(self) -> str:
        """Who signs, for messages; never a part of a private key."""

    def sign(self, envelope: Envelope) -> str:
        """The JSON line with the envelope and one more signature.

        Raises
        ------
        EvidenceError : the signature cannot be made.
        """


class KeySigner:
    """Signs with a private key.

    Parameters
    ----------
    key : Ed25519 or ECDSA P-256, of `cryptography`.
    """

    def __init__(self, key: Any) -> None:
        from securesystemslib.signer import CryptoSigner

        self._signer = CryptoSigner(key)

    @property
    def name(self) -> str:
        """The id of the key, by which the envelope names it."""
        return f"the key {self.key.keyid[:16]}"

    @property
    def key(self) -> SSlibKey:
        """The public half."""
        return self._signer.public_key

    def sign(self, envelope: Envelope) -> str:
        """The envelope as a JSON line."""
        from pathorob_checks.evidence.envelope import line_of

        envelope.sign(self._signer)
        return line_of(envelope)


def signer_of(text: str, environment: Mapping[str, str] = os.environ) -> Signer:
    """The signer that `--fm-sign` names; a key is read, and its passphrase asked for, at once.

    Parameters
    ----------
    text : a file with a private key (PEM, PKCS 8), or `sigstore`.
    environment : where the passphrase is looked for.

    Raises
    ------
    EvidenceError : the key cannot be read or used, or sigstore is not installed.
    """
    if text == SIGSTORE:
        from pathorob_checks.evidence.keyless import SigstoreSigner

        return SigstoreSigner()
    path = expanded(text)
    content = _read(path, "a private key")
    signer = KeySigner(_of_a_kind(_private_key(path, content, environment), path))
    _warn_if_others_can_read(path)
    return signer


def public_key_of(path: Path) -> SSlibKey:
    """The public key in a PEM file.

    Raises
    ------
    EvidenceError : it cannot be read, or is no public key of a kind that signs evidence.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    content = _read(path, "a public key")
    if b"PRIVATE KEY-----" in content:
        raise EvidenceError(
            f"{path} is a private key, which verifying does not need",
            remedy=f"write its public half with 'openssl pkey -in {path} -pubout -out PUB.pem'",
        )
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise EvidenceError(
            f"{path} is not a public key in a PEM file", remedy="give the file that openssl or cosign wrote"
        ) from None
    return SSlibKey.from_crypto(_of_a_kind(key, path))


def _read(path: Path, what: str) -> bytes:
    try:
        return read_limited(expanded(path), _LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EvidenceError(f"{path} cannot be read ({reason})", remedy=f"name the file of {what}") from None


def _private_key(path: Path, content: bytes, environment: Mapping[str, str]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"BEGIN ENCRYPTED SIGSTORE" in content or b"BEGIN ENCRYPTED COSIGN" in content:
        raise EvidenceError(f"{path} is a key in cosign's own form, and not in PKCS 8", remedy=_MAKE_ONE)
    encrypted = b"ENCRYPTED" in content
    secret = _passphrase(path, environment) if encrypted else None
    try:
        return load_pem_private_key(content, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            problem, remedy = "does not open with this passphrase", f"correct {PASSPHRASE}"
        elif b"PUBLIC KEY-----" in content:
            problem, remedy = "is a public key, and signing needs the private one", "name the other file"
        else:
            problem, remedy = "is not a private key in a PEM file", _MAKE_ONE
        raise EvidenceError(f"{path} {problem}", remedy=remedy) from None


def _passphrase(path: Path, environment: Mapping[str, str]) -> bytes:
    text = environment.get(PASSPHRASE)
    if text is None and sys.stdin is not None and sys.stdin.isatty():
        import getpass

        text = getpass.getpass(f"Passphrase of {printable(str(path))}: ")
    if not text:
        raise EvidenceError(
            f"{path} is encrypted, and there is no passphrase for it", remedy=f"set {PASSPHRASE}"
        )
    return text.encode()


def _of_a_kind(key: Any, path: Path) -> Any:
    """The key, if it is one of the kinds that sign evidence."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) and key.curve.name == _CURVE:
        return key
    curve = getattr(getattr(key, "curve", None), "name", "")
    kind = f"an elliptic-curve key on {curve}" if curve else f"of the kind {type(key).__name__.strip('_')}"
    raise EvidenceError(f"{path} is {kind}, and evidence is signed with {_KINDS}", remedy=_MAKE_ONE)


def _warn_if_others_can_read(path: Path) -> None:
    """Warn of a key that other users of the machine can read; on Windows the mode says nothing."""
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.warn(
            f"the private key {printable(str(path))} can be read by other users of this machine; "
            "take that right away with chmod 600",
            stacklevel=3,
        )
