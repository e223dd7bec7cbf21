"""What is suspect where a criterion is not met, and how other quantities than a value are told."""

import dataclasses

import pytest
from pathorob_checks.report.explain import explain, in_one_sentence, label_of
from pathorob_checks.report.record import CheckRecord
from pathorob_checks.report.suspects import suspects

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Verdict, judge
from pathorob_checks.metrics.measurement import Measurement, SlideWeakness, Weakness
from pathorob_checks.metrics.resampling import Resampling

(CRITERION,) = load_profile("floor").criteria_for("demo", "robustness_index")
SLIDES = tuple(
    SlideWeakness(
        slide_id=f"slide-{n}", medical_center="RUMC", biological_class="tumor", value=0.1, meaning="x"
    )
    for n in range(9)
)
CELL = Weakness(
    medical_center="RUMC", biological_class="tumor", value=0.1, meaning="a share", same_center=0.83
)


def drawn(slides_per_cell):
    cells = tuple((cell,) for cell, count in slides_per_cell.items() for _ in range(count))
    return Resampling(
        metric="robustness_index",
        value=0.4,
        scale="logit",
        drawn="slides",
        cells=cells,
        units=tuple(map(str, range(len(cells)))),
        effects=(0.0,) * len(cells),
        protocol={},
    )


def measured(value=0.3, interval=(0.25, 0.35), **more):
    settings = {"support": 0.5, "resampling": drawn({"A / x": 9, "B / x": 9}), **more}
    return Measurement(
        metric="robustness_index",
        value=value,
        interval=interval,
        rows=100,
        protocol={},
        weakest=(CELL,),
        slides=SLIDES,
        **settings,
    )


def suspected(measurement, drift=None, **changes):
    criterion = CRITERION.model_copy(update=changes)
    told = judge(criterion.bound, criterion.direction, measurement, criterion.rule, drift=drift)
    return suspects(measurement, criterion, told.verdict, drift)


def test_nothing_is_suspect_where_the_criterion_is_met():
    assert suspected(measured(0.9, (0.8, 0.95))) == []


def test_a_clear_failure_on_a_sound_cohort_is_the_embeddings():
    [said] = suspected(measured())
    assert said.startswith("embedding: ")


def test_an_interval_around_the_bound_makes_the_cohort_suspect_and_tells_how_much_larger_it_had_to_be():
    [said] = suspected(measured(0.48, (0.44, 0.52)))
    assert said == "cohort: it is too small to tell; some 4 times as many slides would, if the value stayed."
    assert "a far larger cohort" in suspected(measured(0.5, (0.44, 0.52)), rule="confident")[0]


def test_drift_that_reaches_the_bound_makes_the_precision_suspect():
    said = suspected(measured(0.49, (0.48, 0.495)), drift=0.02)
    assert said[0].startswith("precision: it moves the value by up to 0.02, and the bound is 0.01 away")
    assert not any(one.startswith("precision") for one in suspected(measured(), drift=0.02))


def test_little_support_and_few_slides_are_told_beside_a_failure():
    said = suspected(measured(support=0.04, resampling=drawn({"A / x": 9, "B / x": 2})))
    assert said[0].startswith("embedding: ")
    assert "cohort: only 4 % of the patches say anything about it." in said
    assert "cohort: B / x has 2 slides; the interval is rough there." in said


def test_without_an_interval_no_certainty_is_claimed():
    [said] = suspected(measured(interval=None))
    assert "no interval tells" in said


# --- the message of a failing test ------------------------------------------------------------------------


def record(quantity="value", measurement=None, **more):
    criterion = CRITERION.model_copy(update={"quantity": quantity})
    measurement = measurement or measured()
    told = judge(criterion.bound, criterion.direction, measurement)
    return CheckRecord.of_measurement(
        test_id="t",
        fm="virchow2",
        criterion=criterion,
        measurement=measurement,
        judgement=told,
        suspects=suspects(measurement, criterion, told.verdict),
        **more,
    )


def flat(text):
    return " ".join(text.split())


def test_a_failure_names_cells_slides_neighbors_and_suspects_in_at_most_twenty_lines():
    told = explain(record())
    assert len(told.splitlines()) <= 20
    for said in (
        "Weakest: tumor of RUMC: 0.100 (a share; 83 % of its neighbors are from its own center)",
        "Slides: most responsible: slide-0, slide-1, slide-2.",
        "Suspect: embedding: ",
    ):
        assert said in flat(told)


@pytest.mark.parametrize(
    ("quantity", "more", "label", "said"),
    [
        (
            "worst-center",
            {"group": "RUMC"},
            "robustness index, worst center",
            "of virchow2 on demo, worst medical center (RUMC), is 0.300, below the bound 0.500",
        ),
        (
            "worst-class",
            {"group": "tumor"},
            "robustness index, worst class",
            "worst biological class (tumor)",
        ),
        ("mean", {}, "robustness index, mean", "robustness index of virchow2, mean over demo, is 0.300"),
        (
            "difference",
            {"baseline": {"fm": "old", "value": 0.74}},
            "robustness index, change",
            "robustness index of virchow2 less that of old on demo is 0.300",
        ),
    ],
)
def test_other_quantities_are_told_as_what_they_are(quantity, more, label, said):
    made = record(quantity, **more)
    assert label_of(made) == label
    assert said in flat(explain(made))


def test_a_difference_is_explained_against_the_baseline():
    worse = measured(-0.05, (-0.06, -0.04), support=None)
    told = flat(
        explain(dataclasses.replace(record("difference", worse, baseline={"fm": "old", "value": 0.74})))
    )
    assert "0.050 less robust than the baseline, which has 0.740." in told


def test_a_confident_failure_does_not_call_a_good_value_bad():
    undecided = dataclasses.replace(record(measurement=measured(0.52, (0.48, 0.56))), verdict=Verdict.FAIL)
    assert "is 0.520, not surely on the good side of the bound 0.500" in flat(explain(undecided))


def test_a_warning_is_one_line():
    told = in_one_sentence(record(measurement=measured(0.52, (0.48, 0.56))))
    assert told == (
        "robustness index of virchow2 on demo is inconclusive: 0.520: the 95 % interval [0.480, 0.560] holds "
        "the bound 0.500."
    )
