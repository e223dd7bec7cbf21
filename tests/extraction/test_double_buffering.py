"""On a device that works on its own the next batch is begun before the last one is waited for.

The device here is a stand-in: its memory is ordinary memory, and its work is done when it is waited for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from color_extraction import ColorModel, Prepared

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import extraction
from pathorob_checks.embeddings.batch_sizes import BatchSizes
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.shards import file_name, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import CohortError, ModelError
from pathorob_checks.models import devices, transfers
from pathorob_checks.models.transfers import Arriving, Transfers


class Event:
    def __init__(self, occur: Callable[[], None]) -> None:
        self.synchronize = occur


class Queued(ColorModel):
    """Begins a batch at once and computes it when it is waited for; `fails` maps moments to errors."""

    def __init__(self, **fails: BaseException) -> None:
        self.log: list[str] = []
        self.batches = 0
        self.fails = fails

    def begin(self, batch: torch.Tensor) -> Arriving:
        number, self.batches = self.batches, self.batches + 1
        self._step(f"begin{number}")
        result = torch.empty(len(batch), self.dimension)

        def compute() -> None:
            self._step(f"wait{number}")
            with torch.inference_mode():
                result.copy_(self.embed(batch))

        return Arriving(result, Event(compute))

    def _step(self, moment: str) -> None:
        self.log.append(moment)
        if moment in self.fails:
            raise self.fails[moment]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 5, 5 and 2 patches."""
    monkeypatch.setattr(extraction, "plan_of", lambda cohort, key: plan_of(cohort, key, size=5))


@pytest.fixture
def plain(prepared: Prepared, cohort: Cohort, tmp_path: Path) -> Any:
    return obtain(prepared, cohort, EmbeddingStore(tmp_path / "plain")).values


def test_the_next_batch_is_begun_before_the_last_one_is_waited_for(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, plain: Any
) -> None:
    prepared.model = model = Queued()
    np.testing.assert_array_equal(obtain(prepared, cohort, store).values, plain)
    assert model.log == ["begin0", "begin1", "wait0", "begin2", "wait1", "wait2"]


def test_it_is_told_how_long_the_model_was_held_up(
    prepared: Prepared, cohort: Cohort, tmp_path: Path
) -> None:
    """A thread that waits for Python's lock takes no time of a core."""

    class HeldUp(Queued):
        def begin(self, batch: torch.Tensor) -> Arriving:
            time.sleep(0.05)
            return super().begin(batch)

    prepared.model = model = HeldUp()
    details = obtain(prepared, cohort, EmbeddingStore(tmp_path / "held_up")).details
    held_up: Any = details["seconds_held_up"]
    assert held_up >= 0.05 * model.batches - 0.01
    prepared.model = ColorModel()  # what works in this thread is not given to a device
    assert obtain(prepared, cohort, EmbeddingStore(tmp_path / "cpu")).details["seconds_held_up"] == 0


@pytest.mark.parametrize("moment", ["begin0", "begin1", "begin2", "wait0", "wait1", "wait2"])
def test_too_little_memory_is_survived_whenever_it_shows(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, plain: Any, moment: str
) -> None:
    prepared.model = model = Queued(**{moment: torch.OutOfMemoryError("too little")})
    embeddings = obtain(prepared, cohort, store)
    np.testing.assert_allclose(embeddings.values, plain, rtol=1e-6)
    failed = int(moment[-1])
    assert embeddings.details["batch_size"] == (1 if failed == 2 else 2)  # the half of 5, or of the last 2
    if moment == "begin1":  # what is queued is done first: it holds memory
        assert model.log[:4] == ["begin0", "begin1", "wait0", "begin2"]


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("moment", ["begin2", "wait2"])
def test_an_error_comes_after_the_batches_before_it_are_kept(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, moment: str
) -> None:
    prepared.model = Queued(**{moment: RuntimeError("bad layer")})
    with pytest.raises(ModelError, match="batch that starts with patch 'slide8-08': bad layer"):
        obtain(prepared, cohort, store)
    assert sorted(path.name for path in store.root.rglob("*.safetensors")) == [file_name(0), file_name(1)]


@pytest.mark.usefixtures("small_shards")
def test_the_error_of_an_earlier_batch_is_the_one_that_is_told(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    prepared.model = Queued(wait0=RuntimeError("first"), begin1=RuntimeError("second"))
    with pytest.raises(ModelError, match="failed on the batch that starts with patch 'slide0-00': first"):
        obtain(prepared, cohort, store)


@pytest.mark.usefixtures("small_shards")
def test_an_image_that_cannot_be_read_does_not_cost_the_batch_before(
    prepared: Prepared, folder: Path, store: EmbeddingStore
) -> None:
    keys = plan_of(load_folder(folder), "", size=5).patches(1)
    (folder / f"{int(keys[0][-2:])}.png").write_bytes(b"no image")
    prepared.model = Queued()
    with pytest.raises(CohortError, match="cannot be decoded"):
        obtain(prepared, load_folder(folder), store)
    assert [path.name for path in store.root.rglob("*.safetensors")] == [file_name(0)]


class FakeCuda(transfers.Cuda):
    """A device whose pinned memory is ordinary memory; it says what is asked of it."""

    def __init__(self, pinned: BaseException | None = None, copying: BaseException | None = None) -> None:
        super().__init__(torch.device("cpu"))
        self.log: list[str] = []
        self._errors = {"pinned": pinned, "copying": copying}

    def _say(self, what: str) -> None:
        self.log.append(what)
        if error := self._errors.get(what):
            raise error

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        self._say("pinned")
        return torch.empty(tuple(shape), dtype=dtype)

    def new_stream(self) -> Any:
        return Event(lambda: self._say("sent"))

    @contextlib.contextmanager
    def using(self, stream: Any) -> Iterator[None]:
        self._say("copying")
        yield

    def used_by_model(self, tensor: torch.Tensor) -> None:
        self._say("used by the model")

    def mark(self) -> Any:
        return Event(lambda: self._say("arrived"))


def test_a_batch_is_sent_beside_the_models_work_and_waited_for_by_its_sender() -> None:
    cuda = FakeCuda()
    link = Transfers(cuda.device, cuda)
    buffer = link.buffer((2, 4, 4, 3), torch.uint8)
    assert (buffer.shape, buffer.dtype) == ((2, 4, 4, 3), torch.uint8)
    assert link.send(buffer) is buffer
    assert cuda.log == ["pinned", "copying", "sent", "used by the model"]


def test_a_result_is_waited_for_when_it_is_needed() -> None:
    cuda = FakeCuda()
    arriving = Transfers(cuda.device, cuda).fetch(torch.arange(3.0))
    assert "arrived" not in cuda.log
    assert torch.equal(arriving.result(), torch.arange(3.0))
    assert cuda.log[-1] == "arrived"


def test_too_little_memory_for_a_copy_is_survived() -> None:
    batch = torch.zeros(2, 3)
    full = FakeCuda(copying=torch.OutOfMemoryError("full"))
    assert Transfers(full.device, full).send(batch) is batch
    assert "used by the model" not in full.log
    limited = FakeCuda(pinned=RuntimeError("cannot pin"))
    link = Transfers(limited.device, limited)
    assert link.buffer((2, 3), torch.float32).shape == (2, 3)
    assert torch.equal(link.fetch(batch).result(), batch)


def test_on_the_cpu_nothing_is_copied_or_waited_for() -> None:
    link, batch = Transfers(torch.device("cpu")), torch.zeros(2, 3)
    assert link.send(batch) is batch
    assert link.fetch(batch).event is None
    assert link.fetch(batch).result() is batch


@pytest.mark.parametrize(("held", "batch_size"), [(0.0, 2), (0.5, 5)])
def test_a_batch_that_was_too_large_beside_others_is_tried_again_in_the_next_run(
    prepared: Prepared,
    cohort: Cohort,
    store: EmbeddingStore,
    monkeypatch: pytest.MonkeyPatch,
    held: float,
    batch_size: int,
) -> None:
    """What other processes hold of the device's memory says nothing about the next run."""
    monkeypatch.setattr(devices, "share_held_by_others", lambda device: held)
    prepared.model = Queued(begin0=torch.OutOfMemoryError("too little"))
    assert obtain(prepared, cohort, store).details["batch_size"] == 2
    assert BatchSizes(store.root, prepared.identity).usable(5) == batch_size


@pytest.mark.parametrize("fails", [{}, {"begin0": RuntimeError("bad layer")}])
def test_the_devices_memory_is_given_back_before_the_next_process_takes_the_device(
    prepared: Prepared,
    cohort: Cohort,
    store: EmbeddingStore,
    monkeypatch: pytest.MonkeyPatch,
    fails: dict[str, BaseException],
) -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def hold(name: str, *arguments: object) -> Iterator[None]:
        yield
        log.append("released")

    real = store.locks.hold
    monkeypatch.setattr(extraction, "name_of", lambda device: "gpu")
    monkeypatch.setattr(extraction, "give_back_memory", lambda device: log.append(f"{device} given back"))
    monkeypatch.setattr(store.locks, "hold", lambda *given: (hold if given[0] == "gpu" else real)(*given))
    prepared.model, prepared.device = Queued(**fails), "cuda"
    with contextlib.suppress(ModelError):
        obtain(prepared, cohort, store)
    assert log[0] == "cuda given back"
    assert log[1:] == ([] if fails else ["released"])


def test_what_others_hold_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.share_held_by_others(torch.device("cpu")) == 0.0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30 * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 10 * 2**30)
    assert devices.share_held_by_others(torch.device("cuda")) == 0.5
