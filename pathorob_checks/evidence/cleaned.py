"""Results as the files of evidence tell them: without secrets, and without person and machine."""

from __future__ import annotations

import json

from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.redaction import Redaction
from pathorob_checks.results.results import Results

# Of the results: what the user wrote into the criteria, and what the digest of the terms covers.
_CRITERIA = ("profile", "protocol")
_OF_CRITERION = ("rationale", "source", "owner", "requirements", "protocol")


def cleaned_results(results: Results, redaction: Redaction) -> Results:
    """The results with all strings cleaned but those that the digest of the terms covers."""
    clean = redaction.in_values
    content = json.loads(results.to_json())
    checks = [
        {key: value if key in _OF_CRITERION else clean(value) for key, value in check.items()}
        for check in content.pop("checks")
    ]
    cleaned = Results.from_json(json.dumps({**clean(content, kept=_CRITERIA), "checks": checks}))
    runs = [
        own.model_copy(update={"images": run.images})
        for own, run in zip(cleaned.runs, results.runs, strict=True)
    ]
    return cleaned.model_copy(update={"runs": tuple(runs)})


def write_without_secrets(folder: EvidenceFolder, name: str, text: str, redaction: Redaction) -> None:
    """Write a file of evidence; raises EvidenceError where it would hold a secret, or cannot be written."""
    if redaction.has_secret_in(text.encode()):
        raise EvidenceError(
            f"{folder}/{name} would hold the value of a variable that is named like a secret",
            remedy="take it out of criteria, names and command line, or rename the variable",
        )
    folder.write(name, text)
