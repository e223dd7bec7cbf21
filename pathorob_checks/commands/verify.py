"""Verify an evidence folder, and say what was verified and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.signatures import Account, Trusted
from pathorob_checks.evidence.signing import public_key_of
from pathorob_checks.evidence.verification import Verification
from pathorob_checks.evidence.verification import verify as verify_folder
from pathorob_checks.files import expanded
from pathorob_checks.wording import counted, printable


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
    if (identity is None) != (issuer is None):
        raise EvidenceError("only one of --identity and --issuer was given", remedy="give both")
    account = None if identity is None or issuer is None else Account(identity=identity, issuer=issuer)
    trusted = Trusted(keys={str(key): public_key_of(key) for key in keys}, account=account)
    found = verify_folder(expanded(path), trusted)
    return [printable(line) for line in _lines(found)], 0 if found.is_intact else 1


def _lines(found: Verification) -> list[str]:
    wrong = [f"wrong: {finding}" for finding in found.findings]
    if wrong:
        number = counted(len(wrong), "finding")
        return [*wrong, f"NOT INTACT: {number}; do not rely on this folder"]
    return [
        f"the run: {found.summary}",
        *(f"verified: {clause}" for clause in found.verified),
        *(f"not verified: {clause}" for clause in found.unverified),
        f"INTACT, {found.signed}",
    ]
