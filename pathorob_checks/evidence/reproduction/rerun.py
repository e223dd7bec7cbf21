"""From an evidence folder to the same run: settings, pins and criteria read from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evaluation.assembling import results_of
from pathorob_checks.evaluation.completeness import key_of
from pathorob_checks.evaluation.evaluate import made_records
from pathorob_checks.evaluation.facts import cohort_facts
from pathorob_checks.evaluation.observer import Observer
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evidence.inventory import content_of
from pathorob_checks.evidence.manifest import manifest_bytes, manifest_of
from pathorob_checks.evidence.verification import verify
from pathorob_checks.files import expanded
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.results.results import LARGEST, Results
from pathorob_checks.wording import brief, quoted

# Options that are taken from the protocol as they are. Where things are (cache, tables), on what they are
# computed, and what may run code of others is for whoever runs it again.
_TAKEN = (
    "batch_size",
    "precision",
    "pooling",
    "commercial",
    "checkpoint_key",
    "checkpoint_prefixes",
    "licensed",
    "pretraining",
    "methods",
    "method_only",
    "method_ood",
    "require_complete",
    "baseline_fm",
)
_LATER = ("method_only",)  # earlier versions had no such option
_PINNED = ("hf-hub", "recipe")
_PATHS = ("embeddings", "local-dir")
_CONTENT = ("weights_sha256", "sha256")  # of an identity: what was read from files
_NOT_PROFILE = ("schema", "published")  # of the criteria in the terms: what a profile does not hold itself


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are on this machine.

    Attributes
    ----------
    fms, cohorts : what to use for an FM or a cohort of the evidence, by its name.
    baseline : the results file of the baseline.
    cache : folder of embeddings. Those that are there are not computed again.
    metadata, accepted_names, method_target : as in `Settings`.
    device : as in `Settings`.
    trust_remote_code : as in `Settings`; never taken from the folder.
    """

    cache: Path
    fms: Mapping[str, str] = field(default_factory=dict)
    cohorts: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    metadata: Path | None = None
    accepted_names: Path | None = None
    method_target: Path | None = None
    device: str = "auto"
    trust_remote_code: bool = False


@dataclass(frozen=True, kw_only=True)
class Archived:
    """What the folder says.

    Attributes
    ----------
    manifest, results_file : the bytes of `manifest.json` and `results.json`.
    """

    protocol: Mapping[str, Any]
    results: Results
    manifest: bytes
    results_file: bytes


def archived(folder: Path) -> Archived:
    """Read an intact evidence folder of a run.

    Raises
    ------
    EvidenceError : it is not intact, or is no evidence of a run.
    """
    if not folder.is_dir():
        raise EvidenceError(f"{folder} is not a folder", remedy="name one that --fm-evidence has finished")
    for finding in verify(folder).findings:
        raise EvidenceError(f"{folder} is not intact ({finding})", remedy="reproduce an intact one")
    manifest = manifest_bytes(folder)
    kind = manifest_of(manifest, folder).kind
    if kind != "run":
        raise EvidenceError(
            f"{folder} is a {kind} and not a run", remedy="name the folder of a run with --fm-evidence"
        )
    try:
        protocol = strict_json(content_of(folder / "protocol.json", LARGEST))
        results_file = content_of(folder / "results.json", LARGEST)
        results = Results.from_json(results_file, "results.json")
    except (OSError, ValueError) as error:
        raise EvidenceError(
            f"{folder} cannot be read ({brief(str(error))})", remedy="check the disk"
        ) from None
    return Archived(protocol=protocol, results=results, manifest=manifest, results_file=results_file)


def settings_of(protocol: Mapping[str, Any], places: Places) -> Settings:
    """The settings of the run, with its FMs pinned to the revisions that were measured.

    Raises
    ------
    EvidenceError : a file or folder is not where it was and no other place was given, or a place was given
        for an FM or a cohort that the evidence does not have.
    """
    options = {one["name"]: one["value"] for one in protocol["options"]}
    fms = {one["name"]: _fm(one, places) for one in protocol["fms"]}
    cohorts = {one["name"]: _cohort(one, places) for one in protocol["cohorts"]}
    for given, known, what in ((places.fms, fms, "FM"), (places.cohorts, cohorts, "cohort")):
        if unknown := sorted(set(given) - set(known)):
            raise EvidenceError(
                f"the evidence has no {what} {quoted(unknown[:1])}", remedy=f"it has {quoted(known)}"
            )
    criteria = {key: value for key, value in protocol["terms"]["criteria"].items() if key not in _NOT_PROFILE}
    return Settings(
        fms=tuple(fms.values()),
        names=tuple(fms),  # as they are called in the evidence, wherever they are on this machine
        cohorts=tuple(cohorts.values()) if options["cohorts"] or places.cohorts else (),
        criteria=Profile.model_validate(criteria),
        baseline=_baseline(protocol, options, places),
        device=places.device,
        cache=places.cache,
        metadata=places.metadata or _still_there(options["metadata"]),
        accepted_names=places.accepted_names or _still_there(options["accepted_names"]),
        method_target=places.method_target or _target(options.get("method_target")),
        trust_remote_code=places.trust_remote_code,
        **{name: _typed(options[name]) for name in _TAKEN if name in options or name not in _LATER},
    )


def run_again(archive: Archived, settings: Settings, observer: Observer | None = None) -> Results:
    """Run what the archived run has records of; what `-k` or names left out there is left out here.

    Raises
    ------
    EvidenceError : an FM or a cohort is not the one of the evidence.
    PathorobChecksError : as `evaluate`.
    """
    evaluation = Evaluation(settings, observer)
    _check_names(archive.protocol, evaluation)
    left_out = _without_record(archive.results, evaluation)
    evaluation.preflight(left_out=left_out)
    for facts in archive.protocol["cohorts"]:
        digest = cohort_facts(facts["name"], evaluation.inputs.cohort(facts["name"])).digest
        if digest != facts["digest"]:
            raise EvidenceError(
                f"the cohort {facts['name']} is not that of the evidence: its digest is {digest[:12]}..., "
                f"and the protocol has {facts['digest'][:12]}...",
                remedy="give the same patches, labels and tables with --cohort NAME=PATH, or install the "
                "versions of environment.json",
            )
    identities = {(run.fm.name, run.cohort.name): run.fm.identity for run in archive.results.runs}
    for subject in evaluation.subjects.subjects:
        before = identities.get((subject.fm, subject.cohort))
        if before is None:  # everything about it was left out
            continue
        now = evaluation.inputs.embeddings(subject).identity
        for name in _CONTENT:
            if name in before and now.get(name) != before[name]:
                raise EvidenceError(
                    f"the FM {subject.fm} is not that of the evidence: {name} is "
                    f"{brief(str(now.get(name)), 12)}, and the evidence has {brief(str(before[name]), 12)}",
                    remedy="give the same weights or embeddings with --fm NAME=SPEC",
                )
    return results_of(evaluation, made_records(evaluation, left_out))


def _without_record(results: Results, evaluation: Evaluation) -> set[str]:
    """Ids of planned checks and integrity checks of which the archived results have no record."""
    recorded = {key_of(check) for check in results.checks}
    integrity = {(one.fm, one.method, one.cohort, one.name) for one in results.integrity}
    plan = evaluation.terms.plan
    return {check.id for key, check in plan.checks.items() if key not in recorded} | {
        one.id
        for one in plan.integrity.values()
        if (one.subject.fm, one.subject.method, one.subject.cohort, one.name) not in integrity
    }


def _check_names(protocol: Mapping[str, Any], evaluation: Evaluation) -> None:
    """A folder of another name would be another cohort in every id."""
    cohorts = evaluation.subjects.cohorts
    other = [one["name"] for one in protocol["cohorts"] if one["name"] not in cohorts]
    if other:
        raise EvidenceError(
            f"what was given for the cohort {other[0]} is called {quoted(list(cohorts)[:3])} here",
            remedy="give its folder the name that it has in the evidence",
        )


def _fm(facts: Mapping[str, Any], places: Places) -> str:
    name, spec, kind = facts["name"], facts["spec"], facts["kind"]
    if name in places.fms:
        return places.fms[name]
    if kind == "python":
        raise EvidenceError(
            f"the FM {name} is code of {spec}, which is run only if you say so",
            remedy=f"give it with --fm {name}={spec}",
        )
    if kind in _PATHS and not expanded(spec.partition(":")[2]).exists():
        raise EvidenceError(
            f"the FM {name} is not at {spec} any more", remedy=f"give it with --fm {name}={kind}:PATH"
        )
    if kind in _PINNED and facts["revision"] and "@" not in spec:
        return f"{spec}@{facts['revision']}"
    return str(spec)


def _cohort(facts: Mapping[str, Any], places: Places) -> str:
    from pathorob_checks.cohorts.registry import is_own

    name, given = facts["name"], facts["given_as"]
    if name in places.cohorts:
        return places.cohorts[name]
    if is_own(given) and not expanded(given).exists():
        raise EvidenceError(
            f"the cohort {name} is not at {given} any more", remedy=f"give it with --cohort {name}=PATH"
        )
    return str(given)


def _baseline(protocol: Mapping[str, Any], options: Mapping[str, Any], places: Places) -> str | None:
    wanted = options["baseline"]
    if wanted is None or wanted in {one["name"] for one in protocol["fms"]}:
        return wanted if wanted is None else str(wanted)
    path = places.baseline or str(wanted)
    if not expanded(path).exists():
        raise EvidenceError(
            f"the baseline is not at {path} any more", remedy="give its results file with --baseline=FILE"
        )
    return path


def _still_there(path: str | None) -> Path | None:
    return expanded(path) if path and expanded(path).exists() else None


def _target(path: str | None) -> Path | None:
    if path and _still_there(path) is None:
        raise EvidenceError(
            f"the image {path}, to whose stain the methods of the evidence moved all patches, is not there",
            remedy="say where it is with --fm-method-target",
        )
    return _still_there(path)


def _typed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
