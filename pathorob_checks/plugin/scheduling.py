"""Which of xdist's workers runs which tests, also after a worker was lost.

xdist's own schedulers of tests that stay together can wait forever when a worker crashes (decisions/0020).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathorob_checks.evaluation.subjects import Subject


class UnitScheduling:
    """Hands whole units of work to workers, and what a lost worker did not run to the others.

    The interface is that of `xdist.scheduler.protocol.Scheduling`. A worker begins a test when it knows the
    next one, or knows that none follows: with fewer than two tests ahead it gets another unit, or has to end.

    Parameters
    ----------
    workers : how many workers the run begins with.
    unit_of : from the id of a test to the name of its unit.
    largest_first : whether large units are handed out before small ones.
    """

    def __init__(
        self,
        config: pytest.Config,
        workers: int,
        unit_of: Callable[[str], str],
        *,
        largest_first: bool = True,
    ) -> None:
        self._config, self._workers = config, workers
        self._unit_of, self._largest_first = unit_of, largest_first
        self._tests: list[str] | None = None  # the ids of all tests, from the start of the distribution on
        self._collections: dict[Any, list[str]] = {}  # what each worker collected, lost ones included
        self._waiting: deque[list[int]] = deque()  # units that no worker has, as places in `_tests`
        self._ahead: dict[Any, deque[int]] = {}  # what each worker has still to run, in its order

    @property
    def nodes(self) -> list[Any]:
        """The workers that there are."""
        return list(self._ahead)

    @property
    def collection_is_completed(self) -> bool:
        """Whether tests can be distributed: as many workers as the run began with have collected them."""
        return len(self._collections) >= self._workers

    @property
    def has_pending(self) -> bool:
        """Whether a test is still to be run."""
        return bool(self._waiting) or any(self._ahead.values())

    @property
    def tests_finished(self) -> bool:
        """Whether every test was run, or lost with its worker."""
        return self._tests is not None and not self.has_pending

    def add_node(self, node: Any) -> None:
        """A worker has started."""
        self._ahead[node] = deque()

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """A worker has collected its tests."""
        self._collections[node] = list(collection)

    def schedule(self) -> None:
        """Distribute the tests, or give what waits to a worker that came later.

        A test is known to a worker by its place: one that collected other tests gets none, and the run fails.
        """
        if self._tests is None:
            self._tests = next(iter(self._collections.values()))
            units: dict[str, list[int]] = {}
            for place, nodeid in enumerate(self._tests):
                units.setdefault(self._unit_of(nodeid), []).append(place)
            self._waiting.extend(
                sorted(units.values(), key=len, reverse=True) if self._largest_first else units.values()
            )
        for node in self._ready():
            if self._collections[node] != self._tests:
                self._report_other_tests(node)
                node.shutdown()
        self._hand_out()

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:  # noqa: ARG002
        """A worker has run a test."""
        self._ahead[node].remove(item_index)
        self._hand_out()

    def remove_node(self, node: Any) -> str | None:
        """A worker has ended; the test that was lost with it, or None.

        That test is not run again: it is reported as failed, and it may be what ends workers. The rest of its
        unit comes last, so that other units are measured before another worker may be lost.
        """
        ahead = self._ahead.pop(node)
        if not ahead or self._tests is None:
            return None
        lost, *rest = ahead
        if rest:
            self._waiting.append(rest)
        self._hand_out()
        return self._tests[lost]

    def mark_test_pending(self, item: str) -> None:
        """For plugins that run a crashed test again, which this scheduler never does."""
        raise NotImplementedError

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """For schedulers that take tests from one worker for another, as this one never does."""
        raise NotImplementedError

    def _ready(self) -> list[Any]:
        """The workers that can be given tests."""
        return [node for node in self._ahead if node in self._collections and not node.shutting_down]

    def _hand_out(self) -> None:
        """Give every worker its next unit; one without a unit ends, and a new one takes what others lose."""
        for enough in (1, 2):  # a second unit only when every worker has one
            for node in self._ready():
                if self._waiting and len(self._ahead[node]) < enough:
                    self._give(node, self._waiting.popleft())
        for node in self._ready():
            if not self._waiting and len(self._ahead[node]) < 2:
                node.shutdown()

    def _give(self, node: Any, unit: list[int]) -> None:
        try:
            node.send_runtest_some(unit)
        except OSError:  # it was lost, which xdist notes next
            self._waiting.appendleft(unit)
        else:
            self._ahead[node].extend(unit)

    def _report_other_tests(self, node: Any) -> None:
        from xdist.report import report_collection_diff

        first, tests = next(iter(self._collections.items()))
        difference = report_collection_diff(tests, self._collections[node], first.gateway.id, node.gateway.id)
        self._config.hook.pytest_collectreport(
            report=pytest.CollectReport(
                nodeid=node.gateway.id, outcome="failed", longrepr=difference, result=[]
            )
        )


def subject_of(nodeid: str, subjects: Sequence[Subject]) -> str:
    """The subject of a test by its id; the id itself where it has none or several."""
    inside = nodeid.partition("[")[2].removesuffix("]")
    ids = [subject.id for subject in subjects]
    matching = [one for one in ids if inside == one or inside.startswith(one + "-")]
    return max(matching, key=len, default=nodeid)


def _group_of(nodeid: str) -> str:
    """The group that xdist has appended to the id of a marked test; the id itself without one."""
    return nodeid.rpartition("@")[2] if nodeid.rfind("@") > nodeid.rfind("]") else nodeid


# What stays together with each `--dist` of xdist whose own scheduler can wait forever.
_CHOSEN_UNITS: Mapping[str, Callable[[str], str]] = {
    "loadscope": lambda nodeid: nodeid.rpartition("::")[0],
    "loadfile": lambda nodeid: nodeid.partition("::")[0],
    "loadgroup": _group_of,
}


def scheduler(config: pytest.Config, subjects: Sequence[Subject]) -> UnitScheduling | None:
    """The scheduler of a gated run; None where the user chose one that needs no other.

    Unless the user decides otherwise, all tests of one subject go to one worker: they need the same
    embeddings and share what is computed from them.
    """
    from xdist.workermanage import parse_tx_spec_config

    dist = config.getvalue("dist")
    unit_of = (lambda nodeid: subject_of(nodeid, subjects)) if dist == "load" else _CHOSEN_UNITS.get(dist)
    if unit_of is None:
        return None
    return UnitScheduling(
        config,
        len(parse_tx_spec_config(config)),
        unit_of,
        largest_first=getattr(config.option, "loadscopereorder", True),
    )
