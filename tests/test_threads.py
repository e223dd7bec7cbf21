"""Work is spread over the cores that the process may use, and only over those."""

from __future__ import annotations

import os
import threading

import pytest
import torch
from threadpoolctl import threadpool_info

from pathorob_checks.numerics import device, threads


def test_omp_num_threads_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    for value, expected in (("3", 3), ("16", 8), ("", 8), ("0", 8), ("2,1", 8), ("-1", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert threads.available() == expected
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads.available() == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_the_affinity_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert threads.available() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("cores", [1, 3])
def test_results_are_in_the_order_of_the_tasks_each_computed_on_one_thread(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "available", lambda: cores)
    together = threading.Barrier(cores, timeout=20)

    def task(number: int) -> tuple[int, int, set[int]]:
        if number < cores:
            together.wait()  # as many tasks as cores are in work at the same time
        return number, torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()}

    before = torch.get_num_threads()
    done = list(threads.spread(task, range(7)))
    assert [number for number, *_ in done] == list(range(7))
    assert all(torch_threads == 1 and pools == {1} for _, torch_threads, pools in done)
    assert torch.get_num_threads() == before


def test_at_once_limits_the_tasks_in_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available", lambda: 4)
    lock, now, most = threading.Lock(), 0, 0

    def task(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1

    list(threads.spread(task, range(12), at_once=2))
    assert most == 2


def test_products_are_in_full_precision_despite_the_programs_settings() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with device.full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_cpu_is_used_instead_of_devices_without_float64() -> None:
    assert device.choose("mps").type == "cpu"
    assert device.choose("cpu").type == "cpu"
    assert device.choose(None) == device.choose("auto")
    assert device.choose("cuda:1") == torch.device("cuda", 1)
