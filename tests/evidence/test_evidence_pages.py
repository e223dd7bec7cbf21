"""What the pages of the evidence say, of results made by hand."""

from __future__ import annotations

import re

import pytest
from drawn_results import results_of, run_of
from evidence_documents import DEMANDED, QUALIFIED, protocol_of
from made_checks import made, unmeasured
from markdown_it import MarkdownIt

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evidence.deviations import deviations
from pathorob_checks.evidence.limitations import limitations
from pathorob_checks.evidence.pages import (
    deviations_page,
    limitations_page,
    protocol_page,
    signature_page,
)
from pathorob_checks.results.check import IntegrityCheck

GOOD = made(value=0.9, interval=(0.85, 0.95), fm="ours", cohort="camelyon")
CODE = {"pathorob-checks": "0.1.0"}


def clean_results(checks=(GOOD,), **changes):
    """Of a release of this package, so that the code itself is no deviation."""
    results = results_of(list(checks), **changes)
    environment = results.environment
    packages = {**environment.packages, **CODE}
    return results.model_copy(update={"environment": environment.model_copy(update={"packages": packages})})


def integrity(verdict, **changes):
    return IntegrityCheck(
        id="t", name="columns_vary", fm="ours", cohort="camelyon", verdict=verdict, reason="why.", **changes
    )


def environment_with(results, **changes):
    return results.model_copy(update={"environment": results.environment.model_copy(update=changes)})


def deviation_sentences(results, protocol):
    return {one.title: list(one.sentences) for one in deviations(results, protocol) if one.sentences}


def test_that_nothing_deviated_is_said_with_what_was_looked_for():
    results = clean_results()
    protocol = protocol_of(results)
    assert deviation_sentences(results, protocol) == {}
    page = deviations_page(results, protocol)
    assert "\nNo deviation was found.\n" in page
    assert page.count("| none |") == len(deviations(results, protocol)) == 19


def with_option(**changes):
    option = {"name": "precision", "value": "fp16", "default": "fp32", "is_default": False, "from": "x"}
    return {"options": [DEMANDED, {**option, **changes}]}


OWN_TABLE = run_of().model_copy(
    update={"cohort": run_of().cohort.model_copy(update={"own_tables": ("camelyon.csv",)})}
)
NOTED = run_of().model_copy(update={"fm": run_of().fm.model_copy(update={"notes": ("It is old.",)})})
LEFT_OUT = {"why": "--fm-commercial", "on_purpose": True}
DEVIATIONS = {
    "Problems of the run": (clean_results(problems=("the disk is full",)), {}, "the disk is full"),
    "Checks without a value": (clean_results([unmeasured()]), {}, "the images are missing"),
    "Failed integrity checks": (
        clean_results(integrity=(integrity(Verdict.FAIL),)),
        {},
        "columns_vary of ours on camelyon: fail: why.",
    ),
    "Other failed tests": (
        clean_results(other_failures=("test_x.py::test_x",)), {}, "test_x.py::test_x failed."
    ),
    "Left out": (
        environment_with(clean_results(), left_out=("cohort tcga is left out.",)),
        {},
        "cohort tcga is left out.",
    ),
    "Skipped checks": (
        clean_results([unmeasured(Verdict.SKIPPED, required=False)]), {}, "the images are missing"
    ),
    "Inconclusive verdicts": (
        clean_results([made(value=0.5, interval=(0.3, 0.6))]), {}, "is inconclusive: the value is 0.500"
    ),
    "Integrity checks that were not made": (
        clean_results(integrity=(integrity(Verdict.SKIPPED),)), {}, "was not made: why."
    ),
    "Precision drift": (clean_results([GOOD.model_copy(update={"drift": 0.02})]), {}, "by 0.02"),
    "Tables that are not the published ones": (
        clean_results(runs=(OWN_TABLE,)), {}, "The table camelyon.csv of camelyon is not the published one."
    ),
    "Settings from files and the environment": (
        environment_with(clean_results(), settings=("--fm-precision=fp16 (from X)",)), {}, "(from X)"
    ),
    "Options that are not the default": (
        clean_results(), with_option(), "precision was fp16; the default is fp32."
    ),
    "Checks beside the protocol": (
        clean_results([GOOD.model_copy(update={"registered": False})]), {}, "a check of a user's test"
    ),
    "The code": (
        environment_with(clean_results(), packages={"pathorob-checks": "0.1.0.dev3+gabc.dirty"}),
        {},
        "The code was changed after its commit (pathorob-checks 0.1.0.dev3+gabc.dirty).",
    ),
    "Places that were not filled in": (
        clean_results(),
        {"terms": {"criteria": {"criteria": [{"id": "index", "owner": "FILL IN: who answers"}]}}},
        "The place 'owner' of criterion index was not filled in.",
    ),
    "What was not fixed beforehand": (
        clean_results(), {"options": []}, "No digest of the terms was demanded beforehand"
    ),
    "The qualification": (
        clean_results(), {"qualification": None}, "The run refers to no qualification of the installation"
    ),
    "Notes on FMs and cohorts": (clean_results(runs=(NOTED,)), {}, "FM ours: It is old."),
}  # fmt: skip


@pytest.mark.parametrize("title", DEVIATIONS)
def test_each_deviation_is_found_and_nothing_else(title):
    results, changes, part = DEVIATIONS[title]
    protocol = protocol_of(results, **changes)
    sentences = deviation_sentences(results, protocol)
    assert list(sentences) == [title]
    assert part in sentences[title][0]
    assert f"\n## {title}\n" in deviations_page(results, protocol)


def test_what_bound_the_run_is_confirmed_and_no_deviation():
    results = clean_results()
    compared = {"fm": "released", "source": "released.json", "digest": "a" * 64}
    criteria = protocol_of(results)["criteria"] | {"require_complete": True, "states_baseline": True}
    strict = [{**DEMANDED, "name": name, "value": "x"} for name in ("require_complete", "baseline")]
    protocol = protocol_of(results, criteria=criteria, baseline=compared, options=[DEMANDED, *strict])
    assert deviation_sentences(results, protocol) == {}
    page = deviations_page(results, protocol)
    bound = page.partition("## What bound the run")[2].partition("##")[0]
    assert bound.count("\n- ") == 4
    for digest in (DEMANDED["value"], QUALIFIED["manifest_sha256"], compared["digest"]):
        assert digest in bound
    unbound = protocol_of(results, options=[], qualification=None)
    assert "Nothing was demanded beforehand." in deviations_page(results, unbound)


def test_criteria_about_a_baseline_without_one_are_noted():
    results = clean_results()
    criteria = protocol_of(results)["criteria"] | {"states_baseline": True}
    [sentence] = deviation_sentences(results, protocol_of(results, criteria=criteria))[
        "What was not fixed beforehand"
    ]
    assert "no baseline was given, so nothing was compared" in sentence


def test_a_planned_check_without_a_record_is_named_whatever_left_it_out():
    planned = protocol_of(clean_results([GOOD, made("performance_drop_id", fm="ours", cohort="camelyon")]))
    results = clean_results()
    protocol = {**protocol_of(results), "planned": planned["planned"]}
    [first, second] = deviation_sentences(results, protocol)["Checks without a record"]
    assert "1 planned check has no record" in first
    assert second == f"{planned['planned'][1]['id']} has no record."
    protocol["planned"] = [{**planned["planned"][0]}, {**planned["planned"][1], "left_out": LEFT_OUT}]
    assert deviation_sentences(results, protocol) == {
        "Left out": [f"{planned['planned'][1]['id']} was left out by --fm-commercial (by choice)."]
    }


def test_where_the_criteria_let_an_inconclusive_verdict_pass_it_says_so():
    results = clean_results([made(value=0.5, interval=(0.3, 0.6))])
    terms = results.environment.criteria.model_copy(update={"profile": {"inconclusive": "warn"}})
    results = environment_with(results, criteria=terms)
    [sentence] = deviation_sentences(results, protocol_of(results))["Inconclusive verdicts"]
    assert sentence.endswith("The criteria let such a verdict pass.")


@pytest.mark.parametrize("option", ["cache", "fms", "cohorts"])
def test_an_option_that_changes_no_value_is_no_deviation(option):
    results = clean_results()
    assert deviation_sentences(results, protocol_of(results, **with_option(name=option))) == {}


def test_limitations_have_the_numbers_of_the_run():
    results = clean_results()
    page = limitations_page(results, protocol_of(results))
    for part in (
        "camelyon has 2 in-domain medical centers and none that is out-of-domain.",
        "camelyon has 4 patches from 2 slides",
        "No clinical claim follows from a verdict",
        "Which slides ours was trained on is not known to this run, only the data that its recipe or the",
        "The weights of ours have no digest",
        "A run does not show how often it was made before.",
        "Some criteria name no requirement",
        "Criteria that were measured: 1 of 1 planned.",
    ):
        assert part in page
    assert "package's choice" not in page
    built_in = protocol_of(results)
    built_in["criteria"]["files"] = ["floor"]
    assert "The profile floor is this package's choice of bounds" in limitations_page(results, built_in)


@pytest.mark.parametrize(
    ("identity", "weights", "precision"),
    [
        (
            {"kind": "demo", "model": {"precision": "fp32"}},
            "is a demonstration and has no weights",
            "in fp32.",
        ),
        ({"kind": "embeddings"}, "The embeddings of ours were given", "is not known to the run"),
        ({"kind": "python"}, "it is made by the user's own code", "is not known to the run"),
        ({"kind": "hf-hub", "weights_sha256": "a" * 64, "precision": "bf16"}, None, "in bf16."),
    ],
    ids=["demo", "embeddings", "python", "hf-hub"],
)
def test_limitations_know_what_embedded(identity, weights, precision):
    fm = run_of().fm.model_copy(update={"identity": identity})
    results = clean_results(runs=(run_of().model_copy(update={"fm": fm}),))
    limits = {one.title: one.sentences for one in limitations(results, protocol_of(results))}
    about_weights = limits["What the FM has seen before"][1:]
    assert len(about_weights) == (weights is not None)
    assert all(weights in sentence for sentence in about_weights)
    assert precision in limits["Precision"][0]


@pytest.mark.parametrize(
    ("family", "part"), [("none", "ask for no correction of failures"), ("holm", "for their number (Holm)")]
)
def test_limitations_tell_single_verdicts_from_the_release_verdict(family, part):
    results = clean_results([GOOD, made("performance_drop_id", fm="ours", cohort="camelyon")])
    terms = results.environment.criteria.model_copy(update={"profile": {"family": family}})
    results = environment_with(results, criteria=terms)
    page = limitations_page(results, protocol_of(results))
    assert "2 verdicts were taken one by one" in page
    assert part in page


def test_protocol_and_signature_page_name_the_qualification_and_who_wants_completeness():
    results = clean_results()
    protocol = protocol_of(results)
    for page in (protocol_page(protocol), signature_page(results, protocol, {}, "here", is_signed=False)):
        assert "PASS, made on 2026-02-01T00:00:00Z" in page
        assert QUALIFIED["manifest_sha256"] in page
    option = {**DEMANDED, "name": "require_complete", "value": False, "from": "default"}
    protocol["options"], protocol["qualification"] = [option], None
    protocol["criteria"]["require_complete"] = protocol["terms"]["criteria"]["require_complete"] = True
    page = protocol_page(protocol)
    assert "| every required criterion must be measured | yes, by the criteria |" in page
    assert "| require_complete | `False` | default; yes by the criteria |" in page
    assert "| qualification | none was named |" in page
    assert "none was named" in signature_page(results, protocol, {}, "here", is_signed=False)


def test_limitations_of_a_run_without_any_result_say_so():
    results = clean_results([], runs=())
    protocol = protocol_of(results)
    titles = [one.title for one in limitations(results, protocol)]
    assert "Medical centers" in titles
    assert "Nothing is known of this in the run." in limitations_page(results, protocol)


ODD = "<script>alert(1)</script> | a `b`\n# c"


def test_names_of_others_become_no_markup():
    check = GOOD.model_copy(update={"rationale": ODD, "requirements": (ODD,), "owner": ODD})
    results = clean_results([check], problems=(ODD,))
    protocol = protocol_of(results)
    protocol["fms"][0] |= {"name": ODD, "spec": ODD}
    for page in (protocol_page(protocol), deviations_page(results, protocol)):
        shown = MarkdownIt().enable("table").render(page)
        assert "<script" not in shown
        assert "<h1>c" not in shown
        rows = re.findall(r"<tr>(.*?)</tr>", shown, re.DOTALL)
        assert len(rows) == sum(line.startswith("|") for line in page.splitlines()) - shown.count("<thead>")
    [row] = [line for line in protocol_page(protocol).splitlines() if line.startswith("| \\<script")]
    assert row.replace("\\|", "").count("|") == 4
    page = signature_page(results, protocol, {ODD: "0"}, ODD, is_signed=False)
    assert "<script" not in page


@pytest.mark.parametrize("is_signed", [True, False])
def test_the_page_to_sign_says_whether_the_folder_is_signed(is_signed):
    results = clean_results()
    page = signature_page(
        results, protocol_of(results), {"results.json": "f" * 64}, "here", is_signed=is_signed
    )
    assert ("NOT SIGNED" in page) == (not is_signed)
    assert "f" * 64 in page
    assert "sha256sum manifest.json" in page
    assert [role for role in ("Prepared by", "Reviewed by", "Approved by") if role in page][
        -1
    ] == "Approved by"
    assert "src=" not in page
    assert "http" not in page.replace("http-equiv", "")
