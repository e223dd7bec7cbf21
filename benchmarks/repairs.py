"""The time and memory of every repair of embeddings at the shapes of the benchmark's cohorts.

    python benchmarks/repairs.py                       # Camelyon's patches at dimension 1,536
    python benchmarks/repairs.py --cohort tcga --dim 3072 --only coral

Every repair runs in a process of its own on a synthetic cohort. It is fitted on the in-domain patches and
transforms all of them, out-of-domain ones too. The table has the median of up to three runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from metrics import machine, peak_memory
from tabulate import tabulate

from pathorob_checks.evidence.qualification import golden_cohorts as golden
from pathorob_checks.methods.registry import methods
from pathorob_checks.methods.repair import Repair

RUNS, SHORT_S = 3, 30.0  # a repair runs until it took 30 seconds in total, at most 3 times


def repairs() -> dict[str, type[Repair]]:
    """All repairs of embeddings, also those of other packages."""
    return {name: one for name, one in methods().items() if issubclass(one, Repair)}


def run(name: str, cohort: str, dim: int) -> dict[str, Any]:
    """Median seconds of fit and transform, and the peak memory of this process in MiB."""
    whole, weights = golden.COHORTS[cohort]
    table = golden.TABLES[whole]()
    x = golden.embeddings(table, dim=dim, seed=100, **weights)
    seen = np.flatnonzero(table.subset != "OOD")
    centers, classes = list(table.medical_center), list(table.biological_class)
    known = {"centers": [centers[row] for row in seen], "classes": [classes[row] for row in seen]}
    before, fits, transforms = peak_memory(), [], []
    while not fits or (sum(fits) + sum(transforms) < SHORT_S and len(fits) < RUNS):
        begin = time.perf_counter()
        repair = repairs()[name]().fit(x[seen], **known)
        middle = time.perf_counter()
        repair.transform(x, centers=centers)
        fits.append(middle - begin)
        transforms.append(time.perf_counter() - middle)
    return {
        "fit": statistics.median(fits),
        "transform": statistics.median(transforms),
        "more": peak_memory() - before,
        "seen": len(seen),
        "all": len(x),
    }


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--cohort", choices=sorted(golden.COHORTS), default="camelyon")
    parser.add_argument("--dim", type=int, default=1536)
    parser.add_argument("--only", choices=sorted(repairs()), nargs="+", default=list(repairs()))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(run(arguments.child, arguments.cohort, arguments.dim)))
        return
    lines = []
    for name in arguments.only:
        task = ["--cohort", arguments.cohort, "--dim", str(arguments.dim), "--child", name]
        done = subprocess.run(
            [sys.executable, Path(__file__), *task], check=True, stdout=subprocess.PIPE, text=True
        )
        took = json.loads(done.stdout.splitlines()[-1])
        lines.append([name, f"{took['fit']:.2f}", f"{took['transform']:.2f}", f"{took['more']:,.0f}"])
        print(" | ".join(lines[-1]), file=sys.stderr, flush=True)
    print(f"{machine('cpu')}\n")
    shape = f"{took['seen']:,} patches to fit, {took['all']:,} to transform"
    print(f"{arguments.cohort}, dimension {arguments.dim:,}: {shape}\n")
    headers = ["repair", "fit, s", "transform, s", "more memory, MiB"]
    print(tabulate(lines, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
