"""Every rule on worked examples: which verdict, and which release verdict, must follow from what."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from pathorob_checks.criteria.release import Judged, release_verdict
from pathorob_checks.criteria.verdict import Verdict, judge
from pathorob_checks.evidence.qualification.record import Finding, failure
from pathorob_checks.metrics.measurement import Measurement

_ORIGIN = "docs/criteria.md, worked by hand"


def examples() -> dict[str, list[dict[str, Any]]]:
    """The content of `worked_examples.toml`."""
    text = (files("pathorob_checks.evidence.qualification") / "worked_examples.toml").read_text(
        encoding="utf-8"
    )
    return tomllib.loads(text)


def worked_examples() -> Iterator[Finding]:
    """A record for each example."""
    for kind, work in (("verdict", _verdict), ("release", _release)):
        for example in examples()[kind]:
            try:
                verdict, note = work(example), ""
            except Exception as error:  # the example failed, and the record says so
                verdict, note = None, failure(error)
            yield Finding(
                id=f"operation/{kind}/{_identifier(example['name'])}",
                what=example["name"],
                expected=example["expected"],
                actual=verdict,
                origin=_ORIGIN,
                note=note,
            )


def _verdict(example: Mapping[str, Any]) -> str:
    interval = example.get("interval")
    measurement = Measurement(
        metric="robustness_index",
        value=example["value"],
        interval=None if interval is None else (interval[0], interval[1]),
        support=example.get("support"),
    )
    return judge(
        example["bound"],
        example["direction"],
        measurement,
        example["rule"],
        drift=example.get("drift"),
        minimum_support=example.get("minimum_support"),
    ).verdict.value


def _release(example: Mapping[str, Any]) -> str:
    judged = [
        Judged(name=f"criterion {number}", verdict=Verdict(verdict), is_met=is_met, p_value=p_value)
        for number, (verdict, is_met, p_value) in enumerate(example["criteria"], 1)
    ]
    return release_verdict(
        judged,
        family=example["family"],
        confidence=example["confidence"],
        pass_confidence=example.get("pass_confidence"),
    ).verdict.value


def _identifier(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
