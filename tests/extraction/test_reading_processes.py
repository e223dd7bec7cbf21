"""Images that processes read are those that threads read, and no error or death of a process loses one."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from functools import partial
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
from pathorob_checks.embeddings import extraction, reading_processes
from pathorob_checks.embeddings.extraction import MANY_PATCHES
from pathorob_checks.embeddings.pipeline import Pipeline
from pathorob_checks.embeddings.reading import RowReader
from pathorob_checks.embeddings.reading_processes import ReadingProcesses, read_in_processes
from pathorob_checks.embeddings.shards import ShardPlan, ShardRows, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes read on Linux only")
def test_processes_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    write_colors(tmp_path / "colors")
    script = f"""
import os, pathlib, time
from torchvision import transforms
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings.reading import RowReader
from pathorob_checks.embeddings.reading_processes import ReadingProcesses
from pathorob_checks.models.pixel_steps import ToPixels

cohort = load_folder(pathlib.Path({str(tmp_path / "colors")!r}))
reader = RowReader("fm", cohort.read_image, cohort.keys, ToPixels(transforms.Compose([])), to_pixels=True)
processes = ReadingProcesses(reader, (8, 8, 3), count=1, groups=3)
print(processes._pool.submit(os.getpid).result(), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        reading = Path("/proc") / parent.stdout.readline().strip()
        assert reading.exists()
        parent.kill()
    for _ in range(600):
        if not reading.exists():
            break
        time.sleep(0.1)
    assert not reading.exists()


@pytest.mark.parametrize(
    ("readers", "device", "patches", "expected"),
    [
        ("auto", "cpu", MANY_PATCHES, False),
        ("auto", "cuda:1", MANY_PATCHES - 1, False),
        ("auto", "cuda:1", MANY_PATCHES, True),
        ("threads", "cuda:1", MANY_PATCHES, False),
        ("processes", "cpu", 1, True),
    ],
)
def test_processes_read_for_a_gpu_that_gets_many_patches(
    prepared: Prepared,
    store: EmbeddingStore,
    monkeypatch: pytest.MonkeyPatch,
    readers: str,
    device: str,
    patches: int,
    expected: bool,
) -> None:
    requested = []
    monkeypatch.setattr(extraction, "name_of", lambda device: device)
    monkeypatch.setattr(extraction, "give_back_memory", lambda device: None)
    monkeypatch.setattr(
        extraction, "embed_shards", lambda *arguments, processes: requested.append(processes) or {}
    )
    prepared.device = device
    shards = ShardRows(ShardPlan("key", tuple(map(str, range(patches))), 256), None)  # type: ignore[arg-type]
    extraction.in_process(prepared, shards, range(len(shards.plan)), store, None, readers=readers)
    assert requested == [expected]


def test_what_reads_does_not_belong_to_the_embeddings(
    prepared: Prepared, cohort: Cohort, tmp_path: Path
) -> None:
    prepared.model = load_timm(write_tiny_vit(tmp_path / "vit"))  # type: ignore[assignment]
    embedded = {
        readers: extraction.obtain(
            prepared,
            cohort,
            EmbeddingStore(tmp_path / readers),
            engine=partial(extraction.in_process, readers=readers),
        )
        for readers in ("threads", "processes")
    }
    one, other = embedded.values()
    assert one.values.tobytes() == other.values.tobytes()
    assert (one.key, one.identity) == (other.key, other.identity)
    assert {readers: ours.details["readers"] for readers, ours in embedded.items()} == {
        "threads": "threads",
        "processes": "processes",
    }


def test_the_details_say_why_threads_read(prepared: Prepared, cohort: Cohort, store: EmbeddingStore) -> None:
    engine = partial(extraction.in_process, readers="processes")
    details = extraction.obtain(prepared, cohort, store, engine=engine).details
    assert details["readers"] == "threads"
    assert details["no_processes"] == "the preprocessing does not end with 8-bit pixels"


@pytest.mark.slow
def test_a_model_without_pixels_is_read_for_in_threads(
    prepared: Prepared, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_processes, "ReadingProcesses", None)
    shards = ShardRows(plan_of(cohort, "key", size=5), cohort)
    pipeline = Pipeline("fm", prepared.load(), shards, 2, 5, processes=True)
    assert len(list(pipeline.run([0], lambda _, values: None))) == 5
