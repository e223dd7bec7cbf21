"""Checks as a run makes them, for the tests of what is reported of them."""

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.judging import judged, not_measured
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.evaluation.plan import PlannedCheck
from pathorob_checks.metrics.measurement import CellValue, Measurement
from pathorob_checks.results.environment import Completeness
from pathorob_checks.results.outcome import summarize

CELLS = (
    CellValue(medical_center="RUMC", biological_class="tumor", value=0.12, meaning="share of class"),
    CellValue(medical_center="UMCU", biological_class="normal", value=0.6, meaning="share of class"),
)
VALUES = {
    "robustness_index": 0.31,
    "performance_drop_id": -0.123,
    "performance_drop_ood": -0.031,
    "clustering_score": -0.2,
    "croma_median": -0.1,
    "croma_f0": 0.6,
    "croma_ltm10": -0.4,
    "mari": 0.3,
    "center_prediction": 0.99,
    "center_prediction_knn": 1.0,
    "diagnostic_errors_id": 0.31,
    "diagnostic_errors_ood": 0.27,
    "error_asymmetry": 0.4,
    "nipd_id": -0.3,
    "nipd_ood": -0.1,
    "slide_prediction_id": -0.05,
    "slide_prediction_ood": -0.02,
    "retrieval_accuracy": 0.4,
    "retrieval_drop": -0.2,
    "retrieval_same_center": 0.9,
}


def criterion_of(metric, cohort="demo", profile="floor"):
    """The profile's criterion of a metric; that of `full` where the profile has none."""
    criteria = [one for name in (profile, "full") for one in load_profile(name).criteria_for((cohort,))]
    return next(one for one in criteria if one.metric == metric)


def made(metric="robustness_index", value=None, *, fm="demo:color-sensitive", cohort="demo",
         profile="full", interval=None, cells=(), protocol=None, support=None, **changes):  # fmt: skip
    measurement = Measurement(
        metric=metric,
        value=VALUES[metric] if value is None else value,
        interval=interval,
        support=support,
        rows=100,
        protocol={"k": 11} if protocol is None else protocol,
        cells=cells,
    )
    criterion = criterion_of(metric, cohort, profile)
    check = judged(f"{metric}[{fm}-{cohort}]", fm, "none", criterion, Measured(measurement=measurement))
    return check.model_copy(update=changes)


def unmeasured(verdict=Verdict.ERROR, reason="the images are missing", metric="robustness_index", **changes):
    planned = PlannedCheck(fm="demo:color-sensitive", method="none", criterion=criterion_of(metric))
    return not_measured("t", planned, reason, verdict).model_copy(update=changes)


def completeness_of(checks, planned=None, crashed=False, deselected=0):
    """How complete a run with these checks is, out of `planned` criteria."""
    total = max(planned or 0, len(checks))
    measured = sum(one.verdict.is_measured for one in checks)
    absent = total - len(checks) + sum(not one.verdict.is_measured and one.required for one in checks)
    return Completeness(
        planned=total,
        measured=measured,
        deselected=deselected,
        never_ran=total - len(checks) - deselected,
        missing=absent - deselected,
        absent=absent,
        crashed=crashed,
    )


def headline(checks, planned=None, crashed=False, deselected=0):
    return summarize(checks, completeness_of(checks, planned, crashed, deselected)).sentence


def passing(**options):
    return made(value=0.9, **options)


def lines_wider_than(width, text):
    return [line for line in text.splitlines() if len(line) > width]
