"""What a reader of `--junitxml` sees of each check beside the end of its test, and of the run."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest
from attack import INDEX, Attack

from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.measuring import Measuring
from pathorob_checks.metrics.measurement import Measurement

INDEX_TEST = "test_robustness_index"


def properties(element: ET.Element) -> dict[str, str]:
    pairs = [(one.get("name", ""), one.get("value", "")) for one in element.findall("./properties/property")]
    assert len(dict(pairs)) == len(pairs)
    return {name.removeprefix("pathorob_checks."): value for name, value in pairs}


def junit(gate: Attack, *more: str, **options: Any) -> tuple[dict[str, ET.Element], dict[str, str]]:
    """The test cases by name, and the properties of the suite; the run warns of nothing."""
    done = gate.run("--junitxml=junit.xml", *more, **options)
    assert "warning" not in done.output.lower(), done.output
    assert done.results is not None
    [suite] = ET.parse(gate.folder / "junit.xml").getroot()
    criteria = done.results["environment"]["criteria"]
    written = properties(suite)
    assert written == {
        "outcome": done.results["outcome"], "summary": done.results["summary"], "criteria": criteria["name"],
        "digest": criteria["digest"],
    }  # fmt: skip
    return {case.get("name", "").partition("[")[0]: case for case in suite.findall("testcase")}, written


@pytest.mark.parametrize("more", [(), ("-n1",), ("-ojunit_family=xunit1",), ("-Werror",)])
@pytest.mark.parametrize("fm", ["good", "bad"])
def test_a_check_has_its_verdict_value_interval_and_bound(
    fm: str, more: tuple[str, ...], small_gate: Attack
) -> None:
    cases, _ = junit(small_gate, *more, fm=f"embeddings:{fm}")
    [check] = small_gate.terminal.results()["checks"]
    lower, upper = check["interval"]
    assert properties(cases[INDEX_TEST]) == {
        "verdict": "pass" if fm == "good" else "fail",
        "criterion": "index",
        "fm": fm,
        "cohort": "coh",
        "metric": "robustness_index",
        "k": "5",
        "value": str(check["value"]),
        "interval": f"[{lower}, {upper}]",
        "confidence": "0.95",
        "support": str(check["support"]),
        "bound": "0.5",
        "direction": ">=",
        "rule": "three-way",
        "reason": check["reason"],
    }
    assert (cases[INDEX_TEST].find("failure") is None) == (fm == "good")
    integrity = properties(cases["test_not_collapsed"])
    assert integrity.keys() == {"verdict", "fm", "cohort", "directions"}
    assert (integrity["fm"], integrity["cohort"]) == (fm, "coh")
    assert integrity["verdict"] == "pass"
    assert properties(cases["test_same_as_stored"])["verdict"] == "skipped"


def test_a_check_names_its_worst_group_and_the_requirements_it_serves(small_gate: Attack) -> None:
    more = 'group = "worst-center"\nrequirements = ["SRS-12", "RISK-3"]\n'
    small_gate.write("index.toml", INDEX + more)
    cases, _ = junit(small_gate)
    [check] = small_gate.terminal.results()["checks"]
    written = properties(cases[INDEX_TEST])
    assert check["group"] in {"north", "south"}
    assert (written["group"], written["requirements"]) == (check["group"], "SRS-12, RISK-3")
    assert written["quantity"] == "worst-center"


def test_a_difference_names_its_baseline(small_gate: Attack) -> None:
    more = ("--fm=embeddings:good", "--fm-baseline=good")
    cases, _ = junit(small_gate, *more, fm="embeddings:bad")
    written = properties(cases["test_not_worse_than_baseline"])
    assert (written["quantity"], written["baseline"], written["bound"]) == ("difference", "good", "-0.02")


@pytest.mark.parametrize("does", ["warn", "xfail", "fail"])
def test_an_inconclusive_check_does_not_look_as_if_it_were_met(
    does: str, small_gate: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Measuring.value

    def undecided(self: Measuring, *arguments: Any, **settings: Any) -> Measurement:
        return replace(measure(self, *arguments, **settings), value=0.5, interval=(0.4, 0.6))

    monkeypatch.setattr(Measuring, "value", undecided)
    small_gate.write("index.toml", INDEX.replace("[[", f'inconclusive = "{does}"\n[[', 1))
    cases, suite = junit(small_gate)
    written = properties(cases[INDEX_TEST])
    assert (written["verdict"], written["value"], written["interval"]) == (
        "inconclusive",
        "0.5",
        "[0.4, 0.6]",
    )
    assert written.get("allowed") == (None if does == "fail" else "true")
    allowed = "" if does == "fail" else ", allowed by profile index-only"
    assert suite["summary"].startswith(f"INCONCLUSIVE: 1 of 1 criterion undecided{allowed}: robustness index")
    ends = {"warn": None, "xfail": "skipped", "fail": "failure"}[does]
    case = cases[INDEX_TEST]
    assert [child.tag for child in case if child.tag != "properties"] == [ends or "system-out"]
    sentence = case.findtext("system-out") or case[-1].get("message") or ""
    assert sentence.startswith("robustness index of bad on coh is ")


def test_what_could_not_be_measured_says_why(small_gate: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_value(*_: Any, **__: Any) -> Measurement:
        raise MetricError("robustness_index: too few slides", remedy="add slides")

    monkeypatch.setattr(Measuring, "value", no_value)
    cases, _ = junit(small_gate)
    written = properties(cases[INDEX_TEST])
    assert written["verdict"] == "error"
    assert "too few slides" in written["reason"]
    assert not {"value", "interval"} & written.keys()


def test_several_checks_of_one_test_are_told_in_order(small_gate: Attack) -> None:
    small_gate.write(
        "test_mine.py",
        "def test_mine(fm_measure, fm_check):\n"
        "    for bound in (0.1, 0.2):\n"
        "        fm_check(fm_measure('robustness_index'), at_least=bound)\n",
    )
    small_gate.run("--junitxml=junit.xml", "test_mine.py", fm="embeddings:good")
    root = ET.parse(small_gate.folder / "junit.xml").getroot()
    case = next(one for one in root.iter("testcase") if one.get("name", "").startswith("test_mine"))
    bounds = [one.get("value") for one in case.iter("property") if one.get("name") == "pathorob_checks.bound"]
    assert bounds == ["0.1", "0.2"]
