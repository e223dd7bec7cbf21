"""The `-k` of pytest that leaves some planned checks out and no other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathorob_checks.evaluation.plan import PlannedCheck

_WORD = re.compile(r"[\w:+\-.\[\]/]+")  # of those that `-k` takes, what a shell leaves alone in quotes
_ID = re.compile(r".*::(?P<test>test_(?P<function>\w+)\[.*\])", re.DOTALL)


def keyword_without(checks: Collection[PlannedCheck], others: Iterable[str], given: str = "") -> str | None:
    """The expression for `-k`.

    Parameters
    ----------
    checks : those to leave out.
    others : ids of tests that shall run.
    given : the expression that the command line has; the result keeps what it leaves out.

    Returns
    -------
    None where no expression can tell the two apart.

    Examples
    --------
    >>> from pathorob_checks.evaluation.run import Evaluation
    >>> from pathorob_checks.evaluation.settings import Settings
    >>> planned = Evaluation(Settings(fms=("demo:stain-invariant",))).terms.checks.values()
    >>> drops = [check for check in planned if check.criterion.metric.startswith("performance_drop")]
    >>> others = [check.id for check in planned if check not in drops]
    >>> keyword_without(drops, others)
    'not performance_drop'
    >>> keyword_without(drops[:1], [*others, drops[1].id], given="demo or ours")
    '(demo or ours) and not performance_drop_id'
    """
    names = [name.lower() for name in others]
    fitting = {
        check.id: [one for one in _descriptions(check) if not any(_fits(one, name) for name in names)]
        for check in checks
    }
    if not all(fitting.values()):
        return None
    fit = Counter(words for every in fitting.values() for words in every)
    chosen = dict.fromkeys(
        max(every, key=lambda words: (fit[words], -len(words))) for every in fitting.values()
    )
    terms = [words[0] if len(words) == 1 else f"({' and '.join(words)})" for words in chosen]
    without = f"not {terms[0]}" if len(terms) == 1 else f"not ({' or '.join(terms)})"
    if not given.strip():
        return without
    kept = f"({given})" if " or " in given else given
    return f"{kept} and {without}"


def _descriptions(check: PlannedCheck) -> Iterator[tuple[str, ...]]:
    """Words that all stand in its id, the test's name and what this begins with before the whole test."""
    parts = _ID.fullmatch(check.id)
    if parts is None:
        return
    name = parts["function"].split("_")
    functions = ["_".join(name[:end]) for end in range(len(name), 0, -1)]
    for words in (
        *((function,) for function in functions),
        *((function, check.criterion.cohort) for function in functions),
        (parts["test"],),
    ):
        if all(_WORD.fullmatch(word) and word.lower() in check.id.lower() for word in words):
            yield words


def _fits(words: Iterable[str], name: str) -> bool:
    return all(word.lower() in name for word in words)
