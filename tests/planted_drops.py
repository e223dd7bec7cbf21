"""Planted cohorts for the performance drop's interval: new slides of the same design in every simulation.

Two classifiers: the package's own (`performance_drop`), and a ridge regression whose deletions are exact, a
hundred times faster, for the many cohorts that a coverage needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pathorob_checks.metrics.any_cohort_schedule import general_schedule
from pathorob_checks.metrics.drop_effects import Predictions, SlideDeletions, deletions, drop_effects
from pathorob_checks.metrics.drop_uncertainty import drop_resampling
from pathorob_checks.metrics.inputs import Int64, labels, resampling_units
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.metrics.schedules import published_schedule

Float64 = npt.NDArray[np.float64]
DOMAINS = {"ID": "performance_drop_id", "OOD": "performance_drop_ood"}


@dataclass(frozen=True)
class DropDesign:
    """What stays the same in every simulated cohort.

    Class and center move an embedding by `biology` and `center` times sqrt(2) along axes of their own, a
    slide by a random vector of standard deviation `slide` per axis, beside noise of standard deviation 1.

    Attributes
    ----------
    home, away : slides of a cell whose class is the center's own (class = center modulo centers), and others.
    patches : of each slide; with `uneven`, drawn once from 2 to 40 for each out-of-domain slide, or for each
        slide with `uneven_inside`.
    outside_slides, outside_centers : out-of-domain slides per class of each center, and such centers.
    outside_shift : standard deviation per axis of the fixed shift of an out-of-domain center.
    heavy : whether slides vary by Student's t with 3 degrees of freedom.
    shared : whether a slide gives patches to every class of its center.
    schedule : `general`, or the name of a published one.
    """

    centers: int = 2
    classes: int = 2
    home: int = 11
    away: int = 11
    patches: int = 4
    biology: float = 0.9
    center: float = 1.5
    slide: float = 0.5
    outside_slides: int = 6
    outside_centers: int = 1
    outside_shift: float = 0.0
    dim: int = 6
    heavy: bool = False
    shared: bool = False
    uneven: bool = False
    uneven_inside: bool = False
    schedule: str = "general"
    repetitions: int = 20

    @cached_property
    def table(self) -> pd.DataFrame:
        """The patch table, the same for every simulated cohort."""
        sizes = np.random.default_rng(5)
        rows: list[tuple[str, str, int, int]] = []

        def add(subset: str, name: str, cls: int, center: int, uneven: bool) -> None:
            count = int(sizes.choice([2, 3, 5, 8, 20, 40])) if uneven else self.patches
            rows.extend([(subset, name, cls, center)] * count)

        for center in range(self.centers):
            for cls in range(self.classes):
                for slide in range(self.home if cls % self.centers == center else self.away):
                    name = f"{center}/{slide}" if self.shared else f"{center}/{cls}/{slide}"
                    add("ID", name, cls, center, self.uneven_inside)
        for center in range(self.outside_centers):
            for cls in range(self.classes):
                for slide in range(self.outside_slides):
                    add("OOD", f"outside {center}/{cls}/{slide}", cls, self.centers + center, self.uneven)
        table = pd.DataFrame(rows, columns=["subset", "slide_id", "class", "center"])
        table["biological_class"] = [self._class_name(number) for number in table["class"]]
        table["medical_center"] = [self._center_name(number) for number in table["center"]]
        return table

    def _class_name(self, number: int) -> str:
        return ("normal", "tumor")[number] if self.schedule == "camelyon" else f"class {number}"

    def _center_name(self, number: int) -> str:
        inside = ("RUMC", "UMCU") if self.schedule == "camelyon" else ()
        return inside[number] if number < len(inside) else f"center {number}"

    @cached_property
    def draws(self) -> list:  # type: ignore[type-arg]
        """The repetitions, which depend on the table alone."""
        if self.schedule == "general":
            schedule = general_schedule(self.table, repetitions=self.repetitions)
        else:
            schedule = published_schedule(self.schedule)  # type: ignore[assignment]
        return list(schedule.repetitions(self.table, self.repetitions))

    def embeddings(self, seed: int, *, other_fm: float = 0.0) -> npt.NDArray[np.float32]:
        """(N, dim) of new slides for every seed; `other_fm` adds noise of its own to the same slides."""
        generator, table = np.random.default_rng(seed), self.table
        axes = np.eye(max(self.dim, self.classes + self.centers))[:, : self.dim]
        inside = (table.center < self.centers).to_numpy()
        x = self.biology * 2**0.5 * axes[table["class"]]
        x[inside] += self.center * 2**0.5 * axes[self.classes + table.center.to_numpy()[inside]]
        shifts = np.random.default_rng(77).standard_normal((self.outside_centers, self.dim))
        x[~inside] += self.outside_shift * shifts[table.center.to_numpy()[~inside] - self.centers]
        slide, names = pd.factorize(table.slide_id)
        moves = generator.standard_normal((len(names), self.dim))
        if self.heavy:
            moves /= np.sqrt(generator.chisquare(3, (len(names), 1)))
        x += self.slide * moves[slide] + generator.standard_normal(x.shape)
        if other_fm:
            x += other_fm * np.random.default_rng(seed + 10**6).standard_normal(x.shape)
        return x.astype(np.float32)

    def ridge_predictions(self, x: npt.NDArray[np.float32]) -> dict[str, Predictions]:
        """By domain, what ridge regressions predict, also without each training slide."""
        table = self.table
        classes, centers, slides = (
            labels(table, column, "drop") for column in ("biological_class", "medical_center", "slide_id")
        )
        units = resampling_units(table, "drop")
        points = np.hstack([x.astype(np.float64), np.ones((len(x), 1))])
        target = np.eye(len(classes.names))[classes.codes]
        cells = centers.codes * len(classes.names) + classes.codes
        trains = np.zeros(len(units.names), dtype=bool)
        trains[units.codes[(table.subset != "OOD").to_numpy()]] = True
        predicted: dict[str, list[list[Int64]]] = {domain: [] for domain in DOMAINS}
        without: dict[str, list[list[SlideDeletions]]] = {domain: [] for domain in DOMAINS}
        rows: dict[str, list[Int64]] = {domain: [] for domain in DOMAINS}
        for draw in self.draws:
            tested = {"ID": draw.id_test, "OOD": draw.ood_test}
            for domain in DOMAINS:
                rows[domain].append(tested[domain])
                predicted[domain].append([])
                without[domain].append([])
            for training in draw.training:
                left_out = deletions(training, units.codes, cells)
                counts = np.vstack([np.ones(len(training)), left_out.multiplicity])
                for domain, places in tested.items():
                    best = _ridge(points[training], target[training], counts, points[places])
                    predicted[domain][-1].append(best[0])
                    without[domain][-1].append(
                        SlideDeletions(
                            units=left_out.units, share=left_out.share, predicted=best[1:].astype(np.int16)
                        )
                    )
        return {
            domain: Predictions(
                rows=rows[domain],
                predicted=predicted[domain],
                without=without[domain],
                classes=classes,
                centers=centers,
                slides=slides,
                units=units,
                trains=trains,
            )
            for domain in DOMAINS
        }


def _ridge(x: Float64, target: Float64, counts: Float64, tested: Float64) -> Int64:
    """(G, m) classes predicted by ridge regressions with (G, n) counts of the training points."""
    if x.shape[1] <= x.shape[0]:
        weighted = counts[:, :, None] * x
        products = weighted.transpose(0, 2, 1) @ x + np.eye(x.shape[1])
        weights = np.linalg.solve(products, weighted.transpose(0, 2, 1) @ target)
        return np.asarray((tested @ weights).argmax(axis=2))
    roots = np.sqrt(counts)
    products = roots[:, :, None] * (x @ x.T) * roots[:, None, :] + np.eye(len(x))
    inner = np.linalg.solve(products, roots[:, :, None] * target)
    return np.asarray(((tested @ x.T) @ (roots[:, :, None] * inner)).argmax(axis=2))


def drop_of_ridge(
    design: DropDesign,
    seed: int,
    domains: Sequence[str] = tuple(DOMAINS),
    *,
    other_fm: float = 0.0,
    split: int | None = None,
) -> dict[str, Resampling]:
    """By domain, the drop of ridge regressions on a simulated cohort, with the effects of its slides.

    With `split` it is the accuracy at this split of the training slides.
    """
    tested = design.ridge_predictions(design.embeddings(seed, other_fm=other_fm))
    measured = {}
    for domain in domains:
        splits = len(tested[domain].predicted[0])
        effects = drop_effects(tested[domain], factors=None if split is None else np.eye(splits)[split])
        if effects is None:
            raise ValueError(f"simulation {seed} has no accuracy at the balanced split")
        measured[domain] = drop_resampling(DOMAINS[domain], effects, tested[domain], {})
    return measured
