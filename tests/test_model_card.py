"""`pathorob-checks model-card`: measured values in the hub's forms, and nothing else of a card is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from made_checks import made, unmeasured
from made_results import drawn, results_of

from pathorob_checks.cli import main
from pathorob_checks.results.check import IntegrityCheck

Command = pytest.CaptureFixture[str]
COMMIT = "0123456789" * 4


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(*checks: Any, source: str = "/home/me/patches", **options: Any) -> str:
    results = results_of(list(checks), **options)
    runs = tuple(
        run.model_copy(update={"cohort": run.cohort.model_copy(update={"source": source})})
        for run in results.runs
    )
    results.model_copy(update={"runs": runs}).save("r.json")
    return "r.json"


def printed(capsys: Command, *arguments: str, code: int = 0) -> str:
    assert main(["model-card", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_the_hubs_own_reader_finds_every_measured_value(capsys: Command) -> None:
    checks = [
        drawn(0.6),
        made("performance_drop_id", fm="our-fm", value=-0.05, interval=(-0.08, -0.02)),
        unmeasured(fm="our-fm", metric="clustering_score"),
        drawn(0.9).model_copy(update={"method": "combat"}),
    ]
    card = ModelCard(printed(capsys, saved(*checks), "--partial"))
    assert card.data.model_name == "our-fm"
    assert [(one.metric_type, one.metric_value) for one in card.data.eval_results] == [
        ("robustness_index", 0.6),
        ("performance_drop_id", -0.05),
    ]
    first = card.data.eval_results[0]
    assert (first.task_type, first.dataset_name, first.dataset_type) == (
        "image-feature-extraction", "demo", "demo",
    )  # fmt: skip
    assert first.metric_args["k"] == 11
    assert tuple(first.metric_args["interval"]) == checks[0].interval
    assert first.metric_args["verdict"] == checks[0].verdict
    assert first.metric_args["criterion"] == "robustness-index >= 0.5"
    assert first.metric_args["criteria_digest"] == "d" * 64
    assert first.metric_args["measured_by"] == "pathorob-checks 0.1.0"


def test_a_path_of_a_cohort_is_in_no_card_and_a_dataset_of_the_hub_is_named(capsys: Command) -> None:
    assert "/home/me" not in printed(capsys, saved(drawn(0.6)))
    card = ModelCard(printed(capsys, saved(drawn(0.6), source=f"org/patches@{COMMIT}")))
    [entry] = card.data.eval_results
    assert (entry.dataset_type, entry.dataset_revision) == ("org/patches", COMMIT)


def test_a_source_is_written_where_there_is_an_address(capsys: Command) -> None:
    [entry] = ModelCard(
        printed(capsys, saved(drawn(0.6)), "--source-url=https://example.org/r")
    ).data.eval_results
    assert (entry.source_name, entry.source_url) == ("pathorob-checks", "https://example.org/r")


CARD = """---
# a comment of the authors
license: apache-2.0   # beside
tags: [pathology,  histology]
model-index:
- name: our-fm
  results:
  - task: {type: image-classification}
    dataset: {name: PCam, type: org/pcam}
    metrics:
    - {type: accuracy, value: 0.91, unknown_field: kept}

# what follows is ours
library_name: timm
---
# Our FM

model-index: no metadata
---
"""


def updated(capsys: Command, *arguments: str, card: str = CARD) -> str:
    path = Path("README.md")
    path.write_bytes(card.encode())
    printed(capsys, *arguments, "--readme=README.md")
    return path.read_bytes().decode()


def test_an_existing_card_keeps_all_that_others_wrote(capsys: Command) -> None:
    card = updated(capsys, saved(drawn(0.6)))
    head, _, tail = CARD.partition("model-index:")
    assert card.startswith(head)
    assert card.endswith(tail[tail.index("\n# what follows") :])
    entries = ModelCard(card).data.eval_results
    assert [(one.metric_type, one.metric_value) for one in entries] == [
        ("accuracy", 0.91), ("robustness_index", 0.6),
    ]  # fmt: skip
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["unknown_field"] == "kept"
    assert [key for key in metadata if key != "model-index"] == ["license", "tags", "library_name"]


def test_values_of_an_earlier_run_are_replaced(capsys: Command) -> None:
    old = made("performance_drop_id", fm="our-fm", value=-0.3)
    first = updated(capsys, saved(drawn(0.6), old))
    second = updated(capsys, saved(drawn(0.7)), card=first)
    assert [(one.metric_type, one.metric_value) for one in ModelCard(second).data.eval_results] == [
        ("accuracy", 0.91), ("robustness_index", 0.7),
    ]  # fmt: skip
    assert updated(capsys, saved(drawn(0.7)), card=second) == second
    assert "(had these values)" in printed(capsys, "r.json", "--readme=README.md")


BARE = {
    "no metadata": "# Our FM\n\ntext\n",
    "empty metadata": "---\n---\n# Our FM\n",
    "only a comment": "---\n# nothing yet\n---\n# Our FM\n",
    "Windows lines": "---\r\nlicense: mit\r\n---\r\n# Our FM\r\n",
    "a mark at its start": "\ufeff---\nlicense: mit\n---\n# Our FM\n",
    "no line after the metadata": "---\nlicense: mit\n---",
    "an empty file": "",
    "other letters": "---\nlicense: mit\ntitle: Größe 病理\n---\n# Größe\n",
}


@pytest.mark.parametrize("what", BARE)
def test_a_card_without_values_has_them_afterwards(what: str, capsys: Command) -> None:
    before = BARE[what]
    card = updated(capsys, saved(drawn(0.6)), card=before)
    read = ModelCard(card.removeprefix("\ufeff"))
    assert [one.metric_value for one in read.data.eval_results] == [0.6]
    assert read.text == ModelCard(before.removeprefix("\ufeff")).text
    for line in before.splitlines(keepends=True):
        assert line.strip("\n") in card
    assert ("\r\n" in card) == ("\r\n" in before)
    assert card.replace("\r\n", "").count("\n") == (0 if "\r\n" in before else card.count("\n"))


UNREADABLE = {
    "broken metadata": "---\na: [\n---\n",
    "a list": "---\n- a\n---\n",
    "braces": "---\n{license: mit}\n---\n",
    "a model-index that is a text": "---\nmodel-index: none\n---\n",
    "a model-index without models": "---\nmodel-index:\n- our-fm\n---\n",
    "references into the model-index": (
        "---\nmodel-index:\n- name: &n our-fm\n  results: []\ntitle: *n\n---\n"
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_card_that_cannot_be_read_stays_as_it_is(what: str, capsys: Command) -> None:
    saved(drawn(0.6))
    Path("README.md").write_text(UNREADABLE[what])
    error = printed(capsys, "r.json", "--readme=README.md", code=1)
    assert "the metadata of the card cannot be read (" in error
    assert error.count("\n") == 1
    assert Path("README.md").read_text() == UNREADABLE[what]


def test_a_card_that_is_not_there_is_one_sentence(capsys: Command) -> None:
    error = printed(capsys, saved(drawn(0.6)), "--readme=README.md", code=1)
    assert "the card README.md cannot be read (No such file or directory); name a README.md" in error


HOSTILE = "our: fm\n---\n- !!python/object:os.system \x1b[31m'\"#"


def test_a_hostile_name_is_text(capsys: Command) -> None:
    check = drawn(0.6, fm=HOSTILE).model_copy(update={"label": "--- {{x}} &a *b", "cohort": "!!x: y"})
    text = printed(capsys, saved(check))
    assert "\x1b" not in text
    [entry] = ModelCard(text).data.eval_results
    assert (entry.metric_name, entry.dataset_name) == ("--- {{x}} &a *b", "!!x: y")
    assert updated(capsys, "r.json").count("\x1b") == 0


BROKEN = IntegrityCheck(id="i", name="finite", fm="our-fm", cohort="demo", verdict="fail")
REFUSED = {
    "a run that left criteria out": (
        {"planned": 4, "deselected": 3},
        "the run is no ground for a card, because it measured only 1 of 4 criteria; run the whole gate, or "
        "add --partial",
    ),
    "a run of which a worker crashed": (
        {"crashed": True}, "the run is no ground for a card: a worker crashed"
    ),
    "a run that did not finish": (
        {"problems": ("the run did not finish",)}, "the run is no ground for a card: the run did not finish"
    ),
    "embeddings that are not sound": (
        {"integrity": (BROKEN,)}, "the embeddings of our-fm are not sound (finite)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize(
    "target", [(), ("--out=c.md",), ("--eval-results=e.yaml", "--task=robustness_index=x")]
)
def test_what_proves_nothing_is_in_no_card(target: tuple[str, ...], what: str, capsys: Command) -> None:
    options, sentence = REFUSED[what]
    assert sentence in printed(capsys, saved(drawn(0.6), **options), *target, code=1)
    assert sorted(path.name for path in Path().iterdir()) == ["r.json"]


def test_a_run_that_was_killed_at_its_start_is_called_so(capsys: Command) -> None:
    saved(problems=("the run did not finish",), planned=4)
    assert "no ground for a card: the run did not finish; let a run finish." in printed(
        capsys, "r.json", code=1
    )


@pytest.mark.parametrize(("options", "complete"), [({}, True), ({"planned": 4, "deselected": 3}, False)])
def test_every_value_says_whether_the_run_was_complete(options: Any, complete: bool, capsys: Command) -> None:
    saved(drawn(0.6), **options)
    [entry] = ModelCard(printed(capsys, "r.json", "--partial")).data.eval_results
    assert entry.metric_args["complete"] is complete
    arguments = ("--partial", "--eval-results=e.yaml", "--task=robustness_index=x", "--dataset=demo=a/b")
    printed(capsys, "r.json", *arguments)
    [made] = parse_eval_result_entries(yaml.safe_load(Path("e.yaml").read_text()))
    assert ("of a partial run, which measured only 1 of 4 criteria" in (made.notes or "")) is not complete


def test_a_file_that_contradicts_itself_is_in_no_card(capsys: Command) -> None:
    saved(drawn(0.6))
    text = Path("r.json").read_text().replace('"verdict": "inconclusive"', '"verdict": "pass"')
    Path("r.json").write_text(text)
    assert "contradicts itself" in printed(capsys, "r.json", code=1)


def test_one_of_several_fms_is_named(capsys: Command) -> None:
    saved(drawn(0.6), drawn(0.7, fm="other"))
    assert "the results are of 2 FMs; name one with --fm: our-fm, other." in printed(capsys, "r.json", code=1)
    assert "no FM 'ohter'; did you mean 'other'?" in printed(capsys, "r.json", "--fm=ohter", code=1)
    card = ModelCard(printed(capsys, "r.json", "--fm=other", "--name=Our other FM"))
    assert (card.data.model_name, card.data.eval_results[0].metric_value) == ("Our other FM", 0.7)
    assert "have no measured value of our-fm" in printed(
        capsys, saved(unmeasured(fm="our-fm")), "--partial", code=1
    )


def test_eval_results_are_what_the_hubs_own_reader_reads(capsys: Command) -> None:
    checks = [
        drawn(0.6),
        made("performance_drop_id", fm="our-fm", value=-0.05),
        made("robustness_index", fm="our-fm", value=0.2, quantity="worst-center", criterion="worst"),
    ]
    saved(*checks, source=f"org/patches@{COMMIT}")
    printed(capsys, "r.json", "--eval-results=.eval_results/p.yaml", "--task=robustness_index=index")
    [entry] = parse_eval_result_entries(yaml.safe_load(Path(".eval_results/p.yaml").read_text()))
    assert (entry.dataset_id, entry.dataset_revision, entry.task_id) == ("org/patches", COMMIT, "index")
    assert (entry.value, entry.date) == (0.6, "2026-05-04T12:00:00Z")
    assert entry.notes is not None
    assert entry.notes.startswith("k = 11; 95 % interval 0.2")
    assert "inconclusive by >= 0.5; criteria floor (dddddddddddd); pathorob-checks 0.1.0" in entry.notes


WRONG = {
    "no task": ((), "the hub must be told which task of the benchmark each value belongs to; give --task"),
    "a task without a value": (("--task=robustness_index",), "is no NAME=VALUE; write both"),
    "a metric that was not measured": (
        ("--task=clustering_score=x",),
        "no measured value of 'clustering_score'",
    ),
    "a dataset that nobody knows": (
        ("--task=robustness_index=x",),
        "the dataset of the cohort demo on the hub is not known; give it with --dataset demo=ORG/NAME.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_the_hub_must_know_is_not_guessed(what: str, capsys: Command) -> None:
    arguments, sentence = WRONG[what]
    error = printed(capsys, saved(drawn(0.6)), "--eval-results=e.yaml", *arguments, code=1)
    assert sentence in error
    assert not Path("e.yaml").exists()


def test_a_dataset_is_given_for_an_own_cohort(capsys: Command) -> None:
    arguments = ("--task=robustness_index=x", "--dataset=demo=org/mine")
    printed(capsys, saved(drawn(0.6)), "--eval-results=e.yaml", *arguments)
    assert yaml.safe_load(Path("e.yaml").read_text())[0]["dataset"] == {"id": "org/mine", "task_id": "x"}


def test_the_name_is_that_of_the_repository(capsys: Command) -> None:
    results = results_of([drawn(0.6)])
    [run] = results.runs
    for spec, name in (
        ("hf-hub:ours/next@v1", "next"), ("local-dir:/home/me/next", "our-fm"), ("virchow2", "our-fm")
    ):  # fmt: skip
        fm = run.fm.model_copy(update={"spec": spec})
        results.model_copy(update={"runs": (run.model_copy(update={"fm": fm}),)}).save("r.json")
        assert ModelCard(printed(capsys, "r.json")).data.model_name == name


def test_the_file_of_out_is_the_printed_text(capsys: Command) -> None:
    text = printed(capsys, saved(drawn(0.6)))
    assert printed(capsys, "r.json", "--out=new/card.md") == "card: new/card.md\n"
    assert Path("new/card.md").read_text() == text
