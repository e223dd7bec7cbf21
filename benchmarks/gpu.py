"""Everything that needs a GPU in one command, each part in a process of its own and within the time.

    python benchmarks/gpu.py --out results --minutes 8           # on a machine with an NVIDIA GPU
    python benchmarks/gpu.py --out results --device cpu --small  # the same steps on little data, without one
    python benchmarks/gpu.py --out results --parts metrics,tests  # these, in this order
    python benchmarks/gpu.py --predict                           # the times that a GPU should need, computed

Writes `DIR/gpu.md`, with a table per part, and `DIR/<part>.json`, which grows with every measurement. A part
that fails or runs out of time keeps what it has measured, the others go on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from gpu_parts import predicted
from gpu_parts.driver import Part, run_parts
from gpu_parts.record import Task, measure

ROOT = Path(__file__).parents[1]
# In order of importance. Shares are of the whole time: what a part leaves over goes to those that follow.
PARTS = (
    Part("tests", "gpu_parts.cuda_tests", "Tests that need a GPU", 0.25),
    Part("parity", "gpu_parts.parity", "The same metrics on the CPU and on the device", 0.2),
    Part("metrics", "gpu_parts.metric_times", "Metrics of all cohorts", 0.4),
    Part("extraction", "gpu_parts.extraction_rates", "Patches per second", 0.45),
    Part("gate", "gpu_parts.gate_times", "A whole run of the gate", 0.6),
    Part("memory", "gpu_parts.memory", "Memory of the device", 1.0),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together (default 8)")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true", help="little data: do the steps work?")
    parser.add_argument("--parts", help=f"of {','.join(part.name for part in PARTS)} (default all)")
    parser.add_argument("--predict", action="store_true", help="print predicted times and stop")
    parser.add_argument(
        "--measure", nargs=4, metavar=("MODULE", "FILE", "SECONDS", "FOLDER"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.predict:
        print(predicted.table())
        return 0
    if arguments.measure:
        module, file, seconds, work = arguments.measure
        task = Task(arguments.device, arguments.small, time.monotonic() + float(seconds), Path(work))
        return measure(module, Path(file), task)
    if arguments.out is None:
        parser.error("--out is missing; name a folder for the results")
    chosen = arguments.parts.split(",") if arguments.parts else [part.name for part in PARTS]
    unknown = sorted(set(chosen) - {part.name for part in PARTS})
    if unknown:
        parser.error(
            f"--parts: {unknown[0]!r} is no part; choose of {', '.join(part.name for part in PARTS)}"
        )
    parts = [next(part for part in PARTS if part.name == name) for name in chosen]
    command = [sys.executable, __file__, "--device", arguments.device, *(["--small"] * arguments.small)]
    shown = " ".join(["python", *sys.argv])
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT / "benchmarks"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    return run_parts(parts, command, arguments.out, 60 * arguments.minutes, shown=shown)


if __name__ == "__main__":
    sys.exit(main())
