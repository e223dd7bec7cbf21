"""Seconds of every metric on every cohort, with and without its interval, and the device's memory."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from gpu_parts import machine, predicted, views
from gpu_parts.record import Record, Row, Task, said

_Data = tuple[np.ndarray[Any, np.dtype[np.float32]], pd.DataFrame, dict[str, Any]]
GOAL_S, AIM_S = 60, 20  # of all metrics on all cohorts together
_SHORT_S = 3.0  # a metric that takes less runs three times
# How a metric is asked for its value alone; others always compute their interval.
_VALUE_ALONE: dict[str, Callable[[pd.DataFrame], tuple[pd.DataFrame, dict[str, Any]]]] = {
    "robustness_index": lambda table: (table, {"draws": 0}),
    "clustering_score": lambda table: (table.drop(columns="slide_id"), {}),
}


def measure(record: Record, task: Task) -> None:
    machine.start(task.device)
    card = machine.card(task.device)
    measured: list[Row] = []
    for view in views.of_all_metrics():  # small first: what is loaded and compiled once is not measured
        if view.cohort == "tcga":
            try:
                x, table, settings = _data(view, small=True)
                view.compute(x, table, device=task.device, **settings)
            except Exception as error:  # measuring goes on, and says whether it concerns the metric itself
                record.note(f"{view.computation.name} failed on few patches: {said(error)}")
    total = record.row(metric="all", cohort="all", goal=f"{GOAL_S} s, aim {AIM_S} s")
    for view in views.of_all_metrics():
        row = record.row(metric=view.computation.name, cohort=view.cohort)
        measured.append(row)
        with record.attempt(row):
            data = _data(view, small=task.small)
            _measure(record, row, view, task, card, data)
            if view.computation.name in _VALUE_ALONE:
                _measure_value_alone(record, row, view, task, data)
        parts = [one["seconds"] for one in measured if "seconds" in one]
        record.update(
            total, seconds=round(sum(parts), 2), of=f"{len(parts)} of {len(views.of_all_metrics())}"
        )


def _measure_value_alone(record: Record, row: Row, view: views.MetricView, task: Task, data: _Data) -> None:
    x, table, settings = data
    table, more = _VALUE_ALONE[view.computation.name](table)
    machine.synchronize(task.device)
    began = time.perf_counter()
    view.compute(x, table, device=task.device, **settings, **more)
    machine.synchronize(task.device)
    record.update(row, **{"value alone, s": round(time.perf_counter() - began, 3)})


def _measure(record: Record, row: Row, view: views.MetricView, task: Task, card: str, data: _Data) -> None:
    x, table, settings = data
    machine.forget_peak(task.device)
    times: list[float] = []
    while not times or (not task.small and sum(times) < _SHORT_S and len(times) < 3):
        with _seconds_on_cpu() as on_cpu:
            machine.synchronize(task.device)
            began = time.perf_counter()
            result = view.compute(x, table, device=task.device, **settings)
            machine.synchronize(task.device)
            times.append(time.perf_counter() - began)
    seconds = round(statistics.median(times), 3)
    record.update(
        row,
        patches=len(table),
        dimension=x.shape[1],
        seconds=seconds,
        peak_MiB=machine.peak_mib(task.device),
        value=_value(result),
        **{
            "predicted, s": None
            if task.small
            else predicted.seconds(view.computation.name, view.cohort, card),
            "k-means on the CPU, s of all threads": round(sum(on_cpu.values()), 2) if on_cpu else None,
            "of it": ", ".join(f"{name} {spent:.2f}" for name, spent in on_cpu.items()) or None,
        },
    )


def _data(view: views.MetricView, *, small: bool) -> _Data:
    """Embeddings, table and settings other than the protocol's."""
    if not small:
        return *view.data(predicted.DIMENSION), {}
    return views.small(view, *view.data(views.SMALL_DIMENSION))


def _value(result: Any) -> float | None:
    value = getattr(result, "value", getattr(result, "id_drop", None))
    return None if value is None else round(float(value), 6)


@contextmanager
def _seconds_on_cpu() -> Iterator[dict[str, float]]:
    """Seconds in which k-means decides on the CPU, in scikit-learn's arithmetic, by function."""
    from pathorob_checks.numerics import kmeans, rounding

    spent: dict[str, float] = {}
    inside = threading.local()

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            outermost, inside.it = not getattr(inside, "it", False), True
            try:
                return function(*arguments, **named)
            finally:
                if outermost:  # one that another one calls is part of that
                    inside.it = False
                    spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

        return wrapped

    with ExitStack() as stack:
        for name in ("centers", "nearest_centers", "squared_shift", "inertia"):
            stack.enter_context(patch.object(rounding, name, timed(name, getattr(rounding, name))))
        stack.enter_context(patch.object(kmeans.KMeans, "fit", timed("scikit-learn", kmeans.KMeans.fit)))
        yield spent
