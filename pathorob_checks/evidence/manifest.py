"""The manifest of an evidence folder: the SHA-256 of every file, written when all of them are."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError, field_serializer, field_validator

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.inventory import MOST_FILES, content_of, entries, is_plain, sha256_of
from pathorob_checks.files import write_atomically
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.part import Document
from pathorob_checks.results.results import Results
from pathorob_checks.version import version
from pathorob_checks.wording import brief, quoted, shortened

MANIFEST = "manifest.json"
ATTESTATION = "attestation.intoto.jsonl"
INCOMPLETE = "INCOMPLETE"  # in the folder from the start of a run until its manifest is written
SIGNATURES = "signatures.intoto.jsonl"  # of people, who sign when the manifest is written
SIGNATURES_PAGE = "signatures.html"
NOT_LISTED = frozenset((MANIFEST, ATTESTATION, SIGNATURES, SIGNATURES_PAGE))
Kind = Literal["run", "qualification", "reproduction"]
SCHEMA: Literal["pathorob-checks/evidence/1"] = "pathorob-checks/evidence/1"
_LARGEST = 10_000_000  # bytes of a manifest
_KIND = re.compile(r"pathorob-checks/evidence/\d+")
_AGAIN = "get the folder from where it was archived, or run the gate again"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileFacts(Document):
    """A file: SHA-256 (hex) of its bytes, and their number."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class Tool(Document):
    """What wrote the folder."""

    name: Literal["pathorob-checks"] = "pathorob-checks"
    version: str


class Manifest(Document):
    """The content of `manifest.json`.

    Attributes
    ----------
    schema : names this form of the folder.
    kind : what the evidence is of: a run of the gate, a qualification of this package, or the reproduction
        of a run.
    created : when it was written, in UTC.
    tool : what wrote it.
    outcome : what became of the run.
    digest : of the terms of the run, "" of a run that could not start; of a qualification, of the code.
    plan_digest : of the plan; likewise.
    files : by name, every file of the folder but the manifest itself, the attestation and the signatures.
    """

    schema_: Literal["pathorob-checks/evidence/1"] = Field(default=SCHEMA, alias="schema")
    kind: Kind = "run"
    created: AwareDatetime
    tool: Tool
    outcome: Outcome
    digest: str
    plan_digest: str
    files: Annotated[dict[str, FileFacts], Field(max_length=MOST_FILES)]

    @field_validator("files")
    @classmethod
    def _names_are_plain(cls, files: dict[str, FileFacts]) -> dict[str, FileFacts]:
        odd = [name for name in files if not is_plain(name) or name in NOT_LISTED or name == INCOMPLETE]
        if odd:
            raise ValueError(f"no file of an evidence folder is listed as {quoted(map(brief, odd[:3]))}")
        return files

    @field_serializer("created")
    def _in_utc(self, value: AwareDatetime) -> str:
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def to_json(self) -> str:
        """The one text of `manifest.json` with this content."""
        content = self.model_dump(mode="json", by_alias=True)
        return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=True) + "\n"


def write_manifest(folder: Path, results: Results, created: datetime | None = None) -> Path:
    """Write `manifest.json` of a run over all other files; the file `INCOMPLETE` goes just before.

    Parameters
    ----------
    folder : holds all files of the evidence but the attestation.
    results : of the run.
    created : for tests; now, where it is None.

    Returns
    -------
    Its path.

    Raises
    ------
    EvidenceError : the folder holds something that is not a plain file, or cannot be read or written.
    """
    terms = results.environment.criteria
    return seal(
        folder,
        "run",
        outcome=results.outcome,
        digest=terms.digest,
        plan_digest=terms.plan_digest,
        created=created,
    )


def seal(
    folder: Path,
    kind: Kind,
    *,
    outcome: Outcome,
    digest: str,
    plan_digest: str,
    created: datetime | None = None,
) -> Path:
    """Write `manifest.json` of evidence of any kind; see `write_manifest`, and `Manifest` for the values."""
    try:
        files = {}
        for entry in entries(folder):
            if entry.problem:
                raise EvidenceError(f"{entry.name} in {folder} {entry.problem}", remedy="remove it")
            if entry.name not in NOT_LISTED and entry.name != INCOMPLETE:
                files[entry.name] = FileFacts(sha256=sha256_of(folder / entry.name), bytes=entry.size)
        manifest = Manifest(
            kind=kind,
            created=created or datetime.now(UTC),
            tool=Tool(version=version()),
            outcome=outcome,
            digest=digest,
            plan_digest=plan_digest,
            files=files,
        )
        (folder / INCOMPLETE).unlink(missing_ok=True)
        write_atomically(folder / MANIFEST, manifest.to_json().encode())
    except OSError as error:
        raise EvidenceError(
            f"the manifest of {folder} cannot be written ({error.strerror or error})",
            remedy="make room there or name another folder, and run the gate again",
        ) from None
    return folder / MANIFEST


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises
    ------
    EvidenceError : the folder is not complete, or its manifest cannot be read, is damaged, or is of a later
        version of this package.
    """
    return manifest_of(manifest_bytes(folder), folder)


def manifest_bytes(folder: Path) -> bytes:
    """The bytes of `manifest.json`; raises as `read_manifest` where there are none."""
    try:
        if os.path.lexists(folder / INCOMPLETE):
            raise EvidenceError(
                f"the evidence in {folder} is incomplete: its run did not end",
                remedy="run the gate again with another folder",
            )
        return content_of(folder / MANIFEST, _LARGEST)
    except FileNotFoundError:
        what = "has no manifest.json" if folder.is_dir() else "does not exist"
        raise EvidenceError(
            f"{folder} {what}", remedy="name a folder that --fm-evidence has finished"
        ) from None
    except OSError as error:
        raise EvidenceError(
            f"{folder / MANIFEST} cannot be read ({error.strerror or error})", remedy=_AGAIN
        ) from None


def manifest_of(content: bytes, folder: Path) -> Manifest:
    """What the bytes of a manifest say; `folder` is for messages. Raises as `read_manifest`."""
    try:
        document = strict_json(content)
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema != SCHEMA and isinstance(schema, str) and _KIND.fullmatch(schema):
            raise EvidenceError(
                f"the evidence in {folder} has the form {brief(schema)}, and this version reads {SCHEMA}",
                remedy="verify it with the version of pathorob-checks that its manifest.json names",
            )
        if schema != SCHEMA:
            raise ValueError(f"its schema is {shortened(schema)}, not {SCHEMA}")
        manifest = Manifest.model_validate_json(json.dumps(document, allow_nan=False), strict=True)
        if manifest.to_json().encode() != content:
            raise ValueError("its text is not written as this package writes it")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        problem = f"{brief(place)}: {brief(first['msg'])}"
    except RecursionError:
        problem = "it is nested too deeply"
    except (ValueError, TypeError, OverflowError) as error:
        problem = brief(str(error))
    else:
        return manifest
    raise EvidenceError(
        f"{folder / MANIFEST} is damaged, or its content was changed ({problem})", remedy=_AGAIN
    )
