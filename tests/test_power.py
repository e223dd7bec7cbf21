"""How many slides per medical center and class would decide, and what `pathorob-checks plan` says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_checks import criterion_of
from planted_drops import DropDesign, drop_of_ridge
from planted_slides import Design
from scipy.stats import norm

from pathorob_checks import cli
from pathorob_checks.commands import plan_changes
from pathorob_checks.commands.plan import questions, sentence
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import MetricError, ResultsError
from pathorob_checks.evaluation.evaluate import evaluate
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.evaluation.suspects import suspects, what_decides
from pathorob_checks.metrics import (
    Candidate,
    FixedNeighbors,
    Resampling,
    interval_of,
    margin_aware_index,
    planned,
    robustness_index,
    slides_needed,
)
from pathorob_checks.metrics.change_power import (
    MeasuredChange,
    planned_change,
    slides_needed_for_change,
)
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.metrics.power import slides_there
from pathorob_checks.results.results import Results


def drop(slides: int = 11, **changes: object) -> Resampling:
    """A drop whose slides have effects of standard deviation 0.01 in four cells."""
    effects = np.random.default_rng(3).standard_normal((4, slides))
    effects -= effects.mean(axis=1, keepdims=True)
    effects *= 0.01 / effects.std(axis=1, ddof=1, keepdims=True)
    content = {
        "metric": "performance_drop_id",
        "value": -0.12,
        "scale": "identity",
        "drawn": "slides and repetitions",
        "units": tuple(map(str, range(4 * slides))),
        "cells": tuple((f"center {n % 2} / class {n // 2}",) for n in range(4) for _ in range(slides)),
        "effects": tuple(effects.ravel().tolist()),
        "protocol": {},
    }
    return Resampling.model_validate({**content, **changes})


def with_repetitions(measured: Resampling, error: float) -> Resampling:
    """The same with two repetitions whose draw has this standard error."""
    return measured.model_copy(
        update={
            "units": (*measured.units, "repetition 1", "repetition 2"),
            "cells": (*measured.cells, ("repetitions",), ("repetitions",)),
            "effects": (*measured.effects, error / 2, -error / 2),
        }
    )


# --- one sum of effects --------------------------------------------------------------------------------


def test_the_number_that_is_there_has_the_half_width_that_was_measured() -> None:
    low, high = interval_of(drop())
    assert planned(drop(), 11, bound=-0.1, true=-0.12).half_width == pytest.approx((high - low) / 2)
    table = Design(6, 8, 1.0, 1.0, 0.5).table()
    index = robustness_index(Design(6, 8, 1.0, 1.0, 0.5).embeddings(table, 1), table, k=5)
    low, high = interval_of(index.resampling, draws=20_000)
    half = planned(index.resampling, 6, bound=0.3, true=index.value).half_width
    assert half == pytest.approx((high - low) / 2, rel=0.05)


def test_half_the_width_needs_four_times_the_slides() -> None:
    few, many = (planned(drop(), slides, bound=-0.1, true=-0.12) for slides in (100, 400))
    assert many.half_width / few.half_width == pytest.approx(0.5, rel=0.01)


def test_what_the_repetitions_draw_stays() -> None:
    least = norm.ppf(0.975) * 0.005
    measured = with_repetitions(drop(), 0.005)
    assert planned(measured, 1_000_000, bound=-0.1, true=-0.12).half_width > least
    assert slides_needed(measured, bound=-0.1, true=-0.101) is None
    assert slides_needed(drop(), bound=-0.1, true=-0.101) is not None


def test_the_number_is_the_least_that_is_enough() -> None:
    for power in (0.5, 0.8, 0.95):
        needed = slides_needed(drop(), bound=-0.1, true=-0.12, power=power)
        decides = [planned(drop(), n, bound=-0.1, true=-0.12).decides for n in (needed - 1, needed)]
        assert decides[0] < power <= decides[1]


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_probability_is_that_of_simulated_intervals(sign: int) -> None:
    """Cohorts of slides whose effects are normal, and the package's own interval of each."""
    slides, true = 20, -0.1 + sign * 0.12
    expected = planned(drop(), slides, bound=-0.1, true=true).decides
    generator = np.random.default_rng(0)
    clear = []
    for _ in range(600):
        effects = 0.01 * 11 / slides * generator.standard_normal((4, slides))
        value = true + float(effects.sum())
        cohort = drop(slides, value=value, effects=tuple(effects.ravel().tolist()))
        low, high = interval_of(cohort)
        clear.append(low >= -0.1 if sign > 0 else high <= -0.1)
    assert 0.2 < expected < 0.95
    assert np.mean(clear) == pytest.approx(expected, abs=0.06)


def test_slides_of_several_classes_count_in_each_of_their_cells() -> None:
    shared = Design(8, 8, 1.0, 1.0, 0.5, both_classes=True)
    table = shared.table()
    measured = robustness_index(shared.embeddings(table, 1), table, k=5).resampling
    assert slides_there(measured) == 8
    low, high = interval_of(measured, draws=20_000)
    half = planned(measured, 8, bound=0.3, true=measured.value).half_width
    assert half == pytest.approx((high - low) / 2, rel=0.08)


# --- the worst of several ------------------------------------------------------------------------------


def worst(*candidates: Candidate) -> Resampling:
    value = max(one.value for one in candidates)
    return drop(metric="diagnostic_errors_id", value=value).model_copy(update={"candidates": candidates})


def cell(value: float, error: float = 0.05, **changes: object) -> Candidate:
    content = {"name": f"{value}", "value": value, "error": error, "slides_error": error, "slides": 10}
    return Candidate.model_validate({**content, "freedom": 9.0, **changes})


def test_more_cells_need_more_slides_to_be_met() -> None:
    alone, many = worst(cell(0.1)), worst(cell(0.1), *[cell(0.099)] * 8)
    one, nine = (slides_needed(each, bound=0.25, true=0.1) for each in (alone, many))
    assert one < nine


def test_cells_whose_slides_are_alike_need_as_many_as_clopper_and_pearson_ask() -> None:
    alike = worst(cell(0.0, 0.0, freedom=None, are_alike=True))
    needed = slides_needed(alike, bound=0.25, true=0.0)
    assert 0.025 ** (1 / needed) >= 0.75 > 0.025 ** (1 / (needed - 1))


# --- what has no answer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "true", "part"),
    [
        ({}, -0.1, "that is the bound itself; assume another true value"),
        ({}, -1.5, "give one between -1 and 1"),
        ({"informative_slides": 5}, -0.12, "nothing says how slides differ"),
        ({"jumps_between": (-0.2, 0.1)}, -0.12, "the value is unstable"),
    ],
)
def test_what_no_number_of_slides_decides_is_refused(
    changes: dict[str, object], true: float, part: str
) -> None:
    with pytest.raises(MetricError, match="performance_drop_id") as caught:
        slides_needed(drop(**changes), bound=-0.1, true=true)
    assert part in str(caught.value)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_probability_outside_0_to_1_is_refused(power: float) -> None:
    with pytest.raises(MetricError, match="cannot be planned for"):
        slides_needed(drop(), bound=-0.1, true=-0.12, power=power)


def test_one_slide_per_cell_is_refused() -> None:
    with pytest.raises(MetricError, match="plan with at least 2"):
        planned(drop(), 1, bound=-0.1, true=-0.12)
    with pytest.raises(MetricError, match="has only 1 slide"):
        planned(drop(2, cells=tuple((f"center / {n}",) for n in range(8))), 4, bound=-0.1, true=-0.12)


LARGE_K = Design(4, 10, 1.0, 1.0, 0.5)  # cells of 40 patches, 30 of them on other slides


@pytest.mark.parametrize("measure", [robustness_index, margin_aware_index])
@pytest.mark.parametrize(("k", "part"), [(33, "beyond the 30 patches"), (20, "near the 30 patches"), (5, "")])
def test_an_index_whose_k_reaches_out_of_its_cell_is_not_planned(measure, k: int, part: str) -> None:
    table = LARGE_K.table()
    result = measure(LARGE_K.embeddings(table, 1), table, k=k)
    if not part:
        assert slides_needed(result.resampling, bound=0.1, true=result.value) is not None
        return
    with pytest.raises(MetricError, match=f"cannot be planned at a fixed k: k = {k} is {part}") as caught:
        slides_needed(result.resampling, bound=0.1, true=result.value)
    assert str(caught.value).endswith("a k that grows with its cells.")


def test_the_index_is_planned_at_the_same_k_where_cells_are_larger() -> None:
    few, many = LARGE_K, replace(LARGE_K, slides=16)
    results = [robustness_index(one.embeddings(one.table(), 1), one.table(), k=33) for one in (few, many)]
    assert results[0].resampling.neighbors.changes_with_cells
    assert not results[1].resampling.neighbors.changes_with_cells


def test_little_support_hinders_planning() -> None:
    little = FixedNeighbors(k=11, own_cell=500, support=0.04)
    assert little.changes_with_cells == "at k = 11 only 4 % of the patches are informative"
    assert not FixedNeighbors(k=11, own_cell=500, support=0.13).changes_with_cells


def test_a_value_that_jumps_is_planned_where_the_bound_lies_beyond() -> None:
    assert not drop(jumps_between=(-1.001, -0.999)).unstable
    jumping = drop(jumps_between=(-0.2, 0.1))
    assert slides_needed(jumping, bound=0.3, true=-0.12) == slides_needed(drop(), bound=0.3, true=-0.12)


# --- the explanation of an undecided criterion ---------------------------------------------------------


def test_an_undecided_criterion_says_how_many_slides_would_decide() -> None:
    measured = drop()
    measurement = Measurement(
        metric=measured.metric, value=-0.12, interval=interval_of(measured), resampling=measured
    )
    criterion = criterion_of("performance_drop_id")
    needed = slides_needed(measured, bound=criterion.bound, true=-0.12)
    [suspect] = suspects(
        Measured(measurement=measurement, drawn=measured.drawn), criterion, Verdict.INCONCLUSIVE
    )
    assert needed > 11
    assert suspect.sentence == (
        f"too few slides to decide; about {needed} per medical center and class would decide with a "
        "probability of 80 % at this value, 11 are there."
    )


def test_an_undecided_criterion_names_no_number_where_the_plan_names_none() -> None:
    alone = drop(2, cells=tuple((f"center / {n}",) for n in range(8)))
    criterion = criterion_of("performance_drop_id")
    with pytest.raises(MetricError) as refused:
        slides_needed(alone, bound=criterion.bound, true=alone.value)
    measurement = Measurement(
        metric=alone.metric, value=alone.value, interval=(alone.value - 0.1, 0.0), resampling=alone
    )
    [suspect, *_] = suspects(
        Measured(measurement=measurement, drawn=alone.drawn), criterion, Verdict.INCONCLUSIVE
    )
    reason = refused.value.problem.removeprefix("performance_drop_id: ")
    assert suspect.sentence == f"too few slides to decide; how many would decide is not known: {reason}."


def test_an_undecided_index_whose_k_is_too_large_says_that_k_must_grow() -> None:
    measured = drop().model_copy(update={"neighbors": FixedNeighbors(k=177, own_cell=176, support=1.0)})
    criterion = criterion_of("performance_drop_id")
    measurement = Measurement(
        metric=measured.metric, value=-0.12, interval=interval_of(measured), resampling=measured
    )
    held = Measured(measurement=measurement, drawn=measured.drawn)
    [suspect] = suspects(held, criterion, Verdict.INCONCLUSIVE)
    assert suspect.sentence == (
        "too few slides to decide; how many would decide is not known, because it cannot be planned at a "
        "fixed k: k = 177 is beyond the 176 patches that the smallest cell has on other slides, so that "
        "value and support change as cells grow."
    )
    assert "and let k grow with the cells" in what_decides(held, criterion)


def test_no_more_slides_are_advised_where_no_number_of_them_decides() -> None:
    measured = with_repetitions(drop(), 0.03)
    criterion = criterion_of("performance_drop_id")
    assert slides_needed(measured, bound=criterion.bound, true=measured.value) is None
    measurement = Measurement(
        metric=measured.metric, value=measured.value, interval=interval_of(measured), resampling=measured
    )
    held = Measured(measurement=measurement, drawn=measured.drawn)
    [suspect, *_] = suspects(held, criterion, Verdict.INCONCLUSIVE)
    assert "no number of slides from these centers would decide" in suspect.sentence
    assert not what_decides(held, criterion).startswith("Add slides")


# --- the command ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "results.json"
    evaluate("demo:color-sensitive", criteria="full", repetitions=3, device="cpu", progress=False).save(path)
    return path


def planned_by(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["plan", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, " ".join(shown.out.split()), shown.err


@pytest.mark.slow
def test_the_command_answers_for_one_metric(results_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = planned_by(
        capsys, "--fm", results_file, "--metric", "performance_drop_id", "--bound", "-0.1", "--true", "-0.3"
    )
    [one] = [check for check in Results.read(results_file).checks if check.metric == "performance_drop_id"]
    needed = slides_needed(one.resampling, bound=-0.1, true=-0.3)
    assert code == 0
    assert "slides per cell half-width PASS or FAIL" in out
    assert (
        f"drop in-domain of color-sensitive on demo: about {needed} slides per medical center and class "
        "would give FAIL about the bound -0.1 if the true value is -0.300 with a probability of 80 %; "
    ) in out


@pytest.mark.slow
def test_all_criteria_have_an_answer_or_a_reason(results_file: Path) -> None:
    results = Results.read(results_file)
    of_results = questions(results)
    assert [one.metric for one in of_results] == [check.metric for check in results.checks]
    for one in of_results:
        assert sentence(one, 0.8).endswith(".")
    assert any("nothing says how slides differ" in sentence(one, 0.8) for one in of_results)


def test_other_criteria_have_other_bounds(results_file: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(
        'schema = "pathorob-checks/criteria/1"\nname = "strict"\n[[criteria]]\nid = "drop"\n'
        'metric = "performance_drop_id"\nat_least = -0.02\nrationale = "r"\nsource = "s"\n'
    )
    [one] = questions(Results.read(results_file), criteria=str(strict))
    assert (one.metric, one.bound, one.direction) == ("performance_drop_id", -0.02, ">=")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "nothing says how slides differ; give either --fm=RESULTS.json"),
        (("--bound", "0.5"), "are about one metric; name it with --metric"),
        (("--fm", "FILE", "--embeddings", "x"), "both --fm and --embeddings are given"),
        (("--fm", "FILE", "--metric", "robustnes_index"), "robustness_index"),
        (("--fm", "FILE", "--cohort", "elsewhere"), "no value of the cohort 'elsewhere'"),
    ],
)
def test_a_question_without_an_answer_is_refused_in_one_sentence(
    arguments: tuple[str, ...], part: str, results_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(results_file) if each == "FILE" else each for each in arguments]
    code, out, err = planned_by(capsys, *given)
    assert code != 0
    assert out == ""
    assert part in err
    assert len(err.strip().splitlines()) <= 2


def with_method(path: Path, method: str, value: float) -> Results:
    """The results with every check once more as of a repaired FM, and what the repair does to a metric."""
    results = Results.read(path)
    repaired = [
        check.model_copy(update={"id": f"{check.id}-{method}", "method": method, "value": value})
        for check in results.checks
    ]
    change = repaired[0].model_copy(
        update={
            "metric": "class_prediction",
            "label": "class prediction, change",
            "criterion": "keeps-class-prediction",
            "quantity": "difference",
            "value": 0.01,
            "resampling": None,
        }
    )
    return results.model_copy(update={"checks": (*results.checks, *repaired, change)})


def test_a_repaired_fm_is_planned_under_its_full_name_and_only_where_asked_for(results_file: Path) -> None:
    results = with_method(results_file, "combat", 0.3)
    plain = questions(results)
    assert plain == questions(Results.read(results_file))
    repaired = questions(results, methods=["combat"])
    assert {one.fm for one in repaired} == {"color-sensitive + combat"}
    assert {one.true for one in repaired if one.label == "robustness index"} == {0.3}
    assert len(questions(results, methods=["none", "combat"])) == len(plain) + len(repaired)
    with pytest.raises(ResultsError, match="no value of the method 'combar'; did you mean 'combat'"):
        questions(results, methods=["combar"])


def test_what_a_run_has_and_is_not_planned_is_said(
    results_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "methods.json"
    with_method(results_file, "combat", 0.3).save(path)
    _, out, _ = planned_by(capsys, "--fm", path)
    assert "Not planned: the FMs with combat; plan for them with --method=combat." in out
    change = "class prediction, change of color-sensitive + combat on demo: about "
    assert change in " ".join(out.split())
    assert " ".join(plan_changes.ASSUMPTION.split()) in " ".join(out.split())
    _, out, _ = planned_by(capsys, "--fm", path, "--method", "combat")
    assert "color-sensitive + combat on demo" in out
    assert "Not planned: the FMs without a method; plan for them with --method=none." in out
    given = ("--fm", path, "--metric", "class_prediction", "--bound=-0.02", "--true=-0.02")
    code, out, _ = planned_by(capsys, *given)
    assert code == 0
    refusal = "not planned, because no number of slides decides about a true change of -0.02"
    assert refusal in " ".join(out.split())


def test_slides_for_a_change_narrow_its_interval_to_where_it_decides() -> None:
    measured = MeasuredChange(interval=(-0.05, 0.03), slides=10)
    for bound, true, power in ((-0.02, 0.0, 0.8), (-0.02, 0.01, 0.9), (0.0, -0.03, 0.5), (-0.02, -0.04, 0.8)):
        needed = slides_needed_for_change(measured, bound=bound, true=true, power=power)
        assert needed is not None
        assert planned_change(measured, needed, bound=bound, true=true).decides >= power
        assert planned_change(measured, needed - 1, bound=bound, true=true).decides < power


def test_the_planned_number_of_a_change_decides_as_often_in_drawn_cohorts() -> None:
    """Differences of slides are drawn; their mean and its interval decide as often as planned."""
    from scipy.stats import t as student_t

    rng, bound, true, spread, pilot = np.random.default_rng(1), -0.02, 0.0, 0.06, 40
    half = student_t.ppf(0.975, pilot - 1) * spread / np.sqrt(pilot)
    measured = MeasuredChange(interval=(true - half, true + half), slides=pilot)
    needed = slides_needed_for_change(measured, bound=bound, true=true, power=0.8)
    assert needed is not None
    drawn = rng.normal(true, spread, size=(2000, needed))
    reach = student_t.ppf(0.975, needed - 1) * drawn.std(axis=1, ddof=1) / np.sqrt(needed)
    assert np.mean(drawn.mean(axis=1) - reach > bound) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    ("interval", "slides", "part"),
    [((0.01, 0.01), 10, "has no width"), ((-0.1, 0.1), 0, "on how many slides")],
)
def test_a_change_that_says_nothing_of_slides_is_not_planned(
    interval: tuple[float, float], slides: int, part: str
) -> None:
    with pytest.raises(MetricError, match=part):
        MeasuredChange(interval=interval, slides=slides)


def test_results_without_effects_are_refused(results_file: Path) -> None:
    results = Results.read(results_file)
    bare = replace_checks(results)
    with pytest.raises(ResultsError, match="no value with the effects"):
        questions(bare)


def replace_checks(results: Results) -> Results:
    checks = tuple(check.model_copy(update={"resampling": None}) for check in results.checks)
    return results.model_copy(update={"checks": checks})


# --- planted cohorts -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_planned_number_decides_about_as_often_as_planned() -> None:
    """See `benchmarks/power.py` for more; the true value is that of cohorts of the planned size."""
    design, slides, bound = DropDesign(center=3.0), 12, -0.10
    sized = replace(design, home=slides, away=slides)
    cohorts = [drop_of_ridge(sized, seed, ("ID",))["ID"] for seed in range(200)]
    true = float(np.mean([one.value for one in cohorts]))
    expected = np.mean([planned(one, slides, bound=bound, true=true).decides for one in cohorts])
    clear = np.mean([interval_of(one)[1] <= bound for one in cohorts])
    assert 0.1 < expected < 0.95
    assert clear == pytest.approx(expected, abs=0.1)
