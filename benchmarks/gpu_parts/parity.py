"""Every metric on the CPU and on the device, with the same embeddings: how much differs, and where.

All numbers and texts of the results are compared (values, intervals, accuracies of every split, silhouettes),
and the labels of all k-means runs.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpu_parts import views
from gpu_parts.record import Record, Task

_DIM = 256
_FEWER = {"repetitions": 3, "trials": 20}  # of the settings that a metric has
_SEED, _WEIGHTS = 17, {"biology": 0.45, "center": 0.45, "slide": 0.9}  # as in tests/test_parity.py


def measure(record: Record, task: Task) -> None:
    dim = views.SMALL_DIMENSION if task.small else _DIM
    for view in views.of_all_metrics():
        row = record.row(metric=view.computation.name, cohort=view.cohort)
        with record.attempt(row):
            x, table = view.data(dim, seed=_SEED, weights=_WEIGHTS)
            if task.small:
                x, table, settings = views.small(view, x, table)
            else:
                kept = views.combination_of(view, table)
                x, table = x[kept], table.iloc[kept].reset_index(drop=True)
                settings = {name: few for name, few in _FEWER.items() if name in view.computation.settings}
            record.update(row, patches=len(table))
            results = {}
            for device in ("cpu", task.device):
                began = time.monotonic()
                with _labels() as labels:
                    results[device] = view.compute(x, table, device=device, **settings), labels
                record.update(row, **{f"{device}, s": round(time.monotonic() - began, 1)})
            (cpu, of_cpu), (gpu, of_gpu) = results["cpu"], results[task.device]
            record.update(row, **compared(dict(numbers(cpu)), dict(numbers(gpu))))
            if of_cpu:
                record.update(row, labels=_labels_compared(of_cpu, of_gpu))


@contextmanager
def _labels() -> Iterator[list[np.ndarray[Any, Any]]]:
    """The labels of all k-means runs within the block, in order."""
    from pathorob_checks.numerics.kmeans import KMeansRuns

    kept: list[np.ndarray[Any, Any]] = []
    original = KMeansRuns.labels

    def labels(self: KMeansRuns, runs: Any) -> Iterator[Any]:
        for each in original(self, runs):
            kept.append(each.copy())
            yield each

    KMeansRuns.labels = labels  # type: ignore[method-assign]
    try:
        yield kept
    finally:
        KMeansRuns.labels = original  # type: ignore[method-assign]


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, text and array in a result, under the path to it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for part in dataclasses.fields(value):
            yield from numbers(getattr(value, part.name), f"{name}.{part.name}")
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from numbers(part, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from numbers(part, f"{name}.{number}")
    elif isinstance(value, np.ndarray | float | int | str | np.generic) or value is None:
        yield name.lstrip("."), value


def compared(cpu: dict[str, Any], gpu: dict[str, Any]) -> dict[str, Any]:
    """How many numbers there are and differ, the largest difference and its place."""
    total = different = 0
    largest, where = 0.0, ""
    for name in dict.fromkeys([*cpu, *gpu]):
        one, other = cpu.get(name), gpu.get(name)
        if isinstance(one, str) or one is None or isinstance(other, str) or other is None:
            total, different = total + 1, different + (one != other)
            if one != other and not where:
                where = f"{name}: {one!r} and {other!r}"
            continue
        a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
        if a.shape != b.shape:
            total, different, where = total + a.size, different + a.size, f"{name}: {a.shape} and {b.shape}"
            continue
        unequal = (a != b) & ~(np.isnan(a) & np.isnan(b))
        total, different = total + a.size, different + int(unequal.sum())
        gap = float(np.nan_to_num(np.abs(a - b)[unequal], nan=np.inf).max(initial=0.0))
        if gap > largest:
            largest, where = gap, name
    return {
        "value": cpu.get("value", cpu.get("id_drop")),
        "on device": gpu.get("value", gpu.get("id_drop")),
        "interval": _interval(cpu),
        "interval on device": _interval(gpu),
        "numbers": total,
        "different": different,
        "largest difference": largest,
        "where": where[:120],
    }


def _interval(flattened: Mapping[str, Any]) -> str:
    ends = [flattened.get(f"{name}.{end}") for name in ("interval", "id_interval") for end in (0, 1)]
    return ", ".join(f"{end:.6f}" for end in ends if end is not None)


def _labels_compared(cpu: list[Any], gpu: list[Any]) -> str:
    if len(cpu) != len(gpu):
        return f"{len(cpu)} and {len(gpu)} runs"
    runs = sum(not np.array_equal(a, b) for a, b in zip(cpu, gpu, strict=True))
    points = sum(int((a != b).sum()) for a, b in zip(cpu, gpu, strict=True))
    return f"{points} of {sum(map(len, cpu))} in {runs} of {len(cpu)} runs differ"
