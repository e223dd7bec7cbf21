"""Measurements and definitions of nIPD, from the classifiers of the performance drop."""

from __future__ import annotations

from functools import partial

from pathorob_checks.metrics.definition import Metric
from pathorob_checks.metrics.needs import NO_OUTSIDE, drop_needs, outside_needs
from pathorob_checks.metrics.performance import COMPUTATION
from pathorob_checks.metrics.remedies import BALANCE, OTHERWISE
from pathorob_checks.wording import rounded_percent

_MARGIN = 0.02  # about that of the drop, 0.01, in shares of the skill
_NO_SKILL = (
    "has no out-of-domain patches, or no accuracy above chance there with balanced training data",
    f"{NO_OUTSIDE[1]}; where there are such patches, check that labels and embeddings belong together",
)


def _meaning(where: str, value: float) -> str:
    change = "loses" if value < 0 else "gains"
    return (
        f"{where}, a classifier on these embeddings {change} {rounded_percent(abs(value))} of its accuracy "
        "above chance, on average from balanced training data to data in which class and center go together"
    )


def _degradation(
    name: str, label: str, where: str, missing: tuple[str, str], *, out_of_domain: bool
) -> Metric:
    return Metric(
        name=name,
        label=label,
        computation=COMPUTATION,
        lowest=-1.0,  # all skill lost as soon as class and center are related
        highest=1.0,
        neutral=0.0,
        margin=_MARGIN,
        meaning=partial(_meaning, where),
        remedies=(
            BALANCE,
            "Look at the curve over Cramér's V: it shows from which strength on the skill is lost.",
            OTHERWISE,
        ),
        quantities=("value", "mean", "difference"),
        out_of_domain=out_of_domain,
        needs=partial(outside_needs, name) if out_of_domain else drop_needs,
        missing=missing,
    )


METRICS = (
    _degradation(
        "nipd_id",
        "degradation ID",
        "tested at the medical centers of the training data",
        (
            "has no accuracy above chance with balanced training data",
            "check that labels and embeddings belong together",
        ),
        out_of_domain=False,
    ),
    _degradation(
        "nipd_ood",
        "degradation OOD",
        "tested at medical centers without training data",
        _NO_SKILL,
        out_of_domain=True,
    ),
)
