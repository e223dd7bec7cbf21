"""The signatures of a folder: what they are about, whose they are, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import keyless
from pathorob_checks.evidence.envelope import PAYLOAD_TYPE, document_of, envelope_of
from pathorob_checks.evidence.manifest import ATTESTATION
from pathorob_checks.evidence.personal_signatures import PersonalSignature
from pathorob_checks.wording import brief

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

_NOBODY = (
    "who wrote this folder, because it is NOT SIGNED: whoever can write to it could have made all of it anew"
)
_OTHER_STATEMENT = (
    f"{ATTESTATION} does not say what follows from manifest.json and results.json: it is about another "
    "folder, or the content of one of them may have been changed"
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
    account : who must have signed by sigstore; None where nobody must.
    """

    keys: Mapping[str, SSlibKey] = field(default_factory=dict)
    account: Account | None = None


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """What is wrong with signatures, what was verified of them, and what was not.

    Attributes
    ----------
    findings, verified, unverified : clauses.
    signed : what is known of who signed.
    number, number_verified : of signatures that there are, and of those that were verified.
    sealed_by : ids of the keys that the attestation names, or sigstore; None where it cannot be read.
    """

    findings: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    signed: Signed = Signed.UNVERIFIED
    number: int = 0
    number_verified: int = 0
    sealed_by: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class _Signed:
    """An envelope or a bundle, and whose signature it is.

    Attributes
    ----------
    whose : a clause about the person; "" of the attestation, whose signatures name nobody.
    """

    document: Any
    statement: bytes
    whose: str = ""

    @property
    def signers(self) -> tuple[str, ...]:
        """Ids of the keys that it names, or sigstore."""
        if keyless.is_bundle(self.document):
            return (keyless.NAME,)
        return tuple(envelope_of(self.document).signatures)

    def by(self, who: str) -> str:
        """A clause about the signature of a key, or of an account."""
        return f"the signature of {self.whose}, with {who}" if self.whose else f"the signature of {who}"


def examine(
    content: bytes, statement: bytes, trusted: Trusted, people: Sequence[PersonalSignature] = ()
) -> Signatures:
    """Compare an attestation with what it should say, and verify its signatures and those of people.

    Parameters
    ----------
    content : of `attestation.intoto.jsonl`.
    statement : what follows from the folder.
    trusted : whose signatures count.
    people : whose statements are those of the folder.
    """
    try:
        attestation = _Signed(document=document_of(content), statement=statement)
        if not _holds_statement(attestation):
            return Signatures(findings=(_OTHER_STATEMENT,))
    except (ValueError, RecursionError) as error:
        reason = brief(str(error)) or type(error).__name__
        return Signatures(findings=(f"{ATTESTATION} is damaged, or its content was changed ({reason})",))
    signed = [attestation]
    signed += [_Signed(document=one.document, statement=one.statement, whose=one.sentence) for one in people]
    examination = _Examination(trusted)
    for one in signed:
        examination.add(one)
    return examination.signatures(ATTESTATION if not people else "the folder", attestation.signers)


def _holds_statement(signed: _Signed) -> bool:
    if keyless.is_bundle(signed.document):
        return keyless.payload_in_bundle(signed.document) == signed.statement
    envelope = envelope_of(signed.document)
    return (envelope.payload_type, envelope.payload) == (PAYLOAD_TYPE, signed.statement)


class _Examination:
    """What comes of one signature after the other."""

    def __init__(self, trusted: Trusted) -> None:
        self._trusted = trusted
        self._number_verified = 0
        self._signers: list[str] = []  # of all signatures, genuine or not
        self._genuine: set[str] = set()  # files of keys, and the account, that have signed
        self._findings: list[str] = []
        self._refusals: list[str] = []  # of sigstore, for the account that must have signed
        self._verified: list[str] = []
        self._unverified: list[str] = []

    def add(self, signed: _Signed) -> None:
        """Verify the signatures of one envelope or bundle."""
        if keyless.is_bundle(signed.document):
            self._add_bundle(signed)
            return
        envelope = envelope_of(signed.document)
        for name in envelope.signatures:
            self._add_key(signed, envelope, name)

    def signatures(self, place: str, sealed_by: tuple[str, ...]) -> Signatures:
        """What came of all; `place` is what a key that is missing should have signed."""
        missing = [self._missing(place, file) for file in self._trusted.keys if file not in self._genuine]
        if self._trusted.account is not None and keyless.NAME not in self._genuine:
            missing += self._refusals or [f"{place} is not signed by sigstore"]
        unverified = Signed.UNVERIFIED if self._signers else Signed.NO
        return Signatures(
            findings=(*missing, *self._findings),
            verified=tuple(self._verified),
            unverified=tuple(self._unverified) if self._signers else (_NOBODY,),
            signed=Signed.YES if self._genuine else unverified,
            number=len(self._signers),
            number_verified=self._number_verified,
            sealed_by=sealed_by,
        )

    def _add_key(self, signed: _Signed, envelope: Envelope, name: str) -> None:
        who = f"the key {brief(name, 16)}"
        self._signers.append(who)
        files = [file for file, key in self._trusted.keys.items() if key.keyid == name]
        if not files:
            self._unverified.append(
                f"{signed.by(who)}, because its public key was not given; give it with --key=PUB.pem"
            )
        genuine = [file for file in files if _is_signed_by(envelope, self._trusted.keys[file])]
        self._number_verified += bool(genuine)
        for file in files:
            if file in genuine:
                self._genuine.add(file)
                self._verified.append(f"{signed.by(who)} ({file})")
            elif signed.whose:
                self._findings.append(f"{signed.by(who)}, was not made by the key {file}")

    def _add_bundle(self, signed: _Signed) -> None:
        self._signers.append(keyless.NAME)
        account = self._trusted.account
        if account is None:
            self._unverified.append(
                f"{signed.by(keyless.NAME)}, because no account was given; "
                "give it with --identity and --issuer"
            )
            return
        try:
            statement = keyless.statement_in_bundle(signed.document, account.identity, account.issuer)
        except EvidenceError as error:
            self._refusals.append(str(error).rstrip("."))
            self._unverified.append(f"{signed.by(keyless.NAME)} ({error.problem})")
            return
        if statement != signed.statement:
            self._findings.append(_OTHER_STATEMENT)
            return
        self._genuine.add(keyless.NAME)
        self._number_verified += 1
        self._verified.append(signed.by(f"the account {account.identity} ({account.issuer})"))

    def _missing(self, place: str, file: str) -> str:
        if not self._signers:
            return f"{place} is not signed, and the key {file} should have signed it"
        if f"the key {brief(self._trusted.keys[file].keyid, 16)}" in self._signers:
            return f"the signature in {ATTESTATION} was not made by the key {file} over this statement"
        return f"{place} is not signed by the key {file}, but by {', '.join(dict.fromkeys(self._signers))}"


def _is_signed_by(envelope: Envelope, key: SSlibKey) -> bool:
    from securesystemslib.exceptions import Error

    try:
        return key.keyid in envelope.verify([key], threshold=1)
    except (Error, ValueError):
        return False
