"""Sign an evidence folder after its run."""

from __future__ import annotations

from pathlib import Path

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.attestation import add_signature
from pathorob_checks.evidence.manifest import ATTESTATION
from pathorob_checks.evidence.signing import signer_of
from pathorob_checks.evidence.verification import verify
from pathorob_checks.files import expanded


def sign(folder: Path, key: str) -> str:
    """Add a signature to the attestation of a folder; what was done, in a sentence.

    Parameters
    ----------
    folder : as `--fm-evidence` wrote it.
    key : a file with a private key, or `sigstore`.

    Raises
    ------
    EvidenceError : the folder is not intact, or the signature cannot be made.
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise EvidenceError(
            f"{folder} is not a folder", remedy="name a folder that --fm-evidence has finished"
        )
    for finding in verify(folder).findings:
        raise EvidenceError(
            f"{folder} is not intact ({finding})", remedy="do not sign it; run the gate again"
        )
    signer = signer_of(key)
    add_signature(folder, signer)
    return f"{folder / ATTESTATION} is signed by {signer.name}"
