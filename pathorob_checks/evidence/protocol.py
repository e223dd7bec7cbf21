"""The protocol of a run: its terms, its plan and its options, written before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pathorob_checks.criteria.profile import BaselineTerms, Profile
from pathorob_checks.evaluation.facts import cohort_facts
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evidence.layout import PROTOCOL_SCHEMA
from pathorob_checks.results.part import builtin
from pathorob_checks.version import version

if TYPE_CHECKING:
    from pathorob_checks.evaluation.plan import PlannedCheck
    from pathorob_checks.evaluation.run import Evaluation
    from pathorob_checks.evaluation.subjects import LeftOut

# Below these keys stands what the user wrote: of the criteria the digest must be that of their content.
AS_WRITTEN = ("terms", "rationale", "source_of_bound", "owner", "requirements", "responsible")
_NO_OPTIONS = ("criteria", "origins", "images")  # in the terms, of the others, and for reports only


def protocol_document(
    evaluation: Evaluation, command: Sequence[str], fixed: datetime, *, require_complete: bool
) -> dict[str, Any]:
    """The protocol as JSON-like content.

    Parameters
    ----------
    evaluation : whose terms are fixed.
    command : the arguments of the command line.
    fixed : when that was, in UTC.
    require_complete : whether a criterion that is left out makes the run an error.

    Returns
    -------
    Of its keys, `digest` is `canonical.digest_of(document["terms"])`, and `plan_digest` is that of
    `{"terms": digest, "checks": [ids of planned checks and planned integrity checks]}`.
    """
    terms = evaluation.terms
    profile = terms.profile
    chosen = evaluation.settings.criteria
    return {
        "schema": PROTOCOL_SCHEMA,
        "fixed": fixed.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "tool": {"name": "pathorob-checks", "version": version()},
        "criteria": {
            "name": profile.name,
            "description": profile.description,
            "files": [profile.name] if isinstance(chosen, Profile) else list(map(str, chosen)),
            "require_complete": require_complete,
            "states_baseline": profile.baseline != BaselineTerms(),
        },
        "digest": terms.digest,
        "plan_digest": terms.plan.digest(terms.digest),
        "terms": terms.content,
        "planned": [_planned(check) for check in terms.plan.checks.values()],
        "planned_integrity": [
            {
                "id": check.id,
                "name": check.name,
                "fm": check.subject.fm,
                "cohort": check.subject.cohort,
                "left_out": _left_out(check.left_out),
            }
            for check in terms.plan.integrity.values()
        ],
        "baseline": None
        if terms.baseline is None
        else {
            "fm": terms.baseline.fm,
            "source": terms.baseline.source,
            "digest": terms.baseline.digest,
        },
        "fms": list(_fms(evaluation)),
        "cohorts": list(_cohorts(evaluation)),
        "left_out": list(evaluation.left_out),
        "options": list(_options(evaluation.settings)),
        "command": list(command),
    }


def _planned(check: PlannedCheck) -> dict[str, Any]:
    criterion = check.criterion
    return {
        "id": check.id,
        "fm": check.fm,
        "method": check.method,
        "cohort": criterion.cohort,
        "criterion": criterion.id,
        "metric": criterion.metric,
        "quantity": criterion.quantity,
        "direction": criterion.direction,
        "bound": criterion.bound,
        "rule": criterion.rule,
        "required": criterion.required,
        "minimum_support": criterion.minimum_support,
        "requirements": list(criterion.requirements),
        "owner": criterion.owner,
        "rationale": criterion.rationale,
        "source_of_bound": criterion.source,
        "left_out": _left_out(check.left_out),
    }


def _left_out(reason: LeftOut | None) -> dict[str, Any] | None:
    return None if reason is None else {"why": reason.why, "on_purpose": reason.on_purpose}


def _fms(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    measured = {subject.fm for subject in evaluation.subjects.subjects}
    for name, spec in evaluation.subjects.specs.items():
        yield {
            "name": name,
            "spec": spec.text,
            "kind": spec.kind,
            "revision": evaluation.inputs.resolved(name).revision if name in measured else None,
            "measured": name in measured,
        }


def _cohorts(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for name in evaluation.subjects.cohorts:
        facts = cohort_facts(name, evaluation.inputs.cohort(name))
        yield {"given_as": evaluation.subjects.cohorts[name], "revision": evaluation.inputs.commit(name)} | (
            facts.model_dump(mode="json")
        )


def _options(settings: Settings) -> Iterator[dict[str, Any]]:
    """Each choice of the caller, its default, and where it is from."""
    for one in fields(Settings):
        if one.name in _NO_OPTIONS:
            continue
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        value = getattr(settings, one.name)
        is_default = value == default
        origin = settings.origins.get(one.name, "default" if is_default else "command line")
        yield {
            "name": one.name,
            "value": _shown(value),
            "default": None if default is MISSING else _shown(default),
            "is_default": is_default,
            "from": origin,
        }


def _shown(value: object) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else builtin(value)
