"""What would stop a run: a look ahead in seconds, without downloading weights or images."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.evaluation.inputs import Inputs

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
_TOKENS = 257  # of a 224 px patch cut into 14 px squares
_REACHED = 0.4  # share of the rate of a large product that a vision transformer reaches, roughly
_METRICS_MINUTES = 7  # all three metrics on the benchmark's cohorts, 2 cores, dimension 1,536
_WIDEST = 4608  # columns of the widest published embedding


@dataclass(frozen=True)
class Finding:
    """One line: the state of a subject, what was seen, and the remedy unless it is fine."""

    state: str
    subject: str
    text: str
    remedy: str = ""


@dataclass
class _Ahead:
    """What the run would need, added up during the examination; `is_known` unless a part failed."""

    download: int = 0
    is_known: bool = True
    weights: dict[str, int] = field(default_factory=dict)
    cohorts: dict[str, Cohort] = field(default_factory=dict)

    @property
    def patches(self) -> int:
        """Of all cohorts."""
        return sum(map(len, self.cohorts.values()))


def examine(inputs: Inputs) -> Iterator[Finding]:
    """Examine everything that a run of these FMs on these cohorts needs."""
    ahead = _Ahead()
    yield from _attempt("hub", _hub)
    subjects = inputs.subjects
    reached = [
        *(_attempt(f"FM {name}", partial(_model, inputs, name, ahead)) for name in subjects.specs),
        *(_attempt(f"cohort {name}", partial(_cohort, inputs, name, ahead)) for name in subjects.cohorts),
    ]
    for finding in chain.from_iterable(reached):
        ahead.is_known &= finding.state != FAIL
        yield finding
    yield from _attempt("criteria", partial(_criteria, inputs, ahead))
    yield from _attempt("device", partial(_device, inputs, ahead))
    yield from _attempt("disk", partial(_disk, inputs, ahead))
    yield from _attempt("cache", partial(_cache, inputs))
    yield from _attempt("time", partial(_time, inputs, ahead))


def _attempt(subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except PathorobChecksError as error:
        yield Finding(FAIL, subject, error.problem, error.remedy)


def _hub() -> Iterator[Finding]:
    from pathorob_checks import hub

    hub.check_addresses()
    from huggingface_hub import constants

    if hub.is_offline():
        yield Finding(
            WARN,
            "hub",
            "HF_HUB_OFFLINE is set: only what is in the cache can be used",
            "unset it to look for newer revisions",
        )
    else:
        yield Finding(PASS, "hub", f"{hub.host_of(constants.ENDPOINT)} will be used")
    if hub.has_token():
        yield Finding(PASS, "token", "a token is set")
    else:
        yield Finding(
            WARN,
            "token",
            "no token is set; public repositories need none",
            "for gated FMs accept their terms on their page and set HF_TOKEN",
        )


def _model(inputs: Inputs, name: str, ahead: _Ahead) -> Iterator[Finding]:
    from pathorob_checks import hub
    from pathorob_checks.models.loading import files_of, is_pinned, license_of, repository_of, resolve

    spec = inputs.subjects.specs[name]
    resolved = resolve(spec, name)
    repository = repository_of(spec)
    terms, commercial = license_of(spec)
    if repository is None:
        yield Finding(PASS, f"FM {name}", f"{spec.text} is there")
        return
    commit = str(resolved.revision)
    files = files_of(resolved)
    sizes = {file.name: file.size or 0 for file in hub.list_files(repository, commit)}
    needed = sum(hub.size_to_fetch(repository, commit, file) for file in files)
    ahead.download += needed
    ahead.weights[name] = sum(sizes.get(file, 0) for file in files)
    what = f"{needed / 1e9:.2f} GB to download" if needed else "in the cache"
    yield Finding(PASS, f"FM {name}", f"{repository} at {commit[:12]} may be read; {what}")
    if not is_pinned(spec):
        yield Finding(
            WARN,
            f"FM {name}",
            "the revision is not pinned: it may change tomorrow",
            f"pin it: --fm={spec.text.partition('@')[0]}@{commit}",
        )
    if commercial is False:
        yield Finding(
            WARN,
            f"FM {name}",
            f"license {terms}: no commercial use",
            "check that the license permits your use",
        )


def _cohort(inputs: Inputs, name: str, ahead: _Ahead) -> Iterator[Finding]:
    from pathorob_checks import hub
    from pathorob_checks.cohorts import benchmark
    from pathorob_checks.cohorts.registry import load_cohort, resolve_cohort

    text = inputs.subjects.cohorts[name]
    commit = resolve_cohort(text) if inputs.subjects.needs_images(name) else None
    cohort = load_cohort(text, inputs.sources, commit)
    ahead.cohorts[name] = cohort
    what = ""
    if commit is not None:
        repository = benchmark.facts().cohorts[name].repository
        files = benchmark.image_files(name, commit)
        needed = sum(hub.size_to_fetch(repository, commit, file.name, "dataset") for file in files)
        ahead.download += needed
        what = f" at {commit[:12]}; " + (f"{needed / 1e9:.2f} GB to download" if needed else "in the cache")
    yield Finding(PASS, f"cohort {name}", f"{len(cohort):,} patches{what}")
    for note in cohort.notes:
        yield Finding(
            WARN, f"cohort {name}", note.rstrip("."), "leave --fm-metadata out for published values"
        )
    if cohort.commercial is not True:
        terms = (
            "no commercial use" if cohort.commercial is False else "commercial use is not known to be allowed"
        )
        yield Finding(
            WARN,
            f"cohort {name}",
            f"license {cohort.license}: {terms}",
            "leave it out with --fm-commercial, or check that the license permits your use",
        )


def _criteria(inputs: Inputs, ahead: _Ahead) -> Iterator[Finding]:
    """Whether criteria and baseline fit the cohorts, and what takes long of what they ask for."""
    from pathorob_checks.evaluation.facts import cohort_facts
    from pathorob_checks.evaluation.subjects import Subject
    from pathorob_checks.evaluation.terms import terms_of
    from pathorob_checks.evaluation.work import work_ahead
    from pathorob_checks.results.document import NO_METHOD

    subjects = inputs.subjects
    if not subjects.specs:
        any_fm = tuple(Subject("any FM", NO_METHOD, name) for name in subjects.cohorts)
        subjects = replace(subjects, wanted=any_fm)
    terms = terms_of(inputs.settings, subjects)
    if terms.baseline is not None:
        for name, cohort in ahead.cohorts.items():
            terms.baseline.check_cohort(cohort_facts(name, cohort))
    yield Finding(
        PASS,
        "criteria",
        f"{counted(len(terms.checks), 'check')} by {terms.profile.name}"
        + (f", compared with {terms.baseline.fm}" if terms.baseline else ""),
    )
    for name, cohort in ahead.cohorts.items():
        for label, work in work_ahead(cohort, terms.protocol["metrics"]).items():
            text = f"{label}: {work.text}, roughly {_duration(work.seconds / 60)} per FM on 2 cores"
            if work.is_sample:
                yield Finding(WARN, f"cohort {name}", text, "all of them would take hours or days")
            else:
                yield Finding(PASS, f"cohort {name}", text)


def _device(inputs: Inputs, ahead: _Ahead) -> Iterator[Finding]:
    import torch

    from pathorob_checks.models.devices import resolve_device

    device = resolve_device(inputs.settings.device)
    if device == "cpu":
        real = any(spec.kind not in ("demo", "embeddings") for spec in inputs.subjects.specs.values())
        text = "the CPU will be used"
        if real:
            yield Finding(WARN, "device", text, "a GPU embeds about a hundred times faster")
        else:
            yield Finding(PASS, "device", text)
        return
    free, total = torch.cuda.mem_get_info(torch.device(device))
    largest = max(ahead.weights.values(), default=0)
    text = f"{torch.cuda.get_device_name(device)}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
    if 1.5 * largest > free:
        yield Finding(
            FAIL,
            "device",
            f"{text}, and the weights take {largest / 1e9:.1f} GB",
            "free the device, name another with --fm-device, or try a smaller --fm-batch-size",
        )
    else:
        yield Finding(PASS, "device", text)


def _disk(inputs: Inputs, ahead: _Ahead) -> Iterator[Finding]:
    from pathorob_checks import hub

    folder = hub.cache_folder()
    hub.refuse_a_full_disk(ahead.download, folder, "what has to be downloaded")
    embeddings = 4 * _WIDEST * ahead.patches * max(1, len(inputs.subjects.specs))
    hub.refuse_a_full_disk(embeddings, inputs.store.root, "what the embeddings take")
    free = shutil.disk_usage(_existing(folder)).free
    left = f"{free / 1e9:.0f} GB free"
    if not ahead.is_known:
        yield Finding(WARN, "disk", f"{left}; how much has to be downloaded is not known", "see above")
    elif ahead.download:
        yield Finding(PASS, "disk", f"{ahead.download / 1e9:.2f} GB to download, {left}")
    else:
        yield Finding(PASS, "disk", f"nothing to download, {left}")


def _cache(inputs: Inputs) -> Iterator[Finding]:
    from pathorob_checks.embeddings.store import EmbeddingStore

    EmbeddingStore(inputs.store.root).check_writable()
    yield Finding(PASS, "cache", f"{inputs.store.root} can be written")


def _time(inputs: Inputs, ahead: _Ahead) -> Iterator[Finding]:
    """An order of magnitude: products of the weights with the tokens of every patch, at a measured rate."""
    import torch

    from pathorob_checks.models.devices import resolve_device

    if not ahead.weights or not ahead.cohorts:
        return
    device = torch.device(resolve_device(inputs.settings.device))
    rate = _product_rate(device)
    patches = ahead.patches
    work = sum(size / 4 * 2 * _TOKENS * patches for size in ahead.weights.values())
    minutes = work / (rate * _REACHED) / 60
    fms = counted(len(ahead.weights), "FM")
    yield Finding(
        PASS,
        "time",
        f"roughly {_duration(minutes)} to embed {patches:,} patches with {fms} in fp32 on {device.type}, and "
        f"about {_METRICS_MINUTES} minutes per FM for the metrics on 2 cores",
    )


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


def _duration(minutes: float) -> str:
    return f"{minutes / 60:.0f} hours" if minutes > 120 else counted(max(1, round(minutes)), "minute")


def _existing(folder: Path) -> Path:
    return next((place for place in (folder, *folder.parents) if place.exists()), Path.cwd())
