"""Runs with --fm-method: what is planned, measured, compared and caught."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from terminal import Terminal

from pathorob_checks import Results, evaluate
from pathorob_checks.cli import main
from pathorob_checks.commands.plan import questions
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import MethodError, ResultsError
from pathorob_checks.evaluation import measuring
from pathorob_checks.evaluation.inputs import Inputs
from pathorob_checks.evaluation.merging import merged
from pathorob_checks.evaluation.part import part_of
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.methods.centering import Center
from pathorob_checks.models.last_model import LastModel
from pathorob_checks.models.loading import PreparedModel
from pathorob_checks.report.reproduction import command_of
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.method_changes import method_changes

CRITERIA = """
schema = "pathorob-checks/criteria/1"
name = "ours"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.5
rationale = "Biology outweighs the medical center."
"""


def write(folder: Path, shares: Iterable[tuple[str, int, int]], *, center: float, biology: float) -> None:
    """A cohort with embeddings: per center, slides of normal tissue and of tumor.

    Parameters
    ----------
    center, biology : distances in standard deviations, each in a feature of its own and, the center's, also
        along the class.
    """
    generator = np.random.default_rng(11)
    rows = [
        (f"{name}-{label}-{slide}", str(patch), label, name)
        for name, normal, tumor in shares
        for label, slides in (("normal", normal), ("tumor", tumor))
        for slide in range(slides)
        for patch in range(6)
    ]
    columns = ["slide_id", "patch_id", "biological_class", "medical_center"]
    patches = pd.DataFrame(rows, columns=columns)
    patches["image_path"] = patches.slide_id + "-" + patches.patch_id + ".png"
    for path in patches.image_path:
        (folder / path).write_text(path)
    patches.to_csv(folder / "manifest.csv", index=False)
    embeddings = generator.normal(size=(len(patches), 12)).astype(np.float32)
    embeddings[:, 0] += biology * (patches.biological_class == "tumor")
    embeddings[:, 1] += center * (patches.medical_center == "B")
    np.save(folder / "embeddings.npy", embeddings)
    (folder / "ours.toml").write_text(CRITERIA)


def run(folder: Path, *methods: str) -> Results:
    return evaluate(
        f"embeddings:{folder}",
        cohorts=folder,
        criteria=folder / "ours.toml",
        methods=methods,
        cache=folder.parent / "cache",
        progress=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "slides"
    target.mkdir()
    return target


def test_a_method_repairs_a_shift_of_a_center_and_keeps_biology(folder: Path) -> None:
    write(folder, [("A", 12, 12), ("B", 12, 12)], center=8.0, biology=5.0)
    results = run(folder, "center")
    verdicts = {(check.method, check.criterion): str(check.verdict) for check in results.checks}
    assert verdicts == {
        ("none", "index"): "fail",
        ("center", "index"): "pass",
        ("center", "keeps-class-prediction"): "pass",
        ("center", "keeps-class-prediction-within"): "pass",
    }
    assert list(dict.fromkeys(results.table().method)) == ["none", "center"]


@pytest.mark.slow
def test_methods_are_held_to_the_class_ari_where_embeddings_are_clustered(folder: Path) -> None:
    write(folder, [("A", 6, 6), ("B", 6, 6)], center=8.0, biology=5.0)
    clustered = CRITERIA.replace("robustness_index", "clustering_score").replace('"index"', '"clusters"')
    (folder / "ours.toml").write_text(clustered)
    results = run(folder, "center", "dann")
    checks = {(check.method, check.criterion): check for check in results.checks}
    assert {criterion for method, criterion in checks if method == "none"} == {"clusters"}
    kept = checks["center", "keeps-class-ari"]
    assert (str(kept.verdict), kept.bound, kept.direction) == ("pass", -0.05, ">=")
    assert kept.value is not None
    assert kept.value > 0.5  # before, clusters were centers
    assert kept.baseline is not None
    assert kept.baseline.value < 0.2
    # A head is no part of what is clustered, but of the probes.
    unchanged, probed = (checks["dann", f"keeps-class-{name}"].value for name in ("ari", "prediction"))
    assert unchanged == 0
    assert probed is not None


def test_a_method_that_destroys_biology_is_caught_although_the_index_rises(folder: Path) -> None:
    # Seven in ten slides of one class: to equal the means of the centers moves the classes into each other.
    write(folder, [("A", 110, 38), ("B", 38, 110)], center=8.0, biology=3.5)
    results = run(folder, "center")
    checks = {check.criterion: check for check in results.checks if check.method == "center"}
    kept = checks["keeps-class-prediction"]
    assert str(kept.verdict) == "fail"
    assert kept.value is not None
    assert kept.value < -0.03
    assert f"{abs(kept.value):.3f} lower than without a method (" in kept.meaning
    assert kept.remedies[0].startswith("Use another method, or none")
    assert kept.baseline is not None
    assert kept.baseline.source == "this run, without a method"
    within = checks["keeps-class-prediction-within"]
    assert str(within.verdict) != "fail"  # within a center nothing but the place has changed
    before, after = (
        next(one for one in results.checks if (one.method, one.criterion) == (method, "index"))
        for method in ("none", "center")
    )
    assert before.value is not None
    assert after.value is not None
    assert after.value > before.value + 0.2  # the index alone would call it a success
    assert not results.passed


@pytest.mark.parametrize(
    "shares", [[("A", 30, 10), ("B", 10, 30)], [("A", 20, 0), ("B", 20, 20), ("C", 20, 20)]]
)
def test_a_method_is_not_fitted_where_class_and_center_are_one(
    folder: Path, shares: list[tuple[str, int, int]]
) -> None:
    write(folder, shares, center=8.0, biology=3.5)
    results = run(folder, "combat")
    checks = [check for check in results.checks if check.method == "combat"]
    assert len(checks) == 3
    for check in checks:
        assert str(check.verdict) == "error"
        assert "method 'combat' would remove biology: " in check.reason
    assert not results.passed


def test_a_method_that_may_remove_biology_is_warned_of(folder: Path) -> None:
    write(folder, [("A", 15, 9), ("B", 9, 15)], center=8.0, biology=5.0)
    results = run(folder, "center")
    notes = {one.method: one.fm.notes for one in results.runs}
    assert any("Method 'center' may remove biology: " in note for note in notes["center"])
    assert not any("may remove biology" in note for note in notes["none"])


def test_what_is_released_with_a_method_is_judged_with_it_only(lone_terminal: Terminal) -> None:
    folder = lone_terminal.folder / "slides"
    folder.mkdir()
    write(folder, [("A", 40, 40), ("B", 40, 40)], center=8.0, biology=5.0)
    options = ["--fm=embeddings:slides", "--fm-cohort=slides", "--fm-criteria=slides/ours.toml"]
    both = lone_terminal.pytest(*options, "--fm-method=center", "--fm-json=both.json")
    assert both.code == 1, both.output
    only = lone_terminal.pytest(*options, "--fm-method=center", "--fm-method-only", "--fm-json=only.json")
    assert only.code == 0, only.output
    bare, repaired = (Results.read(lone_terminal.folder / name) for name in ("both.json", "only.json"))
    assert {one.method for one in (*repaired.checks, *repaired.runs, *repaired.releases)} == {"center"}
    # Nothing else differs: each value is that of the run with both, compared with the same FM.
    values = {one.id: (one.value, one.baseline) for one in bare.checks if one.method == "center"}
    assert {one.id: (one.value, one.baseline) for one in repaired.checks} == values
    assert any("left out by --fm-method-only" in one for one in repaired.environment.left_out)
    assert "--fm-method=center --fm-method-only" in command_of(repaired)
    digests = [one.environment.criteria.digest for one in (bare, repaired)]
    assert digests[0] != digests[1]
    for more, digest in zip(([], ["--fm-method-only"]), digests, strict=True):
        shown = lone_terminal.command(
            "criteria", "show", "slides/ours.toml", "--fm-cohort=slides", "--fm-method=center", *more
        )
        assert f"digest: {digest}" in shown.output
    wrong = lone_terminal.pytest(*options, "--fm-method=center", f"--fm-criteria-digest={digests[1]}")
    assert "'pathorob-checks criteria show slides/ours.toml --fm-cohort=slides --fm-method=center'" in (
        " ".join(wrong.output.split())
    )


@pytest.mark.parametrize(
    ("methods", "file", "sentence"),
    [
        (["--fm-method-only"], "", "there is no method; name one with --fm-method"),
        (["--fm-method=none", "--fm-method-only"], "", "there is no method; name one with --fm-method"),
        (
            ["--fm-method=center"],
            "fm_method_only = true",
            "--fm-method-only=true (from fm_method_only in pytest.ini) would leave out FMs that the command "
            "line does not leave out; type --fm-method-only on the command line.",
        ),
    ],
)
def test_an_fm_is_not_left_out_by_mistake(
    lone_terminal: Terminal, methods: list[str], file: str, sentence: str
) -> None:
    (lone_terminal.folder / "pytest.ini").write_text(f"[pytest]\n{file}\n")
    refused = lone_terminal.pytest("--fm=demo:stain-invariant", *methods)
    assert refused.code == 4
    assert sentence in refused.errors[0]


def only(folder: Path, *methods: str, out_of_domain: str = "unseen") -> Results:
    return evaluate(
        f"embeddings:{folder}",
        cohorts=folder,
        criteria=folder / "ours.toml",
        methods=methods,
        method_only=True,
        method_ood=out_of_domain,
        cache=folder.parent / "cache",
        progress=False,
    )


def test_without_the_fm_as_it_is_no_change_of_a_value_is_shown(folder: Path) -> None:
    write(folder, [("A", 8, 8), ("B", 8, 8)], center=8.0, biology=5.0)
    assert {one.is_biology for one in method_changes(only(folder, "center", "combat"))} == {True}
    both = run(folder, "center", "combat")
    assert {one.is_biology for one in method_changes(both)} == {True, False}


def test_files_of_other_methods_are_not_merged(folder: Path) -> None:
    write(folder, [("A", 8, 8), ("B", 8, 8)], center=8.0, biology=5.0)
    center, combat = only(folder, "center"), only(folder, "combat")
    unlabeled = only(folder, "center", out_of_domain="unlabeled")
    for other in (combat, unlabeled):
        with pytest.raises(ResultsError, match="with different methods, or by other settings of them"):
            merged([part_of("a.json", center), part_of("b.json", other)], ())


@pytest.mark.slow
def test_what_a_repaired_fm_is_compared_with_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    criteria = tmp_path / "ours.toml"
    criteria.write_text(CRITERIA)
    collapsed = measuring.integrity_check

    def check(inputs: Inputs, subject: Subject, name: str) -> IntegrityCheck:
        record = collapsed(inputs, subject, name)
        if (subject.method, name) == ("none", "not_collapsed"):
            return record.model_copy(update={"verdict": Verdict.FAIL, "reason": "3 directions."})
        return record

    monkeypatch.setattr(measuring, "integrity_check", check)
    results = evaluate(
        "demo:stain-invariant",
        cohorts="demo",
        criteria=criteria,
        methods="reinhard",
        method_only=True,
        cache=tmp_path / "cache",
        progress=False,
    )
    kept = [one for one in results.checks if one.criterion.startswith("keeps-")]
    assert {str(one.verdict) for one in kept} == {"error"}
    assert "with which it is compared, are not sound (not_collapsed: 3 directions)" in kept[0].reason
    assert str(results.outcome) == "error"


def test_the_gate_and_evaluate_measure_methods_alike(lone_terminal: Terminal) -> None:
    folder = lone_terminal.folder / "slides"
    folder.mkdir()
    write(folder, [("A", 8, 8), ("B", 8, 8)], center=8.0, biology=5.0)
    gate = lone_terminal.pytest(
        "--fm=embeddings:slides",
        "--fm-cohort=slides",
        "--fm-criteria=slides/ours.toml",
        "--fm-method=center,combat",
        "--fm-json=g.json",
        "--fm-cache=cache",
    )
    assert gate.code == 1, gate.output
    assert "slides + combat" in gate.output
    results = evaluate(
        f"embeddings:{folder}",
        cohorts=folder,
        criteria=folder / "ours.toml",
        methods=["center", "combat"],
        cache=lone_terminal.folder / "cache",
        progress=False,
    )
    written = Results.read(lone_terminal.folder / "g.json")
    kept = [(one.method, one.criterion, one.value, one.interval, one.verdict) for one in written.checks]
    assert kept == [
        (one.method, one.criterion, one.value, one.interval, one.verdict) for one in results.checks
    ]
    assert "--fm-method=center,combat" in command_of(written)
    assert main(["verdict", str(lone_terminal.folder / "g.json")]) == 1
    assert written.environment.criteria.protocol["methods"] == {
        "out_of_domain": "unseen",
        "versions": {"center": 1, "combat": 1},
    }


@pytest.mark.slow
def test_embeddings_are_repaired_once_for_all_metrics_of_a_view(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, [("A", 6, 6), ("B", 6, 6)], center=2.0, biology=5.0)
    more = CRITERIA.split("[[criteria]]")[1].replace("robustness_index", "center_prediction")
    more = more.replace('id = "index"', 'id = "center"').replace("at_least", "at_most")
    (folder / "ours.toml").write_text(f"{CRITERIA}[[criteria]]{more}")
    fitted: list[int] = []
    fit = Center.fit

    def counted(self: Center, embeddings: Any, **labels: Any) -> Center:
        fitted.append(len(embeddings))
        return fit(self, embeddings, **labels)

    monkeypatch.setattr(Center, "fit", counted)
    results = run(folder, "center")
    # The index, the probes of the center and of the class read one view; the map is of the whole cohort.
    assert len({check.metric for check in results.checks if check.method == "center"}) == 4
    assert fitted == [144, 144]


def test_the_method_of_the_documentation_repairs_and_is_kept(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "repairs.md").read_text()
    start = page.index("    import numpy as np")
    example = textwrap.dedent(page[start : page.index("In `pyproject.toml`", start)])
    names: dict[str, Any] = {}
    exec(compile(example, "docs/repairs.md", "exec"), names)
    kind = names["MedianCenter"]
    x = np.array([[0, 1], [2, 3], [10, 20], [12, 22], [5, 5]], dtype=np.float32)
    repair = kind().fit(x[:4], centers=["A", "A", "B", "B"])
    repaired = repair.transform(x, centers=["A", "A", "B", "B", "new"])
    np.testing.assert_array_equal(repaired, [[-1, -1], [1, 1], [-1, -1], [1, 1], [5, 5]])
    again = kind().restore(repair.state(), repair.centers)
    np.testing.assert_array_equal(again.transform(x, centers=["A", "A", "B", "B", "new"]), repaired)


def test_a_model_that_sees_other_images_is_another_model() -> None:
    loaded: list[str] = []

    def prepared(target: str) -> PreparedModel:
        return PreparedModel("fm", {"image_method": target}, lambda: loaded.append(target) or target)  # type: ignore[arg-type,func-returns-value]

    last = LastModel()
    for target in ("a", "a", "b", "a"):
        assert last.reusing(prepared(target)).load() == target
    assert loaded == ["a", "b", "a"]


def test_a_method_for_images_needs_images(folder: Path) -> None:
    write(folder, [("A", 4, 4), ("B", 4, 4)], center=1.0, biology=1.0)
    with pytest.raises(MethodError, match="reinhard normalizes images, but slides is given by its emb"):
        run(folder, "reinhard")


def test_repaired_embeddings_are_written_for_the_gate(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pathorob_checks.methods.saving")
    from pathorob_checks.methods.saving import load

    write(folder, [("A", 12, 12), ("B", 12, 12)], center=8.0, biology=5.0)
    monkeypatch.chdir(tmp_path)
    options = ["--fm=embeddings:slides", "--fm-cohort=slides", "--fm-cache=cache"]
    assert main(["repair", *options, "--method=center", "--out=repaired"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    command = "pytest --fm=embeddings:slides --fm-cohort=slides --fm-method=center"
    assert last == f"measure them with classifiers: {command}"
    assert main(["repair", *options, "--method=center", "--out=repaired"]) == 1  # never over something else
    again = evaluate(
        "embeddings:repaired", cohorts="slides", criteria="slides/ours.toml", cache="cache", progress=False
    )
    inside = next(one for one in run(folder, "center").checks if one.method == "center")
    assert again.checks[0].value == inside.value
    repair = load(tmp_path / "repaired" / "repairs" / "slides" / "1-center")
    patches = pd.read_csv(folder / "manifest.csv")
    moved = repair.transform(np.load(folder / "embeddings.npy"), centers=list(patches.medical_center))
    means = [moved[(patches.medical_center == name).to_numpy()].mean(axis=0) for name in "AB"]
    np.testing.assert_allclose(*means, atol=1e-4)


def test_the_command_to_reproduce_has_what_decides_the_values(folder: Path) -> None:
    write(folder, [("A", 8, 8), ("B", 8, 8)], center=1.0, biology=5.0)
    results = evaluate(
        f"embeddings:{folder}",
        names="ours",
        cohorts=folder,
        criteria=folder / "ours.toml",
        repetitions=7,
        cache=folder.parent / "cache",
        progress=False,
    )
    (old,) = results.runs
    half = old.fm.model_copy(update={"identity": {**old.fm.identity, "precision": "bf16", "pooling": "cls"}})
    changed = results.model_copy(update={"runs": (old.model_copy(update={"fm": half}),)})
    assert "--fm-precision=bf16 --fm-pooling=cls" in command_of(changed)
    command = command_of(results)
    assert not {"--fm-precision", "--fm-pooling"} & set(re.split("[ =]", command))
    assert "--fm-repetitions=7" in command
    assert f"--fm=embeddings:{folder} --fm-name=ours " in command
    assert "--fm-name" not in command_of(run(folder, "center"))


def test_every_criterion_of_a_metric_is_planned_for(folder: Path) -> None:
    write(folder, [("A", 8, 8), ("B", 8, 8)], center=2.0, biology=2.5)
    second = CRITERIA.split("[[criteria]]")[1].replace('"index"', '"high"').replace("0.5", "0.9")
    (folder / "ours.toml").write_text(f"{CRITERIA}[[criteria]]{second}")
    results = run(folder)
    assert sorted(one.bound for one in questions(results)) == [0.5, 0.9]
    assert [one.bound for one in questions(results, bound=0.7)] == [0.7]
    with pytest.raises(ResultsError, match="no FM without a method; plan with --method=center"):
        questions(only(folder, "center"))
