"""The protocol of an evidence folder run again, and its values compared with those of the folder.

Noise is what the same computation may give on another machine: rounding in another order, and the precision
of the forward pass. It is not the interval of a value: that says how other slides would have moved it, and
here patches, slides and seeds are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import Outcome, ResultsDocument
from pathorob_checks.results.part import Document, Finite
from pathorob_checks.wording import counted

# Half of the last of the three decimals that reports show: a smaller difference changes no printed value by
# more than its last digit.
ROUNDING = 0.0005


# Verdicts of what has no value, and where a number is there now only.
_UNMEASURED = (Verdict.ERROR.value, Verdict.SKIPPED.value, None)


class Sameness(StrEnum):
    """What came of a value."""

    EQUAL = "equal"
    WITHIN_NOISE = "within noise"
    DIFFERENT = "different"
    NOT_RUN = "not run again"


class Pair(Document):
    """A number in the folder, and the same number now.

    Attributes
    ----------
    check : id of the check or integrity check.
    quantity : what of it: `value`, `interval low`, `interval high` or `verdict`.
    before, now : numbers, or verdicts; None where there is none.
    noise : by how much a number may differ.
    """

    check: str
    quantity: str
    before: Finite | str | None
    now: Finite | str | None
    noise: Finite = 0.0
    is_run: bool = True

    @property
    def sameness(self) -> Sameness:
        """EQUAL to the last bit, WITHIN_NOISE, or DIFFERENT; verdicts know no noise."""
        if not self.is_run:
            return Sameness.NOT_RUN
        if self.before == self.now:
            return Sameness.EQUAL
        if isinstance(self.before, float) and isinstance(self.now, float):
            near = abs(self.before - self.now) <= self.noise
            return Sameness.WITHIN_NOISE if near else Sameness.DIFFERENT
        return Sameness.DIFFERENT


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Everything that was compared.

    Attributes
    ----------
    pairs : in the order of the folder's checks.
    elsewhere : what is not as it was and may explain a difference: versions, Python, platform, terms.
    """

    pairs: tuple[Pair, ...]
    elsewhere: tuple[str, ...]

    def count(self, sameness: Sameness) -> int:
        """How many pairs are so."""
        return sum(one.sameness is sameness for one in self.pairs)

    @property
    def outcome(self) -> Outcome:
        """PASS where it is reproduced, FAIL where something is different, else ERROR."""
        if self.is_reproduced:
            return Outcome.PASS
        return Outcome.FAIL if self.count(Sameness.DIFFERENT) else Outcome.ERROR

    @property
    def is_reproduced(self) -> bool:
        """Whether something was measured, and every value is equal or within noise."""
        return self._is_the_same and any(one.before not in _UNMEASURED for one in self.pairs)

    @property
    def _is_the_same(self) -> bool:
        return bool(self.pairs) and not (self.count(Sameness.DIFFERENT) or self.count(Sameness.NOT_RUN))

    @property
    def summary(self) -> str:
        """In one sentence."""
        counts = ", ".join(f"{number:,} {one}" for one in Sameness if (number := self.count(one)))
        text = f"{counted(len(self.pairs), 'value')}: {counts or 'nothing was compared'}"
        if self.is_reproduced:
            return f"REPRODUCED: {text}"
        return f"NOT REPRODUCED: {text}{', and none of them was measured' if self._is_the_same else ''}"

    def to_json(self) -> dict[str, Any]:
        """As JSON-like content."""
        return {
            "summary": self.summary,
            "reproduced": self.is_reproduced,
            "elsewhere": list(self.elsewhere),
            "pairs": [
                one.model_dump(mode="json", exclude={"is_run"}) | {"sameness": one.sameness}
                for one in self.pairs
            ],
        }


def compared(before: ResultsDocument, now: ResultsDocument) -> Reproduction:
    """Compare two runs of one protocol, check by check.

    Parameters
    ----------
    before : of the evidence folder; checks of the user's own tests are not run again.
    now : of the run that was made again.
    """
    pairs = [*_checks(before, now), *_integrity(before, now)]
    return Reproduction(pairs=tuple(pairs), elsewhere=tuple(_elsewhere(before, now)))


def _checks(before: ResultsDocument, now: ResultsDocument) -> Iterator[Pair]:
    again = {_key(one): one for one in now.checks}
    for one in before.checks:
        other = again.get(_key(one)) if one.registered else None
        yield _verdicts(one, other)
        if other is None:
            continue
        noise = ROUNDING + max(one.drift or 0.0, other.drift or 0.0)
        before_and_now = _numbers(one), _numbers(other)
        for quantity in dict.fromkeys((*before_and_now[0], *before_and_now[1])):
            number, number_now = (numbers.get(quantity) for numbers in before_and_now)
            yield Pair(check=one.id, quantity=quantity, before=number, now=number_now, noise=noise)


def _key(one: Check) -> tuple[str, ...]:
    return (one.fm, one.method, one.cohort, one.criterion)


def _numbers(one: Check) -> Mapping[str, float]:
    """The numbers that a verdict is taken from."""
    low, high = one.interval or (None, None)
    numbers = {"value": one.value, "interval low": low, "interval high": high}
    return {name: number for name, number in numbers.items() if number is not None}


def _verdicts(before: Check | IntegrityCheck, now: Check | IntegrityCheck | None) -> Pair:
    return Pair(
        check=before.id,
        quantity="verdict",
        before=before.verdict.value,
        now=None if now is None else now.verdict.value,
        is_run=now is not None,
    )


def _integrity(before: ResultsDocument, now: ResultsDocument) -> Iterator[Pair]:
    again = {(one.name, one.fm, one.method, one.cohort): one for one in now.integrity}
    for one in before.integrity:
        other = again.get((one.name, one.fm, one.method, one.cohort))
        yield _verdicts(one, other)


def _elsewhere(before: ResultsDocument, now: ResultsDocument) -> Iterator[str]:
    """What is another one now: packages, Python, platform, terms."""
    then, here = before.environment, now.environment
    for name in sorted({*then.packages, *here.packages}):
        versions = then.packages.get(name), here.packages.get(name)
        if versions[0] != versions[1]:
            yield f"{name}: {versions[0] or 'not installed'}, now {versions[1] or 'not installed'}"
    for name in ("python", "platform", "machine"):
        if getattr(then, name) != getattr(here, name):
            yield f"{name}: {getattr(then, name)}, now {getattr(here, name)}"
    if then.criteria.digest != here.criteria.digest:
        yield "digest of the terms: another one, so criteria, settings or versions of metrics differ"
