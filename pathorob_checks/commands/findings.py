"""What `doctor` has found: one line each, and what the run would need, added up on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.hub_failures import OfflineError

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line: the state of a subject, what was seen, and the remedy unless it is fine."""

    state: str
    subject: str
    text: str
    remedy: str = ""


@dataclass
class Ahead:
    """What the run would need, added up during the examination.

    Attributes
    ----------
    download : bytes.
    weights : bytes by FM, of the FMs whose files are known.
    cohorts : those that could be loaded, by name.
    failed : subjects of the findings that would stop the run.
    misses_hub : whether something could not be had because the hub does not answer.
    """

    download: int = 0
    weights: dict[str, int] = field(default_factory=dict)
    cohorts: dict[str, Cohort] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    misses_hub: bool = False


def attempt(subject: str, look: Callable[[], Iterator[Finding]], ahead: Ahead) -> Iterator[Finding]:
    """What a look at a subject finds; an error that would stop the run is a finding, too."""
    try:
        for finding in look():
            if finding.state == FAIL:
                ahead.failed.add(subject)
            yield finding
    except PathorobChecksError as error:
        ahead.failed.add(subject)
        ahead.misses_hub |= isinstance(error, OfflineError)
        yield Finding(FAIL, subject, error.problem, error.remedy)
