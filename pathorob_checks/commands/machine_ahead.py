"""`doctor` on the machine: device, disk, the cache's folder, and how long the run takes, roughly."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.commands.findings import FAIL, PASS, WARN, Ahead, Finding
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.terms import Terms

_TOKENS = 257  # of a 224 px patch cut into 14 px squares
_REACHED = 0.4  # share of the rate of a large product that a vision transformer reaches, roughly
_WIDEST = 4608  # columns of the widest published embedding
_QUICK = ("demo", "embeddings")  # kinds that take no time worth telling to embed


def device(inputs: Inputs, ahead: Ahead) -> Iterator[Finding]:
    """What the FMs will run on, and whether their weights fit there."""
    import torch

    from pathorob_checks.models.devices import resolve_device

    chosen = resolve_device(inputs.settings.device)
    if chosen == "cpu":
        real = any(spec.kind not in _QUICK for spec in inputs.subjects.specs.values())
        text = "the CPU will be used"
        if real:
            remedy = "if that takes too long, use a machine with a GPU, which is about a hundred times faster"
            yield Finding(WARN, "device", text, remedy)
        else:
            yield Finding(PASS, "device", text)
        return
    free, total = torch.cuda.mem_get_info(torch.device(chosen))
    largest = max(ahead.weights.values(), default=0)
    text = f"{torch.cuda.get_device_name(chosen)}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
    if 1.5 * largest > free:
        yield Finding(
            FAIL,
            "device",
            f"{text}, and the weights take {largest / 1e9:.1f} GB",
            "end what else runs on it, or name another with --fm-device",
        )
    else:
        yield Finding(PASS, "device", text)


def disk(inputs: Inputs, ahead: Ahead) -> Iterator[Finding]:
    """Whether downloads and embeddings fit on it."""
    from pathorob_checks import hub

    folder = hub.cache_folder()
    hub.refuse_a_full_disk(ahead.download, folder, "what has to be downloaded")
    embeddings = 4 * _WIDEST * sum(map(len, ahead.cohorts.values())) * max(1, len(inputs.subjects.specs))
    hub.refuse_a_full_disk(embeddings, inputs.store.root, "the folder of embeddings", "--fm-cache")
    free = shutil.disk_usage(_existing(folder)).free
    left = f"{free / 1e9:.0f} GB free"
    if any(what.startswith(("FM ", "cohort ")) for what in ahead.failed):
        yield Finding(
            WARN, "disk", f"{left}; how much has to be downloaded is not known", "fix what fails above first"
        )
    elif ahead.download:
        yield Finding(PASS, "disk", f"{ahead.download / 1e9:.2f} GB to download, {left}")
    else:
        yield Finding(PASS, "disk", f"nothing to download, {left}")


def cache(inputs: Inputs) -> Iterator[Finding]:
    """Whether embeddings can be stored."""
    from pathorob_checks.embeddings.store import EmbeddingStore

    EmbeddingStore(inputs.store.root).check_writable()
    yield Finding(PASS, "cache", f"{inputs.store.root} can be written")


def duration(inputs: Inputs, ahead: Ahead, terms: Terms | None) -> Iterator[Finding]:
    """An order of magnitude: products of the weights with the tokens of every patch, at a measured rate."""
    from pathorob_checks.evaluation.work import work_ahead

    if not ahead.cohorts:
        return
    parts = [*_embedding(inputs, ahead)]
    if terms is not None:
        seconds = sum(
            work.seconds
            for cohort in ahead.cohorts.values()
            for work in work_ahead(cohort, terms.protocol["metrics"]).values()
        )
        each = " per FM" if len(inputs.subjects.specs) != 1 else ""
        parts.append(f"roughly {_minutes(seconds / 60)}{each} for the metrics on 2 cores")
    if parts:
        yield Finding(PASS, "time", ", and ".join(parts))


def _embedding(inputs: Inputs, ahead: Ahead) -> Iterator[str]:
    """How long it takes to embed, as far as that is known."""
    import torch

    from pathorob_checks.models.devices import resolve_device

    subjects = inputs.subjects
    unknown = [
        name for name, spec in subjects.specs.items() if spec.kind not in _QUICK and name not in ahead.weights
    ]
    work = patches = 0.0
    for one in subjects.subjects:
        if one.fm in ahead.weights and one.cohort in ahead.cohorts:
            patches += len(ahead.cohorts[one.cohort])
            work += ahead.weights[one.fm] / 4 * 2 * _TOKENS * len(ahead.cohorts[one.cohort])
    if work:
        kind = torch.device(resolve_device(inputs.settings.device))
        minutes = work / (_product_rate(kind) * _REACHED) / 60
        fms = counted(len(ahead.weights), "FM")
        yield (
            f"roughly {_minutes(minutes)} to embed {counted(int(patches), 'patch', 'patches')} "
            f"with {fms} in fp32 on {kind.type}"
        )
    if unknown:
        yield f"an unknown time to embed with {', '.join(unknown)}"


def _product_rate(device: Any) -> float:
    """Floating-point operations per second of a large float32 product."""
    import torch

    a = torch.ones(2048, 2048, device=device)
    a @ a
    begin = time.perf_counter()
    for _ in range(3):
        b = a @ a
    float(b[0, 0])  # waits for the device
    return float(3 * 2 * 2048**3 / (time.perf_counter() - begin))


def _minutes(minutes: float) -> str:
    return f"{minutes / 60:.0f} hours" if minutes > 120 else counted(max(1, round(minutes)), "minute")


def _existing(folder: Path) -> Path:
    return next((place for place in (folder, *folder.parents) if place.exists()), Path.cwd())
