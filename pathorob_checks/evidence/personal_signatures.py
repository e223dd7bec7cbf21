"""Signatures of people: each covers the folder, and who signs, in which role, what is meant by it, and when.

They stand in a file of their own, a line each, so that a person can sign after the run and after others. A
line is an in-toto statement about `manifest.json`, which covers every other file, in a DSSE envelope or a
bundle of sigstore. Each statement holds the SHA-256 of the line before: none can be taken out from between
two others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError, field_serializer

from pathorob_checks.canonical import canonical_json
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence import keyless
from pathorob_checks.evidence.envelope import PAYLOAD_TYPE, document_of, envelope_of, enveloped
from pathorob_checks.evidence.inventory import content_of
from pathorob_checks.evidence.manifest import (
    MANIFEST,
    SIGNATURES,
    SIGNATURES_PAGE,
    Manifest,
    manifest_bytes,
    manifest_of,
)
from pathorob_checks.evidence.meanings import MEANINGS, Meaning
from pathorob_checks.files import write_atomically
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.part import Document
from pathorob_checks.wording import brief, printable

if TYPE_CHECKING:
    from pathorob_checks.evidence.signing import Signer

PREDICATE_TYPE = "urn:pathorob-checks:signature:1"
_LONGEST = 200  # characters of a name or a role
_MOST = 100  # signatures
_LARGEST = 10_000_000  # bytes of the file


def _on_one_line(text: str) -> str:
    if text != printable(text) or text != text.strip():
        raise ValueError("it has control characters, or blanks at an end")
    return text


Words = Annotated[str, Field(min_length=1, max_length=_LONGEST), AfterValidator(_on_one_line)]


class Signatory(Document):
    """Who signs, as that person states it.

    Attributes
    ----------
    name : printed name.
    role : of the person in the organization, such as "validation engineer".
    meaning : of the signature.
    """

    name: Words
    role: Words
    meaning: Meaning


class Predicate(Signatory):
    """What a signature's statement says beside the folder that it is about.

    Attributes
    ----------
    signed : when, in UTC, by the clock of the machine that signed.
    previous : SHA-256 of the line before; "" of the first.
    """

    signed: AwareDatetime
    previous: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]

    @field_serializer("signed")
    def _in_utc(self, value: AwareDatetime) -> str:
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class PersonalSignature:
    """A line of the file; whether its signature is genuine is not known yet.

    Attributes
    ----------
    predicate : what it says.
    document : the envelope or bundle.
    statement : that it signs.
    keys : ids of the keys that have signed it; empty for sigstore.
    """

    predicate: Predicate
    document: Any
    statement: bytes
    keys: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Who signed, as what, why and when."""
        one = self.predicate
        return f"{one.name} ({one.role}), signed on {self.time} UTC, meaning: {one.meaning}"

    @property
    def time(self) -> str:
        """When it was signed, for reading."""
        return f"{self.predicate.signed.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

    @property
    def signed_with(self) -> str:
        """The key, or sigstore."""
        return ", ".join(f"the key {brief(key, 16)}" for key in self.keys) or keyless.NAME


def signatory(name: str | None, role: str | None, meaning: str | None) -> Signatory | None:
    """Who signs; None where nobody is named, and the signature is a seal.

    Raises
    ------
    EvidenceError : only a part was given, or a name or role cannot be printed.
    """
    given = {"--name": name, "--role": role, "--meaning": meaning}
    lacking = [flag for flag, value in given.items() if value is None]
    if len(lacking) == len(given):
        return None
    if lacking:
        raise EvidenceError(
            f"a signature of a person needs name, role and meaning, and lacks {' and '.join(lacking)}",
            remedy="give all three, or none of them to seal the folder with the key alone",
        )
    try:
        return Signatory.model_validate({"name": name, "role": role, "meaning": meaning})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise EvidenceError(
            f"--{first['loc'][0]} cannot be printed on a signature ({brief(first['msg'])})",
            remedy=f"give 1 to {_LONGEST} printable characters; a meaning is one of {', '.join(MEANINGS)}",
        ) from None


def add_personal_signature(
    folder: Path, who: Signatory, signer: Signer, now: datetime | None = None
) -> tuple[PersonalSignature, ...]:
    """Add a line to the signatures of an intact folder; returns all of them, which no page shows yet.

    Parameters
    ----------
    now : for tests; the time of this machine, where it is None.

    Raises
    ------
    EvidenceError : it cannot be signed or written, the key has signed for somebody else, or the clock is
        wrong.
    """
    listing = manifest_bytes(folder)
    manifest = manifest_of(listing, folder)
    path = folder / SIGNATURES
    try:
        before = content_of(path, _LARGEST) if path.exists() else b""
        last = before.splitlines()[-1:]
        predicate = Predicate(
            **who.model_dump(),
            signed=(now or datetime.now(UTC)).replace(microsecond=0),
            previous=hashlib.sha256(last[0]).hexdigest() if last else "",
        )
        line = signer.sign(enveloped(_statement(listing, predicate)))
        content = before + f"{line}\n".encode()
        signatures = personal_signatures(content, listing)
        for findings, remedy in (
            (_shared_keys(signatures), "sign with a key of your own"),
            (_too_early(signatures, manifest), "correct the clock of this machine, and sign again"),
        ):
            for finding in findings:
                raise EvidenceError(f"{folder} is not signed: {finding}", remedy=remedy)
        (folder / SIGNATURES_PAGE).unlink(missing_ok=True)  # it shows the signatures of before
        write_atomically(path, content)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EvidenceError(
            f"{path} cannot be written ({brief(str(reason))})", remedy="make room there, and sign again"
        ) from None
    return signatures


def personal_signatures(content: bytes, listing: bytes) -> tuple[PersonalSignature, ...]:
    """The lines of the file.

    Parameters
    ----------
    content : of `signatures.intoto.jsonl`; empty where nobody has signed.
    listing : of `manifest.json`, which each must be about.

    Raises
    ------
    ValueError, RecursionError : it is damaged, is about another folder, or lacks a line.
    """
    if content and not content.endswith(b"\n"):
        raise ValueError("its last line is cut off")
    lines = content.split(b"\n")[:-1]
    if len(lines) > _MOST:
        raise ValueError(f"it has more than {_MOST} lines")
    signatures, previous = [], ""
    for number, line in enumerate(lines, 1):
        signature = _signature(line, number)
        if signature.statement != _statement(listing, signature.predicate):
            raise ValueError(f"line {number} is about another folder, or was changed")
        if signature.predicate.previous != previous:
            raise ValueError(f"before line {number} stands another line than when it was signed")
        signatures.append(signature)
        previous = hashlib.sha256(line).hexdigest()
    return tuple(signatures)


def contradictions(signatures: Sequence[PersonalSignature], manifest: Manifest) -> Iterator[str]:
    """A clause for each thing that cannot be true of the signatures of one folder."""
    yield from _too_early(signatures, manifest)
    yield from _shared_keys(signatures)


def _too_early(signatures: Sequence[PersonalSignature], manifest: Manifest) -> Iterator[str]:
    for one in signatures:
        if one.predicate.signed < manifest.created:
            yield f"{one.predicate.name} signed before {MANIFEST} was written, by the times in both"


def _shared_keys(signatures: Sequence[PersonalSignature]) -> Iterator[str]:
    names: dict[str, str] = {}
    for one in signatures:
        for key in one.keys:
            other = names.setdefault(key, one.predicate.name)
            if other != one.predicate.name:
                yield f"the key {brief(key, 16)} signed for {other} and for {one.predicate.name}"


def _statement(listing: bytes, predicate: Predicate) -> bytes:
    """The in-toto statement (v1) of a signature, as canonical JSON."""
    return canonical_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": MANIFEST, "digest": {"sha256": hashlib.sha256(listing).hexdigest()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate.model_dump(mode="json"),
        }
    ).encode()


def _signature(line: bytes, number: int) -> PersonalSignature:
    document = document_of(line + b"\n")
    if keyless.is_bundle(document):
        keys: tuple[str, ...] = ()
        statement = keyless.payload_in_bundle(document)
    else:
        envelope = envelope_of(document)
        keys, statement = tuple(envelope.signatures), envelope.payload
        if envelope.payload_type != PAYLOAD_TYPE or not keys:
            raise ValueError(f"line {number} is no signed statement")
    content = strict_json(statement)
    predicate = content.get("predicate") if isinstance(content, dict) else None
    try:
        return PersonalSignature(
            predicate=Predicate.model_validate_json(json.dumps(predicate), strict=True),
            document=document,
            statement=statement,
            keys=keys,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "predicate"
        raise ValueError(f"line {number}: {brief(place)}: {brief(first['msg'])}") from None
