"""Sign an evidence folder after its run."""

from __future__ import annotations

import argparse
from pathlib import Path

from pathorob_checks.console import say
from pathorob_checks.errors import EvidenceError
from pathorob_checks.files import expanded

Commands = argparse._SubParsersAction  # `argparse` has no public name for it


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "sign",
        help="sign an evidence folder after its run",
        description="Verify a folder that --fm-evidence wrote, and add a signature to its attestation.",
    )
    parser.add_argument("folder", type=Path, help="the folder")
    parser.add_argument("--key", required=True, metavar="KEY.pem|sigstore", help="as for --fm-sign")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    say(sign(options.folder, options.key))
    return 0


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
    from pathorob_checks.evidence.attestation import add_signature
    from pathorob_checks.evidence.manifest import ATTESTATION
    from pathorob_checks.evidence.signing import signer_of
    from pathorob_checks.evidence.verification import verify

    folder = expanded(folder)
    if not folder.is_dir():
        raise EvidenceError(f"{folder} is not a folder", remedy="name one that --fm-evidence has finished")
    for finding in verify(folder).findings:
        raise EvidenceError(f"{folder} is not intact ({finding})", remedy="do not sign it")
    signer = signer_of(key)
    add_signature(folder, signer)
    return f"{folder / ATTESTATION} is signed by {signer.name}"
