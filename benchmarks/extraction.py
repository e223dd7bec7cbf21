"""How fast a cohort is embedded, compared with the model's bare forward pass and a plain loop.

    python benchmarks/extraction.py                                       # vit_small on this machine's CPU
    python benchmarks/extraction.py --model vit_large_patch16_224 --device cuda --precision bf16
    python benchmarks/extraction.py --variants                            # channels-last, torch.compile
    python benchmarks/extraction.py --decoders                            # the time to read an image

"bare": `embed` on batches in memory. "pipeline": from image files to embeddings in the store, without
loading the model. "loop": batches of 32, read, preprocessed and embedded one after the other in one
thread. Each runs several times, in turn; the table has medians. Weights are random, which does not change
the time.
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
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
from pathorob_checks.embeddings.extraction import obtain
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.models.loading import ModelSettings, PreparedModel, prepare, resolve
from pathorob_checks.models.spec import parse_spec

_SIDE = 256  # pixels, as the benchmark's patches


def write_cohort(folder: Path, patches: int, form: str) -> None:
    """Patches of the demo cohort, enlarged, as image files with a manifest."""
    folder.mkdir()
    source = demo.load()
    lines = ["image_path,slide_id,patch_id,biological_class,medical_center"]
    for i in range(patches):
        image = source.read_image(i % len(source)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        noise = np.random.default_rng(i).integers(-6, 7, (_SIDE, _SIDE, 3))
        noisy = np.asarray(image, dtype=np.int16) + noise
        name = f"{i:05}.{form}"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)
        lines.append(f"{name},s{i // 16},{i:05},{'ab'[i // 16 % 2]},{'AB'[i // 32 % 2]}")
    (folder / "manifest.csv").write_text("\n".join(lines))


def write_model(folder: Path, name: str) -> None:
    """A timm model with random weights, as its library saves it."""
    torch.manual_seed(0)
    save_for_hf(timm.create_model(name, num_classes=0), str(folder))


class Subject:
    """A loaded model on a cohort, and the three ways to embed it."""

    def __init__(self, prepared: PreparedModel, folder: Path, work: Path) -> None:
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
        begin = time.perf_counter()
        while done < len(self.cohort):
            for start in range(0, len(self.tensors), size):
                done += len(self.model.embed(self.tensors[start : start + size]))
        return done / (time.perf_counter() - begin)

    def pipeline(self) -> float:
        """Patches per second from files to the store."""
        self.runs += 1
        loaded = PreparedModel(self.prepared.name, self.prepared.identity, lambda: self.model)
        begin = time.perf_counter()
        obtain(loaded, self.cohort, EmbeddingStore(self.work / f"cache{self.runs}"))
        return len(self.cohort) / (time.perf_counter() - begin)

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
        subject = Subject(_prepared(arguments, work), work / form, work / form)
        subject.bare()  # warm
        rates: dict[str, list[float]] = {"bare": [], "pipeline": [], "loop": []}
        for _ in range(arguments.rounds):
            for method, measured in rates.items():
                measured.append(getattr(subject, method)())
        bare, pipeline, loop = (statistics.median(measured) for measured in rates.values())
        lines.append([form, subject.model.batch_size, bare, pipeline, loop, pipeline / bare, pipeline / loop])
    heads = [
        "files",
        "batch",
        "bare, 1/s",
        "pipeline, 1/s",
        "loop, 1/s",
        "pipeline / bare",
        "pipeline / loop",
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
    arguments = parser.parse_args()
    where = torch.cuda.get_device_name() if arguments.device != "cpu" else platform.processor() or "CPU"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "pillow"))
    print(
        f"{arguments.model}, {arguments.precision}, {arguments.patches} patches of {_SIDE} px; {where}, ",
        end="",
    )
    print(f"{available_cpus()} cores, torch threads {torch.get_num_threads()}; {packages}\n", flush=True)
    with tempfile.TemporaryDirectory() as work:
        measure = variants if arguments.variants else decoders if arguments.decoders else throughput
        measure(arguments, Path(work))


if __name__ == "__main__":
    main()
