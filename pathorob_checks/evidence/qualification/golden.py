"""Every metric of this package on the golden cohorts, against the values that `golden_values.json` freezes.

Most of these are what the reference implementation of the benchmark printed for the same embeddings; the
others, intervals among them, are this package's own and say that it computes what it computed before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pathorob_checks.evidence.qualification import golden_cohorts
from pathorob_checks.evidence.qualification.record import Finding, failure
from pathorob_checks.metrics import (
    case_retrieval,
    center_prediction,
    class_prediction,
    clustering_score,
    margin_aware_index,
    performance_drop,
    robustness_index,
    robustness_margin,
    slide_prediction,
)
from pathorob_checks.metrics.pretraining_overlap import pretraining_share
from pathorob_checks.metrics.schedules import published_schedule
from pathorob_checks.pretraining import Pretraining, PretrainingData
from pathorob_checks.wording import counted

Values = Mapping[str, float]
Float32 = npt.NDArray[np.float32]
SHAPE = "golden cohorts of the benchmark's numbers of patches, embeddings of dimension 24"
_REPETITIONS = 2  # of the 20 of the protocol: the drop of the first is compared with the reference


def golden() -> Iterator[Finding]:
    """Measure every case, a record for each frozen value, then one for the time that the case took."""
    for case in frozen()["cases"]:
        started = time.monotonic()
        try:
            values: Values = _METRICS[case["metric"]](case)
            note = ""
        except Exception as error:  # the case failed, and the record says so
            values, note = {}, failure(error)
        seconds = time.monotonic() - started
        name = f"{case['metric']}-{case['cohort']}"
        for value in case["values"]:
            yield Finding(
                id=f"operation/golden/{name}/{value['quantity']}",
                what=f"{value['quantity'].replace('-', ' ')} of {case['metric']} on golden {case['cohort']}",
                expected=value["value"],
                actual=values.get(value["quantity"]),
                tolerance=value["tolerance"],
                origin=value["origin"],
                note=note,
            )
        yield Finding(
            id=f"performance/time/{name}",
            what=f"time of {case['metric']} on {counted(case['patches'], 'patch', 'patches')}, dimension 24",
            actual=round(seconds, 2) if values else None,
            unit="s",
        )


def frozen() -> dict[str, Any]:
    """The content of `golden_values.json`."""
    text = (files("pathorob_checks.evidence.qualification") / "golden_values.json").read_text(
        encoding="utf-8"
    )
    content: dict[str, Any] = json.loads(text)
    return content


def view(cohort: str, table: str, *, in_domain: bool) -> tuple[Float32, pd.DataFrame]:
    """(N, 24) float32 embeddings of a golden cohort and the N rows of a table of it."""
    name, weights = golden_cohorts.COHORTS[cohort]
    whole = golden_cohorts.TABLES[name]()
    everything = golden_cohorts.embeddings(
        whole, seed=100 + list(golden_cohorts.COHORTS).index(cohort), **weights
    )
    by_patch = dict(zip(golden_cohorts.patch_keys(whole), everything, strict=True))
    rows = golden_cohorts.TABLES[table]()
    if in_domain:
        rows = rows[rows.subset != "OOD"].reset_index(drop=True)
    return np.stack([by_patch[key] for key in golden_cohorts.patch_keys(rows)]), rows


def _index(case: Mapping[str, Any]) -> Values:
    embeddings, patches = view(case["cohort"], case["table"], in_domain=True)
    result = robustness_index(embeddings, patches, k=case["k"], paired=case["paired"])
    low, high = result.interval or (None, None)
    return _known(
        {
            "value": result.value,
            "balanced-accuracy": result.balanced_accuracy,
            "support": result.support,
            "interval-low": low,
            "interval-high": high,
        }
    )


def _drop(case: Mapping[str, Any]) -> Values:
    embeddings, patches = view(case["cohort"], case["table"], in_domain=False)
    result = performance_drop(
        embeddings, patches, schedule=published_schedule(case["cohort"]), repetitions=_REPETITIONS
    )
    return _known(
        {
            "first-id": first_drop(result.id_accuracies),
            "first-ood": first_drop(result.ood_accuracies),
            "id": result.id_drop,
            "ood": result.ood_drop,
        }
    )


def first_drop(accuracies: Any) -> float:
    """Mean relative change over the splits of the first repetition; of (splits, repetitions) accuracies."""
    first = np.asarray(accuracies, dtype=np.float64)[:, 0]
    return float((first[1:] / first[0]).mean() - 1)


def _clusters(case: Mapping[str, Any]) -> Values:
    embeddings, patches = view(case["cohort"], case["table"], in_domain=True)
    result = clustering_score(embeddings, patches)
    values = {"value": result.value, "deviation": result.deviation, "K": result.combinations[0].K}
    return _known(values)


def _further(function: Callable[..., Any], *, in_domain: bool, **settings: Any) -> Callable[..., Values]:
    """Value and interval of every metric that a function measures."""

    def measure(case: Mapping[str, Any]) -> Values:
        embeddings, patches = view(case["cohort"], case["table"], in_domain=in_domain)
        more = {} if in_domain else {"schedule": published_schedule(case["cohort"])}
        values: dict[str, float | None] = {}
        for name, measured in function(embeddings, patches, **settings, **more).measurements().items():
            low, high = measured.interval or (None, None)
            quantity = name.replace("_", "-")
            values |= {quantity: measured.value, f"{quantity}-low": low, f"{quantity}-high": high}
        return _known(values)

    return measure


def _overlap(case: Mapping[str, Any]) -> Values:
    stated = tuple(PretrainingData(name=name, source="the golden case") for name in case["pretrained_on"])
    pretraining = Pretraining(data=stated, is_complete=True)
    _, patches = view(case["cohort"], case["table"], in_domain=True)
    measured = pretraining_share(None, patches, pretraining=pretraining, sources=tuple(case["sources"]))
    return _known({"value": measured.value})


def _known(values: Mapping[str, float | None]) -> Values:
    return {name: float(value) for name, value in values.items() if value is not None}


_METRICS: Mapping[str, Callable[[Mapping[str, Any]], Values]] = {
    "robustness_index": _index,
    "performance_drop": _drop,
    "clustering_score": _clusters,
    "croma": _further(robustness_margin, in_domain=True, paired=False),
    "mari": _further(margin_aware_index, in_domain=True, k=46, paired=False),
    "center_prediction": _further(center_prediction, in_domain=True),
    "class_prediction": _further(class_prediction, in_domain=True),
    "case_retrieval": _further(case_retrieval, in_domain=False, repetitions=_REPETITIONS),
    "slide_prediction": _further(slide_prediction, in_domain=False, repetitions=_REPETITIONS),
    "pretraining_overlap": _overlap,
}
