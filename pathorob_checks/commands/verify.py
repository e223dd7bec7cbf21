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
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    lines, code = verify(options.folder, options.key, options.identity, options.issuer)
    say("\n".join(lines))
    return code


def verify(
    path: Path, keys: Sequence[Path] = (), identity: str | None = None, issuer: str | None = None
) -> tuple[list[str], int]:
    """The lines to print, and the exit code: 0 only where nothing is wrong.

    Parameters
    ----------
    path : an evidence folder, or a ZIP file of one.
    keys : files with public keys, each of which must have signed.
    identity, issuer : of the account that must have signed by sigstore, both or none.

    Raises
    ------
    EvidenceError : a key cannot be read, or only one of `identity` and `issuer` was given.
    """
    from pathorob_checks.evidence import verification
    from pathorob_checks.evidence.signatures import Account, Trusted
    from pathorob_checks.evidence.signing import public_key_of

    if (identity is None) != (issuer is None):
        raise EvidenceError("only one of --identity and --issuer was given", remedy="give both")
    account = None if identity is None or issuer is None else Account(identity=identity, issuer=issuer)
    trusted = Trusted(keys={str(key): public_key_of(key) for key in keys}, account=account)
    found = verification.verify(expanded(path), trusted)
    return [printable(line) for line in _lines(found)], 0 if found.is_intact else 1


def _lines(found: Verification) -> list[str]:
    wrong = [f"wrong: {finding}" for finding in found.findings]
    if wrong:
        return [*wrong, f"NOT INTACT: {counted(len(wrong), 'finding')}; do not rely on this folder"]
    return [
        f"the run: {found.summary}",
        *(f"verified: {clause}" for clause in found.verified),
        *(f"not verified: {clause}" for clause in found.unverified),
        f"INTACT, {found.signed}",
    ]
