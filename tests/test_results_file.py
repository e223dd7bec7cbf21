"""The results file: its keys, strict JSON, written whole or not at all."""

import json
import math
import os
import stat
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from report_records import WEAKEST, record, unmeasured

from pathorob_checks.errors import CacheError, MetricError
from pathorob_checks.report.results import environment, results_document, write_results

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
    facts = environment()
    assert facts["packages"]["numpy"] == np.__version__
    assert {"pathorob-checks", "torch", "timm", "scikit-learn"} <= set(facts["packages"])
    assert "hf_secret" not in json.dumps(facts)
    assert os.uname().nodename not in json.dumps(facts)


def test_the_time_of_a_document_is_in_utc():
    assert document(created=datetime(2026, 3, 1, tzinfo=UTC))["created"] == "2026-03-01T00:00:00Z"
