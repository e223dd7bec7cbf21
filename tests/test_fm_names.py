"""`--fm-name`: what an FM is called, wherever it is."""

from __future__ import annotations

import pytest
from attack import Attack

from pathorob_checks.errors import SpecError
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.evaluation.subjects import subjects_of

TWO = ("local-dir:/builds/1234/model", "local-dir:/builds/1235/model")


def test_names_are_given_in_the_order_of_the_fms() -> None:
    subjects = subjects_of(Settings(fms=TWO, names=("new", "the old one"), cohorts=("demo",)))
    assert {name: spec.text for name, spec in subjects.specs.items()} == {
        "new": TWO[0],
        "the old one": TWO[1],
    }
    assert subjects.subjects[0].id == "new-demo"


@pytest.mark.parametrize(
    ("fms", "names", "message"),
    [
        (TWO, ("one",), "there are 2 FMs and 1 --fm-name; give each FM one name, in the order of --fm"),
        (TWO[:1], ("one", "two"), "there is 1 FM and 2 --fm-names; give each FM one name"),
        (TWO, ("ours", "ours"), "--fm-name gives two FMs one name (ours); give each its own."),
        (TWO, ("ours", "OURS"), "--fm-name gives two FMs one name (ours and OURS); give each its own."),
        (TWO[:1], ("a\x1b[31mb",), "has a character that cannot be shown; give a name that can be read"),
        (TWO[:1], ("a\u200bb",), "has a character that cannot be shown"),
        (TWO[:1], ("a\nb",), "has a character that cannot be shown"),
        (TWO[:1], ("",), "is empty"),
        (TWO[:1], (" a",), "begins or ends with a blank"),
        ((TWO[0], TWO[0]), ("a", "b"), "--fm has the same foundation model twice"),
    ],
)
def test_a_mistake_in_names_is_one_sentence(
    fms: tuple[str, ...], names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        subjects_of(Settings(fms=fms, names=names, cohorts=("demo",)))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert str(caught.value).count(".") == 1


def test_tables_files_and_the_baseline_have_the_name(small_gate: Attack) -> None:
    (small_gate.folder / "good").rename(small_gate.folder / "model")
    released = small_gate.run("--fm-name=our FM", fm="embeddings:model", results="released.json")
    assert released.code == 0, released.output
    assert "release verdict on our FM: PASS" in released.output
    (small_gate.folder / "model").rename(small_gate.folder / "1235")
    node = "suites/test_robustness_index.py::test_robustness_index[our FM-coh]"
    run = small_gate.run("--fm-name=our FM", node, fm="embeddings:1235")
    assert run.results is not None
    assert {check["id"] for check in run.results["checks"]} == {node}
    again = small_gate.run(
        "--fm-name=next", "--fm-name=bad", "--fm=embeddings:bad", "--fm-baseline=next", fm="embeddings:1235"
    )
    assert "baseline: next (" in again.output
    refused = small_gate.run("--fm-name=a", "--fm-name=b", fm="embeddings:1235")
    assert refused.run.errors == [
        "ERROR: there is 1 FM and 2 --fm-names; give each FM one name, in the order of --fm, or leave all "
        "names out."
    ]
