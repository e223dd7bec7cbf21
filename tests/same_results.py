"""Compare the numbers of two results files: python tests/same_results.py BEFORE.json AFTER.json

Everything measured and judged must be equal to the last digit: values, intervals, support, verdicts, cells,
slides, groups and effects. Wording, time stamps and versions may differ. Files of schema 1 and 2 are read.
"""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from typing import Any

from pathorob_checks import Results

WORDING = {
    "id", "reason", "rationale", "label", "meaning", "remedies", "suspects", "interval_note", "method",
}  # fmt: skip


# What tells time, and what is drawn anew in every run: the patches that are embedded again.
VARYING = re.compile(r"created|measured|\w*seconds|sample|differences|difference")


def without_varying(value: Any) -> Any:
    """A document without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_varying(part) for key, part in value.items() if not VARYING.fullmatch(key)}
    return [without_varying(part) for part in value] if isinstance(value, list) else value


def numbers(results: Results) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By FM, cohort and criterion, everything but wording."""
    return {
        (check.fm, check.cohort, check.criterion): _without_words(check.model_dump(exclude=WORDING))
        for check in results.checks
    }


def _without_words(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _without_words(item) for key, item in value.items() if key != "meaning"}
    return [_without_words(item) for item in value] if isinstance(value, list | tuple) else value


def differences(before: Results, after: Results) -> list[str]:
    """A line for each number that differs; empty where all are equal."""
    old, new = numbers(before), numbers(after)
    lines = [f"only in one file: {' '.join(key)}" for key in sorted(old.keys() ^ new.keys())]
    for key in sorted(old.keys() & new.keys()):
        lines += [f"{' '.join(key)}: {name} differs" for name in old[key] if old[key][name] != new[key][name]]
    return lines


if __name__ == "__main__":
    lines = differences(*map(Results.read, sys.argv[1:3]))
    sys.stdout.write(
        "\n".join(lines or [f"{len(numbers(Results.read(sys.argv[2])))} checks are equal"]) + "\n"
    )
    sys.exit(bool(lines))
