"""Sign an evidence folder after its run."""

from __future__ import annotations

import argparse
from pathlib import Path

from pathorob_checks.console import say
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.meanings import MEANINGS
from pathorob_checks.files import expanded, write_atomically
from pathorob_checks.wording import printable

Commands = argparse._SubParsersAction  # `argparse` has no public name for it


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "sign",
        help="sign an evidence folder after its run",
        description="Verify a folder of evidence, and add a signature: of a person with --name, --role and "
        "--meaning, which the signature covers together with the time; else a seal by the key alone.",
    )
    parser.add_argument("folder", type=Path, help="the folder")
    parser.add_argument("--name", metavar="NAME", help="printed name of the person who signs")
    parser.add_argument("--role", metavar="ROLE", help="of that person, such as 'validation engineer'")
    parser.add_argument(
        "--meaning",
        choices=MEANINGS,
        metavar="MEANING",
        help=f"what the person means by the signature: {', '.join(MEANINGS)}",
    )
    parser.add_argument("--key", required=True, metavar="KEY.pem|sigstore", help="as for --fm-sign")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    say(sign(options.folder, options.key, name=options.name, role=options.role, meaning=options.meaning))
    return 0


def sign(
    folder: Path,
    key: str,
    *,
    name: str | None = None,
    role: str | None = None,
    meaning: str | None = None,
) -> str:
    """Add a signature to a folder; what was done, in a sentence, and a line for each remark on who signed.

    Parameters
    ----------
    folder : as `--fm-evidence` wrote it.
    key : a file with a private key, or `sigstore`.
    name, role, meaning : of the person who signs and of the signature; without them the key seals the folder.

    Raises
    ------
    EvidenceError : the folder is not intact, or the signature cannot be made.
    """
    from pathorob_checks.evidence.attestation import add_signature
    from pathorob_checks.evidence.manifest import ATTESTATION, SIGNATURES_PAGE
    from pathorob_checks.evidence.personal_signatures import add_personal_signature, signatory
    from pathorob_checks.evidence.signature_remarks import remarks
    from pathorob_checks.evidence.signatures_page import signatures_page
    from pathorob_checks.evidence.signing import signer_of
    from pathorob_checks.evidence.verification import verify

    folder = expanded(folder)
    if not folder.is_dir():
        raise EvidenceError(f"{folder} is not a folder", remedy="name one that --fm-evidence has finished")
    who = signatory(name, role, meaning)
    verification = verify(folder)
    for finding in verification.findings:
        raise EvidenceError(f"{folder} is not intact ({finding})", remedy="do not sign it")
    signer = signer_of(key)
    if who is None:
        add_signature(folder, signer)
        return f"{folder / ATTESTATION} is signed by {signer.name}"
    signatures = add_personal_signature(folder, who, signer)
    second_looks = remarks(signatures, verification.sealed_by)
    page = signatures_page(signatures, verification.summary, verification.about, second_looks)
    try:
        write_atomically(folder / SIGNATURES_PAGE, page.encode())
    except OSError as error:
        raise EvidenceError(
            f"{folder} is signed, but {SIGNATURES_PAGE} cannot be written ({error.strerror or error})",
            remedy="make room there; the next signature writes it",
        ) from None
    said = f"{folder} is signed: {signatures[-1].sentence}, with {signer.name}"
    return "\n".join(printable(line) for line in (said, *(f"remark: {clause}" for clause in second_looks)))
