"""Images that processes read are those that threads read, and no error or death of a process loses one."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from color_extraction import ROWS, Prepared, write_colors
from loopback_hub import write_tiny_vit
from PIL import Image
from prepared_models import load_timm
from torchvision import transforms

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import reading_processes
from pathorob_checks.embeddings.pipeline import Pipeline
from pathorob_checks.embeddings.reading import RowReader
from pathorob_checks.embeddings.reading_processes import ReadingProcesses, read_in_processes
from pathorob_checks.embeddings.shards import ShardRows, plan_of
from pathorob_checks.embeddings.threads import GROUP
from pathorob_checks.errors import CohortError
from pathorob_checks.models.pixel_steps import ToPixels

BROKEN, LARGE = 4, 7  # rows


def reader_of(cohort: Cohort) -> RowReader:
    return RowReader("fm", cohort.read_image, cohort.keys, ToPixels(transforms.Compose([])), to_pixels=True)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> RowReader:
    """Twelve images: one was damaged after the cohort was read, and one is larger than the others."""
    folder = write_colors(tmp_path_factory.mktemp("cohort") / "colors")
    Image.new("RGB", (9, 8)).save(folder / f"{LARGE}.png")
    cohort = load_folder(folder)
    (folder / f"{BROKEN}.png").write_bytes(b"no image")
    return reader_of(cohort)


@pytest.fixture(scope="module")
def processes(spoilt: RowReader) -> Iterator[ReadingProcesses]:
    with contextlib.closing(ReadingProcesses(spoilt, (8, 8, 3), count=1, groups=3)) as readers:
        assert readers.started is not None
        readers.started.result(120)
        yield readers


def read(processes: ReadingProcesses, rows: Sequence[int]) -> tuple[list[npt.NDArray[np.uint8]], str]:
    reading = processes.begin(rows)
    assert reading.place is not None  # not in a thread of this process
    images, failure = processes.finish(reading)
    return list(images), "" if failure is None else str(failure.kind(failure.problem, remedy=failure.remedy))


def test_a_process_reads_what_this_process_reads(processes: ReadingProcesses, spoilt: RowReader) -> None:
    rows = [3, 0, 11, 5] * (GROUP // 4)
    for _ in range(9):  # more than there are places in the shared file
        images, failure = read(processes, rows)
        assert failure == ""
        np.testing.assert_array_equal(images, [spoilt.read(row) for row in rows])


def test_the_rows_before_one_that_cannot_be_read_are_not_lost(
    processes: ReadingProcesses, spoilt: RowReader
) -> None:
    images, failure = read(processes, [0, 1, BROKEN, 2])
    np.testing.assert_array_equal(images, [spoilt.read(0), spoilt.read(1)])
    with pytest.raises(CohortError) as here:
        spoilt.read(BROKEN)
    assert failure == str(here.value)
    images, failure = read(processes, [0, LARGE, BROKEN])
    assert len(images) == 1
    assert failure.startswith("preprocessing of fm gives tensors of different shapes: (8, 8, 3), (8, 9, 3); ")


def test_a_process_that_is_killed_costs_no_image(spoilt: RowReader, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with contextlib.closing(ReadingProcesses(spoilt, (8, 8, 3), count=1, groups=3)) as processes:
        assert processes.started is not None
        processes.started.result(120)
        os.kill(processes._pool.submit(os.getpid).result(), signal.SIGKILL)
        readings = [processes.begin([row, row + 1]) for row in (0, 2, 5)]
        images = [image for reading in readings for image in processes.finish(reading)[0]]
        np.testing.assert_array_equal(images, [spoilt.read(row) for row in (0, 1, 2, 3, 5, 6)])
    assert "Images are read in threads, as processes cannot" in caplog.text
    assert caplog.text.count("Images are read") == 1
    assert processes.problem is not None


@pytest.mark.parametrize("cause", ["no memory file", "no /proc", "no room", "cannot be sent"])
def test_where_processes_cannot_read_threads_do(
    spoilt: RowReader, cause: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    if cause == "no memory file":
        monkeypatch.setattr(os, "memfd_create", refuse)
    elif cause == "no /proc":
        monkeypatch.setattr(os, "getpid", lambda: 0)
    elif cause == "no room":
        monkeypatch.setattr(os, "memfd_create", lambda name: os.open("/dev/full", os.O_RDWR))
    else:
        monkeypatch.setattr(reading_processes, "_pool_of", refuse)
    rows = [0, 1, 2, 3, 5, 6, 8, 9] * 9
    with contextlib.closing(ReadingProcesses(spoilt, (8, 8, 3), count=1, groups=3)) as processes:
        if processes.started is not None:
            wait([processes.started], 120)
        images = [image for row in rows for image in processes.finish(processes.begin([row]))[0]]
    np.testing.assert_array_equal(images, [spoilt.read(row) for row in rows])
    assert processes.problem is not None
    assert "\n" not in processes.problem
    assert caplog.text.count("Images are read in threads, as processes cannot: ") == 1
    np.testing.assert_array_equal(
        list(read_in_processes(spoilt, rows, processes=2, window=40)), [spoilt.read(row) for row in rows]
    )


def test_an_error_comes_when_the_turn_of_its_row_has_come(spoilt: RowReader) -> None:
    images = read_in_processes(spoilt, [0] * 40 + [BROKEN, 1], processes=2, window=40)
    assert len(list(itertools.islice(images, 40))) == 40
    with pytest.raises(CohortError, match="changed since the cohort was read"):
        next(images)


def test_the_pipeline_gives_the_same_embeddings(cohort: Cohort, tmp_path: Path) -> None:
    model = load_timm(write_tiny_vit(tmp_path / "vit"))
    shards = ShardRows(plan_of(cohort, "key", size=5), cohort)
    embedded: list[list[torch.Tensor]] = []
    for processes in (False, True):
        kept: list[npt.NDArray[np.float32]] = []
        pipeline = Pipeline("fm", model, shards, 2, 5, processes=processes)
        assert len(list(pipeline.run([0, 1, 2], lambda _, values, kept=kept: kept.append(values)))) == ROWS
        embedded.append([torch.from_numpy(values) for values in kept])
    assert all(torch.equal(one, other) for one, other in zip(*embedded, strict=True))


def test_a_model_without_pixels_is_read_for_in_threads(
    prepared: Prepared, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_processes, "ReadingProcesses", None)
    shards = ShardRows(plan_of(cohort, "key", size=5), cohort)
    pipeline = Pipeline("fm", prepared.load(), shards, 2, 5, processes=True)
    assert len(list(pipeline.run([0], lambda _, values: None))) == 5
