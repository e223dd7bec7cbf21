"""The definitions of the diagnostic errors and their asymmetry, which `performance_drop` measures too."""

from __future__ import annotations

from functools import partial

from pathorob_checks.metrics.definition import Metric
from pathorob_checks.metrics.needs import NO_OUTSIDE, drop_needs, outside_needs
from pathorob_checks.metrics.performance import COMPUTATION
from pathorob_checks.metrics.remedies import BALANCE, OTHERWISE
from pathorob_checks.wording import rounded_percent

_REMEDIES = (
    BALANCE,
    "Do not use a classifier at a medical center that lacks one of its classes in the training data.",
    OTHERWISE,
)


def _increase(where: str, value: float) -> str:
    if not value:
        return (
            f"{where}, no class of any medical center is misread more often if class and center go together "
            "in the classifier's training data"
        )
    change = f"{rounded_percent(abs(value))} {'more' if value > 0 else 'less'}"
    return (
        f"{where}, in the worst medical center and biological class {change} of the patches are called "
        "another class if class and center go together in the training data than if these are balanced"
    )


def _direction(value: float) -> str:
    if not value:
        return "class and center going together in training gives the errors no direction"
    way = "towards the classes" if value > 0 else "away from the classes"
    return (
        f"training in which class and center go together adds errors {way} that go with the patch's center: "
        f"{rounded_percent(abs(value))} of what a classifier adds that reads the center alone"
    )


def _errors(name: str, label: str, where: str, missing: tuple[str, str] | None = None) -> Metric:
    return Metric(
        name=name,
        label=label,
        computation=COMPUTATION,
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
        margin=0.05,
        meaning=partial(_increase, where),
        remedies=_REMEDIES,
        higher_is_better=False,
        quantities=("value", "mean", "difference"),  # the value is that of the worst center and class already
        groups_cover_view=False,
        out_of_domain=missing is not None,
        guaranteed=lambda p: p,  # the other slides' patches may all change
        needs=drop_needs if missing is None else partial(outside_needs, name),
        missing=missing,
    )


METRICS = (
    _errors(
        "diagnostic_errors_id",
        "added errors ID",
        "tested at the medical centers of the training data",
    ),
    _errors(
        "diagnostic_errors_ood",
        "added errors OOD",
        "tested at medical centers without training data",
        NO_OUTSIDE,
    ),
    Metric(
        name="error_asymmetry",
        label="error asymmetry",
        computation=COMPUTATION,
        lowest=-1.0,
        highest=1.0,
        neutral=0.0,
        margin=0.05,
        meaning=_direction,
        remedies=_REMEDIES,
        higher_is_better=False,
        quantities=("value", "worst-center", "mean", "difference"),
        groups_cover_view=False,
        needs=drop_needs,
        missing=(
            "has a schedule in which no class comes to go with a medical center",
            "use a schedule that ends with class and center correlated",
        ),
        beyond="the classifier with balanced training data already errs in the other direction",
    ),
)
