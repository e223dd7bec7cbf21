"""Embeddings are extracted once per model and cohort, whoever asks, and again when anything changes."""

from __future__ import annotations

import dataclasses
import errno
import logging
import multiprocessing
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pathorob_checks.cohorts.cohort import COLUMNS, Cohort
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.embeddings import extraction, files
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.identity import canonical_json, embedding_key
from pathorob_checks.embeddings.pipeline import in_order
from pathorob_checks.embeddings.shards import file_name, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.errors import CacheError, CohortError, EmbeddingError, ModelError

ROWS = 12


class ColorModel:
    """A stand-in: the mean color and its square."""

    identity: Mapping[str, object] = MappingProxyType({"architecture": "color", "revision": "1"})
    dimension = 6
    batch_size = 5
    device = torch.device("cpu")

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, dtype=np.float32)).permute(2, 0, 1) / 255

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        mean = batch.mean(dim=(2, 3))
        return torch.cat([mean, mean**2], dim=1)


class BrokenModel(ColorModel):
    """A stand-in whose methods can be replaced by keyword."""

    def __init__(self, **methods: object) -> None:
        self.__dict__.update(methods)


@dataclasses.dataclass
class Prepared:
    """A stand-in that counts its loads, in a file so that other processes count too."""

    log: Path
    model: ColorModel = dataclasses.field(default_factory=ColorModel)
    name: str = "color"
    device: str = "cpu"
    identity: dict[str, object] = dataclasses.field(default_factory=lambda: dict(ColorModel.identity))

    def load(self) -> ColorModel:
        with self.log.open("a") as file:
            file.write("load\n")
        return self.model

    @property
    def loads(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


class NeverLoaded(Prepared):
    def load(self) -> ColorModel:
        raise AssertionError("the model was loaded although its embeddings are in the store")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "colors"
    folder.mkdir()
    pixels = np.random.default_rng(0)
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center"]
    for i in range(ROWS):
        Image.fromarray(pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,slide{i},{i:02},{'tumor' if i % 2 else 'normal'},{'A' if i % 4 < 2 else 'B'}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "colors"))


@pytest.fixture
def cohort(folder: Path) -> Cohort:
    return load_folder(folder)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "cache")


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return Prepared(tmp_path / "loads")


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


def test_changed_labels_are_no_new_extraction(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    obtain(prepared, cohort, store)
    relabelled = dataclasses.replace(cohort, patches=cohort.patches.assign(medical_center="X"))
    embeddings = obtain(NeverLoaded(prepared.log), relabelled, store)
    assert set(embeddings.patches.medical_center) == {"X"}


def test_threads_that_ask_at_once_extract_once(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    results: list[extraction.Embeddings] = []

    def ask(own: EmbeddingStore) -> None:
        results.append(obtain(prepared, cohort, own))

    # One store of their own for two, one shared by two: both ways must exclude each other.
    stores = [EmbeddingStore(store.root), EmbeddingStore(store.root), store, store]
    threads = [threading.Thread(target=ask, args=(own,)) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert prepared.loads == 1
    assert sorted(result.extracted for result in results) == [False, False, False, True]


def _ask(folder: Path, log: Path, root: Path, barrier: Any) -> None:
    cohort = load_folder(folder)
    barrier.wait(30)
    obtain(Prepared(log), cohort, EmbeddingStore(root))


def test_processes_that_ask_at_once_extract_once(
    prepared: Prepared, folder: Path, store: EmbeddingStore
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=_ask, args=(folder, prepared.log, store.root, barrier)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert prepared.loads == 1
    assert not obtain(NeverLoaded(prepared.log), load_folder(folder), store).extracted


def test_a_corrupt_image_is_named_and_nothing_is_stored(
    prepared: Prepared, folder: Path, store: EmbeddingStore
) -> None:
    for i in (7, 9):
        (folder / f"{i}.png").write_bytes(f"no image {i}".encode())
    for _ in range(3):  # always the first one in the order of the keys, whatever the threads do
        with pytest.raises(CohortError, match=r"'7.png' \(manifest.csv line 9\).*cannot be decoded"):
            obtain(prepared, load_folder(folder), store)
    assert list(store.root.rglob("*.safetensors")) == []


def test_an_unusable_cache_is_told_before_the_model_is_loaded(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="--fm-cache"):
        obtain(NeverLoaded(tmp_path / "loads"), cohort, EmbeddingStore(tmp_path / "file"))


def failing(message: str) -> Callable[..., torch.Tensor]:
    def fail(*arguments: object) -> torch.Tensor:
        raise RuntimeError(message)

    return fail


def as_large_as_red(image: Image.Image) -> torch.Tensor:
    return torch.zeros(3, 1, image.getpixel((0, 0))[0] + 1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("methods", "error", "words"),
    [
        ({"preprocess": failing("too\nsmall")}, ModelError, ["slide0-00", "8 x 8", "too small"]),
        ({"preprocess": as_large_as_red}, ModelError, ["different shapes", "resize"]),
        ({"embed": failing("bad layer")}, ModelError, ["batch that starts with", "slide0-00", "bad layer"]),
        ({"embed": lambda batch: [1.0]}, ModelError, ["returned list", "tensor"]),
        ({"embed": lambda batch: batch}, EmbeddingError, ["(5, 3, 8, 8)", "(5, 6)"]),
        ({"dimension": 7}, EmbeddingError, ["(5, 6)", "(5, 7)"]),
        ({"embed": lambda batch: torch.full((len(batch), 6), torch.nan)}, EmbeddingError, ["NaN", "5 of 5"]),
        ({"embed": lambda batch: torch.zeros(len(batch), 6)}, EmbeddingError, ["all zeros"]),
        ({"embed": lambda batch: torch.ones(len(batch), 6)}, EmbeddingError, ["same embedding"]),
        (
            {"embed": lambda batch: torch.ones(len(batch), 6).double()},
            EmbeddingError,
            ["float64", ".float()"],
        ),
    ],
)
def test_a_model_that_fails_is_told_and_nothing_is_stored(
    prepared: Prepared,
    cohort: Cohort,
    store: EmbeddingStore,
    methods: dict[str, object],
    error: type[Exception],
    words: list[str],
) -> None:
    prepared.model = BrokenModel(**methods)
    with pytest.raises(error) as caught:
        obtain(prepared, cohort, store)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert list(store.root.rglob("*.safetensors")) == []


def test_an_error_of_this_package_is_passed_on_as_it_is(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    def refuse(*arguments: object) -> torch.Tensor:
        raise ModelError("the encoder is gated", remedy="accept its license")

    for methods in ({"preprocess": refuse}, {"embed": refuse}):
        prepared.model = BrokenModel(**methods)
        with pytest.raises(ModelError, match=r"^the encoder is gated; accept its license\.$"):
            obtain(prepared, cohort, store)


def test_bfloat16_embeddings_become_float32(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    prepared.model = BrokenModel(embed=lambda batch: ColorModel().embed(batch).bfloat16())
    assert obtain(prepared, cohort, store).values.dtype == np.float32


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 5, 5 and 2 patches."""
    monkeypatch.setattr(extraction, "plan_of", lambda cohort, key: plan_of(cohort, key, size=5))


class Interrupted(ColorModel):
    """Is interrupted in a batch, and counts the patches of each."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.embedded: list[int] = []

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        if len(self.embedded) == self.after:
            raise KeyboardInterrupt
        self.embedded.append(len(batch))
        return super().embed(batch)


@pytest.mark.usefixtures("small_shards")
def test_an_interrupted_extraction_goes_on_with_the_missing_shards(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    prepared.model = Interrupted(after=2)
    with pytest.raises(KeyboardInterrupt):
        obtain(prepared, cohort, store)
    prepared.model = model = Interrupted(after=9)
    resumed = obtain(prepared, cohort, store)
    assert model.embedded == [2]
    assert resumed.details["resumed_patches"] == 10
    assert "10 of 12 patches" in caplog.text
    whole = obtain(prepared, cohort, EmbeddingStore(store.root / "uninterrupted"))
    np.testing.assert_array_equal(resumed.values, whole.values)  # to the last bit


@pytest.mark.usefixtures("small_shards")
def test_a_damaged_shard_is_extracted_alone(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    first = obtain(prepared, cohort, store)
    path = store.folder(first.key) / file_name(1)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    prepared.model = model = Interrupted(after=9)
    second = obtain(prepared, cohort, store)
    assert model.embedded == [5]
    np.testing.assert_array_equal(first.values, second.values)
    assert path.read_bytes() == content


@pytest.mark.usefixtures("small_shards")
def test_shards_of_embeddings_that_are_refused_are_forgotten(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    prepared.model = BrokenModel(embed=lambda batch: torch.ones(len(batch), 6))
    with pytest.raises(EmbeddingError, match="same embedding"):
        obtain(prepared, cohort, store)
    prepared.model = ColorModel()
    assert obtain(prepared, cohort, store).details["resumed_patches"] == 0


class SmallMemory(ColorModel):
    """Has memory for so many patches at a time."""

    batch_size = 8

    def __init__(self, room: int, error: BaseException | None = None) -> None:
        self.room = room
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.tried: list[int] = []

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(batch))
        if len(batch) > self.room:
            raise self.error
        return super().embed(batch)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_halves_the_batch_and_the_size_is_remembered(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, error: Exception
) -> None:
    plenty = obtain(prepared, cohort, EmbeddingStore(store.root / "plenty"))
    prepared.model = model = SmallMemory(3, error)
    found = obtain(prepared, cohort, store)
    np.testing.assert_allclose(found.values, plenty.values, rtol=1e-5)
    assert model.tried == [8, 4, 2, 2, 2, 2, 2, 2]
    assert found.details["batch_size"] == 2
    prepared.model = again = SmallMemory(3, error)
    prepared.identity = {**prepared.identity}
    store.remove(found.key)
    obtain(prepared, cohort, store)
    assert again.tried == [2] * 6
    other = Prepared(prepared.log, SmallMemory(8), identity=prepared.identity | {"revision": "2"})
    obtain(other, cohort, store)
    assert other.model.tried == [8, 4]  # what is known holds for one model


def test_a_single_patch_that_does_not_fit_is_told(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    prepared.model = model = SmallMemory(0)
    with pytest.raises(ModelError, match=r"out of device memory with a single patch; .*--fm-precision=bf16"):
        obtain(prepared, cohort, store)
    assert model.tried == [8, 4, 2, 1]


def test_who_waits_is_told_how_far_the_other_is(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore
) -> None:
    told: list[str] = []
    key = embedding_key(prepared.identity, cohort)
    waiter = threading.Thread(
        target=lambda: obtain(prepared, cohort, EmbeddingStore(store.root), waiting=told.append)
    )
    with store.lock(key):
        waiter.start()
        while not told and waiter.is_alive():
            time.sleep(0.05)
    waiter.join(30)
    assert told[0] == "color on colors: another process embeds it, 0 of 1 shards done"
    assert store.load(key, cohort.keys) is not None


def test_a_disk_that_fills_up_is_told_and_what_is_written_is_kept(
    prepared: Prepared, cohort: Cohort, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "plan_of", lambda cohort, key: plan_of(cohort, key, size=5))
    put, written = store.put, []

    def full(*arguments: Any) -> None:
        if written:
            with files.cache_errors(store.root, "written to"):
                raise OSError(errno.ENOSPC, "No space left on device")
        written.append(arguments)
        put(*arguments)

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(CacheError, match="No space left on device; free some space"):
        obtain(prepared, cohort, store)
    assert [path.name for path in store.root.rglob("*.safetensors")] == [file_name(0)]
    assert obtain(prepared, cohort, EmbeddingStore(store.root)).details["resumed_patches"] == 5


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
    assert calls == [(ROWS, "color on colors")]
    assert len(seen) == ROWS


def test_only_a_bounded_number_of_images_waits_in_memory() -> None:
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


def test_threads_end_with_the_extraction(folder: Path, prepared: Prepared, store: EmbeddingStore) -> None:
    (folder / "0.png").write_bytes(b"no image")
    with pytest.raises(CohortError):
        obtain(prepared, load_folder(folder), store)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("preprocess")] == []


def test_the_key_does_not_depend_on_the_order_of_the_identity_and_tells_types_apart(cohort: Cohort) -> None:
    assert embedding_key({"a": 1, "b": (2, 3)}, cohort) == embedding_key({"b": [2, 3], "a": 1}, cohort)
    assert embedding_key({"a": 1}, cohort) != embedding_key({"a": "1"}, cohort)
    assert embedding_key({"a": 1}, cohort) != embedding_key({"a": 1}, dataclasses.replace(cohort, digest="x"))
    fewer = dataclasses.replace(cohort, patches=cohort.patches.iloc[1:])
    assert embedding_key({"a": 1}, cohort) != embedding_key({"a": 1}, fewer)


def test_another_decoder_is_another_key(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    before = embedding_key({}, cohort)
    monkeypatch.setattr("PIL.__version__", "0.0")
    assert embedding_key({}, cohort) != before


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1, 2}}, {"a": Path("x")}, {"a": float("nan")}])
def test_an_identity_that_json_cannot_hold_is_an_error(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json(value)


def test_importing_the_extraction_does_not_import_torch() -> None:
    code = "import sys, pathorob_checks.embeddings.extraction; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_cohort_without_files_is_extracted_too(prepared: Prepared, store: EmbeddingStore) -> None:
    """Generated cohorts have no folder: only the interface counts."""
    patches = pd.DataFrame({column: [f"{column}{i}" for i in range(3)] for column in COLUMNS})
    generated = Cohort(
        name="generated",
        patches=patches,
        read_image=lambda row: Image.new("RGB", (4, 4), (row * 50, 10, 20)),
        digest="generated/1",
        views={},
    )
    assert obtain(prepared, generated, store).values.shape == (3, 6)
