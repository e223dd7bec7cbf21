"""A later criteria file that is called stricter and lets more pass."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from attack import INDEX, Attack, assert_not_passed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pathorob_checks.criteria.document import Document
from pathorob_checks.criteria.files import merge
from pathorob_checks.criteria.mistakes import CriteriaFileError, checked
from pathorob_checks.criteria.profile import SCHEMA, Profile
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.judging import judged
from pathorob_checks.evaluation.measuring import Measured
from pathorob_checks.metrics.measurement import Measurement
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import Outcome
from pathorob_checks.results.environment import Completeness
from pathorob_checks.results.outcome import summarize

COHORTS = ("camelyon", "tcga")
ENTRY = {"id": "a", "metric": "robustness_index", "at_least": 0.5, "rationale": "Ours."}


def document(name: str, settings: Mapping[str, Any], *entries: Mapping[str, Any]) -> Document:
    """A file, without the detour over a text."""
    content = {"schema": SCHEMA, "name": name, **settings, "criteria": [dict(one) for one in entries]}
    return Document(f"{name}.toml", "", content)


# --- by property: whatever the merged files let end with 0, the first file alone does too -----------------

share = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
rules = st.sampled_from(["point", "confident", "three-way"])
bounds = st.one_of(
    share,
    st.builds(lambda q: {"published_quantile": q}, share),
    st.builds(lambda m: {"published_fm": "UNI2-h", "margin": m}, share),
)
KEYS = {
    "at_least": bounds,
    "at_most": bounds,
    "metric": st.sampled_from(["robustness_index", "clustering_score"]),
    "cohorts": st.sampled_from([["camelyon"], ["tcga"], ["camelyon", "tcga"], ["tcga", "camelyon"]]),
    "rule": rules,
    "required": st.booleans(),
    "minimum_support": share,
    "group": st.sampled_from(["worst-center", "worst-class"]),
    "aggregate": st.just("mean"),
}
SETTINGS = {
    "rule": rules,
    "inconclusive": st.sampled_from(["fail", "warn", "xfail"]),
    "confidence": st.sampled_from([0.5, 0.9, 0.95, 0.999]),
    "require_complete": st.booleans(),
    "baseline": st.fixed_dictionaries(
        {}, optional={"rule": rules, "margin": st.builds(lambda m: {"robustness_index": m}, share)}
    ),
}


@st.composite
def files(draw: st.DrawFn) -> tuple[Document, Document]:
    """Two files, the second of which says what the first says but for one or two keys."""
    one = draw(st.fixed_dictionaries({}, optional=SETTINGS))
    optional = {key: value for key, value in KEYS.items() if key not in ("at_least", "at_most")}
    entry = {**ENTRY, **draw(st.fixed_dictionaries({}, optional=optional))}
    if draw(st.integers(0, 9)) == 0:
        del entry["at_least"]
        entry["at_most"] = draw(bounds)
    other, changed = dict(one), dict(entry)
    keys = ["at_least", "at_least", "cohorts", "required", "minimum_support", "confidence"]
    for key in draw(st.lists(st.sampled_from([*SETTINGS, *KEYS, *keys]), min_size=1, max_size=2)):
        if key in SETTINGS and key != "rule":
            other[key] = draw(SETTINGS[key])
        elif key not in ("at_least", "at_most") or key in entry:
            changed[key] = draw(KEYS[key])
    if draw(st.integers(0, 3)) == 0:
        changed.pop(draw(st.sampled_from(["cohorts", "rule", "minimum_support"])), None)
    again = [changed] if draw(st.integers(0, 4)) else []
    new = {"id": "new", "metric": "clustering_score", "at_least": -1.0, "rationale": "Always met."}
    return document("first", one, entry), document("second", other, *again, new)


def measured(random: Random) -> dict[str, Any]:
    """A value and how wide its interval is; an interval of a higher confidence holds one of a lower."""
    width = random.choice([0.0, 0.05, 0.2])
    return {
        "value": random.choice([float("nan"), *[random.uniform(0.2, 1.1) for _ in range(9)]]),
        "widths": random.choice([None, (width, width), (width, 0.1), (0.1, width)]),
        "support": random.choice([None, *[random.random() ** 0.5 for _ in range(5)]]),
        "drift": random.choice([None, None, 0.05]),
    }


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(files(), st.integers(0, 2**32))
def test_whatever_ends_with_0_by_two_files_does_so_by_the_first(
    both: tuple[Document, Document], seed: int
) -> None:
    random = Random(seed)
    try:
        first, merged = checked(both[0]), merge(both)
    except CriteriaFileError:
        return
    for _ in range(40):
        values: dict[str, Any] = defaultdict(lambda: measured(random))
        left_out = random.choice([set(), set(), {"a"}, {"difference"}])
        by_both = made(merged, values, left_out)
        if ends_with_0(merged, by_both):
            by_first = made(first, values, left_out)
            if not any(check.verdict.is_measured for check in by_first):
                continue  # an error of the run, whatever its criteria
            assert ends_with_0(first, by_first)
            if all(check.verdict is Verdict.PASS for check in by_both):
                assert all(check.verdict is Verdict.PASS for check in by_first)


def made(profile: Profile, values: Mapping[str, Any], left_out: set[str]) -> list[Check]:
    """The checks of a run, and of the comparison with a baseline."""
    criteria = list(profile.criteria_for(COHORTS))
    margin = profile.baseline.margin_of("robustness_index")
    difference = criteria[0].model_copy(
        update={
            "id": "difference", "metric": "robustness_index", "cohort": "difference", "quantity": "value",
            "bound": -margin, "direction": ">=", "rule": profile.baseline.rule or profile.rule,
            "required": True, "minimum_support": None,
        }
    )  # fmt: skip
    checks = []
    for one in [*criteria, difference]:
        if one.id in left_out:
            continue
        # A mean has one value, in whichever order its cohorts are named.
        place = one.cohort if one.id == "difference" else "+".join(sorted(one.cohorts))
        given = values[f"{one.metric} {one.quantity} of {place}"]
        reach = [width * norm.ppf((1 + profile.confidence) / 2) for width in given["widths"] or ()]
        interval = (given["value"] - reach[0], given["value"] + reach[1]) if reach else None
        measurement = Measurement(
            metric=one.metric, value=given["value"], interval=interval, support=given["support"], rows=9
        )
        checks.append(
            judged(one.id, "fm", "none", one, Measured(measurement=measurement), drift=given["drift"])
        )
    return checks


def ends_with_0(profile: Profile, checks: list[Check]) -> bool:
    """As the gate computes it."""
    planned = {(one.id, one.cohort): one.required for one in profile.criteria_for(COHORTS)}
    measured = {(one.criterion, one.cohort) for one in checks if one.verdict.is_measured}
    deselected = set(planned) - {(one.criterion, one.cohort) for one in checks}
    absent = {place for place, required in planned.items() if required} - measured
    counts = Completeness(
        planned=len(planned) + 1,
        measured=len(measured),
        deselected=len(deselected),
        missing=len(absent - deselected),
        absent=len(absent),
    )
    outcome = summarize(checks, counts, require_complete=profile.require_complete).outcome
    undecided = outcome is Outcome.INCONCLUSIVE and profile.inconclusive != "fail"
    return undecided or outcome in (Outcome.PASS, Outcome.PARTIAL)


# --- by way -----------------------------------------------------------------------------------------------

WARN = {"inconclusive": "warn"}
OPTIONAL = {**ENTRY, "required": False}
LOOSENED: dict[str, tuple[tuple[Any, Any], tuple[Any, Any], str]] = {
    "confidence raised where inconclusive warns": (
        (WARN, ENTRY), ({**WARN, "confidence": 0.99}, {**ENTRY, "id": "m"}), "confidence is relaxed"),
    "confidence raised where inconclusive is an xfail": (
        ({"inconclusive": "xfail"}, ENTRY), ({"inconclusive": "xfail", "confidence": 0.99}, ENTRY),
        "confidence is relaxed"),
    "confidence lowered": (({}, ENTRY), ({"confidence": 0.9}, ENTRY), "confidence is relaxed"),
    "confidence lowered where inconclusive warns": (
        (WARN, ENTRY), ({**WARN, "confidence": 0.9}, ENTRY), "confidence is relaxed"),
    "support of an optional criterion raised": (
        ({}, OPTIONAL), ({}, {**OPTIONAL, "minimum_support": 0.5}), "in minimum_support"),
    "support of an optional criterion given up": (
        ({}, {**OPTIONAL, "minimum_support": 0.5}), ({}, OPTIONAL), "in minimum_support"),
    "criterion made optional with more support": (
        ({}, ENTRY), ({}, {**OPTIONAL, "minimum_support": 0.5}), "in required"),
    "confident made three-way": (({}, {**ENTRY, "rule": "confident"}), ({}, ENTRY), "in rule"),
    "three-way made point": (({}, ENTRY), ({}, {**ENTRY, "rule": "point"}), "in rule"),
    "point made three-way where inconclusive warns": (
        ({**WARN, "rule": "point"}, ENTRY), (WARN, ENTRY), "in rule"),
    "rule of the file": (({"rule": "confident"}, ENTRY), ({"rule": "point"}, ENTRY), "in rule"),
    "rule of the baseline": (
        ({}, ENTRY), ({"baseline": {"rule": "point"}}, ENTRY), "baseline rule is relaxed"),
    "margin of the baseline": (
        ({}, ENTRY), ({"baseline": {"margin": {"robustness_index": 0.0200001}}}, ENTRY),
        "baseline margin of robustness_index is relaxed from 0.02"),
    "cohorts narrowed": (({}, ENTRY), ({}, {**ENTRY, "cohorts": ["tcga"]}), "in cohorts"),
    "one cohort fewer": (
        ({}, {**ENTRY, "cohorts": ["tcga", "b"]}), ({}, {**ENTRY, "cohorts": ["tcga"]}), "in cohorts"),
    "a named cohort that the run may lack": (
        ({}, {**ENTRY, "cohorts": ["tcga"]}), ({}, ENTRY), "in cohorts"),
    "the other direction": (
        ({}, ENTRY), ({}, {**ENTRY, "at_least": None, "at_most": 0.9}), "in bound"),
    "a mean in place of each": (
        ({}, ENTRY), ({}, {**ENTRY, "aggregate": "mean", "cohorts": ["tcga", "b"]}), "in quantity"),
    "completeness given up": (
        ({"require_complete": True}, ENTRY), ({"require_complete": False}, ENTRY), "require_complete is"),
    "inconclusive warns": (({}, ENTRY), (WARN, ENTRY), "inconclusive is relaxed from fail to warn"),
    "a setting relaxed under a criterion of its name": (
        ({}, {**ENTRY, "id": "inconclusive"}), (WARN, ENTRY), "inconclusive is relaxed"),
    "confidence relaxed under a criterion of its name": (
        ({}, {**ENTRY, "id": "confidence"}), ({"confidence": 0.5}, ENTRY), "confidence is relaxed"),
}  # fmt: skip
TIGHTENED: dict[str, tuple[tuple[Any, Any], tuple[Any, Any]]] = {
    "confidence raised where inconclusive fails": (({}, ENTRY), ({"confidence": 0.99}, ENTRY)),
    "confidence raised of a confident rule": (
        ({**WARN, "rule": "confident"}, ENTRY), ({**WARN, "rule": "confident", "confidence": 0.99}, ENTRY)),
    "confidence raised and inconclusive made to fail": (
        (WARN, ENTRY), ({"inconclusive": "fail", "confidence": 0.99}, ENTRY)),
    "an optional criterion made required with more support": (
        ({}, OPTIONAL), ({}, {**ENTRY, "minimum_support": 0.5})),
    "one cohort more": (
        ({}, {**ENTRY, "cohorts": ["tcga"]}), ({}, {**ENTRY, "cohorts": ["tcga", "b"]})),
}  # fmt: skip


def merged(first: tuple[Any, Any], second: tuple[Any, Any]) -> Profile:
    return merge([document("first", *first), document("second", *second)])


@pytest.mark.parametrize("way", LOOSENED)
def test_a_later_file_that_loosens_is_refused(way: str) -> None:
    first, second, message = LOOSENED[way]
    with pytest.raises(CriteriaFileError, match=message) as caught:
        merged(first, second)
    assert all(mistake.file == "second.toml" for mistake in caught.value.mistakes)


@pytest.mark.parametrize("way", TIGHTENED)
def test_a_later_file_that_tightens_is_merged(way: str) -> None:
    assert merged(*TIGHTENED[way]).name == "first+second"


def test_an_override_is_said_where_the_criterion_is() -> None:
    weaker = {**ENTRY, "at_least": 0.2, "override": True}
    profile = merged(({}, ENTRY), ({}, weaker))
    said = "Overrides robustness_index >= 0.5 (three-way) of an earlier file. Ours."
    assert profile.criteria[0].rationale == said
    assert said in json.dumps(profile.content)
    assert profile.digest != merged(({}, {**ENTRY, "at_least": 0.2}), ({}, weaker)).digest
    assert merged(({}, ENTRY), ({}, {**weaker, "at_least": 0.6})).criteria[0].rationale == "Ours."


# --- with the whole command -------------------------------------------------------------------------------


def test_a_file_that_only_raises_the_confidence(attack: Attack) -> None:
    attack.write("warn.toml", INDEX.replace("name =", 'inconclusive = "warn"\nname ='))
    more = INDEX.replace("name =", 'inconclusive = "warn"\nconfidence = 0.9999999\nname =')
    attack.write("more.toml", more.replace('"index"', '"more"').replace("0.5", "0.0"))
    outcome = attack.run("--fm-criteria=more.toml", criteria="warn.toml")
    assert_not_passed(outcome)
    assert "more.toml:3: confidence is relaxed from 0.95 to 0.9999999" in outcome.output


def test_a_file_that_raises_the_support_of_an_optional_criterion(attack: Attack) -> None:
    attack.write("optional.toml", INDEX + "required = false\n")
    attack.write("support.toml", INDEX + "required = false\nminimum_support = 1.0\n")
    outcome = attack.run("--fm-criteria=support.toml", criteria="optional.toml")
    assert_not_passed(outcome)
    assert "less strict, or not comparable, in minimum_support" in outcome.output
