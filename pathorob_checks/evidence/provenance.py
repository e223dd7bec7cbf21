"""What a run measured and with which code: digests, revisions, the command, the container and the CI job."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pathorob_checks.canonical import digest_of
from pathorob_checks.evidence.layout import PROVENANCE_SCHEMA
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.subject_facts import FMFacts
from pathorob_checks.version import version

_PACKAGE = Path(__file__).parent.parent
_COMMIT = re.compile(r"\+g([0-9a-f]+)")

# Variables of CI systems, by what they say; none of them names a person.
_CI: Mapping[str, Mapping[str, str]] = {
    "GitHub Actions": {
        "run": "GITHUB_RUN_ID",
        "attempt": "GITHUB_RUN_ATTEMPT",
        "commit": "GITHUB_SHA",
        "repository": "GITHUB_REPOSITORY",
        "workflow": "GITHUB_WORKFLOW",
        "server": "GITHUB_SERVER_URL",
    },
    "GitLab CI": {
        "run": "CI_PIPELINE_ID",
        "attempt": "CI_JOB_ID",
        "commit": "CI_COMMIT_SHA",
        "repository": "CI_PROJECT_PATH",
        "workflow": "CI_JOB_NAME",
        "server": "CI_SERVER_URL",
    },
}
# What names the image of a container from inside, in the order in which it is believed.
_IMAGES = ("CONTAINER_IMAGE", "CI_JOB_IMAGE", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")
_PODMAN, _DOCKER = Path("/run/.containerenv"), Path("/.dockerenv")


def provenance_document(
    results: ResultsDocument, protocol: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """The provenance as JSON-like content.

    Parameters
    ----------
    protocol : see `protocol.protocol_document`.
    environment : the variables of the process.
    """
    revisions = {cohort["name"]: cohort["revision"] for cohort in protocol["cohorts"]}
    return {
        "schema": PROVENANCE_SCHEMA,
        "fms": [_fm(fm) for fm in fms_of(results)],
        "cohorts": [
            {**cohort, "revision": revisions.get(cohort["name"])}
            for cohort in (
                one.model_dump(
                    mode="json",
                    include={
                        "name",
                        "source",
                        "digest",
                        "images",
                        "tables",
                        "own_tables",
                        "license",
                        "patches",
                        "slides",
                    },
                )
                for one in {run.cohort.name: run.cohort for run in results.runs}.values()
            )
        ],
        "code": code_facts(),
        "qualification": protocol.get("qualification"),
        "command": list(protocol["command"]),
        "container": container_facts(environment),
        "ci": ci_facts(environment),
    }


def fms_of(results: ResultsDocument) -> Iterator[FMFacts]:
    """Each FM once for each way in which it embedded."""
    seen: set[tuple[str, str]] = set()
    for run in results.runs:
        key = (run.fm.name, digest_of(run.fm.identity))
        if key not in seen:
            seen.add(key)
            yield run.fm


def weights_sha256(fm: FMFacts) -> str | None:
    """The digest of the weights' files; None where they are not known (given embeddings, a demonstration)."""
    digest = fm.identity.get("weights_sha256")
    return digest if isinstance(digest, str) else None


def precision_of(fm: FMFacts) -> str | None:
    """The precision of the forward pass; None where the run does not know it (given embeddings, own code)."""
    described = fm.identity.get("model")
    for place in (fm.identity, described if isinstance(described, Mapping) else {}):
        precision = place.get("precision")
        if isinstance(precision, str):
            return precision
    return None


def _fm(fm: FMFacts) -> dict[str, Any]:
    facts = fm.model_dump(
        mode="json",
        include={"name", "spec", "revision", "license", "identity", "dimension", "embeddings", "extraction"},
    )
    return {**facts, "identity_sha256": digest_of(fm.identity), "weights_sha256": weights_sha256(fm)}


def code_facts() -> dict[str, Any]:
    """This package's version and commit, and one digest over all of its files."""
    commit = _COMMIT.search(version())
    return {
        "name": "pathorob-checks",
        "version": version(),
        "commit": commit[1] if commit else None,
        "sha256": _digest_of_files(_PACKAGE),
    }


def _digest_of_files(folder: Path) -> str:
    """SHA-256 of the canonical JSON of each file's path and SHA-256; compiled files are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyo"))
    return digest_of(
        {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    )


def container_facts(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The container that the run is in, as far as the container itself says so; None outside of one."""
    stated: dict[str, str] = {}
    with contextlib.suppress(OSError):
        stated = dict(re.findall(r'^(\w+)="?(.*?)"?$', _PODMAN.read_text(encoding="utf-8"), re.MULTILINE))
    images = [environment.get(name) for name in _IMAGES]
    image = next(filter(None, images), None) or stated.get("image")
    if not (image or stated or _DOCKER.exists() or "KUBERNETES_SERVICE_HOST" in environment):
        return None
    return {"image": image, "image_id": stated.get("imageid")}


def ci_facts(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The job of a CI system that the run is part of; None outside of one."""
    for system, variables in _CI.items():
        if environment.get(variables["run"]):
            return {"system": system} | {name: environment.get(one) for name, one in variables.items()}
    return None


def command_of(arguments: Iterable[str]) -> list[str]:
    """The command that was typed."""
    return ["pytest", *map(os.fspath, arguments)]
