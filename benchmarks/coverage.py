"""How often the intervals contain the truth: planted cohorts, simulated many times with new slides.

    python benchmarks/coverage.py                       # every scenario, 300 simulations each
    python benchmarks/coverage.py --only clustering     # scenarios whose name contains the text
    python benchmarks/coverage.py --simulations 1000

The truth of a scenario is the mean of the value over all its simulated cohorts (the expected value for new
slides of the same design), unless the scenario defines another one. The error of this mean is at most a sixth
of the mean width.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import numpy.typing as npt
import torch
from metrics import machine
from planted_drops import DOMAINS, DropDesign, drop_of_ridge
from planted_slides import Design, paired_table
from tabulate import tabulate

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import (
    case_retrieval,
    clustering_score,
    difference,
    mean_over_cohorts,
    performance_drop,
    robustness_index,
    worst_group,
)
from pathorob_checks.metrics.confusion import asymmetry_effects, increases
from pathorob_checks.metrics.drop_uncertainty import drop_groups, drop_resampling
from pathorob_checks.metrics.ends import candidate_interval, worst_interval
from pathorob_checks.metrics.inputs import labels
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.measurement import Interval
from pathorob_checks.metrics.neighbor_lists import neighbor_lists
from pathorob_checks.numerics.threads import limited

Float64 = npt.NDArray[np.float64]
Simulation = Iterator[tuple[float, Interval]]  # value and interval of each simulated cohort


@dataclass(frozen=True)
class Scenario:
    """A line of the table. `simulate(n)` yields n values and intervals; `truth` overrides their mean."""

    metric: str
    name: str
    simulate: Callable[[int], Simulation]
    truth: Callable[[list[float]], float] = lambda values: float(np.mean(values))


FEW = Design(slides=4, patches=10, biology=1.0, center=1.0, slide=0.7)
MANY = Design(slides=15, patches=20, biology=1.0, center=1.0, slide=0.7)
STRENGTHS = {"0.1": (0.5, 2.2), "0.5": (1.0, 1.0), "0.9": (2.2, 0.5)}


def index(design: Design, k: int, *, paired: bool = False) -> Callable[[int], Simulation]:
    """The index and its interval."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            result = measured_index(design, k, seed, paired=paired)
            if result.interval is not None:
                yield result.value, result.interval

    return simulate


def measured_index(design: Design, k: int, seed: int, *, paired: bool = False, other_fm: float = 0.0):  # type: ignore[no-untyped-def]
    table = design.table()
    x = design.embeddings(table, seed, other_fm=other_fm)
    if paired:
        table = paired_table(table)
        x = x[table.row]
    return robustness_index(x, table, k=k, paired=paired, device="cpu")


def by_slide(design: Design, k: int) -> Callable[[int], Simulation]:
    """The interval of a cohort whose cases are not known."""

    def simulate(count: int) -> Simulation:
        table = design.table()
        unknown = table.drop(columns="case_id")
        for seed in range(count):
            result = robustness_index(design.embeddings(table, seed), unknown, k=k, device="cpu")
            yield result.value, result.interval or (0.0, 0.0)

    return simulate


def queries_alone(design: Design, k: int) -> Callable[[int], Simulation]:
    """The interval if slides were drawn as queries only, which the package does not do."""
    table = design.table()
    slides, classes, centers = (
        labels(table, column, "index") for column in ("slide_id", "biological_class", "medical_center")
    )

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            x, rows = design.embeddings(table, seed), np.arange(len(table))
            neighbors = neighbor_lists(x, [rows], slides.codes, k, torch.device("cpu"), None).rows
            same_class = classes.codes[neighbors] == classes.codes[:, None]
            same_center = centers.codes[neighbors] == centers.codes[:, None]
            so, os_ = (
                np.bincount(slides.codes, kind.sum(axis=1))
                for kind in (same_class & ~same_center, ~same_class & same_center)
            )
            whole = robustness_index(x, table, k=k, device="cpu").resampling
            queries = replace(whole, effects=tuple((so / so.sum() - os_ / os_.sum()).tolist()))
            yield whole.value, interval_of(queries) or (0.0, 0.0)

    return simulate


def index_difference(design: Design, k: int) -> Callable[[int], Simulation]:
    """Paired difference of two FMs on the same slides."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            base, new = (
                measured_index(design, k, seed, other_fm=noise).measurement() for noise in (0.0, 0.5)
            )
            change = difference(new, base)
            if change.interval is not None:
                yield change.value, change.interval

    return simulate


def index_mean(designs: list[Design], k: int) -> Callable[[int], Simulation]:
    """Mean over independent cohorts."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            cohorts = [
                measured_index(d, k, seed * len(designs) + n).measurement() for n, d in enumerate(designs)
            ]
            mean = mean_over_cohorts(cohorts)
            if mean.interval is not None:
                yield mean.value, mean.interval

    return simulate


def worst_center(design: Design, k: int) -> Scenario:
    """The worst center; the truth is the lowest of the centers' mean values."""
    values: dict[str, list[float]] = {}

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            groups = measured_index(design, k, seed).groups["medical_center"]
            for group in groups:
                values.setdefault(group.name, []).append(group.value)
            worst = worst_group(groups)
            if worst.interval is not None:
                yield worst.value, worst.interval

    return Scenario(
        "robustness index",
        f"worst of {design.centers} centers, equal in truth",
        simulate,
        truth=lambda _: min(float(np.mean(of_center)) for of_center in values.values()),
    )


def clustering(design: Design, metric: str = "clustering_score") -> Callable[[int], Simulation]:
    """The clustering score, or the class ARI, with K from 2 to 4 and 5 trials."""

    def simulate(count: int) -> Simulation:
        table = design.table()
        for seed in range(count):
            x = design.embeddings(table, seed)
            result = clustering_score(x, table, trials=5, clusters=range(2, 5), device="cpu")
            measured = result.measurements()[metric]
            if measured.interval is not None:
                yield measured.value, measured.interval

    return simulate


def drop(design: DropDesign, domain: str) -> Callable[[int], Simulation]:
    """The drop of ridge regressions, whose deletions are exact, for new slides."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            result = drop_of_ridge(design, seed, (domain,))[domain]
            yield result.value, interval_of(result) or (result.value, result.value)

    return simulate


def accuracy(design: DropDesign, domain: str, split: int) -> Callable[[int], Simulation]:
    """The accuracy at one split, as the curve over Cramér's V shows it."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            result = drop_of_ridge(design, seed, (domain,), split=split)[domain]
            yield result.value, interval_of(result) or (result.value, result.value)

    return simulate


def drop_by_the_metric(design: DropDesign, domain: str) -> Callable[[int], Simulation]:
    """The same by `performance_drop`: logistic regressions with validated C, deletions by one Newton step."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            result = performance_drop(
                design.embeddings(seed), design.table, repetitions=design.repetitions, device="cpu"
            )
            measured = result.measurements()[DOMAINS[domain]]
            yield measured.value, measured.interval or (measured.value, measured.value)

    return simulate


def retrieval(design: DropDesign, metric: str) -> Callable[[int], Simulation]:
    """What a search finds among new slides."""
    schedule = None if design.schedule == "general" else design.schedule

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            result = case_retrieval(design.embeddings(seed), design.table, schedule=schedule)
            measured = result.measurements()[metric]
            yield measured.value, measured.interval or (measured.value, measured.value)

    return simulate


def drop_difference(design: DropDesign, domain: str) -> Callable[[int], Simulation]:
    """Paired difference of two FMs on the same slides."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            base, new = (
                drop_of_ridge(design, seed, (domain,), other_fm=noise)[domain] for noise in (0.0, 0.7)
            )
            change = difference(new, base)
            yield change.value, change.interval or (change.value, change.value)

    return simulate


def drop_mean(designs: list[DropDesign], domain: str) -> Callable[[int], Simulation]:
    """Mean over independent cohorts."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            cohorts = [
                drop_of_ridge(design, seed * len(designs) + number, (domain,))[domain]
                for number, design in enumerate(designs)
            ]
            mean = mean_over_cohorts(cohorts)
            yield mean.value, mean.interval or (mean.value, mean.value)

    return simulate


def worst_drop(design: DropDesign, domain: str, by: str) -> Scenario:
    """The worst center or class; the truth is the lowest of the groups' mean values."""
    values: dict[str, list[float]] = {}

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            tested = design.ridge_predictions(design.embeddings(seed))[domain]
            groups = drop_groups(DOMAINS[domain], tested, 0.95)[by]
            for group in groups:
                values.setdefault(group.name, []).append(group.value)
            worst = worst_group(groups)
            if worst.interval is not None:
                yield worst.value, worst.interval

    name = f"{domain}, worst {by.replace('_', ' ')}"
    return Scenario(
        "performance drop", name, simulate, truth=lambda _: min(float(np.mean(v)) for v in values.values())
    )


def worst_increase(design: DropDesign, domain: str, name: str) -> Scenario:
    """The largest increase of a cell's error rate; the truth is the largest of the cells' mean values."""
    metric, values = ERRORS[domain], {}  # type: str, dict[int, list[float]]

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            tested = design.ridge_predictions(design.embeddings(seed))[domain]
            candidates = {cell: one for cell, (one, _) in increases(metric, tested, {}).items()}
            for cell, one in candidates.items():
                values.setdefault(cell, []).append(one.value)
            interval = worst_interval(metric, tuple(candidates.values()), 0.95)
            if interval is not None:
                yield max(one.value for one in candidates.values()), interval

    return Scenario(
        "diagnostic errors",
        f"{domain}, {name}",
        simulate,
        truth=lambda _: max(float(np.mean(of_cell)) for of_cell in values.values()),
    )


def one_cell(design: DropDesign, domain: str, name: str, place: int) -> Scenario:
    """The increase of one cell, with its own interval."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            tested = design.ridge_predictions(design.embeddings(seed))[domain]
            candidate = list(increases(ERRORS[domain], tested, {}).values())[place][0]
            interval = candidate_interval(ERRORS[domain], candidate, 0.95)
            yield candidate.value, interval or (candidate.value, candidate.value)

    return Scenario("diagnostic errors", f"{domain}, cell {place + 1} alone, {name}", simulate)


def asymmetry(design: DropDesign) -> Callable[[int], Simulation]:
    """The asymmetry of the errors, in-domain."""

    def simulate(count: int) -> Simulation:
        for seed in range(count):
            tested = design.ridge_predictions(design.embeddings(seed))["ID"]
            effects = asymmetry_effects(tested, design.draws[0])
            assert effects is not None
            measured = drop_resampling("error_asymmetry", effects, tested, {})
            yield measured.value, interval_of(measured) or (measured.value, measured.value)

    return simulate


def error_scenarios() -> list[Scenario]:
    """Of the diagnostic errors and their asymmetry."""
    lines = [worst_increase(DROPS[name], domain, name) for name in ERROR_DESIGNS for domain in DOMAINS]
    lines += [
        one_cell(BASE, domain, "2x2, 11 slides a cell", place) for domain in DOMAINS for place in (0, 1)
    ]
    lines += [Scenario("error asymmetry", name, asymmetry(DROPS[name])) for name in ERROR_DESIGNS]
    return lines


def scenarios() -> list[Scenario]:
    lines = []
    for label, (biology, center) in STRENGTHS.items():
        sizes = (("4 slides", FEW, 5), ("8 slides", replace(MANY, slides=8), 11), ("15 slides", MANY, 11))
        for size, design, k in sizes:
            planted = replace(design, biology=biology, center=center)
            lines.append(Scenario("robustness index", f"about {label}, {size} a cell", index(planted, k)))
    strong = replace(MANY, slide=1.5)
    paired = Design(slides=6, patches=8, biology=1, center=1, slide=0.7, classes=3, centers=3)
    several = Design(slides=8, patches=10, biology=1, center=1, slide=0.7, classes=3, both_classes=True)
    three = replace(FEW, slides=6, centers=3)
    wide = Design(slides=8, patches=15, biology=6, center=6, slide=0.3, dim=1024)
    calm = replace(wide, biology=4, center=4)
    cases = Design(slides=12, patches=10, biology=1, center=1, slide=0.4, slides_per_case=2, case=0.6)
    twins = replace(cases, slide=0.1, case=0.8)
    few_cases = replace(cases, slides_per_case=3)
    lines += [
        Scenario("robustness index", "strong slide effects", index(strong, 11)),
        Scenario("robustness index", "paired, 9 subsets", index(paired, 11, paired=True)),
        Scenario("robustness index", "slides of 3 classes", index(several, 11)),
        Scenario("robustness index", "difference of two FMs", index_difference(replace(FEW, slides=8), 9)),
        Scenario(
            "robustness index", "mean over 3 cohorts", index_mean([FEW, paired, replace(MANY, slides=8)], 7)
        ),
        worst_center(three, 7),
        Scenario("robustness index", "1,024 dimensions, few informative", index(wide, 11)),
        Scenario("robustness index", "1,024 dimensions, weak slide effects", index(calm, 11)),
        Scenario("robustness index", "cases of 2 slides", index(cases, 9)),
        Scenario("robustness index", "cases of 2 slides, almost equal", index(twins, 9)),
        Scenario("robustness index", "4 cases of 3 slides a cell", index(few_cases, 9)),
        Scenario("(not claimed)", "index, cases of 2 slides not known", by_slide(cases, 9)),
        Scenario("(not claimed)", "index, cases of 2 equal, not known", by_slide(twins, 9)),
        Scenario("(not used)", "slides drawn as queries alone", queries_alone(MANY, 11)),
    ]
    clusters = Design(slides=6, patches=8, biology=2.0, center=0.7, slide=0.5)
    clustered_cases = replace(clusters, slides=12, slides_per_case=2, slide=0.3, case=0.4)
    lines += [
        Scenario(label, name, clustering(planted, metric))
        for metric, label in (("clustering_score", "clustering score"), ("class_ari", "class ARI"))
        for name, planted in (
            ("clusters are biology", clusters),
            ("clusters are biology, 10 slides a cell", replace(clusters, slides=10)),
            ("clusters are biology, weakly", replace(clusters, biology=1.2, center=0.6)),
            ("clusters are centers", replace(clusters, biology=0.7, center=2.0)),
            ("unstable: biology or centers by chance", replace(clusters, biology=2.2, center=2.2)),
            ("unstable: mostly biology", replace(clusters, biology=2.2, center=1.9)),
            ("biology, cases of 2 slides", clustered_cases),
            ("9 combinations: biology", replace(clusters, classes=3, centers=3)),
            ("9 combinations, unstable", replace(clusters, classes=3, centers=3, biology=2.2, center=2.0)),
        )
    ]
    return lines + drop_scenarios() + error_scenarios() + retrieval_scenarios()


BASE = DropDesign()
DROPS = {
    "2x2, 11 slides a cell": BASE,
    "strong slides": replace(BASE, slide=1.0),
    "weak slides, 10 patches": replace(BASE, slide=0.2, patches=10),
    "Camelyon's schedule": replace(BASE, home=17, away=17, schedule="camelyon", patches=8, outside_slides=10),
    "near the ceiling": replace(BASE, biology=2.3, center=1.0, slide=0.6),
    "accuracy 0.995": replace(BASE, biology=3.3, slide=0.6),
    "deep drops": replace(BASE, center=3.0),
    "deepest drops": replace(
        BASE, biology=1.6, center=4.5, slide=0.4, patches=8, outside_slides=10, outside_shift=0.7
    ),
    "3x3, 4 slides in a cell": replace(
        BASE, centers=3, classes=3, home=8, away=4, patches=8, outside_slides=5, biology=1.2
    ),
    "4x4": replace(BASE, centers=4, classes=4, home=12, away=12, dim=10, biology=1.3, center=1.8, patches=6),
    "6x2": replace(
        BASE, classes=6, home=10, away=6, dim=10, biology=1.5, center=2.0, patches=6, outside_slides=4
    ),
    "uneven out-of-domain slides of 2 centers": replace(
        BASE, uneven=True, outside_centers=2, outside_shift=0.5, slide=0.7
    ),
    "uneven in-domain slides": replace(BASE, uneven_inside=True, slide=0.7),
    "heavy-tailed slides": replace(BASE, heavy=True, slide=0.8),
    "slides of 3 classes": replace(BASE, classes=3, shared=True, home=14, away=14, biology=1.2),
    "3 out-of-domain slides a class": replace(BASE, outside_slides=3, slide=0.6),
    "30 slides a cell": replace(BASE, home=30, away=30, outside_slides=20),
    "60 dimensions": replace(BASE, dim=60, patches=10, biology=1.2, center=2.0),
    "1,024 dimensions": replace(BASE, dim=1024, patches=6, biology=4.0, center=6.0),
}
ERRORS = {"ID": "diagnostic_errors_id", "OOD": "diagnostic_errors_ood"}
ERROR_DESIGNS = (
    "2x2, 11 slides a cell",
    "strong slides",
    "Camelyon's schedule",
    "near the ceiling",
    "accuracy 0.995",
    "deep drops",
    "3x3, 4 slides in a cell",
    "4x4",
    "6x2",
    "uneven in-domain slides",
    "3 out-of-domain slides a class",
)
ACCURACIES = ("2x2, 11 slides a cell", "Camelyon's schedule", "uneven in-domain slides")
BY_THE_METRIC = {
    "logistic, 64 dimensions": replace(BASE, dim=64, patches=5, biology=1.1, repetitions=8),
    "logistic, strong slides": replace(BASE, dim=64, patches=5, biology=1.4, slide=0.9, repetitions=8),
    "logistic, 3x3": replace(
        BASE, centers=3, classes=3, home=8, away=4, dim=64, patches=6, biology=1.5, repetitions=8
    ),
    "logistic, 256 dimensions, deep drops": replace(
        BASE, dim=256, patches=5, biology=2.0, center=3.5, repetitions=8
    ),
}


def drop_scenarios() -> list[Scenario]:
    """Of the performance drop; its truth is the mean over all simulated cohorts."""
    drop_name = "performance drop"
    lines = [
        Scenario(drop_name, f"{domain}, {name}", simulated(design, domain))
        for simulated, designs in ((drop, DROPS), (drop_by_the_metric, BY_THE_METRIC))
        for name, design in designs.items()
        for domain in DOMAINS
    ]
    lines += [
        Scenario("accuracy", f"{domain}, split {split}, {name}", accuracy(DROPS[name], domain, split))
        for name in ACCURACIES
        for domain in DOMAINS
        for split in (0, 4)
    ]
    groups = replace(BASE, outside_centers=3, outside_shift=0.5)
    others = [BASE, replace(BASE, biology=1.5), replace(BASE, center=2.5)]
    for domain in DOMAINS:
        lines += [
            Scenario(drop_name, f"{domain}, difference of two FMs", drop_difference(BASE, domain)),
            Scenario(drop_name, f"{domain}, mean over 3 cohorts", drop_mean(others, domain)),
            worst_drop(groups, domain, "medical_center"),
            worst_drop(groups, domain, "biological_class"),
        ]
    return lines


RETRIEVALS = {
    "2x2, 11 slides a cell": BASE,
    "Camelyon's schedule": replace(BASE, home=17, away=17, schedule="camelyon", patches=8),
    "near the ceiling": replace(BASE, biology=2.0, slide=0.8),
    "3x3, 4 slides in a cell": DROPS["3x3, 4 slides in a cell"],
    "slides of 3 classes": DROPS["slides of 3 classes"],
    "weak slides, 10 patches": DROPS["weak slides, 10 patches"],
}


def retrieval_scenarios() -> list[Scenario]:
    """Of case retrieval."""
    return [
        Scenario("case retrieval", f"{metric}, {name}", retrieval(replace(design, outside_slides=1), metric))
        for metric in ("retrieval_accuracy", "retrieval_drop", "retrieval_same_center")
        for name, design in RETRIEVALS.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=300)
    parser.add_argument("--only", help="scenarios whose metric or name contains this text")
    arguments = parser.parse_args()
    print(f"{machine('cpu')}; on one thread\n", flush=True)
    lines = []
    for scenario in scenarios():
        if arguments.only and arguments.only not in f"{scenario.metric} {scenario.name}":
            continue
        begin = time.perf_counter()
        try:
            with limited(1):
                simulated = list(scenario.simulate(arguments.simulations))
        except MetricError as error:
            raise SystemExit(f"{scenario.name}: {error}") from error
        values, ends = [value for value, _ in simulated], np.array([interval for _, interval in simulated])
        truth = scenario.truth(values)
        held = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        lines.append(
            [
                scenario.metric,
                scenario.name,
                len(simulated),
                f"{truth:.3f}",
                f"{np.std(values):.3f}",
                f"{np.mean(ends[:, 1] - ends[:, 0]):.3f}",
                "95 %",
                f"{held.mean():.1%}".replace("%", " %"),
            ]
        )
        seconds = time.perf_counter() - begin
        print(" | ".join(map(str, lines[-1])), f"({seconds:.0f} s)", file=sys.stderr, flush=True)
    headers = ["metric", "scenario", "simulations", "truth", "deviation", "mean width", "nominal", "actual"]
    print(tabulate(lines, headers, tablefmt="github"))


if __name__ == "__main__":
    main()
