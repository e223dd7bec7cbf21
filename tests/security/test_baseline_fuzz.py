"""Results files with anything in any place, as baselines: nothing but a sentence comes of any of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from attack import INDEX, made_embeddings, rows_of, write_embeddings, write_inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathorob_checks.criteria.files import load_profile
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.evaluation.baseline import read_baseline
from pathorob_checks.evaluation.evaluate import evaluate
from pathorob_checks.metrics.differences import difference
from pathorob_checks.results.results import Results
from pathorob_checks.results.subject_facts import CohortFacts

pytestmark = pytest.mark.slow
OLD = Path(__file__).parents[1] / "results_of_schema_1.json"
FLOOR = load_profile("floor")
ANYTHING: list[Any] = [
    None, True, 0, -1, 1, 0.5, -0.0, 10**400, 2**64, 1e308, 5e-324, "", "x", "NaN", "1", "\ud800",
    "\u202e\x1b[31m", "a" * 5000, [], {}, [[]], [None], {"a": 1}, {"": {}}, [1, 2, 3], [[[[[[]]]]]], "pass",
    "2020-01-01",
]  # fmt: skip
WHOLE = [b"", b"null", b"[]", b'"x"', b"[" * 200_000, b'{"a":' * 100_000, b"9" * 5000, b"1e999", b"\xff\xfe{",
         b'{"schema":' + b"9" * 4000 + b"}", b'{"schema":"pathorob-checks/results/1"}']  # fmt: skip


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A results file with two metrics."""
    folder = write_inputs(tmp_path_factory.mktemp("released"))
    rows = rows_of(folder / "coh")
    write_embeddings(folder / "old", rows, made_embeddings(rows, biology=0.3, center=0.2))
    entry = INDEX.partition("[[criteria]]")[2].replace("robustness_index", "clustering_score")
    (folder / "two.toml").write_text(INDEX + "[[criteria]]" + entry.replace('"index"', '"score"'))
    results = evaluate(f"embeddings:{folder / 'old'}", cohorts=folder / "coh", criteria=folder / "two.toml",
                       cache=folder / "cache", progress=False)  # fmt: skip
    content: dict[str, Any] = json.loads(results.to_json())
    return content


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and the first elements of every list."""
    parts = (
        value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    )
    return [place for key, inner in parts for place in ((*path, key), *places(inner, (*path, key)))]


@settings(max_examples=800, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.data())
@pytest.mark.parametrize("schema", [1, 2])
def test_no_results_file_breaks_the_reader_of_baselines(
    schema: int, released: dict[str, Any], tmp_path: Path, data: st.DataObject
) -> None:
    sound = released if schema == 2 else json.loads(OLD.read_text())
    content = copy.deepcopy(sound)
    where = st.sampled_from(places(sound))
    for _ in range(data.draw(st.integers(1, 3))):
        *above, key = data.draw(where)
        try:
            inside = content
            for part in above:
                inside = inside[part]
            match data.draw(st.sampled_from(["replace", "replace", "delete", "double", "scale", "add"])):
                case "replace":
                    inside[key] = data.draw(st.sampled_from(ANYTHING))
                case "delete":
                    del inside[key]
                case "double":
                    inside[key] = [inside[key], inside[key]]
                case "scale":
                    inside[key] *= data.draw(st.sampled_from([-1, 0, 1.5, 1e300]))
                case "add":
                    inside[data.draw(st.sampled_from(["x", "id", ""]))] = inside[key]
        except (LookupError, TypeError, OverflowError):  # what was put there before does not take it
            continue
    text = json.dumps(content).encode()
    if data.draw(st.integers(0, 9)) == 0:
        place = data.draw(st.integers(0, len(text)))
        text = text[:place] + data.draw(st.binary(max_size=4)) + text[place + 2 :]
    only_sentences(tmp_path / "old.json", text, sound)


@pytest.mark.parametrize("text", WHOLE, ids=range(len(WHOLE)))
def test_no_json_breaks_the_reader_of_baselines(
    text: bytes, released: dict[str, Any], tmp_path: Path
) -> None:
    only_sentences(tmp_path / "old.json", text, released)


def only_sentences(path: Path, text: bytes, sound: dict[str, Any]) -> None:
    """Read it, and compare with it as a run does."""
    path.write_bytes(text)
    errors = []
    try:
        results = Results.read(path)
        results.explain()
        results.to_json()
    except PathorobChecksError as error:
        errors.append(error)
    try:
        baseline = read_baseline(path)
        baseline.check_protocol(sound["environment"]["criteria"]["protocol"])
        baseline.check_cohort(CohortFacts.model_validate(sound["runs"][0]["cohort"]))
        baseline.criteria("new", list(baseline.runs), FLOOR)
        for measured in baseline.measured.values():
            assert measured is not None
            difference(measured, measured)
    except PathorobChecksError as error:
        errors.append(error)
    assert all(error.remedy and len(str(error)) < 1500 for error in errors)
