"""The results file: its keys, strict JSON, its schema, written whole or not at all."""

import json
import math
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pydantic
import pytest
from made_checks import made
from made_document import document
from packaging.version import Version

import pathorob_checks
from pathorob_checks import Results
from pathorob_checks.errors import ResultsError
from pathorob_checks.evaluation.facts import machine_facts
from pathorob_checks.results.results import json_schema
from pathorob_checks.version import version

OLD = Path(__file__).with_name("results_of_schema_1.json")


def test_a_results_file_has_exactly_the_documented_keys():
    content = json.loads(document().to_json())
    assert set(content) == {
        "schema", "created", "complete", "outcome", "summary", "environment", "metrics", "runs",
        "releases", "checks", "integrity", "other_failures", "problems",
    }  # fmt: skip
    assert content["schema"] == "pathorob-checks/results/2"
    assert content["created"] == "2026-03-01T10:00:00Z"
    assert (content["complete"], content["outcome"]) == (False, "fail")
    assert list(content["runs"][0]["fm"]["identity"]) == ["a", "b"]
    assert content["checks"][1]["value"] is None


def test_a_file_that_was_saved_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "new" / "results.json"
    document().save(path)
    assert Results.read(path) == document()
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]


def test_every_file_fits_the_schema_that_the_command_prints():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(document().to_json()), schema)
    broken = json.loads(document().to_json())
    broken["checks"][0]["verdict"] = "passed"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_the_schema_describes_a_file_and_not_its_python_class():
    schema = json_schema()
    described = [one["description"] for one in (schema, *schema["$defs"].values()) if "description" in one]
    assert any("Attributes\n----" in one for one in described)
    assert not [one for one in described if ">>>" in one or "Raises\n----" in one or "See Also\n---" in one]


@pytest.mark.skipif(
    Version(pydantic.VERSION) < Version("2.14"),
    reason="earlier versions write the same schema in other words",
)
def test_the_schema_in_the_docs_is_the_one_of_the_code():
    page = Path(__file__).parent.parent / "docs" / "results.schema.json"
    assert json.loads(page.read_text()) == json_schema(), (
        "run: pathorob-checks schema > docs/results.schema.json"
    )


def test_a_file_of_schema_1_is_read_in_the_form_of_schema_2():
    results = Results.read(OLD)
    (check,) = (one for one in results.checks if one.metric == "robustness_index")
    old = next(one for one in json.loads(OLD.read_text())["checks"] if one["metric"] == "robustness_index")
    assert (check.value, check.label, check.method) == (old["value"], "robustness index", "none")
    assert list(check.interval) == old["interval"]
    assert [cell.value for cell in check.cells] == [cell["value"] for cell in old["weakest"]]
    assert check.resampling.units == tuple(unit for unit, _, _ in old["resampling"]["units"])
    assert check.resampling.cells[0] == (old["resampling"]["cells"][0],)
    assert results.environment.criteria.completeness.planned == 4


def test_results_read_from_a_file_show_themselves():
    results = document()
    assert not results.passed
    assert repr(results).startswith("<Results: FAIL: 1 of 2 criteria not met")
    table = results.table()
    assert list(table.verdict) == ["fail", "error"]
    assert table.low[0] == 0.3
    assert table.value.dtype == float
    assert "Weakest:    tumor of RUMC: 0.120" in results.explain()


def test_the_html_for_notebooks_escapes_every_name():
    evil = "<script>alert(1)</script>\x1b[31m"
    checks = [made(fm=evil, cohort=evil, reason=evil, rationale=evil, label=evil), made()]
    shown = document(checks)._repr_html_()
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "&lt;script&gt;" in shown
    assert "FAIL" in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a results file"),
        ("[]", "is not a results file"),
        ("null", "is not a results file"),
        ('{"schema": "other/1"}', "has the schema 'other/1'"),
        ('{"schema": "pathorob-checks/results/1"}', "is not a results file"),
        ('{"schema": "pathorob-checks/results/2"}', r"is damaged \(created: "),
        ('{"schema": NaN}', "is not a results file"),
        ("[" * 100_000, "nested too deeply"),
        ('{"schema": ' + "9" * 400 + "}", "a number has 400 digits"),
        ('{"schema": ' + "9" * 5000 + "}", "a number has 5,000 digits"),
        ('{"schema": "pathorob-checks/results/2", "schema": 1}', "the key 'schema' stands twice"),
        ('{"schema": "pathorob-checks/results/2", "created": 1e999}', "is not a results file"),
        ('{"schema": "pathorob-checks/results/2", "x": ' + '{"x": ' * 400 + "1" + "}" * 401, "is damaged"),
    ],
)
def test_a_file_that_is_not_one_is_refused_in_one_sentence(content, message, tmp_path):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(ResultsError, match=message) as caught:
        Results.read(tmp_path / "r.json")
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_file_or_too_large_is_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", "/dev/zero"):
        with pytest.raises(ResultsError, match=r"cannot be read \(it is not a regular file"):
            Results.read(path)
    monkeypatch.setattr("pathorob_checks.results.results.LARGEST", 10)
    document().save(tmp_path / "r.json")
    with pytest.raises(ResultsError, match=r"cannot be read \(it is larger than 10 bytes"):
        Results.read(tmp_path / "r.json")


@pytest.mark.parametrize("value", ["NaN", "0.5", True, [0.5], {}])
def test_what_is_no_number_is_not_read_as_one(value, tmp_path):
    content = json.loads(document().to_json())
    content["checks"][0]["cells"][0]["value"] = value
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(ResultsError, match=r"is damaged .checks\.0\.cells\.0\.value"):
        Results.read(tmp_path / "r.json")


def test_a_written_file_has_the_permissions_of_any_other_file(tmp_path):
    (tmp_path / "other").touch()
    document().save(tmp_path / "results.json")
    modes = {stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
    assert len(modes) == 1


def test_an_interrupted_write_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text('{"old": 1}')

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match="No space left on device"):
        document().save(path)
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_a_place_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "results.json", tmp_path, "/dev/null"):
        with pytest.raises(ResultsError, match="results file") as caught:
            document().save(path)
        assert str(path) in caught.value.problem
        assert caught.value.remedy


def test_numbers_that_json_does_not_know_are_not_written(tmp_path):
    broken = document().model_copy(update={"checks": (made().model_copy(update={"value": math.nan}),)})
    with pytest.raises(ResultsError, match="cannot be written"):
        broken.save(tmp_path / "results.json")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ResultsError, match="a number in them is not finite"):
        broken.to_json()


def test_through_a_link_the_file_behind_it_is_written(tmp_path):
    (tmp_path / "real.json").touch()
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    document().save(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert Results.read(tmp_path / "real.json") == document()


def test_the_environment_names_versions_and_no_secret(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    facts = machine_facts()
    assert facts["packages"]["numpy"] == np.__version__
    assert {"torch", "timm", "scikit-learn"} <= set(facts["packages"])
    assert facts["packages"]["pathorob-checks"] == pathorob_checks.__version__ == version()
    assert "hf_secret" not in json.dumps(facts)
    assert os.uname().nodename not in json.dumps(facts)


def test_the_time_of_a_document_is_in_utc():
    written = json.loads(document(created=datetime(2026, 3, 1, tzinfo=UTC)).to_json())["created"]
    assert written == "2026-03-01T00:00:00Z"
