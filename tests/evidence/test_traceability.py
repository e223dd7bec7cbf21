"""From requirements to verdicts, as the table of the evidence says it."""

from __future__ import annotations

import csv
import io

from drawn_results import results_of
from evidence_documents import protocol_of
from made_checks import made, unmeasured

from pathorob_checks.evidence.pages import traceability_page
from pathorob_checks.evidence.traceability import COLUMNS, NO_CHECK, NO_RECORD, traces, traces_as_csv

INDEX = made(value=0.9, interval=(0.85, 0.95), requirements=("SRS-2", "RISK-1"), owner="QA")
DROP = made("performance_drop_id", interval=(-0.16, -0.08))
LOST = unmeasured(metric="clustering_score", requirements=("SRS-2",))


def table(results, protocol, report=""):
    rows = csv.DictReader(io.StringIO(traces_as_csv(traces(results, protocol, report)), newline=""))
    return list(rows)


def test_every_requirement_has_its_check_with_value_interval_bound_and_verdict():
    results = results_of([INDEX, DROP])
    [risk, srs, without] = table(results, protocol_of(results))
    assert (risk["requirement"], srs["requirement"], without["requirement"]) == ("RISK-1", "SRS-2", "")
    assert {key: value for key, value in risk.items() if key != "requirement"} == {
        "criterion": INDEX.criterion, "owner": "QA", "fm": INDEX.fm, "cohort": "demo",
        "metric": "robustness_index", "quantity": "value", "test": INDEX.id, "value": "0.9", "low": "0.85",
        "high": "0.95", "confidence": "0.95", "direction": ">=", "bound": repr(INDEX.bound),
        "rule": str(INDEX.rule), "verdict": "pass", "figure": "report.html",
    }  # fmt: skip
    assert without["verdict"] == DROP.verdict


def test_a_check_without_a_value_or_without_a_record_is_listed_as_such():
    results = results_of([LOST])
    [never, lost] = sorted(
        table(results, protocol_of(results_of([LOST, DROP]))), key=lambda row: row["requirement"]
    )
    assert (lost["verdict"], lost["value"]) == ("error", "")
    assert (never["verdict"], never["test"], never["value"]) == (NO_RECORD, DROP.id, "")


def test_requirements_of_criteria_that_apply_to_nothing_are_not_forgotten():
    results = results_of([DROP])
    entry = {"id": "elsewhere", "metric": "robustness_index", "requirements": ["SRS-9"], "owner": "QA"}
    protocol = protocol_of(results)
    protocol["terms"]["criteria"]["criteria"] = [entry, {"id": DROP.criterion, "metric": DROP.metric}]
    rows = table(results, protocol)
    assert [(row["requirement"], row["criterion"], row["verdict"]) for row in rows] == [
        ("SRS-9", "elsewhere", NO_CHECK), ("", DROP.criterion, DROP.verdict),
    ]  # fmt: skip
    page = traceability_page(traces(results, protocol, ""), results)
    assert "- SRS-9: criterion elsewhere applies to nothing in this run." in page
    assert f"## Criteria without a requirement\n\n- {DROP.criterion}\n" in page


def test_a_check_of_a_users_own_test_is_traced_too():
    own = made(value=0.9, registered=False, criterion="mine", id="test_mine.py::test_mine")
    results = results_of([own])
    [row] = table(results, protocol_of(results))
    assert (row["criterion"], row["test"]) == ("mine", own.id)


def test_figures_are_places_that_the_report_has():
    results = results_of([INDEX, DROP])
    protocol = protocol_of(results)
    figures = {one["figure"] for one in table(results, protocol, '<h3 id="figures-0">')}
    assert figures == {"report.html#figures-0"}
    figures = [one["figure"] for one in table(results, protocol, '<h2 id="checks"> <p id="missed-1">')]
    assert figures == ["report.html#checks", "report.html#checks", "report.html#missed-1"]


def test_a_spreadsheet_runs_nothing_of_it_and_markdown_neither():
    odd = made(value=0.9, owner='=HYPERLINK("x")', requirements=("@cmd", "a|b <script>"), fm="+fm")
    results = results_of([odd], runs=[])
    protocol = protocol_of(results)
    text = traces_as_csv(traces(results, protocol, ""))
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert {'\'=HYPERLINK("x")', "'@cmd", "'+fm"} <= set(cells)
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]
    page = traceability_page(traces(results, protocol, ""), results)
    assert "a\\|b \\<script\\>" in page


def test_negative_values_stay_numbers():
    results = results_of([DROP])
    [row] = table(results, protocol_of(results))
    assert float(row["value"]) == DROP.value
    assert tuple(row) == COLUMNS


def test_a_requirement_that_a_template_left_open_is_none():
    half, open_only = (("SRS-2", "FILL IN: your requirement id"), ("FILL IN: your requirement id",))
    results = results_of(
        [
            INDEX.model_copy(update={"requirements": half}),
            DROP.model_copy(update={"requirements": open_only}),
        ]
    )
    rows = table(results, protocol_of(results))
    assert [row["requirement"] for row in rows] == ["SRS-2", ""]
    page = traceability_page(traces(results, protocol_of(results), ""), results)
    assert f"## Criteria without a requirement\n\n- {DROP.criterion}\n" in page
