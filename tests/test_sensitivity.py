"""How an FM's values change with pooling, precision, batch size and k: real runs on a small cohort."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohort_folders import write_cohort
from loopback_hub import write_tiny_vit
from prepared_models import prepare_folder

from pathorob_checks.cli import main
from pathorob_checks.cohorts.registry import CohortSources, load_cohort
from pathorob_checks.commands.sensitivity import largest_change, printable_document
from pathorob_checks.embeddings import extraction
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.metrics import (
    difference,
    margin_aware_index,
    neighbor_search,
    robustness_index,
    robustness_margin,
)
from pathorob_checks.results.sensitivity import Change, Own, Sensitivity, SensitivityDocument

FUNCTIONS: tuple[Any, ...] = (robustness_index, margin_aware_index, robustness_margin)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, a small vision transformer and a cache that the tests of this file share."""
    folder = tmp_path_factory.mktemp("sensitivity")
    write_cohort(folder / "slides", patches=3)
    write_tiny_vit(folder / "vit")
    return folder


def run(place: Path, *options: str, fm: str = "", cache: str = "cache") -> tuple[int, dict[str, Any]]:
    """Exit code, and the subject of the file that the command wrote."""
    out = place / "out.json"
    out.unlink(missing_ok=True)
    arguments = [f"--fm={fm or f'local-dir:{place}/vit'}", f"--fm-cohort={place}/slides"]
    code = main(
        [
            "sensitivity",
            *arguments,
            f"--fm-cache={place / cache}",
            "--fm-device=cpu",
            f"--out={out}",
            *options,
        ]
    )
    content = json.loads(out.read_text()) if out.exists() else {"subjects": [{}]}
    return code, content["subjects"][0]


def separately(place: Path, *, k: int | None = None, **settings: Any) -> dict[str, Any]:
    """The metrics of an extraction of its own."""
    cohort = load_cohort(str(place / "slides"), CohortSources(metadata=None, cache=place), None)
    prepared = prepare_folder(place / "vit", **settings)
    if "batch_size" in settings:
        prepared = replace(prepared, identity={**prepared.identity, "apart": settings["batch_size"]})
    embeddings = extraction.obtain(prepared, cohort, EmbeddingStore(place / "apart"))
    view = cohort.views["robustness_index"]
    rows = embeddings.values[view.rows]
    measured: dict[str, Any] = {}
    for function in FUNCTIONS:
        chosen = {} if k is None or function is robustness_margin else {"k": k}
        measured |= function(rows, view.patches, **chosen).measurements()
    return measured


def changes(subject: dict[str, Any], setting: str, choice: str) -> dict[str, dict[str, Any]]:
    return {
        one["metric"]: one
        for one in subject["changes"]
        if (one["setting"], one["choice"]) == (setting, choice)
    }


def assert_is_change(given: dict[str, dict[str, Any]], new: dict[str, Any], own: dict[str, Any]) -> None:
    assert given.keys() == new.keys()
    for name, one in given.items():
        moved = new[name].value - own[name].value
        assert (one["value"], one["difference"]) == (new[name].value, moved), name
        assert tuple(one["interval"]) == difference(new[name], own[name]).interval, name
        assert not one["same_embeddings"]


def test_poolings_from_one_extraction_have_the_values_of_separate_ones(place: Path) -> None:
    code, subject = run(place, "--only=pooling", cache="pooling")
    assert code == 0
    own = separately(place)
    assert {one["metric"]: one["value"] for one in subject["own"]} == {
        name: one.value for name, one in own.items()
    }
    assert subject["settings"]["pooling"] == "clsmean"
    for pooling in ("cls", "mean"):
        assert_is_change(changes(subject, "pooling", pooling), separately(place, pooling=pooling), own)
    assert changes(subject, "pooling", "clsmean") == {}
    assert len(list((place / "pooling" / "embeddings").glob("*/*/manifest.json"))) == 1


def test_all_k_share_one_search(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []
    search = neighbor_search._search
    monkeypatch.setattr(neighbor_search, "_search", lambda *a: searches.append(a[1]) or search(*a))
    code, subject = run(place, "--only=k", "--k=3", "--k=11", "--k=40")
    assert (code, len(searches)) == (0, 1)
    assert subject["settings"]["k"] == "11"
    assert changes(subject, "k", "11") == {}
    own = {one["metric"]: one["value"] for one in subject["own"]}
    for k in (3, 40):
        new = separately(place, k=k)
        given = changes(subject, "k", str(k))
        assert given.keys() == {"robustness_index", "mari"}  # margins have no k
        for name, one in given.items():
            assert (one["value"], one["difference"]) == (new[name].value, new[name].value - own[name])
            low, high = one["interval"]
            assert low < one["difference"] < high
            assert one["note"].startswith("Paired: the same slides")


def test_precision_and_batch_size_take_a_pass_each(place: Path) -> None:
    code, subject = run(place, "--only=precision", "--only=batch-size", "--batch-size=5", "--batch-size=32")
    assert code == 0
    own = separately(place)
    assert_is_change(changes(subject, "precision", "bf16"), separately(place, precision="bf16"), own)
    new = separately(place, batch_size=5)
    given = changes(subject, "batch size", "5")
    assert {name: one["value"] for name, one in given.items()} == {
        name: one.value for name, one in new.items()
    }
    assert changes(subject, "batch size", "32") == {}  # the FM's own
    passes = [(one["precision"], one["batch_size"]) for one in subject["extractions"]]
    assert passes == [("fp32", 32), ("bf16", 32), ("fp16", 32), ("fp32", 5)]
    assert len({one["key"] for one in subject["extractions"]}) == 4
    assert {one["identity"]["pooling"] for one in subject["extractions"]} == {"side-by-side"}
    assert subject["extractions"][3]["identity"]["batch_size"] == 5


def test_a_second_call_embeds_nothing_and_says_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--only=pooling", "--only=batch-size", "--batch-size=5")
    first = run(place, *options, cache="twice")
    monkeypatch.setattr(extraction, "embed_shards", lambda *_: pytest.fail("it embeds again"))
    assert run(place, *options, cache="twice") == first


def test_the_cache_says_what_they_are_and_exports_none(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, subject = run(place, "--only=batch-size", "--batch-size=5", cache="listed")
    assert code == 0
    capsys.readouterr()
    cache = f"--fm-cache={place / 'listed'}"
    assert main(["cache", "ls", cache]) == 0
    listed = capsys.readouterr().out
    assert "vit (side-by-side)  " in listed
    assert "vit (side-by-side, batch size 5)  " in listed
    for one in subject["extractions"]:
        assert main(["cache", "export", cache, one["key"], str(place / "exported")]) == 1
        assert "holds several poolings side by side" in capsys.readouterr().err
    assert not (place / "exported").exists()


def test_fms_and_choices_may_repeat(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, subject = run(place, "--only=k", "--k=5", "--k=3", "--k=5", "--fm=demo:color-sensitive")
    assert code == 0
    assert [one["choice"] for one in subject["changes"] if one["metric"] == "mari"] == ["3", "5"]
    out = capsys.readouterr().out
    assert "vit on slides; its own settings: pooling clsmean" in out
    assert "color-sensitive on slides; its own settings: batch size 32, k 11" in out
    assert out.count("The largest change:") == 1


def test_equal_embeddings_are_called_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, subject = run(
        place, "--only=batch-size", "--batch-size=7", fm="demo:color-sensitive"
    )  # which embeds patch by patch
    assert code == 0
    given = changes(subject, "batch size", "7")
    assert len(given) == len(subject["own"]) == 5
    assert all(one["same_embeddings"] and one["difference"] == 0 for one in given.values())
    out = capsys.readouterr().out
    assert out.count("equal embeddings") == 5
    assert "No setting that was changed changes a value." in out


def test_what_the_fm_cannot_do_is_left_out_with_its_reason(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_vit(place / "plain", class_token=False, global_pool="avg")
    fm = f"local-dir:{place}/plain"
    code, subject = run(place, "--only=pooling", "--only=k", "--k=5", "--k=5000", fm=fm)
    assert code == 0
    assert subject["settings"]["pooling"] == "pooled"
    assert changes(subject, "pooling", "mean").keys() == {one["metric"] for one in subject["own"]}
    left = {(one["setting"], one["choice"]): one["reason"] for one in subject["left_out"]}
    assert left.keys() == {("pooling", "cls"), ("pooling", "clsmean"), ("k", "5000")}
    assert left["pooling", "cls"] == f"{fm} has no class token"
    out = " ".join(capsys.readouterr().out.split())
    assert f"left out: pooling cls, clsmean, because {fm} has no class token" in out
    assert "left out: k 5000, because robustness_index: k = 5000 neighbors were requested" in out


def test_a_precision_in_which_the_fm_breaks_is_left_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathorob_checks.models import encoder

    types = encoder.autocast_type

    def broken(precision: str) -> Any:
        if precision == "fp16":
            raise encoder.ModelError("this device has no fp16", remedy="use another")
        return types(precision)

    monkeypatch.setattr(encoder, "autocast_type", broken)
    code, subject = run(place, "--only=precision", cache="broken")
    assert code == 0
    assert changes(subject, "precision", "bf16")
    (left,) = subject["left_out"]
    assert left == {"setting": "precision", "choice": "fp16", "reason": "this device has no fp16"}


def test_a_batch_that_memory_does_not_hold_is_not_called_by_its_size(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction.BatchSizes, "usable", lambda self, size: min(size, 32))
    code, subject = run(place, "--only=batch-size", "--batch-size=64", cache="memory")
    assert code == 0
    assert subject["changes"] == []
    assert subject["left_out"][0]["reason"] == "the device has memory for batches of 32"


def test_given_embeddings_have_a_k_only(place: Path) -> None:
    cohort = load_cohort(str(place / "slides"), CohortSources(metadata=None, cache=place), None)
    given = place / "given" / "slides"
    given.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(len(cohort), 8)).astype(np.float32)
    np.save(given / "embeddings.npy", values)
    cohort.patches.to_csv(given / "manifest.csv", index=False)
    code, subject = run(place, "--k=5", fm=f"embeddings:{place}/given")
    assert code == 0
    assert subject["settings"] == {"k": "11"}
    assert {one["setting"] for one in subject["changes"]} == {"k"}
    left = {(one["setting"], one["choice"]) for one in subject["left_out"]}
    assert left == {
        *(("pooling", one) for one in ("cls", "mean", "clsmean")),
        *(("precision", one) for one in ("bf16", "fp16")),
        ("batch size", "1"),
    }


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--fm=local-dir:nowhere"], 1, "local-dir:nowhere is not a folder"),
        (["--fm=demo:stain-invariant", "--only=k", "--batch-size=3"], 1, "add --only=batch-size"),
        (["--fm=demo:stain-invariant", "--only=pooling", "--k=3"], 1, "add --only=k, or leave --k out"),
        (["--fm=demo:stain-invariant", "--k=0"], 2, "0 is not a whole number of 1 or more"),
        (["--fm=demo:stain-invariant", "--batch-size=\x1b[2J"], 2, "\\x1b[2J is not a whole number"),
        (["--fm=demo:stain-invariant", "--only=depth"], 2, "there is no"),
        ([], 2, "--fm"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(
    options: Sequence[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ended = main(["sensitivity", *options])
    except SystemExit as end:
        ended = end.code  # type: ignore[assignment]
    error = capsys.readouterr().err
    assert ended == code
    assert said in error
    assert "\x1b" not in error


def test_an_earlier_file_is_gone_where_nothing_is_measured(place: Path) -> None:
    code, _ = run(place, "--only=k", "--k=3")
    out = place / "out.json"
    assert (code, out.exists()) == (0, True)
    SensitivityDocument.model_validate_json(out.read_text())
    assert main(["sensitivity", "--fm=local-dir:nowhere", f"--out={out}"]) == 1
    assert not out.exists()
    out.write_text("{}")
    assert main(["sensitivity", "--fm=local-dir:nowhere", f"--out={out}"]) == 1
    assert out.read_text() == "{}"


def document(*differences: float, fm: str = "fm") -> SensitivityDocument:
    changed = tuple(
        Change(
            metric="mari",
            setting="k",
            choice=str(number),
            value=0.5 + one,
            difference=one,
            interval=None,
            note="",
        )
        for number, one in enumerate(differences)
    )
    subject = Sensitivity(
        fm=fm,
        cohort="c",
        cohort_digest="",
        settings={"k": "11"},
        own=(Own(metric="mari", value=0.5, interval=None),),
        changes=changed,
        left_out=(),
        extractions=(),
    )
    return SensitivityDocument(version="1", confidence=0.95, subjects=(subject,))


def test_the_largest_change_is_the_one_farthest_from_zero() -> None:
    expected = "The largest change: k 1 takes the margin-aware index of fm on c from 0.500 to 0.200 (-0.300)."
    assert largest_change(document(0.1, -0.3, 0.2)) == expected
    assert largest_change(document(0.0)) == "No setting that was changed changes a value."
    assert largest_change(document()) == "Nothing could be changed, so nothing is known of the sensitivity."


def test_names_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in printable_document(document(0.1, fm="\x1b[2Jfm"), 80)


def test_lines_fit_into_80_columns(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        run(place, "--only=pooling", "--only=k")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 15
    assert max(len(line) for line in lines if not line.startswith("table: ")) <= 80
