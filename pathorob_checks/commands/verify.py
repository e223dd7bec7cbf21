"""Verify an evidence folder, and say what was verified and what was not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import EvidenceError
from pathorob_checks.files import expanded
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.evidence.verification import Verification

Commands = argparse._SubParsersAction  # `argparse` has no public name for it


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "verify",
        help="say whether an evidence folder is what its run wrote; exit code 0 only if nothing is wrong",
        description="Compare every file of a folder that --fm-evidence wrote with its digest, verify the "
        "signature, and work out again that all files tell the same verdicts and that these follow. Needs no "
        "network. Exit code 0 says that the folder is intact, not that the run passed.",
    )
    parser.add_argument("folder", type=Path, help="the folder, or a ZIP file of it")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        type=Path,
        metavar="PUB.pem",
        help="public key that must have signed; may repeat",
    )
    parser.add_argument("--identity", metavar="ACCOUNT", help="who must have signed by sigstore")
    parser.add_argument("--issuer", metavar="URL", help="who keeps that account")
    parser.add_argument(
        "--require-signature",
        action="store_true",
        help="end with 1 also where there is no signature, or one that was not verified: for a CI that must "
        "not take anybody's folder",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    lines, code = verify(
        options.folder,
        options.key,
        options.identity,
        options.issuer,
        require_signature=options.require_signature,
    )
    say("\n".join(lines))
    return code


def verify(
    path: Path,
    keys: Sequence[Path] = (),
    identity: str | None = None,
    issuer: str | None = None,
    *,
    require_signature: bool = False,
) -> tuple[list[str], int]:
    """The lines to print, and the exit code: 0 only where nothing is wrong.

    Parameters
    ----------
    path : an evidence folder, or a ZIP file of one.
    keys : files with public keys, each of which must have signed.
    identity, issuer : of the account that must have signed by sigstore, both or none.
    require_signature : whether a folder is refused that has no signature, or one that was not verified.

    Raises
    ------
    EvidenceError : there is no such folder or file, a key cannot be read, or only one of `identity` and
        `issuer` was given.
    """
    from pathorob_checks.evidence import verification
    from pathorob_checks.evidence.signatures import Account, Trusted
    from pathorob_checks.evidence.signing import public_key_of

    if not expanded(path).exists():
        raise EvidenceError(f"there is no {path}", remedy="give an evidence folder, or a ZIP file of one")
    if (identity is None) != (issuer is None):
        raise EvidenceError("only one of --identity and --issuer was given", remedy="give both")
    account = None if identity is None or issuer is None else Account(identity=identity, issuer=issuer)
    trusted = Trusted(keys={str(key): public_key_of(key) for key in keys}, account=account)
    verified = verification.verify(expanded(path), trusted)
    lines = _lines(verified)
    is_accepted = verified.is_intact
    if is_accepted and require_signature and not verified.all_verified:
        lines.append(_not_accepted(verified))
        is_accepted = False
    return [printable(line) for line in lines], 0 if is_accepted else 1


def _not_accepted(verified: Verification) -> str:
    if not verified.number_verified:
        return "NOT ACCEPTED: no signature was verified, and --require-signature asks for one"
    left = counted(
        verified.number_of_signatures - verified.number_verified, "signature was", "signatures were"
    )
    return f"NOT ACCEPTED: {left} not verified, and --require-signature asks for all"


def _lines(verified: Verification) -> list[str]:
    wrong = [f"wrong: {finding}" for finding in verified.findings]
    if wrong:
        return [*wrong, f"NOT INTACT: {counted(len(wrong), 'finding')}; do not rely on this folder"]
    return [
        f"the run: {verified.summary}",
        *(f"about: {clause}" for clause in verified.about),
        *(f"verified: {clause}" for clause in verified.verified),
        *(f"not verified: {clause}" for clause in verified.unverified),
        *(f"remark: {clause}" for clause in verified.remarks),
        f"INTACT, {verified.signed_in_words}",
    ]
