"""Records of checks, as a run makes them, for the tests of what is said of them."""

import dataclasses

from pathorob_checks.report.coverage import Coverage
from pathorob_checks.report.record import CheckRecord

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Verdict, judge
from pathorob_checks.metrics.measurement import Measurement, Weakness
from pathorob_checks.report.terminal import summary_line

WEAKEST = (
    Weakness(medical_center="RUMC", biological_class="tumor", value=0.12, meaning="share of class"),
    Weakness(medical_center="UMCU", biological_class="normal", value=0.2, meaning="share of class"),
)
VALUES = {
    "robustness_index": 0.31,
    "performance_drop_id": -0.123,
    "performance_drop_ood": -0.031,
    "clustering_score": -0.2,
}


def record(metric="robustness_index", value=None, *, fm="demo:color-sensitive", cohort="demo",
           profile="floor", interval=None, weakest=(), **changes):  # fmt: skip
    (criterion,) = load_profile(profile).criteria_for(cohort, metric)
    measurement = Measurement(
        metric=metric,
        value=VALUES[metric] if value is None else value,
        interval=interval,
        support=None,
        rows=100,
        protocol={"k": 11},
        weakest=weakest,
    )
    made = CheckRecord.of_measurement(
        test_id=f"{metric}[{fm}-{cohort}]",
        fm=fm,
        criterion=criterion,
        measurement=measurement,
        judgement=judge(criterion.bound, criterion.direction, measurement, criterion.rule),
    )
    return dataclasses.replace(made, **changes)


def unmeasured(verdict=Verdict.ERROR, reason="the images are missing", metric="robustness_index", **changes):
    (criterion,) = load_profile("floor").criteria_for("demo", metric)
    made = CheckRecord.not_measured(
        test_id="t", fm="demo:color-sensitive", criterion=criterion, reason=reason, verdict=verdict
    )
    return dataclasses.replace(made, **changes)


def covering(records, planned=None, crashed=False, left_out=0):
    """What a run with these records covers of `planned` criteria."""
    total = max(planned or 0, len(records))
    measured = sum(one.verdict.is_measured for one in records)
    absent = total - len(records) + sum(not one.verdict.is_measured and one.required for one in records)
    return Coverage(
        planned=total,
        measured=measured,
        left_out=left_out,
        never_ran=total - len(records) - left_out,
        missing=absent - left_out,
        absent=absent,
        crashed=crashed,
    )


def headline(records, planned=None, crashed=False, left_out=0):
    return summary_line(records, covering(records, planned, crashed, left_out))


def passing(**options):
    return record(value=0.9, **options)


def lines_wider_than(width, text):
    return [line for line in text.splitlines() if len(line) > width]
