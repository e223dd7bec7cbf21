"""Whether a planned number of slides decides as often as planned: planted cohorts, simulated many times.

    python benchmarks/power.py                     # every scenario, 200 simulations each
    python benchmarks/power.py --simulations 100 --only drop

A pilot cohort of each scenario gives the effects of its slides. From them the number of slides per cell is
planned that decides about a bound in 80 % of cohorts, if the true value is the one of the design (the mean
over many simulated cohorts of the planned size). Then cohorts of that size are simulated: the actual
share is that of intervals on the true value's side of the bound. The plan of one pilot is uncertain, as its
spread is: so plans of several pilots are made, and their median number is simulated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from metrics import machine
from planted_drops import DropDesign, drop_of_ridge
from planted_slides import Design
from tabulate import tabulate

from pathorob_checks.metrics import Resampling, robustness_index
from pathorob_checks.metrics.confusion import increases, of_the_worst
from pathorob_checks.metrics.ends import own_interval
from pathorob_checks.metrics.intervals import DRAWS, SEED
from pathorob_checks.metrics.power import POWER, slides_needed
from pathorob_checks.numerics.threads import limited

PILOTS = 15
Measure = Callable[[int, int], Resampling]  # from slides per cell and seed to a measured value


@dataclass(frozen=True)
class Scenario:
    """A line of the table: how a cohort is measured, the size of pilots, and the bound's distance."""

    name: str
    measure: Measure
    pilot: int
    bound: float


def index(design: Design, k: int) -> Measure:
    def measure(slides: int, seed: int) -> Resampling:
        sized = replace(design, slides=slides)
        table = sized.table()
        result = robustness_index(sized.embeddings(table, seed), table, k=k, device="cpu")
        assert result.resampling is not None
        return result.resampling

    return measure


def drop(design: DropDesign, domain: str) -> Measure:
    """The drop of ridge regressions; more slides also train more, so that the true value depends on them."""
    sizes: dict[int, DropDesign] = {}

    def measure(slides: int, seed: int) -> Resampling:
        sized = sizes.setdefault(slides, replace(design, home=slides, away=slides, outside_slides=slides))
        return drop_of_ridge(sized, seed, (domain,))[domain]

    return measure


def errors(design: DropDesign, domain: str) -> Measure:
    sizes: dict[int, DropDesign] = {}

    def measure(slides: int, seed: int) -> Resampling:
        sized = sizes.setdefault(slides, replace(design, home=slides, away=slides, outside_slides=slides))
        tested = sized.ridge_predictions(sized.embeddings(seed))[domain]
        name = f"diagnostic_errors_{domain.lower()}"
        measured = sorted(increases(name, tested, {}).values(), key=lambda both: -both[0].value)
        return of_the_worst([one for _, one in measured], tuple(one for one, _ in measured))

    return measure


BASE = DropDesign()
SCENARIOS = (
    Scenario("robustness index about 0.5", index(Design(4, 10, 1.0, 1.0, 0.7), 5), 6, 0.4),
    Scenario("robustness index about 0.57", index(Design(4, 10, 1.2, 1.0, 0.7), 5), 6, 0.5),
    Scenario("robustness index, near the bound", index(Design(4, 10, 1.0, 1.0, 0.7), 5), 8, 0.43),
    Scenario("drop in-domain", drop(BASE, "ID"), 11, -0.16),
    Scenario("drop out-of-domain", drop(BASE, "OOD"), 11, -0.16),
    Scenario("drop in-domain, deep", drop(replace(BASE, center=3.0), "ID"), 11, -0.10),
    Scenario("diagnostic errors in-domain", errors(BASE, "ID"), 11, 0.25),
    Scenario("diagnostic errors out-of-domain", errors(BASE, "OOD"), 11, 0.35),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--only", default="", help="scenarios whose name contains this text")
    arguments = parser.parse_args()
    print(f"{machine('cpu')}; on one thread\n", flush=True)
    lines = []
    for scenario in SCENARIOS:
        if arguments.only in scenario.name:
            with limited(1):
                lines.append(line(scenario, arguments.simulations))
            print(" | ".join(map(str, lines[-1])), file=sys.stderr, flush=True)
    headers = ["scenario", "bound", "true", "pilot", "planned (10 to 90 %)", "wanted", "decided"]
    print(tabulate(lines, headers, tablefmt="github"))


def line(scenario: Scenario, simulations: int) -> list[object]:
    pilots = [scenario.measure(scenario.pilot, 10_000 + seed) for seed in range(PILOTS)]
    slides, true = scenario.pilot, float(np.mean([one.value for one in pilots]))
    plans = [slides]
    for _ in range(3):  # the true value may depend on the size
        plans = [slides_needed(one, bound=scenario.bound, true=true) or 10**6 for one in pilots]
        slides = max(int(np.median(plans)), 10 if "index" not in scenario.name else 2)
        cohorts = [scenario.measure(slides, seed) for seed in range(simulations)]
        true = float(np.mean([one.value for one in cohorts]))
    intervals = [own_interval(one, 0.95, DRAWS, SEED) for one in cohorts]
    above = true > scenario.bound
    clear = [
        ends is not None and (ends[0] >= scenario.bound if above else ends[1] <= scenario.bound)
        for ends in intervals
    ]
    low, high = np.quantile(plans, (0.1, 0.9))
    spread = f"{slides} ({low:.0f} to {high:.0f})"
    return [
        scenario.name,
        scenario.bound,
        f"{true:.3f}",
        scenario.pilot,
        spread,
        POWER,
        f"{np.mean(clear):.2f}",
    ]


if __name__ == "__main__":
    main()
