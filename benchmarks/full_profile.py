"""The time of every metric of the profile `full` beside that of the three core metrics.

    python benchmarks/full_profile.py                 # dimension 1,536, this machine's CPU
    python benchmarks/full_profile.py --dim 768 --only tolkach_esca

Synthetic cohorts of the benchmark's shapes, as in `benchmarks/metrics.py`; every computation runs once,
after a small run that loads libraries. Metrics of neighbors share a search, as in a run. The table has the
seconds of each computation and cohort, and how many times as long all take as the robustness index, the
performance drop and the clustering score.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import metrics as jobs
from gpu_parts import views
from tabulate import tabulate

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.metrics.neighbor_search import NeighborSearch
from pathorob_checks.metrics.registry import metric

CORE = ("robustness_index", "performance_drop", "clustering_score")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dim", type=int, default=1536)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", help="a cohort")
    arguments = parser.parse_args()
    criteria = load_profile("full").criteria_for(("camelyon",))
    wanted = {metric(criterion.metric).computation.name for criterion in criteria}
    jobs.warm_up("ours", arguments.device)
    print(f"{jobs.machine(arguments.device)}; dimension {arguments.dim:,}\n", flush=True)
    seconds: dict[str, dict[str, float]] = {}
    cpu_seconds: dict[str, float] = {}  # of all threads: the same on a busy machine
    for view in views.of_all_metrics():
        name, cohort = view.computation.name, view.cohort
        if name not in wanted or (arguments.only and cohort != arguments.only):
            continue
        x, table = view.data(arguments.dim)
        shared: dict[str, Any] = {}
        if view.computation.takes_neighbors:
            shared["neighbors"] = _searches.setdefault((cohort, len(x)), NeighborSearch())
        begin, cpu = time.perf_counter(), time.process_time()
        view.compute(x, table, device=arguments.device, **shared)
        seconds.setdefault(name, {})[cohort] = spent = time.perf_counter() - begin
        cpu_seconds[name] = cpu_seconds.get(name, 0.0) + time.process_time() - cpu
        print(f"{name} {cohort} {spent:.1f} s", file=sys.stderr, flush=True)
    cohorts = list(next(iter(seconds.values())))
    rows = [[name, *by.values(), sum(by.values()), cpu_seconds[name]] for name, by in seconds.items()]
    core = sum(sum(seconds[name].values()) for name in CORE)
    whole = sum(sum(by.values()) for by in seconds.values())
    rows.append(["**all**", *[""] * len(cohorts), whole, sum(cpu_seconds.values())])
    heads = ["computation", *cohorts, "all, s", "CPU, s"]
    print(tabulate(rows, heads, floatfmt=".1f", tablefmt="github"))
    of_cpu = sum(cpu_seconds.values()) / sum(cpu_seconds[name] for name in CORE)
    print(
        f"\nAll take {whole / core:.2f} times as long as the three core metrics ({core:.0f} s), and "
        f"{of_cpu:.2f} times their CPU time."
    )


_searches: dict[tuple[str, int], NeighborSearch] = {}

if __name__ == "__main__":
    main()
