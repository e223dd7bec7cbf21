"""Embeddings are extracted once per model and cohort, also by several processes, and again after a change."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from color_extraction import ROWS, BrokenModel, ColorModel, NeverLoaded, Prepared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pathorob_checks.cohorts.cohort import COLUMNS, Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import extraction
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.identity import embedding_key
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.embeddings.threads import in_order
from pathorob_checks.errors import CohortError


def expected(cohort: Cohort) -> npt.NDArray[np.float32]:
    model = ColorModel()
    images = [model.preprocess(cohort.read_image(row)) for row in range(len(cohort))]
    return model.embed(torch.stack(images)).numpy()


def reordered(cohort: Cohort, order: list[int]) -> Cohort:
    return dataclasses.replace(
        cohort,
        patches=cohort.patches.iloc[order].reset_index(drop=True),
        read_image=lambda row: cohort.read_image(order[row]),
    )


def test_row_i_of_the_values_is_patch_i_of_the_cohort(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    embeddings = obtain(prepared, cohort, store)
    np.testing.assert_allclose(embeddings.values, expected(cohort), rtol=1e-6)
    assert embeddings.values.dtype == np.float32
    assert not embeddings.values.flags.writeable
    assert embeddings.patches is cohort.patches
    assert embeddings.extracted
    assert embeddings.identity == ColorModel.identity
    assert embeddings.details["batch_size"] == 5


def test_the_second_time_the_model_is_not_loaded(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    first = obtain(prepared, cohort, store)
    second = obtain(NeverLoaded(prepared.log), cohort, EmbeddingStore(store.root))
    np.testing.assert_array_equal(first.values, second.values)
    assert not second.extracted
    assert (second.key, second.identity, second.details) == (first.key, first.identity, first.details)


@given(order=st.permutations(range(ROWS)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_the_rows_changes_neither_key_nor_values_nor_extraction(
    cohort: Cohort, tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    place = tmp_path_factory.mktemp("order")
    straight = obtain(Prepared(place / "loads"), cohort, EmbeddingStore(place / "cache"))
    shuffled = reordered(cohort, order)
    again = obtain(Prepared(place / "loads"), shuffled, EmbeddingStore(place / "other"))
    stored = obtain(NeverLoaded(place / "loads"), shuffled, EmbeddingStore(place / "cache"))
    assert straight.key == again.key == stored.key
    np.testing.assert_array_equal(again.values, straight.values[order])  # to the last bit
    np.testing.assert_array_equal(stored.values, straight.values[order])


def test_another_identity_is_another_extraction(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    obtain(prepared, cohort, store)
    other = dataclasses.replace(prepared, identity=prepared.identity | {"revision": "2"})
    assert obtain(other, cohort, store).extracted
    assert prepared.loads == 2


def test_one_changed_image_byte_is_another_extraction(
    prepared: Prepared, folder: Path, store: EmbeddingStore
) -> None:
    obtain(prepared, load_folder(folder), store)
    with (folder / "3.png").open("ab") as file:
        file.write(b"\0")
    assert obtain(prepared, load_folder(folder), store).extracted


def test_changed_classes_and_centers_are_not_a_new_extraction(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    obtain(prepared, cohort, store)
    relabeled = dataclasses.replace(cohort, patches=cohort.patches.assign(medical_center="X"))
    embeddings = obtain(NeverLoaded(prepared.log), relabeled, store)
    assert set(embeddings.patches.medical_center) == {"X"}


def test_threads_that_start_together_extract_once(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    results: list[extraction.Embeddings] = []

    def extract(own: EmbeddingStore) -> None:
        results.append(obtain(prepared, cohort, own))

    # Two threads have stores of their own, two share one: all must exclude each other.
    stores = [EmbeddingStore(store.root), EmbeddingStore(store.root), store, store]
    threads = [threading.Thread(target=extract, args=(own,)) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert prepared.loads == 1
    assert sorted(result.extracted for result in results) == [False, False, False, True]


def _extract(folder: Path, log: Path, root: Path, barrier: Any) -> None:
    cohort = load_folder(folder)
    barrier.wait(30)
    obtain(Prepared(log), cohort, EmbeddingStore(root))


@pytest.mark.slow
def test_processes_that_start_together_extract_once(
    prepared: Prepared, folder: Path, store: EmbeddingStore
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=_extract, args=(folder, prepared.log, store.root, barrier)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert prepared.loads == 1
    assert not obtain(NeverLoaded(prepared.log), load_folder(folder), store).extracted


def test_bfloat16_embeddings_become_float32(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    prepared.model = BrokenModel(embed=lambda batch: ColorModel().embed(batch).bfloat16())
    assert obtain(prepared, cohort, store).values.dtype == np.float32


def test_a_waiting_process_shows_the_progress_of_the_other(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    messages: list[str] = []
    key = embedding_key(prepared.identity, cohort)
    waiter = threading.Thread(
        target=lambda: obtain(prepared, cohort, EmbeddingStore(store.root), waiting=messages.append)
    )
    with store.lock(key):
        waiter.start()
        while not messages and waiter.is_alive():
            time.sleep(0.05)
    waiter.join(30)
    assert messages[0] == "color on colors: another process is embedding it, 0 of 1 shard done"
    assert store.load(key, cohort.keys) is not None


def test_progress_counts_the_patches(prepared: Prepared, cohort: Cohort, store: EmbeddingStore) -> None:
    calls: list[tuple[int, str]] = []
    seen: list[object] = []

    def progress(items: Iterable[Any], total: int, desc: str) -> Iterable[Any]:
        calls.append((total, desc))
        for item in items:
            seen.append(item)
            yield item

    obtain(prepared, cohort, store, progress=progress)
    obtain(prepared, cohort, store, progress=progress)
    assert calls == [(ROWS, "color on colors: embedding")]
    assert len(seen) == ROWS


def test_importing_the_extraction_does_not_import_torch() -> None:
    code = "import sys, pathorob_checks.embeddings.extraction; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_cohort_without_files_is_extracted_too(prepared: Prepared, store: EmbeddingStore) -> None:
    """Generated cohorts have no folder; extraction uses only the interface of `Cohort`."""
    patches = pd.DataFrame({column: [f"{column}{i}" for i in range(3)] for column in COLUMNS})
    generated = Cohort(
        name="generated",
        patches=patches,
        read_image=lambda row: Image.new("RGB", (4, 4), (row * 50, 10, 20)),
        images="generated/1",
        views={},
    )
    assert obtain(prepared, generated, store).values.shape == (3, 6)


def test_threads_get_several_images_at_a_time() -> None:
    """Each hand-over of one takes Python's lock from the thread that runs the model."""
    begun: dict[str, list[int]] = {}

    def begin(item: int) -> int:
        begun.setdefault(threading.current_thread().name, []).append(item)
        return item

    assert list(in_order(begin, range(1024), threads=4, window=516)) == list(range(1024))
    for items in begun.values():
        for start in range(0, len(items), 16):
            assert items[start : start + 16] == list(range(items[start], items[start] + 16))


@pytest.mark.parametrize("broken", [0, 5, 15, 16, 37, 63])
def test_an_error_comes_after_the_images_before_it(broken: int) -> None:
    def read(item: int) -> int:
        if item >= broken:
            raise CohortError(f"image {item}", remedy="")
        return item

    results = in_order(read, range(64), threads=2, window=64)
    assert list(itertools.islice(results, broken)) == list(range(broken))
    with pytest.raises(CohortError, match=f"image {broken}$|image {broken};"):
        next(results)


def test_an_end_stops_threads_between_two_images() -> None:
    begun: list[int] = []
    reached, closed = threading.Event(), threading.Event()

    def read(item: int) -> int:
        begun.append(item)
        if item == 18:  # in the second group
            reached.set()
            assert closed.wait(60)
        if item > 18:
            time.sleep(0.02)
        return item

    results = in_order(read, range(640), threads=1, window=640)
    assert next(results) == 0
    assert reached.wait(60)
    closing = threading.Thread(target=results.close)
    closing.start()
    while not results.gi_running:
        time.sleep(0.001)
    closed.set()
    closing.join()
    assert 18 <= begun[-1] < 31


def test_only_a_bounded_number_of_images_is_in_memory() -> None:
    begun: list[int] = []

    def begin(item: int) -> int:
        begun.append(item)
        return item

    results = in_order(begin, range(1000), threads=2, window=10)
    assert [next(results) for _ in range(5)] == list(range(5))
    assert len(begun) <= 15
    results.close()
    assert len(begun) <= 15
    assert list(in_order(begin, range(1000), threads=4, window=4)) == list(range(1000))
