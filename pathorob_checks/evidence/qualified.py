"""The qualification that a run refers to: verified, and named by the digest of its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.environment import environment_document
from pathorob_checks.evidence.inventory import content_of, sha256_of
from pathorob_checks.evidence.manifest import MANIFEST, read_manifest
from pathorob_checks.evidence.provenance import code_facts
from pathorob_checks.evidence.qualification.verification import ENVIRONMENT, RECORDS, qualification_of
from pathorob_checks.evidence.verification import verify
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.results import LARGEST
from pathorob_checks.wording import brief, counted, named

# What of a machine may move a value, and where environment.json has it.
_COMPARED = (
    ("Python", "python", "version"),
    ("platform", "system", "platform"),
    ("C library", "system", "libc"),
    ("processor", "processor", "model"),
    ("GPUs", "gpu", "devices"),
    ("GPU driver", "gpu", "driver"),
    ("CUDA", "gpu", "cuda"),
)

_NAMED_AT_MOST = 20  # differences; further ones are counted


def qualification_facts(folder: Path) -> dict[str, Any]:
    """What protocol and provenance say of a qualification, as JSON-like content.

    Raises
    ------
    EvidenceError : the folder is not intact, or is no qualification.
    """
    verification = verify(folder)
    for finding in verification.findings:
        raise EvidenceError(
            f"the qualification {folder} is not intact ({finding})",
            remedy="qualify again with 'pathorob-checks qualify --out=DIR'",
        )
    manifest = read_manifest(folder)
    if manifest.kind != "qualification":
        raise EvidenceError(
            f"{folder} is the evidence of a {manifest.kind} and no qualification",
            remedy="name a folder of 'pathorob-checks qualify --out=DIR'",
        )
    return {
        "manifest_sha256": sha256_of(folder / MANIFEST),
        "outcome": manifest.outcome.value,
        "created": manifest.created.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "responsible": _responsible(folder),
        "sealed_by": list(verification.sealed_by),
        "version": manifest.tool.version,
        "code": manifest.digest,
        "is_of_this_code": manifest.digest == code_facts()["sha256"],
        "differences": _differences(folder),
    }


def _responsible(folder: Path) -> str | None:
    """Who answers for a qualification that is intact; None where nobody was named."""
    return qualification_of(content_of(folder / RECORDS, LARGEST)).responsible


def _differences(folder: Path) -> list[str]:
    """What of machine and packages is another now than in the environment of a qualification."""
    try:
        before = strict_json(content_of(folder / ENVIRONMENT, LARGEST))
        differences = list(environment_differences(before, environment_document()))
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise EvidenceError(
            f"{folder / ENVIRONMENT} cannot be compared with this environment ({brief(str(error))})",
            remedy="qualify again with 'pathorob-checks qualify --out=DIR'",
        ) from None
    more = len(differences) - _NAMED_AT_MOST
    return (
        differences if more <= 0 else [*differences[:_NAMED_AT_MOST], f"{counted(more, 'further package')}"]
    )


def environment_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A clause for each thing of the machine, then for each package, that is another one.

    Parameters
    ----------
    before, now : contents of `environment.json`.
    """
    for what, *path in _COMPARED:
        then, here = _value(before, path), _value(now, path)
        if then != here:
            yield f"{what}: {_shown(then)}, now {_shown(here)}"
    packages = [{one["name"].lower(): one["version"] for one in each["packages"]} for each in (before, now)]
    for name in sorted(packages[0].keys() | packages[1].keys()):
        then, here = packages[0].get(name), packages[1].get(name)
        if then != here:
            yield f"{name}: {then or 'not installed'}, now {here or 'not installed'}"


def _value(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What stands there; None where a part of the way is null, as of a machine without a GPU."""
    value: Any = document
    for key in path:
        value = None if value is None else value.get(key)
    return value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return named([one["name"] for one in value], "GPU", "GPUs")
    return "none" if value is None else str(value)
