"""Whether an evidence folder is what its run wrote: offline, and without trust in any of its files.

First the bytes: the manifest, the digest of every file, the attestation and its signature. Then what the
files say: that all of them tell the same, and that it follows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pathorob_checks.canonical import digest_of
from pathorob_checks.errors import EvidenceError, ResultsError
from pathorob_checks.evidence.agreement import COMPARED, RESULTS, disagreements
from pathorob_checks.evidence.archive import unpacked
from pathorob_checks.evidence.attestation import statement_of
from pathorob_checks.evidence.inventory import content_of, entries, sha256_of
from pathorob_checks.evidence.layout import FILES
from pathorob_checks.evidence.manifest import (
    ATTESTATION,
    MANIFEST,
    NOT_LISTED,
    SIGNATURES,
    SIGNATURES_PAGE,
    Kind,
    Manifest,
    manifest_bytes,
    manifest_of,
)
from pathorob_checks.evidence.page_disagreements import SIGNATURE_PAGE, says_sealed
from pathorob_checks.evidence.personal_signatures import (
    PersonalSignature,
    contradictions,
    personal_signatures,
)
from pathorob_checks.evidence.provenance import fms_of, weights_sha256
from pathorob_checks.evidence.signature_remarks import remarks
from pathorob_checks.evidence.signatures import Signatures, Signed, Trusted, examine
from pathorob_checks.evidence.signatures_page import rows_of, rows_on
from pathorob_checks.results.results import LARGEST, Results
from pathorob_checks.wording import brief, counted

_AGREE = "the files tell the same verdicts, and these follow from values, intervals, bounds and rules"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of verifying a folder.

    Attributes
    ----------
    findings : a clause for each thing that is wrong.
    verified : a clause for each thing that was found to be right.
    unverified : a clause for each thing that could not be verified, the missing signature among them.
    summary : what the run has come to; "" where that cannot be relied on.
    about : a clause for each thing that the evidence is about; empty where that cannot be relied on.
    signed : what is known of who signed.
    number_of_signatures, number_verified : how many there are, and how many of them were verified.
    sealed_by : ids of the keys that sealed the folder.
    remarks : a clause for each thing about those who signed that deserves a second look.
    """

    findings: tuple[str, ...]
    verified: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    summary: str = ""
    about: tuple[str, ...] = ()
    signed: Signed = Signed.UNVERIFIED
    number_of_signatures: int = 0
    number_verified: int = 0
    sealed_by: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong; a folder without a signature can be intact too."""
        return not self.findings

    @property
    def all_verified(self) -> bool:
        """Whether there are signatures, and each of them was verified."""
        return 0 < self.number_of_signatures == self.number_verified

    @property
    def signed_in_words(self) -> str:
        """Who signed, with the number of signatures where not all of them were verified."""
        if self.signed is not Signed.YES or self.all_verified:
            return self.signed
        left = self.number_of_signatures - self.number_verified
        return f"SIGNED BY {self.number_verified} OF {self.number_of_signatures}: {left} NOT VERIFIED"


def verify(path: Path, trusted: Trusted | None = None) -> Verification:
    """Verify an evidence folder, or a ZIP file of one.

    Parameters
    ----------
    path : the folder or the ZIP file.
    trusted : whose signatures count; None for nobody's.

    Returns
    -------
    Also for a folder that cannot be read at all, which is a finding.
    """
    trusted = trusted or Trusted()
    try:
        if path.is_file():
            with unpacked(path) as folder:
                return _verify(folder, trusted)
        return _verify(path, trusted)
    except EvidenceError as error:
        return Verification(findings=(str(error).removesuffix("."),))
    except OSError as error:
        return Verification(findings=(f"{path} cannot be read ({error.strerror or error})",))


@dataclass(frozen=True, kw_only=True)
class Statements:
    """What the files of a folder say, when their bytes are those of the manifest.

    Attributes
    ----------
    findings : a clause for each thing that they tell differently, or that does not follow.
    statement : that the attestation must hold.
    summary : what the evidence has come to.
    about : a clause for each thing that it is about.
    agree : a clause that says what was found to agree.
    """

    findings: tuple[str, ...]
    statement: bytes
    summary: str
    about: tuple[str, ...]
    agree: str


Interpret = Callable[[bytes, Manifest, Mapping[str, bytes]], Statements]


def _verify(folder: Path, trusted: Trusted) -> Verification:
    listing = manifest_bytes(folder)
    manifest = manifest_of(listing, folder)
    wanted, read, interpret = _reading_of(manifest.kind)
    contents: dict[str, bytes] = {}
    findings = list(_files(folder, manifest, contents, wanted, read))
    if findings:
        return Verification(findings=tuple(findings))
    try:
        statements = interpret(listing, manifest, contents)
    except ResultsError as error:
        return Verification(findings=(error.problem,))
    try:
        people = personal_signatures(contents.get(SIGNATURES, b""), listing)
    except (ValueError, RecursionError) as error:
        reason = brief(str(error)) or type(error).__name__
        return Verification(findings=(f"{SIGNATURES} is damaged, or its content was changed ({reason})",))
    findings += contradictions(people, manifest)
    findings += _of_page(contents.get(SIGNATURES_PAGE), people)
    signatures = examine(contents[ATTESTATION], statements.statement, trusted, people)
    findings += _of_seal(contents.get(SIGNATURE_PAGE), signatures)
    findings += [*signatures.findings, *statements.findings]
    number = counted(len(manifest.files), "file")
    return Verification(
        findings=tuple(findings),
        verified=(f"{number} by SHA-256, and none was added", statements.agree, *signatures.verified),
        unverified=signatures.unverified,
        summary="" if findings else statements.summary,
        about=()
        if findings
        else (*statements.about, f"SHA-256 of {MANIFEST} {hashlib.sha256(listing).hexdigest()}"),
        signed=signatures.signed,
        number_of_signatures=signatures.number,
        number_verified=signatures.number_verified,
        sealed_by=signatures.sealed_by or (),
        remarks=remarks(people, signatures.sealed_by or ()),
    )


def _reading_of(kind: Kind) -> tuple[Collection[str], Collection[str], Interpret]:
    """Of a kind of evidence: the files that it has, those that are read, and what reads them."""
    if kind == "run":
        return frozenset(FILES) - NOT_LISTED, COMPARED, _statements_of
    verification = import_module(f"pathorob_checks.evidence.{kind}.verification")
    return verification.FILES, verification.READ, verification.statements_of


def _of_page(page: bytes | None, people: Sequence[PersonalSignature]) -> Iterator[str]:
    """Whether the page for reading shows the signatures of the folder."""
    if page is not None and rows_on(page) != rows_of(people):
        yield f"{SIGNATURES_PAGE} shows other signatures than {SIGNATURES}"


def _of_seal(page: bytes | None, signatures: Signatures) -> Iterator[str]:
    """Whether the seal that the signature page speaks of is still there."""
    if page is not None and says_sealed(page) and signatures.sealed_by == ():
        yield (
            f"{SIGNATURE_PAGE} says that {ATTESTATION} has an electronic signature, and it has none: "
            "the signature was removed"
        )


def _statements_of(listing: bytes, manifest: Manifest, contents: Mapping[str, bytes]) -> Statements:
    """Of a run; raises ResultsError where its results cannot be read."""
    results = Results.from_json(contents[RESULTS], RESULTS)
    return Statements(
        findings=tuple(disagreements(results, manifest, contents)),
        statement=statement_of(listing, manifest, results),
        summary=results.summary,
        about=tuple(about_run(results)),
        agree=_AGREE,
    )


def about_run(results: Results) -> Iterator[str]:
    """What the run was about, so that the evidence of another FM or time is not taken for it."""
    for fm in fms_of(results):
        weights = weights_sha256(fm)
        digest = f"weights {weights}" if weights else f"identity {digest_of(fm.identity)}"
        yield f"FM {fm.name} ({fm.spec}), revision {fm.revision or 'none'}, SHA-256 of its {digest}"
    for cohort in {run.cohort.name: run.cohort for run in results.runs}.values():
        yield f"cohort {cohort.name}, digest {cohort.digest}"
    terms = results.environment.criteria
    yield f"criteria {terms.name}, digest of the terms {terms.digest}"
    yield f"a run that ended at {results.created.isoformat()}"


def _files(
    folder: Path,
    manifest: Manifest,
    contents: dict[str, bytes],
    wanted: Collection[str],
    read: Collection[str],
) -> Iterator[str]:
    """Compare every file with the manifest, and keep the bytes of those that are read later."""
    for name in wanted:
        if name not in manifest.files:
            yield f"{MANIFEST} does not list {name}, which all evidence of this kind has"
    sizes = {}
    for entry in entries(folder):
        if entry.problem:
            yield f"{entry.name} {entry.problem}"
        elif entry.name not in manifest.files and entry.name not in NOT_LISTED:
            yield f"{entry.name} was added: {MANIFEST} does not list it"
        else:
            sizes[entry.name] = entry.size
    for name, facts in manifest.files.items():
        if name not in sizes:
            yield f"{name} is missing"
        elif sizes[name] != facts.bytes:
            yield f"{name} was changed: it has {sizes[name]:,} bytes, and {MANIFEST} says {facts.bytes:,}"
        elif _digest(folder, name, contents, read) != facts.sha256:
            yield f"{name} was changed: its SHA-256 is not that of {MANIFEST}"
    for name in NOT_LISTED - {MANIFEST}:
        if name in sizes:
            contents[name] = content_of(folder / name, LARGEST)
    if ATTESTATION not in sizes:
        yield f"{ATTESTATION} is missing"


def _digest(folder: Path, name: str, contents: dict[str, bytes], read: Collection[str]) -> str:
    """SHA-256 of a file; of what is read later, of the very bytes that are then read."""
    if name not in read:
        return sha256_of(folder / name)
    contents[name] = content_of(folder / name, LARGEST)
    return hashlib.sha256(contents[name]).hexdigest()
