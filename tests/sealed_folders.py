"""Evidence folders in the hands of somebody who changes them, and keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pathorob_checks.errors import ResultsError
from pathorob_checks.evidence.attestation import attest
from pathorob_checks.evidence.manifest import ATTESTATION, MANIFEST, write_manifest
from pathorob_checks.evidence.signatures import Trusted
from pathorob_checks.evidence.signing import public_key_of, signer_of
from pathorob_checks.evidence.verification import Verification, verify
from pathorob_checks.results.results import Results


@dataclass(frozen=True)
class Sealed:
    """A finished evidence folder."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def verify(self, *keys: Path) -> Verification:
        """What verifying says, with the public keys in these files."""
        return verify(self.folder, Trusted(keys={key.name: public_key_of(key) for key in keys}))

    def edit(self, name: str, change: Callable[[Any], object]) -> None:
        """Change the document in a JSON file."""
        document = json.loads((self / name).read_text())
        change(document)
        (self / name).write_text(json.dumps(document, indent=2) + "\n")

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace the first occurrence of a text in a file."""
        text = (self / name).read_bytes().decode()
        assert old in text
        (self / name).write_bytes(text.replace(old, new, 1).encode())

    def reseal(self, key: Path | None = None, otherwise: Results | None = None) -> None:
        """What a forger does afterwards: a new manifest and attestation, made by this package itself.

        `otherwise` stands in for results that cannot be read any more.
        """
        try:
            results = Results.read(self / "results.json")
        except ResultsError:
            assert otherwise is not None
            results = otherwise
        write_manifest(self.folder, results)
        attest(self.folder, results, None if key is None else signer_of(str(key)))

    def attestation(self) -> dict[str, Any]:
        """The envelope."""
        document: dict[str, Any] = json.loads((self / ATTESTATION).read_text())
        return document

    def write_attestation(self, *documents: Any) -> None:
        """Replace the envelope; several are lines."""
        lines = [json.dumps(one, sort_keys=True, separators=(",", ":")) + "\n" for one in documents]
        (self / ATTESTATION).write_text("".join(lines))

    def edit_manifest(self, change: Callable[[Any], object]) -> None:
        """Change the manifest, written as this package writes it, and make a new attestation."""
        document = json.loads((self / MANIFEST).read_text())
        change(document)
        text = json.dumps(document, sort_keys=True, indent=2) + "\n"
        (self / MANIFEST).write_text(text)

    def files(self) -> Iterator[str]:
        """The names of all files."""
        yield from sorted(path.name for path in self.folder.iterdir())


def statement_in(envelope: dict[str, Any]) -> Any:
    """The statement in an envelope."""
    return json.loads(base64.b64decode(envelope["payload"]))


def write_key(path: Path, kind: str = "ed25519", passphrase: bytes | None = None) -> Path:
    """A new private key `path` and its public half beside it, `NAME.pub`; returns the latter."""
    key = (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    secrecy = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secrecy))
    path.chmod(0o600)
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public
