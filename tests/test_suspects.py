"""What is suspect where a criterion is not met, and how quantities other than a value are explained."""

import pytest
from made_checks import criterion_of

from pathorob_checks.criteria.verdict import Verdict, judge
from pathorob_checks.evaluation.judging import judged
from pathorob_checks.evaluation.measuring import Measured, drawn_of
from pathorob_checks.evaluation.suspects import suspects
from pathorob_checks.metrics.measurement import CellValue, Measurement, SlideValue
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.results.check import ComparedWith
from pathorob_checks.results.explanation import explain as explanation_of
from pathorob_checks.results.explanation import sentence_of
from pathorob_checks.results.text import render_explanation

CRITERION = criterion_of("robustness_index")
OLD = ComparedWith(fm="old", source="old.json", value=0.74)
SLIDES = tuple(
    SlideValue(slide_id=f"slide-{n}", medical_center="RUMC", biological_class="tumor", value=0.1, meaning="x")
    for n in range(9)
)
CELL = CellValue(
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
        cells=(CELL,),
        slides=SLIDES,
        **settings,
    )


def suspected(measurement, drift=None, **changes):
    criterion = CRITERION.model_copy(update=changes)
    judgement = judge(criterion.bound, criterion.direction, measurement, criterion.rule, drift=drift)
    return suspects(
        Measured(measurement=measurement, drawn=drawn_of([measurement])), criterion, judgement.verdict, drift
    )


def test_nothing_is_suspect_where_the_criterion_is_met():
    assert suspected(measured(0.9, (0.8, 0.95))) == ()


def test_a_clear_failure_on_a_sound_cohort_is_the_embeddings():
    [suspect] = suspected(measured())
    assert suspect.kind == "embedding"
    assert suspect.sentence == "other slides from these centers would very probably fail too."


def test_an_interval_around_the_bound_makes_the_cohort_suspect():
    [suspect] = suspected(measured(0.48, (0.44, 0.52)))
    assert (suspect.kind, suspect.sentence) == ("cohort", "too few slides to decide.")
    assert "a far larger cohort" in suspected(measured(0.5, (0.44, 0.52)), rule="confident")[0].sentence


def test_an_interval_of_slides_and_repetitions_is_about_other_slides():
    repeated = drawn({"A": 20}).model_copy(update={"drawn": "slides and repetitions"})
    [clear] = suspected(measured(resampling=repeated))
    assert clear.sentence == "other slides from these centers would very probably fail too."
    [close] = suspected(measured(0.48, (0.44, 0.52), resampling=repeated))
    assert "too few slides to decide" in close.sentence


def test_an_interval_of_unknown_origin_claims_nothing_about_slides_or_repetitions():
    [clear] = suspected(measured(resampling=None))
    assert clear.sentence == "the whole interval misses the bound."
    [close] = suspected(measured(0.48, (0.44, 0.52), resampling=None))
    assert close.sentence == "the interval is too wide to decide at this value."


def test_an_interval_of_several_values_is_about_what_they_are_about():
    assert drawn_of([measured(), measured()]) == "slides"
    assert drawn_of([measured(resampling=None)]) is None


def test_drift_that_reaches_the_bound_makes_the_precision_suspect():
    first = suspected(measured(0.49, (0.48, 0.495)), drift=0.02)[0]
    assert first.kind == "precision"
    assert first.sentence.startswith("it may move the value by up to 0.02, and the bound is 0.01 away")
    assert not any(one.kind == "precision" for one in suspected(measured(), drift=0.02))


def test_little_support_and_few_slides_are_suspect_beside_a_failure():
    likely = suspected(measured(support=0.04, resampling=drawn({"A / x": 9, "B / x": 2})))
    assert likely[0].kind == "embedding"
    assert [one.sentence for one in likely[1:]] == [
        "only 4 % of the patches are informative.",
        "B / x has only 2 slides, so the interval is uncertain.",
    ]


def test_where_cases_are_drawn_too_few_cases_are_suspect():
    cases = drawn({"A / x": 9, "B / x": 2}).model_copy(update={"protocol": {"drawn": "cases"}})
    few = suspected(measured(resampling=cases))[-1]
    assert few.sentence == "B / x has only 2 cases, so the interval is uncertain."
    undecided = suspected(measured(0.45, (0.3, 0.6), resampling=cases))
    assert undecided[0].sentence.startswith("too few cases to decide")


def test_a_value_that_jumps_is_suspect_rather_than_the_number_of_slides():
    jumping = measured(0.9, (-0.9, 1.0), unstable="the value is unstable: it goes from -0.90 to 1.00")
    [first, *_] = suspected(jumping)
    assert first.sentence == "the value is unstable: it goes from -0.90 to 1.00."


POINTS_TO_A_FAILURE = "; the value itself misses the bound, which points to a failure without deciding it."


@pytest.mark.parametrize(
    ("value", "more", "sentence", "remedy"),
    [
        (0.48, {}, "too few slides to decide.", "Add slides from these medical centers"),
        (0.4999, {}, "only a far larger cohort could decide", "A few more slides will hardly decide this."),
        (0.48, {"resampling": None}, "the interval is too wide", "Add slides"),
        (0.48, {"unstable": "the value is unstable: it jumps"}, "the value is unstable: it jumps.",
         "More slides may not decide this, because the value jumps."),
    ],
)  # fmt: skip
def test_the_advice_on_what_is_undecided_fits_the_suspect(value, more, sentence, remedy):
    measurement = measured(value, (0.44, 0.52), **more)
    check = judged(
        "t", "fm", "none", CRITERION, Measured(measurement=measurement, drawn=drawn_of([measurement]))
    )
    assert check.verdict is Verdict.INCONCLUSIVE
    assert sentence in check.suspects[0].sentence
    assert len(check.remedies) == 1
    assert check.remedies[0].startswith(remedy)
    assert check.remedies[0].endswith(POINTS_TO_A_FAILURE)


def test_an_fm_that_is_given_by_its_embeddings_gets_no_advice_about_images():
    given, own = (
        judged("t", "fm", "none", CRITERION, Measured(measurement=measured()), has_images=has_images)
        for has_images in (False, True)
    )
    assert any("Stain normalization" in one for one in own.remedies)
    assert "--fm-method=combat,leace" in given.remedies[0]


def test_what_drift_alone_leaves_undecided_needs_no_slides():
    check = judged(
        "t", "fm", "none", CRITERION, Measured(measurement=measured(0.53, (0.51, 0.55))), drift=0.05
    )
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.remedies == ("Measure in fp32.",)


def test_without_an_interval_no_certainty_is_claimed():
    [suspect] = suspected(measured(interval=None))
    assert suspect.sentence == "the value misses the bound; without an interval, chance cannot be excluded."


# --- the message of a failing test ------------------------------------------------------------------------


def checked(quantity="value", measurement=None, rule="three-way", **more):
    criterion = CRITERION.model_copy(update={"quantity": quantity, "rule": rule})
    return judged("t", "virchow2", "none", criterion, Measured(measurement=measurement or measured(), **more))


def explain(check):
    return render_explanation(explanation_of(check))


def flat(text):
    return " ".join(text.split())


def test_a_failure_names_cells_slides_neighbors_and_suspects_in_at_most_twenty_lines():
    text = explain(checked())
    assert len(text.splitlines()) <= 20
    for words in (
        "Weakest: tumor of RUMC: 0.100 (a share; 83 % of its neighbors are from its own center)",
        "Slides: slide-0, slide-1, slide-2 are most responsible for the value.",
        "Suspect: embedding: ",
    ):
        assert words in flat(text)


@pytest.mark.parametrize(
    ("quantity", "more", "label", "words"),
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
            {"baseline": OLD},
            "robustness index, change",
            "robustness index on demo, virchow2 minus old, is 0.300",
        ),
    ],
)
def test_other_quantities_are_named_as_what_they_are(quantity, more, label, words):
    check = checked(quantity, **more)
    assert check.label == label
    assert words in flat(explain(check))


def test_a_difference_is_explained_against_the_baseline():
    worse = measured(-0.05, (-0.06, -0.04), support=None)
    text = flat(explain(checked("difference", worse, baseline=OLD)))
    assert "0.050 less robust than the baseline (0.740)." in text


def test_a_confident_failure_does_not_call_a_good_value_bad():
    undecided = checked(measurement=measured(0.52, (0.48, 0.56)), rule="confident")
    assert undecided.verdict is Verdict.FAIL
    assert "is 0.520, and its 95 % interval [0.480, 0.560] contains the bound 0.500, which fails" in flat(
        explain(undecided)
    )


def test_a_warning_is_one_line():
    assert sentence_of(checked(measurement=measured(0.52, (0.48, 0.56)))) == (
        "robustness index of virchow2 on demo is inconclusive: the value is 0.520, and its 95 % interval "
        "[0.480, 0.560] contains the bound 0.500."
    )
