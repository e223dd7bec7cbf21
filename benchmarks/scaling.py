"""The time and memory of an extraction on many GPUs, computed from parts measured on this machine.

    python benchmarks/scaling.py              # the tables of docs/scaling.md, from the constants below
    python benchmarks/scaling.py --measure    # prints the constants of `Measured` for this machine

Rates of GPUs and of shared storage are assumptions (`MODELS`, `Assumed`): replace them with your own.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tabulate import tabulate
from torchvision.transforms import v2

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.image_files import FileImages
from pathorob_checks.embeddings.checks import check_embeddings
from pathorob_checks.embeddings.shards import SHARD_PATCHES, ShardRows, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore

GPUS = (10, 100, 1_000, 10_000)
PATCHES = tuple(10**power for power in range(5, 11))


@dataclass(frozen=True)
class Model:
    """Patches per second of a GPU in bf16, columns of an embedding, bytes of weights."""

    name: str
    rate: float
    columns: int
    weights: float


MODELS = (
    Model("ViT-S", 10_000, 384, 0.09e9),
    Model("ViT-L", 2_000, 1024, 1.2e9),
    Model("ViT-g", 500, 1536, 4.5e9),
)


@dataclass(frozen=True)
class Assumed:
    """Assumptions, not measured here."""

    cores_per_gpu: int = 16
    gpus_per_machine: int = 8
    image_bytes: float = 100e3
    storage: float = 20e9  # bytes per second that the shared storage gives to all machines together
    client: float = 2e9  # and to one machine
    operations: float = 20e3  # files created or renamed per second there
    start: float = 40  # s until actors run (processes, libraries, CUDA), without loading weights
    products: float = 30e12  # float32 operations per second of a GPU in the neighbors' search
    index: float = 188e9  # the same on 2 cores: 76 % of 247 GFLOP/s (docs/performance.md, Camelyon)
    peak: float = 2.0  # memory of the process that assembles the shards, in matrices


@dataclass(frozen=True)
class Measured:
    """CPU seconds of one core of an Intel Xeon, and bytes, as `--measure` printed them."""

    decode: float = 3.3e-3  # to decode and preprocess a PNG of 256 px
    hash_byte: float = 0.62e-9  # to hash a byte of an image, when an own cohort is loaded
    row: float = 0.27e-6  # to unpickle a row of the table that is sent to actors
    row_bytes: float = 273  # of that table
    held: float = 560  # bytes of an actor's memory for a row of it
    look: float = 10e-6  # to check whether a shard exists
    join_byte: float = 2.1e-9  # to read a byte of a shard, compare its digest, copy it and check it
    manifest: float = 149  # bytes for a shard


ASSUMED, MEASURED = Assumed(), Measured()


def embedding(model: Model, patches: int, gpus: int) -> float:
    """Seconds until all patches are embedded, with the actors' start."""
    machines = max(1, gpus // ASSUMED.gpus_per_machine)
    rate = min(model.rate, ASSUMED.cores_per_gpu / MEASURED.decode)
    start = ASSUMED.start + patches * MEASURED.row + machines * model.weights / ASSUMED.storage
    table = machines * patches * MEASURED.row_bytes / ASSUMED.storage
    shards = patches / SHARD_PATCHES
    rounds = -(-shards // gpus)  # a GPU embeds whole shards
    return (
        start
        + table
        + max(
            rounds * SHARD_PATCHES / rate,
            patches * ASSUMED.image_bytes / ASSUMED.storage,
            2 * shards / ASSUMED.operations,
        )
    )


def tables() -> None:
    """Print the tables that follow from the constants."""
    rows = [
        [f"{n:.0e}", *(" / ".join(_time(embedding(model, n, gpus)) for model in MODELS) for gpus in GPUS)]
        for n in PATCHES
    ]
    _print(["patches", *(f"{gpus:,} GPUs" for gpus in GPUS)], rows)
    rows = []
    for n in PATCHES:
        shards = n / SHARD_PATCHES
        matrix = n * MODELS[1].columns * 4
        rows.append(
            [
                f"{n:.0e}",
                _time(n * ASSUMED.image_bytes * max(MEASURED.hash_byte / 4, 1 / ASSUMED.client)),
                _size(n * MEASURED.held * ASSUMED.gpus_per_machine),
                f"{shards:,.0f}",
                _size(shards * MEASURED.manifest),
                _time(shards * MEASURED.look + matrix * MEASURED.join_byte),
                _size(matrix * ASSUMED.peak),
            ]
        )
    _print(["patches", "hashing", "table, 8 actors", "files", "manifest", "joining", "memory"], rows)
    rows = []
    for n in PATCHES:
        products = n**2 * MODELS[1].columns
        rows.append(
            [f"{n:.0e}", _time(products / ASSUMED.index), _time(products / ASSUMED.products), _size(4 * n**2)]
        )
    _print(["patches in a view", "index, 2 cores", "index, 1 GPU", "clustering, memory"], rows)


def measure() -> None:
    """Print the constants of this machine, each the best of several."""
    n, columns = 25_600, 1024
    cohort = _cohort(n)
    plan = plan_of(cohort, "0" * 64)
    sent = pickle.dumps(ShardRows(plan, cohort), protocol=5)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC).save(stream, format="PNG")
    steps = v2.Compose(
        [
            v2.Resize(224),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    torch.set_num_threads(1)

    def decode() -> None:
        steps(Image.open(io.BytesIO(stream.getvalue())).convert("RGB"))

    image = os.urandom(10**7)
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder))
        looking = _cpu(lambda: store.whole_shards(plan))
        values = np.random.default_rng(0).standard_normal((SHARD_PATCHES, columns), dtype=np.float32)
        begin = time.perf_counter()
        for shard in range(len(plan)):
            store.put(plan, shard, values)
        put = (time.perf_counter() - begin) / len(plan)

        def join() -> None:
            check_embeddings(store.assemble(plan, cohort.keys)[0], cohort.keys)

        joining = _cpu(join)
        store.finish(plan, store.assemble(plan, cohort.keys)[1], columns, {}, {})
        manifest = (store.folder(plan.key) / "manifest.json").stat().st_size
    print(f"decode     {_cpu(decode, 50):.2e} s, a PNG of {len(stream.getvalue())} bytes")
    print(f"hash_byte  {_cpu(lambda: hashlib.sha256(image)) / len(image):.2e} s")
    print(f"row        {_cpu(lambda: pickle.loads(sent).cohort.keys) / n:.2e} s")
    print(f"row_bytes  {len(sent) / n:.0f}")
    tracemalloc.start()
    held = pickle.loads(sent)
    held.rows(0)
    print(f"held       {tracemalloc.get_traced_memory()[0] / n:.0f} bytes")
    print(f"look       {looking / len(plan):.2e} s")
    print(f"join_byte  {joining / (n * columns * 4):.2e} s")
    print(f"manifest   {manifest / len(plan):.0f} bytes")
    print(f"(writing a shard of {values.nbytes / 1e6:.1f} MB to this disk takes {1000 * put:.1f} ms)")


def _cohort(n: int) -> Cohort:
    paths = tuple(f"images/{i // 300:06}/{i:09}.png" for i in range(n))
    labels = {
        "subset": ["ID"] * n,
        "slide_id": [f"slide-{i // 300:06}" for i in range(n)],
        "patch_id": [f"{i % 300:05}_{i:09}" for i in range(n)],
        "biological_class": [("tumor", "normal")[i % 2] for i in range(n)],
        "medical_center": [f"center {i % 5}" for i in range(n)],
    }
    digests = tuple(hashlib.sha256(path.encode()).hexdigest() for path in paths)
    where = tuple(f"'{path}' (manifest.csv line {i + 2})" for i, path in enumerate(paths))
    images = FileImages(Path("/data/cohort"), paths, where, digests)
    return Cohort(name="own", patches=pd.DataFrame(labels), read_image=images, digest="0" * 64, views={})


def _cpu(work: Callable[[], object], rounds: int = 5) -> float:
    """CPU seconds of the fastest round: other processes on the machine do not count."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def _time(seconds: float) -> str:
    for unit, size in (("y", 3.15e7), ("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(count: float) -> str:
    for unit, size in (("EB", 1e18), ("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.0f} kB"


def _print(heads: list[str], rows: list[list[str]]) -> None:
    print(tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True), end="\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true")
    (measure if parser.parse_args().measure else tables)()
