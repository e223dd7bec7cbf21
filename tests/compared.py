"""Results of FMs as files have them, made by hand, for the tests of comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
from made_checks import made
from test_results_file import document

from pathorob_checks import Results
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.results.check import Check
from pathorob_checks.results.subject_facts import CohortFacts, FMFacts, Run

IDENTITY = {"kind": "hf-hub", "pooling": "default", "precision": "fp32", "recipe": {"pooling": "clsmean"}}
FM = FMFacts(
    name="ours", spec="ours", revision=None, license="MIT", commercial=True, identity=IDENTITY, dimension=3,
    embeddings="key", extraction={"model": {"pooling": "clsmean"}},
)  # fmt: skip
COHORT = CohortFacts(
    name="camelyon", source="published@1", digest="d", tables={"camelyon.csv": "sha"}, license="CC0",
    commercial=True, patches=100, slides=20, biological_classes=("normal", "tumor"),
    in_domain_centers=("RUMC", "UMCU"), out_of_domain_centers=(),
)  # fmt: skip


def drawn(metric: str, value: float, seed: int = 0, units: int = 20, **changes: Any) -> Resampling:
    """What an interval of `value` is drawn from."""
    effects = np.random.default_rng(seed).normal(size=units) * 0.01
    content = {
        "metric": metric,
        "value": value,
        "scale": "logit" if metric == "robustness_index" else "identity",
        "drawn": "slides",
        "units": tuple(f"slide {number}" for number in range(units)),
        "cells": (("RUMC / tumor",),) * units,
        "effects": tuple(map(float, effects)),
        "protocol": {"k": 11},
        **changes,
    }
    return Resampling(**content)


def check(
    fm: str = "ours",
    value: float = 0.6,
    *,
    metric: str = "robustness_index",
    cohort: str = "camelyon",
    seed: int = 0,
    **changes: Any,
) -> Check:
    """A measured check."""
    content = {"interval": (value - 0.1, value + 0.1), "resampling": drawn(metric, value, seed), **changes}
    interval = content.pop("interval")
    return made(metric, value, fm=fm, cohort=cohort, interval=interval, **content)


def results(
    *checks: Check,
    fms: dict[str, dict[str, Any]] | None = None,
    cohorts: dict[str, dict[str, Any]] | None = None,
    protocol: dict[str, Any] | None = None,
) -> Results:
    """A document of some checks; `fms` and `cohorts` say by name in what their facts differ."""
    checks = checks or (check(),)
    base = document(list(checks))
    places = dict.fromkeys((one.fm, one.method, name) for one in checks for name in one.cohort.split("+"))
    runs = tuple(
        Run(
            fm=FM.model_copy(
                update={"name": fm, "embeddings": fm, "identity": {**IDENTITY, "repository": fm}}
                | (fms or {}).get(fm, {})
            ),
            method=method,
            cohort=COHORT.model_copy(update={"name": cohort} | (cohorts or {}).get(cohort, {})),
        )
        for fm, method, cohort in places
    )
    said = {
        "metrics": {one.computation.name: one.computation.protocol for one in metrics().values()},
        "cohorts": {cohort: {"robustness_index": {"k": 11}} for *_, cohort in places},
        **(protocol or {}),
    }
    terms = base.environment.criteria.model_copy(update={"protocol": said})
    environment = base.environment.model_copy(update={"criteria": terms})
    return base.model_copy(update={"runs": runs, "environment": environment})
