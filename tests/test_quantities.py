"""What is held against a bound: the worst group is unknown while one of them has no value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_checks import criterion_of

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.measuring import Measuring
from pathorob_checks.evaluation.observer import Observer
from pathorob_checks.evaluation.plan import PlannedCheck
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.metrics import registry
from pathorob_checks.metrics.definition import Computation, Metric
from pathorob_checks.metrics.measurement import GroupValue, Measurement

SUBJECT = Subject("fm", "none", "c")


def group(name: str, value: float) -> GroupValue:
    interval, wide = (value - 0.1, value + 0.1), (value - 0.2, value + 0.2)
    return GroupValue(name=name, value=value, interval=interval, simultaneous=wide, support=1.0, rows=4)


def measuring(
    monkeypatch: pytest.MonkeyPatch, groups: tuple[GroupValue, ...], *centers: str, **more: Any
) -> Any:
    """Measures a metric whose groups are given, on a cohort whose patches have these centers."""

    def metric(embeddings: Any, patches: pd.DataFrame) -> Measurement:
        return Measurement(metric="leak", value=0.9, support=1.0, rows=4, groups={"medical_center": groups})

    definition = Metric(
        name="leak", label="leak", lowest=0.0, highest=1.0, neutral=0.5, margin=0.1, meaning=str, remedies=(),
        computation=Computation(name="leak", function=metric, view="v", columns=(), takes_device=False,
                                takes_confidence=False, takes_progress=False),
        **more,
    )  # fmt: skip
    known = {**registry.metrics(), "leak": definition}
    monkeypatch.setattr(registry, "metrics", lambda: known)
    monkeypatch.setattr("pathorob_checks.evaluation.measuring.metrics", lambda: known)
    rows = np.arange(len(centers))
    view = SimpleNamespace(rows=rows, patches=pd.DataFrame({"medical_center": centers}))
    inputs = SimpleNamespace(
        cohort=lambda name: SimpleNamespace(name=name, views={"v": view}),
        repaired=lambda subject, view: np.zeros((len(centers), 2), np.float32),
        settings=SimpleNamespace(device="cpu"),
        observer=Observer(),
    )
    return Measuring(inputs, SimpleNamespace(profile=load_profile("floor")))  # type: ignore[arg-type]


def planned(quantity: str = "worst-center") -> PlannedCheck:
    criterion = criterion_of("robustness_index")
    changes = {"metric": "leak", "quantity": quantity, "cohort": "c", "cohorts": ("c",)}
    return PlannedCheck(fm="fm", method="none", criterion=criterion.model_copy(update=changes))


def test_the_worst_center_is_known_where_all_have_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = (group("north", 0.6), group("south", 0.7))
    worst = measuring(monkeypatch, groups, "north", "south").check(planned())
    assert (worst.group, worst.measurement.value) == ("north", 0.6)
    assert worst.measurement.interval == pytest.approx((0.5, 0.8))


def test_where_lower_is_better_the_worst_center_is_the_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = (group("south", 0.7), group("north", 0.6))
    worst = measuring(monkeypatch, groups, "north", "south", higher_is_better=False).check(planned())
    assert (worst.group, worst.measurement.value) == ("south", 0.7)
    assert worst.measurement.interval == pytest.approx((0.5, 0.8))


def test_a_center_without_a_value_leaves_the_worst_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    one = measuring(monkeypatch, (group("north", 0.6),), "north", "south")
    with pytest.raises(
        MetricError, match="worst medical center is unknown, because there is no value for south"
    ):
        one.check(planned())


def test_a_metric_that_tests_only_some_patches_may_lack_a_center(monkeypatch: pytest.MonkeyPatch) -> None:
    one = measuring(monkeypatch, (group("north", 0.6),), "north", "south", groups_cover_view=False)
    assert one.check(planned()).group == "north"


def test_the_name_of_a_computation_is_refused_with_the_names_of_its_metrics() -> None:
    one = Measuring(SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="name one of performance_drop_id, performance_drop_ood"):
        one.value(SUBJECT, "performance_drop")
    with pytest.raises(MetricError, match="there is no metric 'robustnes_index'; did you mean"):
        one.value(SUBJECT, "robustnes_index")


def test_a_view_that_the_cohort_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    one = measuring(monkeypatch, (), "north")
    one._inputs.cohort = lambda name: SimpleNamespace(name=name, views={"w": None})
    with pytest.raises(MetricError, match="leak reads the view 'v', which cohort 'c' lacks"):
        one.check(planned("value"))
