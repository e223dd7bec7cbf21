"""How fast a cohort is embedded, compared with the model's bare forward pass and a plain loop.

    python benchmarks/extraction.py                                       # vit_small on this machine's CPU
    python benchmarks/extraction.py --model vit_large_patch16_224 --device cuda --precision bf16
    python benchmarks/extraction.py --variants                            # channels-last, torch.compile
    python benchmarks/extraction.py --decoders                            # the time to read an image
    python benchmarks/extraction.py --reading                             # reading alone, without a model
    python benchmarks/extraction.py --launches                            # small operations beside readers
    python benchmarks/extraction.py --device cuda --readers processes     # the pipeline, reading in processes

"bare": `embed` on batches in the device's memory, the next one queued before the last one is fetched.
"pipeline": from image files to embeddings in the store, without loading the model. "loop": batches of 32,
read, preprocessed and embedded one after the other in one thread. Each runs several times, in turn; the table
has medians. "without images" is the share of the pipeline's time in which the thread that runs the model
waited for images, "held up" that in which it stood still while it gave work to a GPU, mostly to get the
interpreter from the threads that read: together the most that other readers could save. Weights are random,
which does not change the time.
"""

from __future__ import annotations

import argparse
import io
import itertools
import platform
import resource
import statistics
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from tabulate import tabulate
from threadpoolctl import threadpool_limits
from timm.models import save_for_hf

from pathorob_checks.cohorts import demo
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.cpus import available_cpus
from pathorob_checks.embeddings.extraction import embed_shards, obtain
from pathorob_checks.embeddings.pipeline import Pipeline
from pathorob_checks.embeddings.reading import Reader
from pathorob_checks.embeddings.shards import ShardRows, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec
from pathorob_checks.models.transfers import Arriving

_SIDE = 256  # pixels, as the benchmark's patches


def write_cohort(folder: Path, patches: int, form: str) -> None:
    """Patches of the demo cohort, enlarged, as image files with a manifest; written by all cores."""
    folder.mkdir()
    source = demo.load()
    originals = [source.read_image(row) for row in range(min(patches, len(source)))]

    def write(number: int) -> None:
        image = originals[number % len(originals)].resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        noise = np.random.default_rng(number).integers(-6, 7, (_SIDE, _SIDE, 3), dtype=np.int8)
        noisy = np.asarray(image, dtype=np.int16) + noise
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number:05}.{form}", quality=90, compress_level=1
        )

    with ThreadPoolExecutor(available_cpus()) as pool:  # Pillow works without Python's lock
        list(pool.map(write, range(patches)))
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center"]
    lines += [
        f"{i:05}.{form},s{i // 16},{i:05},{'ab'[i // 16 % 2]},{'AB'[i // 32 % 2]}" for i in range(patches)
    ]
    (folder / "manifest.csv").write_text("\n".join(lines))


def write_model(folder: Path, name: str) -> None:
    """A timm model with random weights, as its library saves it."""
    torch.manual_seed(0)
    save_for_hf(timm.create_model(name, num_classes=0), str(folder))


class Subject:
    """A loaded model on a cohort, and the three ways to embed it.

    Attributes
    ----------
    waiting, held_up : shares of the last pipeline's time in which the model's thread waited for images, and
        stood still while it gave work to a GPU.
    """

    def __init__(self, prepared: PreparedModel, folder: Path, work: Path, readers: str = "threads") -> None:
        self.readers = readers
        self.waiting = self.held_up = 0.0
        self.cohort = load_folder(folder)
        self.prepared = prepared
        self.model = prepared.load()
        self.work = work
        self.runs = 0
        kept = min(len(self.cohort), 4 * self.model.batch_size)
        self.tensors = torch.stack([self._tensor(row) for row in range(kept)]).to(self.model.device)

    def _tensor(self, row: int) -> torch.Tensor:
        return self.model.preprocess(self.cohort.read_image(row))

    def bare(self) -> float:
        """Patches per second of the model only."""
        size, done = self.model.batch_size, 0
        run: Any = getattr(self.model, "begin", None) or (lambda batch: Arriving(self.model.embed(batch)))
        begun: deque[Arriving] = deque()
        begin = time.perf_counter()
        while done < len(self.cohort):
            for start in range(0, len(self.tensors), size):
                begun.append(run(self.tensors[start : start + size]))
                if len(begun) > 1:
                    done += len(begun.popleft().result())
        done += sum(len(arriving.result()) for arriving in begun)
        return done / (time.perf_counter() - begin)

    def pipeline(self) -> float:
        """Patches per second from files to the store."""
        self.runs += 1
        loaded = PreparedModel(self.prepared.name, self.prepared.identity, lambda: self.model)
        begin = time.perf_counter()
        engine = partial(embed_shards, processes=self.readers == "processes")
        store = EmbeddingStore(self.work / f"cache{self.runs}")
        details: Any = obtain(loaded, self.cohort, store, engine=engine).details
        seconds = time.perf_counter() - begin
        self.waiting = details["seconds_without_images"] / seconds
        self.held_up = details["seconds_held_up"] / seconds
        return len(self.cohort) / seconds

    def loop(self) -> float:
        """Patches per second of the plain loop."""
        embedded = []
        begin = time.perf_counter()
        for start in range(0, len(self.cohort), 32):
            rows = range(start, min(start + 32, len(self.cohort)))
            embedded.append(self.model.embed(torch.stack([self._tensor(row) for row in rows])))
        torch.cat(embedded)
        return len(self.cohort) / (time.perf_counter() - begin)


def throughput(arguments: argparse.Namespace, work: Path) -> None:
    """Print pipeline, loop and bare forward for both forms of files."""
    lines = []
    for form in ("png", "jpg"):
        write_cohort(work / form, arguments.patches, form)
        subject = Subject(_prepared(arguments, work), work / form, work / form, arguments.readers)
        subject.bare()  # warm
        rates: dict[str, list[float]] = {"bare": [], "pipeline": [], "loop": []}
        waiting, held_up = [], []
        for _ in range(arguments.rounds):
            for method, measured in rates.items():
                measured.append(getattr(subject, method)())
            waiting.append(subject.waiting)
            held_up.append(subject.held_up)
        bare, pipeline, loop = (statistics.median(measured) for measured in rates.values())
        ratios = [pipeline / bare, pipeline / loop, *map(statistics.median, (waiting, held_up))]
        lines.append([form, arguments.readers, subject.model.batch_size, bare, pipeline, loop, *ratios])
    heads = [
        "files",
        "readers",
        "batch",
        "bare, 1/s",
        "pipeline, 1/s",
        "loop, 1/s",
        "pipeline / bare",
        "pipeline / loop",
        "without images",
        "held up",
    ]
    print(tabulate(lines, headers=heads, floatfmt=".2f", tablefmt="pipe"))


def variants(arguments: argparse.Namespace, work: Path) -> None:
    """Print the bare forward with channels-last and compiled."""
    write_cohort(work / "png", arguments.patches, "png")
    subject = Subject(_prepared(arguments, work), work / "png", work)
    network = subject.model._model  # type: ignore[attr-defined]
    lines = [["as it is", statistics.median(subject.bare() for _ in range(arguments.rounds)), ""]]
    network.to(memory_format=torch.channels_last)
    subject.tensors = subject.tensors.contiguous(memory_format=torch.channels_last)
    lines.append(["channels-last", statistics.median(subject.bare() for _ in range(arguments.rounds)), ""])
    network.to(memory_format=torch.contiguous_format)
    subject.tensors = subject.tensors.contiguous()
    network.forward_features = torch.compile(network.forward_features)
    begin = time.perf_counter()
    subject.bare()
    cost = f"{time.perf_counter() - begin - len(subject.cohort) / lines[0][1]:.0f} s to compile"  # type: ignore[operator]
    lines.append(["torch.compile", statistics.median(subject.bare() for _ in range(arguments.rounds)), cost])
    print(tabulate(lines, headers=["variant", "bare, 1/s", ""], floatfmt=".2f", tablefmt="pipe"))


def decoders(arguments: argparse.Namespace, work: Path) -> None:
    """Print the time to read and to preprocess one image, in one thread and in all of them."""
    from torchvision.io import decode_image

    lines = []
    for form in ("png", "jpg"):
        write_cohort(work / form, 64, form)
        contents = [path.read_bytes() for path in sorted((work / form).glob(f"*.{form}"))]
        subject = Subject(_prepared(arguments, work), work / form, work)
        images = [subject.cohort.read_image(row) for row in range(64)]

        def pillow(i: int, contents: list[bytes] = contents) -> object:
            return Image.open(io.BytesIO(contents[i])).convert("RGB")

        def of_torchvision(i: int, contents: list[bytes] = contents) -> object:
            return decode_image(torch.frombuffer(bytearray(contents[i]), dtype=torch.uint8))

        def preprocessing(i: int, images: list[Image.Image] = images, model: Any = subject.model) -> object:
            return model.preprocess(images[i])

        for step in (pillow, of_torchvision, preprocessing):
            one, all_ = _rate(step, 1), _rate(step, available_cpus())
            lines.append([form, step.__name__.replace("_", " "), 1000 / one, one, all_])
    heads = ["files", "step", "ms each", "1/s, 1 thread", f"1/s, {available_cpus()} threads"]
    print(tabulate(lines, headers=heads, floatfmt=(".0f", "", ".2f", ".0f", ".0f"), tablefmt="pipe"))


def reading(arguments: argparse.Namespace, work: Path) -> None:
    """Print how many images per second become batches, without a model, by threads and by processes."""
    lines = []
    for form in ("png", "jpg"):
        write_cohort(work / form, arguments.patches, form)
        subject = Subject(_prepared(arguments, work), work / form, work)
        reader = Reader("reading", subject.model, subject.cohort)
        rows, size = list(range(len(subject.cohort))), subject.model.batch_size
        for readers in ("threads", "processes"):
            for workers in sorted({1, 2, available_cpus() // 2 or 1, available_cpus()}):
                rates = []
                for _ in range(arguments.rounds):
                    images = reader.images(
                        rows, threads=workers, window=workers + 2 * size, processes=readers == "processes"
                    )
                    rates.append(_steady_rate(reader, images, size, len(rows)))
                lines.append([form, readers, workers, statistics.median(rates)])
    print(tabulate(lines, headers=["files", "readers", "workers", "1/s"], floatfmt=".0f", tablefmt="pipe"))


class _Launching:
    """Starts many small operations for a batch, as a ViT on a GPU, and embeds nothing."""

    dimension = 1
    operations = 200

    def __init__(self, model: Any) -> None:
        self.pixels, self.preprocess, self.device = model.pixels, model.preprocess, torch.device("cpu")
        self.seconds: list[float] = []

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        begin, small = time.perf_counter(), torch.ones(64, 64)
        for _ in range(self.operations):
            small = small + 1
        self.seconds.append(time.perf_counter() - begin)
        return torch.rand(len(batch), 1)


def launches(arguments: argparse.Namespace, work: Path) -> None:
    """Print how long a thread needs for small operations while others read, and how often threads change."""
    torch.set_num_threads(1)
    lines = []
    for form in ("png", "jpg"):
        write_cohort(work / form, arguments.patches, form)
        subject = Subject(_prepared(arguments, work), work / form, work)
        shards = ShardRows(plan_of(subject.cohort, ""), subject.cohort)
        for readers in (1, 2, 4, 8, 16):
            model: Any = _Launching(subject.model)
            pipeline = Pipeline("launching", model, shards, readers, 256)
            changes, begin = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, time.perf_counter()
            done = sum(1 for _ in pipeline.run(range(len(shards.plan)), lambda *_: None))
            rate = done / (time.perf_counter() - begin)
            changes = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - changes
            lines.append([form, readers, rate, 1000 * statistics.median(model.seconds), changes / done])
    heads = ["files", "readers", "1/s", "launch, ms per batch", "changes of threads per image"]
    print(tabulate(lines, headers=heads, floatfmt=(".0f", "", ".0f", ".1f", ".1f"), tablefmt="pipe"))


def _steady_rate(reader: Reader, images: Any, size: int, count: int) -> float:
    """Images per second in the second half, in which processes have started."""
    done, half, begin = 0, 0, 0.0
    while batch := list(itertools.islice(images, size)):
        reader.batch(batch)
        done += len(batch)
        if not half and 2 * done >= count:
            half, begin = done, time.perf_counter()
    return (done - half) / (time.perf_counter() - begin)


def _rate(step: Any, threads: int) -> float:
    rows = [i % 64 for i in range(640)]
    with ThreadPoolExecutor(threads, initializer=threadpool_limits, initargs=(1, "openmp")) as pool:
        list(pool.map(step, rows[:64]))
        begin = time.perf_counter()
        list(pool.map(step, rows))
        return len(rows) / (time.perf_counter() - begin)


def _prepared(arguments: argparse.Namespace, work: Path) -> PreparedModel:
    folder = work / "model"
    if not folder.exists():
        write_model(folder, arguments.model)
    settings = ModelSettings(
        device=arguments.device, precision=arguments.precision, batch_size=arguments.batch_size
    )
    return prepare(resolve(parse_spec(f"local-dir:{folder}"), arguments.model), settings)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="vit_small_patch16_224")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--patches", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--decoders", action="store_true")
    parser.add_argument("--reading", action="store_true")
    parser.add_argument("--launches", action="store_true")
    parser.add_argument("--readers", choices=("threads", "processes"), default="threads")
    arguments = parser.parse_args()
    where = torch.cuda.get_device_name() if arguments.device != "cpu" else platform.processor() or "CPU"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "pillow"))
    print(
        f"{arguments.model}, {arguments.precision}, {arguments.patches} patches of {_SIDE} px; {where}, ",
        end="",
    )
    print(f"{available_cpus()} cores, torch threads {torch.get_num_threads()}; {packages}\n", flush=True)
    with tempfile.TemporaryDirectory() as work:
        every = (variants, decoders, reading, launches)
        chosen = [measure for measure in every if getattr(arguments, measure.__name__)]
        for measure in chosen or [throughput]:
            measure(arguments, Path(work))


if __name__ == "__main__":
    main()
