"""What is held against a bound: the worst group is not known while one of them has no value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from pathorob_checks.plugin.quantities import answer

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.measurement import GroupValue, Measurement


def gate(*centers: str) -> Any:
    group = GroupValue(
        name="north", value=0.9, interval=(0.8, 1.0), simultaneous=(0.7, 1.0), support=1.0, rows=4
    )
    measured = Measurement(
        metric="robustness_index",
        value=0.9,
        interval=None,
        support=1.0,
        rows=4,
        protocol={},
        weakest=(),
        groups={"medical_center": (group,)},
    )
    view = SimpleNamespace(patches=pd.DataFrame({"medical_center": centers}))
    cohort = SimpleNamespace(views={"robustness_index": view})
    return SimpleNamespace(measure=lambda *asked: measured, cohort=lambda name: cohort)


CRITERION: Any = SimpleNamespace(cohort="c", metric="robustness_index", quantity="worst-center")


def test_the_worst_center_is_found_where_all_have_a_value() -> None:
    assert answer(gate("north", "north"), "fm", CRITERION).group == "north"


def test_a_center_without_a_value_leaves_the_worst_unknown() -> None:
    with pytest.raises(MetricError, match="the worst medical center is unknown, because south has no value"):
        answer(gate("north", "south"), "fm", CRITERION)
