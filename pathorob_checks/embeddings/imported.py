"""Where imported embeddings come from, as the import wrote it beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathorob_checks.canonical import digest_of
from pathorob_checks.errors import EmbeddingError
from pathorob_checks.files import read_limited, shown
from pathorob_checks.wording import counted

SCHEMA: Final = "pathorob-checks/import/1"
FILE = "import.json"
EMBEDDINGS, MANIFEST = "embeddings.npy", "manifest.csv"
_MOST_BYTES = 1 << 28
_PART = 1 << 20
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Origin(BaseModel):
    """The content of the file.

    Attributes
    ----------
    format, tools : the format's name, and which tools write it.
    extractor : what the files say about the FM; None where they say nothing.
    sources : SHA-256 of each file that was read, by its path in the folder of features.
    manifest : SHA-256 of the table that named center and class of the slides.
    patches_per_slide, seed : how many patches of a slide were drawn, and how; None where all are there.
    version : of this package, when it imported them.
    written : SHA-256 of the files that the import wrote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_: Literal["pathorob-checks/import/1"] = Field(alias="schema")
    format: str
    tools: str
    extractor: str | None
    sources: dict[str, Sha256]
    manifest: Sha256
    patches_per_slide: int | None
    seed: int | None
    version: str
    written: dict[str, Sha256]

    def facts(self) -> dict[str, object]:
        """For the results: without the list of the files, but with its length and digest."""
        kept = self.model_dump(exclude={"schema_", "sources", "written"})
        return {**kept, "files": len(self.sources), "sources": digest_of(self.sources)}

    def note(self) -> str:
        """A sentence for the report."""
        fm = f"; they name the extractor {self.extractor}" if self.extractor else ""
        return f"The embeddings were imported from {counted(len(self.sources), 'file')} of {self.tools}{fm}."


def origin_of(folder: Path) -> tuple[Origin | None, str]:
    """Where the embeddings in a folder come from, and a sentence for the report; "" where it was no import.

    Raises
    ------
    EmbeddingError : the file that says so is damaged.
    """
    path = folder / FILE
    try:
        content = read_limited(path, _MOST_BYTES)
        origin = Origin.model_validate_json(content)
    except FileNotFoundError:
        return None, ""
    except (OSError, ValidationError) as error:
        raise EmbeddingError(
            f"'{shown(path)}' is not what an import writes",
            remedy="import the features again, or delete this file",
        ) from error
    changed = [
        name for name in (EMBEDDINGS, MANIFEST) if origin.written.get(name) != sha256_of(folder / name)
    ]
    if changed:
        return None, f"'{changed[0]}' was changed after the import that '{FILE}' describes, which is ignored."
    return origin, origin.note()


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file; "" where there is none."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while part := stream.read(_PART):
                digest.update(part)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()
