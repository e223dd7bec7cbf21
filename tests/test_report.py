"""Records, explanations, the table, the last line and the results file."""

import dataclasses
import json
import math
import os
import stat
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathorob_checks.criteria.bounds import METRIC_RANGES
from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.verdict import Judgement, Verdict, judge
from pathorob_checks.errors import CacheError, MetricError
from pathorob_checks.metrics.measurement import METRICS, Measurement, Weakness
from pathorob_checks.report.coverage import Coverage
from pathorob_checks.report.explain import METRIC_TEXTS, explain, printable
from pathorob_checks.report.record import CheckRecord
from pathorob_checks.report.results import environment, results_document, write_results
from pathorob_checks.report.terminal import render_table, summary_line

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


# --- record -----------------------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    value=finite,
    interval=st.none() | st.tuples(finite, finite),
    text=st.text(),
    protocol=st.dictionaries(st.text(), json_like, max_size=3),
    verdict=st.sampled_from(Verdict),
)
def test_a_record_survives_its_journey_as_json(value, interval, text, protocol, verdict):
    before = dataclasses.replace(
        record(), value=value, interval=interval, reason=text, protocol=protocol, verdict=verdict
    )
    assert CheckRecord.from_json(before.to_json()) == before


def test_a_record_in_json_is_one_line_of_the_fixed_keys():
    line = record(interval=(0.3, 0.4), weakest=WEAKEST).to_json()
    content = json.loads(line)
    assert "\n" not in line
    assert set(content) == {
        "id", "fm", "cohort", "metric", "criterion", "value", "interval", "support", "bound", "direction",
        "rule", "verdict", "reason", "rationale", "protocol", "weakest", "slides", "groups", "quantity",
        "group", "confidence", "interval_note", "drift", "required", "registered", "minimum_support",
        "source", "owner", "requirements", "suspects", "baseline", "resampling",
    }  # fmt: skip
    assert content["interval"] == [0.3, 0.4]
    assert content["verdict"] == "fail"
    assert content["weakest"][0]["medical_center"] == "RUMC"


def test_a_record_holds_only_builtin_types_whatever_the_metric_returned():
    made = record(
        value=np.float32(0.25),
        interval=(np.float64(0.2), np.float64(0.3)),
        protocol={"k": np.int64(11), "v": np.array([0.0, 0.5]), "paired": np.bool_(True), "t": (1, 2)},
    )

    def kinds(item):
        if isinstance(item, dict):
            return set().union({dict}, *map(kinds, item.values()))
        if isinstance(item, list):
            return set().union({list}, *map(kinds, item))
        return {type(item)}

    assert kinds(made.to_dict()) <= {dict, list, str, int, float, bool, type(None)}
    assert made.protocol == {"k": 11, "v": [0.0, 0.5], "paired": True, "t": [1, 2]}
    assert type(made.value) is float


def test_a_measurement_without_a_finite_value_becomes_a_record_without_one():
    made = record(value=math.nan, interval=(math.nan, 0.3))
    assert (made.value, made.interval, made.verdict) == (None, None, Verdict.ERROR)
    assert "NaN" not in made.to_json()


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_no_record_claims_a_measured_verdict_without_a_value(verdict):
    with pytest.raises(MetricError, match="without a value"):
        dataclasses.replace(unmeasured(), verdict=verdict)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": math.nan},
        {"bound": math.inf},
        {"bound": None},
        {"bound": "0.5"},
        {"direction": ">"},
        {"verdict": "passed"},
        {"interval": (0.1, math.nan)},
        {"interval": (0.1,)},
        {"interval": (None, 0.2)},
        {"support": True},
        {"protocol": {"k": math.nan}},
        {"protocol": {"k": object()}},
        {"protocol": [1]},
        {"weakest": [1]},
        {"reason": None},
    ],
)
def test_a_record_refuses_what_no_report_can_hold(changes):
    with pytest.raises(MetricError):
        dataclasses.replace(record(), **changes)


def test_a_damaged_record_is_refused_with_a_remedy():
    good = json.loads(record().to_json())
    damaged = [
        "",
        "[]",
        "{",
        json.dumps({**good, "extra": 1}),
        json.dumps({key: item for key, item in good.items() if key != "bound"}),
        json.dumps({**good, "value": "0.3"}),
        json.dumps({**good, "value": math.nan}),
        json.dumps({**good, "verdict": "passed"}),
    ]
    for text in damaged:
        with pytest.raises(CacheError, match="record of a check") as caught:
            CheckRecord.from_json(text)
        assert caught.value.remedy


def test_a_record_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        record().verdict = Verdict.PASS


# --- explain ----------------------------------------------------------------------------------------------


def flat(text):
    return " ".join(text.split())


def test_the_explanation_of_a_failure_tells_value_bound_meaning_place_and_remedy():
    told = flat(explain(record(interval=(0.29, 0.33), weakest=WEAKEST, support=0.13)))
    for said in (
        "robustness index of demo:color-sensitive on demo is 0.310, below the bound 0.500",
        "95 % interval [0.290, 0.330]",
        "of the nearest neighbors that share exactly one of class and center with the patch, "
        "31 % share the class: the medical center outweighs the biology",
        "13 % of the patches",
        "Weakest: tumor of RUMC: 0.120 (share of class)",
        "then: normal of UMCU: 0.200",
        "What to do: Start with the slides of RUMC.",
        "This project's choice; no threshold is published.",
    ):
        assert said in told


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("robustness_index", 0.31, "31 % share the class: the medical center outweighs the biology"),
        ("robustness_index", 0.499, "49.9 % share the class: the medical center outweighs the biology"),
        ("robustness_index", 0.5, "50 % share the class: biology and medical center weigh the same"),
        ("robustness_index", 0.9999, "99.99 % share the class: the biology outweighs the medical center"),
        ("performance_drop_id", -0.123, "loses 12 % of the accuracy"),
        ("performance_drop_id", -0.123, "at the medical centers of the training data"),
        ("performance_drop_ood", -0.031, "loses 3.1 % of the accuracy"),
        ("performance_drop_ood", -0.031, "at medical centers that gave no training data"),
        ("performance_drop_ood", 0.02, "gains 2 % over the accuracy"),
        ("performance_drop_id", 0.0, "keeps the accuracy"),
        ("clustering_score", -0.2, "follow the medical centers more than the biological classes"),
        ("clustering_score", 0.2, "follow the biological classes more than the medical centers"),
        ("clustering_score", 0.0, "follow the biological classes and the medical centers alike"),
    ],
)
def test_the_explanation_says_in_words_what_the_number_means(metric, value, said):
    assert said in flat(explain(record(metric, value)))


def test_only_a_criterion_that_is_not_met_comes_with_advice():
    assert "What to do" in explain(record())
    assert "What to do" not in explain(passing())


def test_an_upper_bound_is_told_from_the_other_side():
    told = flat(explain(record(direction="<=", bound=0.2)))
    assert "is 0.310, above the bound 0.200" in told
    assert "What to do" not in told


def test_the_explanation_of_what_was_not_measured_gives_the_reason_and_no_number():
    told = flat(explain(unmeasured()))
    assert "not measured: the images are missing" in told
    assert "Meaning" not in told
    assert "skipped: no such center" in flat(explain(unmeasured(Verdict.SKIPPED, "no such center")))


def test_an_inconclusive_value_is_neither_below_nor_above():
    told = flat(explain(record(verdict=Verdict.INCONCLUSIVE, reason="the interval holds the bound")))
    assert "with no verdict against the bound 0.500" in told
    assert "Reason: the interval holds the bound" in told


@pytest.mark.parametrize("metric", METRICS)
def test_no_line_of_an_explanation_is_longer_than_eighty_columns(metric):
    long_names = (
        Weakness(medical_center="C" * 120, biological_class="x y " * 40, value=0.1, meaning="m " * 90),
    )
    told = explain(record(metric, fm="hf-hub:" + "a" * 150, interval=(-0.5, 0.5), weakest=long_names))
    assert lines_wider_than(80, told) == []
    assert told.count("C") >= 120


def test_every_metric_has_its_words_and_the_range_that_bounds_may_have():
    assert set(METRIC_TEXTS) == set(METRICS)
    assert [text.label for text in METRIC_TEXTS.values()] == [
        "robustness index", "drop in-domain", "drop out-of-domain", "clustering score",
    ]  # fmt: skip
    for metric, text in METRIC_TEXTS.items():
        assert (text.lowest, text.highest) == METRIC_RANGES[metric]


@given(st.text())
def test_a_printable_text_is_one_line_without_control_characters(text):
    shown = printable(text)
    assert shown.isprintable() or all(char.isprintable() or char.isspace() for char in shown)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert len(shown.splitlines()) <= 1


def test_names_cannot_steer_the_terminal():
    evil = "\x1b[2Jmodel\u202e\x07\u2028\udc80\r\nPASS"
    records = [record(fm=evil, cohort=evil, weakest=(dataclasses.replace(WEAKEST[0], medical_center=evil),),
                      reason=evil, rationale=evil), unmeasured(reason=evil)]  # fmt: skip
    shown = render_table(records, 80, evil) + headline(records, 2, False) + explain(records[0])
    assert "\\x1b[2Jmodel" in shown
    for char in "\x1b\u202e\x07\u2028\udc80\r":
        assert char not in shown
    shown.encode("utf-8")


# --- table ------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_per_record_in_the_given_order():
    rows = [record(metric) for metric in reversed(METRICS)]
    table = render_table(rows, 120).splitlines()
    assert table[0].split() == ["FM", "cohort", "metric", "value", "95", "%", "bound", "verdict"]
    assert [line[30:50].strip() for line in table[3:7]] == [
        "clustering score", "drop out-of-domain", "drop in-domain", "robustness index",
    ]  # fmt: skip
    assert table[6].split()[-4:] == ["-", ">=", "0.500", "FAIL"]
    assert table[6].startswith("demo:color-sensitive  demo")


def test_the_interval_is_shown_where_it_is_known():
    table = render_table([record(interval=(0.29, 0.33))], 120)
    assert "[0.290, 0.330]" in table


TYPICAL = (
    "demo:stain-invariant",
    "virchow2",
    "hf-hub:MahmoodLab/UNI2-h",
    "hf-hub:paige-ai/Virchow2@0123456789abcdef0123456789abcdef01234567",
    "local-dir:/data/models/" + "long-folder-name/" * 6 + "final",
)


@pytest.mark.parametrize("width", [80, 90, 100, 120, 200])
@pytest.mark.parametrize("fm", TYPICAL)
@pytest.mark.parametrize("interval", [None, (-0.123, -0.045)])
def test_the_table_fits_its_width_with_every_metric_on_every_cohort(width, fm, interval):
    records = [
        record(metric, fm=fm, cohort=cohort, profile="median", interval=interval)
        for cohort in ("camelyon", "tcga", "tolkach_esca")
        for metric in METRICS
    ]
    records.append(unmeasured())
    assert lines_wider_than(width, render_table(records, width, "median")) == []


@pytest.mark.parametrize("fm", TYPICAL)
def test_the_full_name_can_be_read_wherever_it_was_shortened(fm):
    shown = render_table([record(fm=fm)], 80)
    assert fm in "".join(shown.split()) or fm in shown.replace("\n  ", "")


def test_a_narrow_table_breaks_lines_and_loses_no_number():
    records = [record(metric, interval=(-0.123, -0.045)) for metric in METRICS]
    shown = render_table(records, 70)
    for one in records:
        assert f"{one.value:.3f}" in shown
        assert f">= {one.bound:.3f}" in shown
    assert "[-0.123," in shown


def test_two_models_that_would_be_shortened_to_the_same_text_stay_distinct():
    names = ["local-dir:/" + "a" * 60 + part + "b" * 60 for part in ("1", "2")]
    table = render_table([record(fm=name) for name in names], 80).split("\n\n")[0]
    cells = "".join(line[:20].strip() for line in table.splitlines())
    assert "1" in cells
    assert "2" in cells


def test_several_models_stand_beside_each_other_per_cohort_and_metric():
    records = [
        record(metric, fm=fm, cohort=cohort)
        for fm in ("b", "a")
        for cohort in ("tcga", "camelyon")
        for metric in METRICS[:2]
    ]
    rows = [line.split() for line in render_table(records, 120).splitlines()[3:11]]
    assert [row[:2] for row in rows] == [["b", "tcga"], ["a", "tcga"]] * 2 + [
        ["b", "camelyon"],
        ["a", "camelyon"],
    ] * 2
    assert [row[2] for row in rows] == ["robustness", "robustness", "drop", "drop"] * 2


def test_bounds_are_told_once_with_their_reason_and_per_cohort_where_they_differ():
    floor = [record(cohort=cohort) for cohort in ("camelyon", "tcga")]
    shown = flat(render_table(floor, 80, "floor"))
    assert shown.count("Bounds (profile floor, rule three-way): - robustness index >= 0.500: Below 0.5") == 1
    assert shown.count("Below 0.5") == 1
    median = [record(cohort=cohort, profile="median") for cohort in ("camelyon", "tcga")]
    shown = flat(render_table(median, 80, "median"))
    assert "robustness index >= 0.544 (camelyon):" in shown
    assert "robustness index >= 0.761 (tcga):" in shown


def test_reasons_of_errors_and_skips_follow_the_table():
    shown = flat(render_table([unmeasured(), unmeasured(Verdict.SKIPPED, "one center only")], 80))
    assert (
        "Without a verdict: - ERROR robustness index of demo:color-sensitive on demo: the images are missing"
        in shown
    )
    assert "- SKIPPED robustness index of demo:color-sensitive on demo: one center only" in shown
    assert "Without a verdict" not in render_table([record()], 80)


def test_a_value_just_below_its_bound_is_not_printed_as_the_bound():
    row = render_table([record(value=0.49996)], 120).splitlines()[3]
    assert "0.49996" in row
    assert "FAIL" in row


def test_an_empty_table_says_so():
    assert render_table([], 80) == "No criterion was checked."


# --- summary ----------------------------------------------------------------------------------------------


def test_everything_measured_and_met_is_a_pass():
    records = [passing(), passing(cohort="tcga")]
    assert headline(records, 2, False) == "PASS: 2 of 2 criteria met (1 FM, 2 cohorts)"
    assert headline(records[:1]) == "PASS: 1 of 1 criterion met (1 FM, 1 cohort)"


def test_a_failure_is_named():
    assert headline([record(), passing(cohort="tcga")], 2, False) == (
        "FAIL: 1 of 2 criteria not met: robustness index 0.310 < 0.500 (demo:color-sensitive, demo)"
    )


def test_many_failures_are_counted_after_the_first_three():
    line = headline([record(fm=f"fm{number}") for number in range(5)])
    assert "fm2" in line
    assert "fm3" not in line
    assert line.endswith(", and 2 more")


ORDER = {
    "FAIL": record(),
    "ERROR": unmeasured(),
    "INCONCLUSIVE": record(verdict=Verdict.INCONCLUSIVE),
    "PARTIAL": unmeasured(Verdict.SKIPPED, required=False),
    "PASS": passing(),
}


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_gravest_outcome_leads_the_line(first):
    words = list(ORDER)[first:]
    line = headline([ORDER[word] for word in reversed(words)])
    assert line.split(":")[0] == words[0]


@given(
    records=st.lists(st.sampled_from(list(ORDER.values())), max_size=5),
    planned=st.none() | st.integers(0, 8),
    crashed=st.booleans(),
)
def test_nothing_unmeasured_or_unmet_ever_reads_as_pass(records, planned, crashed):
    line = headline(records, planned, crashed)
    everything_met = bool(records) and all(one.verdict is Verdict.PASS for one in records)
    whole = not crashed and (planned or 0) <= len(records)
    assert line.startswith("PASS") == (everything_met and whole)
    assert "\n" not in line


def test_what_was_left_out_makes_the_run_partial_and_what_never_ran_an_error():
    two = [passing()] * 2
    assert headline(two, 4, left_out=2) == "PARTIAL: 2 of 4 criteria measured, 2 met; 2 left out"
    assert headline(two, 4) == "ERROR: 2 of 4 criteria measured; 2 never ran"
    assert headline(two, 4, True) == "ERROR: 2 of 4 criteria measured; 2 never ran; a worker crashed"
    assert headline([], 0) == "ERROR: no criterion was checked"
    assert headline([record()], 4, left_out=3).endswith("; PARTIAL: 3 left out")


def test_a_required_criterion_that_was_skipped_is_an_error():
    assert headline([unmeasured(Verdict.SKIPPED)]) == "ERROR: 0 of 1 criterion measured; 1 skipped"


def test_a_part_is_an_error_where_all_is_demanded():
    records = [passing()] * 2
    required = covering(records, 4, left_out=2)
    assert summary_line(records, required, demanded=True).startswith("ERROR: 2 of 4 criteria measured")
    optional = dataclasses.replace(required, absent=0)
    assert summary_line(records, optional, demanded=True).startswith("PARTIAL: 2 of 4")


def test_a_failure_does_not_hide_what_could_not_be_measured():
    line = headline([record(), unmeasured()], 3, False)
    assert line.startswith("FAIL: 1 of 3")
    assert line.endswith("; 1 could not be measured; 1 never ran")


# --- results file -----------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
RUNS = [{"fm": {"spec": "demo:color-sensitive"}, "cohort": {"name": "demo"}}]


def document(**changes):
    arguments = {
        "records": [record(interval=(0.3, 0.4), weakest=WEAKEST), unmeasured()],
        "runs": RUNS,
        "environment": environment(),
        "complete": True,
        "created": NOON,
    }
    return results_document(**{**arguments, **changes})


def test_a_results_document_has_exactly_the_fixed_keys():
    made = document()
    assert set(made) == {"schema", "created", "complete", "environment", "runs", "checks"}
    assert made["schema"] == "pathorob-checks/results/1"
    assert made["created"] == "2026-03-01T10:00:00Z"
    assert made["complete"] is True
    assert made["runs"] == RUNS
    assert made["checks"][0] == json.loads(record(interval=(0.3, 0.4), weakest=WEAKEST).to_json())
    assert made["checks"][1]["value"] is None


def test_a_results_document_refuses_numbers_that_json_does_not_know():
    with pytest.raises(MetricError, match=r"runs\[0\].fm is nan"):
        document(runs=[{"fm": math.nan}])


def test_a_written_document_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "new" / "results.json"
    write_results(path, document())
    assert json.loads(path.read_text(encoding="utf-8")) == document()
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]


def test_a_written_file_has_the_permissions_of_any_other_file(tmp_path):
    (tmp_path / "other").touch()
    write_results(tmp_path / "results.json", document())
    modes = {stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
    assert len(modes) == 1


def test_an_interrupted_write_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_results(path, {"old": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CacheError, match="No space left on device"):
        write_results(path, document())
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_a_place_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "results.json", tmp_path, "/dev/null"):
        with pytest.raises(CacheError, match="results file") as caught:
            write_results(path, document())
        assert str(path) in caught.value.problem
        assert caught.value.remedy


def test_a_document_that_is_not_strict_json_is_not_written(tmp_path):
    with pytest.raises(CacheError, match="no strict JSON"):
        write_results(tmp_path / "results.json", {"value": math.nan})
    assert list(tmp_path.iterdir()) == []


def test_through_a_link_the_file_behind_it_is_written(tmp_path):
    (tmp_path / "real.json").touch()
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_results(tmp_path / "link.json", {"a": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == {"a": 1}


def test_the_environment_names_versions_and_no_secret(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = environment()
    assert found["packages"]["numpy"] == np.__version__
    assert {"pathorob-checks", "torch", "timm", "scikit-learn"} <= set(found["packages"])
    assert "hf_secret" not in json.dumps(found)
    assert os.uname().nodename not in json.dumps(found)


def test_the_time_of_a_document_is_in_utc():
    assert document(created=datetime(2026, 3, 1, tzinfo=UTC))["created"] == "2026-03-01T00:00:00Z"


def test_a_judgement_is_told_in_the_record():
    (criterion,) = load_profile("floor").criteria_for("demo", "robustness_index")
    measurement = Measurement(metric="robustness_index", value=0.6, interval=None, support=None, rows=1,
                              protocol={}, weakest=())  # fmt: skip
    told = Judgement(verdict=Verdict.INCONCLUSIVE, reason="the interval holds the bound")
    made = CheckRecord.of_measurement(
        test_id="t", fm="x", criterion=criterion, measurement=measurement, judgement=told
    )
    assert (made.id, made.verdict, made.reason) == ("t", Verdict.INCONCLUSIVE, "the interval holds the bound")
