"""Results with everything that figures draw, made by hand, and what one reads back from a figure."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from made_checks import completeness_of, made
from matplotlib.figure import Figure
from matplotlib.text import Text

from pathorob_checks import Results
from pathorob_checks.evaluation.facts import machine_facts
from pathorob_checks.metrics.pictured import Curve, Grid
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.results.document import MetricFacts
from pathorob_checks.results.environment import Environment, Terms
from pathorob_checks.results.outcome import summarize
from pathorob_checks.results.subject_facts import (
    CohortFacts,
    EmbeddingMap,
    FMFacts,
    Neighborhood,
    PatchFacts,
    Run,
)

CLASSES, CENTERS = ("normal", "tumor"), ("RUMC", "UMCU")
INDEX_CURVE = Curve(
    name="robustness index", over="neighbors k", x=(1, 5, 11), y=(0.2, None, 0.31), marked=11,
    level=0.5, level_name="biology and center weigh the same",
)  # fmt: skip
SHARES = Grid(
    name="share of the 11 nearest neighbors", row_name="patches (center / class)", column_name="neighbors",
    rows=("RUMC / normal", "RUMC / tumor"), columns=("same class", "other class (OS)"),
    values=((0.75, 0.25), (0.5, 0.5)), is_share=True,
)  # fmt: skip
PAIRS = Grid(
    name="clustering score", row_name="two classes", column_name="two medical centers",
    rows=("normal / tumor", "normal / stroma"), columns=("RUMC / UMCU", "RUMC / CWZ"),
    values=((-0.4, 0.25), (None, 1.003)), lowest=-1.0, highest=1.0, neutral=0.0,
)  # fmt: skip


def accuracy(domain, values, width=0.1):
    return Curve(
        name=f"balanced accuracy, {domain}", over="Cramér's V of class and center", x=(0.0, 0.5, 1.0),
        y=values, low=tuple(value - width for value in values), high=tuple(value + width for value in values),
        band="95 % interval", level=0.5, level_name="chance",
    )  # fmt: skip


def checks_of(fm="ours", cohort="camelyon", index=0.31):
    """The four criteria of an FM on a cohort, with curves and grids."""
    half = 0.05
    return [
        made(
            "robustness_index", index, fm=fm, cohort=cohort, interval=(index - half, index + half),
            curves=(INDEX_CURVE,), grids=(SHARES,),
        ),
        made(
            "performance_drop_id", fm=fm, cohort=cohort, interval=(-0.16, -0.08),
            curves=(accuracy("in-domain", (0.95, 0.9, 0.8)),),
        ),
        made(
            "performance_drop_ood", fm=fm, cohort=cohort, interval=(-0.05, 0.01),
            curves=(accuracy("out-of-domain", (0.85, 0.8, 0.75)),),
        ),
        made("clustering_score", fm=fm, cohort=cohort, interval=(-0.4, -0.05), grids=(PAIRS,)),
    ]  # fmt: skip


def map_of(patches=40, classes=CLASSES, centers=CENTERS, seed=0):
    draw = np.random.default_rng(seed)
    kinds, places = draw.integers(len(classes), size=patches), draw.integers(len(centers), size=patches)
    return EmbeddingMap(
        x=tuple((draw.normal(size=patches) + places).round(4).tolist()),
        y=tuple((draw.normal(size=patches) + kinds).round(4).tolist()),
        biological_class=tuple(kinds.tolist()),
        medical_center=tuple(places.tolist()),
        classes=tuple(classes),
        centers=tuple(centers),
        explained=(0.4, 0.25),
        patches=patches * 10,
    )


def patch(number, biological_class="tumor", center="RUMC"):
    return PatchFacts(
        slide_id=f"s{number}", patch_id=f"p{number}", biological_class=biological_class, medical_center=center
    )


def neighborhood(metric="robustness_index"):
    kinds = [(kind, center) for kind in CLASSES for center in CENTERS]
    neighbors = tuple(patch(number, *kind) for number, kind in enumerate(kinds, 2))
    return Neighborhood(metric=metric, patch=patch(1), neighbors=neighbors)


def run_of(fm="ours", cohort="camelyon", **changes):
    facts = FMFacts(
        name=fm, spec=fm, revision=None, license="MIT", commercial=True, identity={}, dimension=3,
        embeddings="key", extraction={},
    )  # fmt: skip
    place = CohortFacts(
        name=cohort, source="", digest="d", tables={}, license="MIT", commercial=None, patches=4, slides=2,
        biological_classes=CLASSES, in_domain_centers=CENTERS, out_of_domain_centers=(),
    )  # fmt: skip
    content = {"map": map_of(), "neighborhoods": (neighborhood(),), **changes}
    return Run(fm=facts, cohort=place, **content)


def results_of(checks=None, runs=None, **changes):
    """Results of these checks; by default of one FM on one cohort with all that figures draw."""
    checks = checks_of() if checks is None else checks
    completeness = completeness_of(checks)
    summary = summarize(checks, completeness)
    terms = Terms(
        name="floor", files=("floor",), digest="0" * 64, profile={}, protocol={}, completeness=completeness
    )
    known = metrics()
    content = {
        "created": datetime(2026, 3, 1, tzinfo=UTC),
        "complete": completeness.complete,
        "outcome": summary.outcome,
        "summary": summary.sentence,
        "environment": Environment(**machine_facts(), criteria=terms),
        "metrics": {
            name: MetricFacts.of(known[name])
            for name in dict.fromkeys(check.metric for check in checks)
            if name in known
        },
        "runs": (run_of(),) if runs is None else tuple(runs),
        "checks": tuple(checks),
    }
    return Results(**{**content, **changes})


def lines(figure: Figure, label: str, panel: int = 0) -> list[tuple[list[float], list[float]]]:
    """Coordinates of the lines of a label in a panel."""
    labelled = [line for line in figure.axes[panel].get_lines() if line.get_label() == label]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in labelled]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def titled(figure: Figure, title: str):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)
