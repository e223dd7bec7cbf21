"""The time of the metrics, compared with the protocol written plainly with scikit-learn.

    python benchmarks/metrics.py                      # all cohorts at dimensions 768, 1,536 and 3,072
    python benchmarks/metrics.py --dims 1536          # one dimension
    python benchmarks/metrics.py --device cuda --no-plain
    python benchmarks/metrics.py --growth --dims 1536 # a quarter, a half and all of Camelyon's patches

Every figure is measured in a process of its own, on synthetic cohorts of the benchmark's shapes. Short jobs
run up to five times on either side, and the table has the median. Where the plain protocol would take too
long, only a part of it runs; the table names the part and multiplies its time.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from pathorob_checks.evidence.qualification import golden_cohorts as golden

Float32 = npt.NDArray[np.float32]
REPETITIONS, TRIALS = 20, 50
_RUNS, _SHORT_S = 5, 15.0  # a job runs until it took 15 seconds in total, at most 5 times


@dataclass(frozen=True)
class Job:
    """A line of the table: a metric on a cohort's view, in `units` equal parts."""

    metric: str
    cohort: str
    table: str
    units: int
    unit: str  # name of a part
    plain_units: int  # number of parts that the plain protocol runs
    part: int | None = None  # number of parts that `--part` runs; of combinations those of two centers
    k: int = 0

    @property
    def is_index(self) -> bool:
        """Whether the metric is the robustness index, with or without its interval."""
        return self.metric in (INDEX, INDEX_ALONE)


INDEX, INDEX_ALONE = "robustness index", "index, value alone"  # the second one has no interval, as plain
JOBS = (
    Job(INDEX, "camelyon", "camelyon", 1, "view", 1, k=11),
    Job(INDEX, "tcga", "tcga_2x2", 94, "subsets", 8, k=61),
    Job(INDEX, "tolkach_esca", "tolkach_esca_reduced", 1, "view", 1, k=46),
    Job(INDEX_ALONE, "camelyon", "camelyon", 1, "view", 1, k=11),
    Job(INDEX_ALONE, "tcga", "tcga_2x2", 94, "subsets", 8, k=61),
    Job(INDEX_ALONE, "tolkach_esca", "tolkach_esca_reduced", 1, "view", 1, k=46),
    Job("performance drop", "camelyon", "camelyon", REPETITIONS, "repetitions", 1, part=4),
    Job("performance drop", "tcga", "tcga_4x4", REPETITIONS, "repetitions", 1, part=4),
    Job("performance drop", "tolkach_esca", "tolkach_esca", REPETITIONS, "repetitions", 1, part=4),
    Job("clustering score", "camelyon", "camelyon_reduced", 1, "combination", 1),
    Job("clustering score", "tcga", "tcga_4x4", 36, "combinations", 1, part=6),
    Job("clustering score", "tolkach_esca", "tolkach_esca_reduced", 45, "combinations", 1, part=15),
)


def data(
    job: Job, dim: int, *, seed: int = 100, weights: Mapping[str, float] | None = None
) -> tuple[Float32, pd.DataFrame]:
    """The view's embeddings and table; `weights` None are those of the cohort."""
    table = rows_of(job)
    whole, usual = golden.COHORTS[job.cohort]
    everything = _embeddings(whole, dim, seed, tuple((usual if weights is None else weights).items()))
    row = {key: number for number, key in enumerate(golden.patch_keys(golden.TABLES[whole]()))}
    return everything[[row[key] for key in golden.patch_keys(table)]], table


@lru_cache(maxsize=len(golden.COHORTS))
def _embeddings(whole: str, dim: int, seed: int, weights: tuple[tuple[str, Any], ...]) -> Float32:
    """Of all patches of a cohort; all jobs on a cohort share them."""
    return golden.embeddings(golden.TABLES[whole](), dim=dim, seed=seed, **dict(weights))


def rows_of(job: Job) -> pd.DataFrame:
    """The view's table; the drop reads all rows, the others the in-domain ones."""
    table = golden.TABLES[job.table]()
    if job.metric != "performance drop":
        table = table[table.subset != "OOD"].reset_index(drop=True)
    if job.unit == "subsets":  # the synthetic cohort has only some of the subsets: repeat them
        parts = [part for _, part in table.groupby("subset", sort=False)]
        copies = [parts[n % len(parts)].assign(subset=f"subset {n}") for n in range(job.units)]
        table = pd.concat(copies, ignore_index=True)
    return table


def first_units(job: Job, table: pd.DataFrame, units: int) -> pd.DataFrame:
    """The rows of the first subsets or combinations."""
    if job.unit == "subsets":
        return table[table.subset.isin(table.subset.unique()[:units])]
    if job.metric == "clustering score" and units < job.units:
        cells = set(zip(table.biological_class, table.medical_center, strict=True))
        classes = list(dict.fromkeys(table.biological_class))
        classes = classes[:2] if units == 1 else classes
        pairs = combinations(dict.fromkeys(table.medical_center), 2)
        centers = next(pair for pair in pairs if cells.issuperset(product(classes, pair)))
        return table[table.biological_class.isin(classes) & table.medical_center.isin(centers)]
    return table


def run(job: Job, folder: Path, side: str, device: str, units: int) -> dict[str, Any]:
    """Median seconds for `units` parts, and the peak memory of this process in MiB."""
    # Mapped, so that rows that are not read do not count.
    embeddings, table = np.load(folder / "x.npy", mmap_mode="r"), pd.read_csv(folder / "t.csv")
    table = first_units(job, table, units)
    embeddings, table = np.asarray(embeddings[table.index]), table.reset_index(drop=True)
    warm_up(side, device)
    runs = [_timed(job, embeddings, table, side, device, units)]
    while sum(seconds for _, _, seconds in runs) < _SHORT_S and len(runs) < _RUNS:
        runs.append(_timed(job, embeddings, table, side, device, units))
    value, units, _ = runs[0]
    seconds = statistics.median(seconds for _, _, seconds in runs)
    gflop = products(job, embeddings, table, units) if side == "ours" else 0.0
    return {"seconds": seconds, "units": units, "value": value, "peak": peak_memory(), "gflop": gflop}


def _timed(
    job: Job, embeddings: Float32, table: pd.DataFrame, side: str, device: str, units: int
) -> tuple[float, int, float]:
    """The value, its number of parts, and the seconds."""
    from pathorob_checks import metrics
    from pathorob_checks.metrics.intervals import DRAWS
    from pathorob_checks.metrics.schedules import published_schedule

    begin = time.perf_counter()
    if side == "plain":
        value = run_plain(job, embeddings, table, units)
    elif job.is_index:
        paired, draws = job.unit == "subsets", 0 if job.metric == INDEX_ALONE else DRAWS
        value = metrics.robustness_index(
            embeddings, table, k=job.k, paired=paired, draws=draws, device=device
        ).value
    elif job.metric == "performance drop":
        schedule = published_schedule(job.cohort)
        drop = metrics.performance_drop(
            embeddings, table, schedule=schedule, repetitions=max(2, units), device=device
        )
        value, units = drop.id_drop, max(2, units)
    else:
        value = metrics.clustering_score(embeddings, table, trials=TRIALS, device=device).value
    return value, units, time.perf_counter() - begin


def run_plain(job: Job, embeddings: Float32, table: pd.DataFrame, units: int) -> float:
    import plain_protocol as plain

    from pathorob_checks.metrics.schedules import published_schedule

    if job.is_index:
        return plain.robustness_index(embeddings, table, job.k, paired=job.unit == "subsets")
    if job.metric == "performance drop":
        draws = list(published_schedule(job.cohort).repetitions(table, REPETITIONS))[:units]
        inside, _ = plain.performance_drop(embeddings, table, draws)
        return float((inside[1:] / inside[0]).mean() - 1)
    clusters = plain.clustering(embeddings, table, TRIALS)
    return float((clusters.ari_class - clusters.ari_center).mean())


def peak_memory() -> float:
    """MiB; on Linux from /proc, because getrusage may include the parent process."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def warm_up(side: str, device: str) -> None:
    """Load libraries and start the device before the time is measured."""
    import plain_protocol as plain

    from pathorob_checks import metrics

    table = golden.TABLES["tcga_4x4"]()
    table = table[table.medical_center.isin(golden.TCGA["id"][:2])].reset_index(drop=True)
    x = golden.embeddings(table, dim=64)
    if side == "plain":
        plain.robustness_index(x, table, 5)
        plain.clustering(x[:200], table[:200], trials=1, clusters=[2])
        return
    metrics.robustness_index(x, table, k=5, device=device)
    metrics.clustering_score(x, table, trials=1, clusters=[2], device=device)


def machine_rate() -> float:
    """GFLOP per second of a large float32 matrix product on all cores."""
    a = np.random.default_rng(0).standard_normal((4096, 4096)).astype(np.float32)
    best = min(_seconds(lambda: a @ a.T.copy()) for _ in range(5))
    return 2 * 4096**3 / best / 1e9


def _seconds(action: Any) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def products(job: Job, embeddings: Float32, table: pd.DataFrame, units: int) -> float:
    """GFLOP in matrix products: for the index one product per pair of rows, for the drop counted by torch."""
    if job.is_index:
        each = len(table) / units
        return units * each * (each + 1) * embeddings.shape[1] / 1e9
    if job.metric != "performance drop":
        return 0.0
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from pathorob_checks.metrics.schedules import published_schedule
    from pathorob_checks.numerics.logistic import best_classifiers

    draw = next(iter(published_schedule(job.cohort).repetitions(table, REPETITIONS)))
    codes = np.unique(table.biological_class, return_inverse=True)[1]
    with FlopCounterMode(display=False) as counter:
        best_classifiers(torch.from_numpy(embeddings), codes, draw.training, draw.validation)
    return units * counter.get_total_flops() / 1e9


def child(job: Job, folder: Path, side: str, device: str, units: int) -> dict[str, Any]:
    task = [str(JOBS.index(job)), str(folder), side, device, str(units)]
    command = [sys.executable, __file__, "--child", *task]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def machine(device: str) -> str:
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            cpu = line.split(":")[1].strip()
            break
    from pathorob_checks.numerics import threads

    names = ("numpy", "scipy", "scikit-learn", "torch")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    text = f"{cpu}, {threads.available()} cores; Python {platform.python_version()}, {versions}"
    if device != "cpu":
        import torch

        text += f"; {torch.cuda.get_device_name()}"
    return text


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--dims", type=int, nargs="+", default=[768, 1536, 3072])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-plain", action="store_true", help="time our side only")
    parser.add_argument(
        "--part", action="store_true", help="also on our side run only a part of repetitions and combinations"
    )
    parser.add_argument(
        "--growth", action="store_true", help="print our time by the number of patches instead"
    )
    parser.add_argument("--only", help="jobs whose metric or cohort contains this text")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        number, folder, side, device, units = arguments.child
        print(json.dumps(run(JOBS[int(number)], Path(folder), side, device, int(units))))
        return
    rate = machine_rate()
    print(f"{machine(arguments.device)}; float32 products at {rate:.0f} GFLOP/s\n", flush=True)
    if arguments.growth:
        for dim in arguments.dims:
            growth(dim, arguments.device)
        return
    jobs = [job for job in JOBS if not arguments.only or arguments.only in f"{job.metric} {job.cohort}"]
    for dim in arguments.dims:
        lines, ours_sum, plain_sum = [], {}, {}
        for job in jobs:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                x, table = data(job, dim)
                np.save(folder / "x.npy", x)
                table.to_csv(folder / "t.csv", index=False)
                del x
                part = (arguments.part and job.part) or job.units
                ours = child(job, folder, "ours", arguments.device, part)
                seconds = ours["seconds"] * job.units / ours["units"]
                line = [job.metric, job.cohort, f"{seconds:.1f}"]
                ours_sum[job.metric] = ours_sum.get(job.metric, 0.0) + seconds
                if not arguments.no_plain:
                    plain = child(job, folder, "plain", arguments.device, job.plain_units)
                    expected = plain["seconds"] * job.units / job.plain_units
                    plain_sum[job.metric] = plain_sum.get(job.metric, 0.0) + expected
                    measured = f"{plain['seconds']:.1f} s for {job.plain_units} of {job.units} {job.unit}"
                    line += [f"{expected:.0f}", measured, f"{expected / seconds:.1f}"]
                share = "-"
                if ours["gflop"] and arguments.device == "cpu":
                    share = f"{ours['gflop'] / ours['seconds'] / rate:.0%}"
                line += [f"{ours['peak']:.0f}", share]
                lines.append(line)
                print(" | ".join(line), file=sys.stderr, flush=True)
        for metric, seconds in ours_sum.items():
            lines.append(_total(metric, seconds, plain_sum.get(metric)))
        for sums in (ours_sum, plain_sum):
            sums.pop(INDEX_ALONE, None)  # counted once, with the interval
        if ours_sum:
            lines.append(_total("all three", sum(ours_sum.values()), sum(plain_sum.values()) or None))
        headers = ["metric", "cohort", "ours, s"]
        headers += [] if arguments.no_plain else ["plain, s", "plain measured", "ratio"]
        headers += ["peak, MiB", "of product rate"]
        print(f"Dimension {dim:,}\n\n{tabulate(lines, headers, tablefmt='github')}\n", flush=True)


def growth(dim: int, device: str) -> None:
    """Seconds for every fourth, every second and every patch of Camelyon's slides."""
    lines = []
    for job in (job for job in JOBS if job.cohort == "camelyon" and job.metric != INDEX_ALONE):
        x, table = data(job, dim)
        line = [job.metric]
        for stride in (4, 2, 1):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                np.save(folder / "x.npy", x[::stride])
                table[::stride].to_csv(folder / "t.csv", index=False)
                ours = child(job, folder, "ours", device, job.units)
            line.append(f"{ours['seconds']:.1f} s for {len(x[::stride]):,}")
        lines.append(line)
    headers = ["metric", "every fourth patch", "every second patch", "all patches"]
    print(f"Camelyon, dimension {dim:,}\n\n{tabulate(lines, headers, tablefmt='github')}\n", flush=True)


def _total(metric: str, ours: float, plain: float | None) -> list[str]:
    compared = [] if plain is None else [f"{plain:.0f}", "", f"{plain / ours:.1f}"]
    return [f"**{metric}**", "**all**", f"{ours:.1f}", *compared, "", ""]


if __name__ == "__main__":
    main()
