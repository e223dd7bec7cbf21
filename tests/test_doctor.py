"""`pathorob-checks doctor` on criteria, baselines, work and disk; the hub has tests of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from cohort_folders import write_cohort

from pathorob_checks.cli import main
from pathorob_checks.cohorts import demo
from pathorob_checks.evaluation.work import work_ahead
from pathorob_checks.metrics.registry import metrics

BOUNDS = """schema = "pathorob-checks/criteria/1"
name = "ours"
[[criteria]]
id = "clusters"
metric = "clustering_score"
at_least = 0.0
rationale = "A test."
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PATHOROB_CHECKS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "ours.toml").write_text(BOUNDS)
    write_cohort(tmp_path / "slides")
    return tmp_path


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["doctor", *arguments])
    return code, " ".join(capsys.readouterr().out.split())


def many_centers(folder: Path, centers: int) -> None:
    """A cohort with as many centers and two slides of each class in them."""
    write_cohort(folder / "many", slides=1, patches=1)
    first = pd.read_csv(folder / "many" / "manifest.csv").iloc[0]
    rows = [
        {**first, "medical_center": f"C{c}", "biological_class": k, "slide_id": f"C{c}{k}{p % 2}",
         "patch_id": p, "subset": "ID", "image_path": f"images/{c}{k}{p}.png"}
        for c in range(centers) for k in "AB" for p in range(8)
    ]  # fmt: skip
    for row in rows:
        (folder / "many" / row["image_path"]).write_bytes(row["image_path"].encode())
    pd.DataFrame(rows).to_csv(folder / "many" / "manifest.csv", index=False)


def test_criteria_are_looked_at(capsys):
    code, output = doctor(
        capsys, "--fm=demo:stain-invariant", "--fm-cohort=slides", "--fm-criteria=ours.toml"
    )
    assert (code, "PASS criteria: 1 check by ours" in output) == (0, True), output
    code, output = doctor(capsys, "--fm-cohort=slides", "--fm-criteria=none.toml")
    assert (code, "FAIL criteria: the criteria file none.toml cannot be read" in output) == (1, True), output


def test_a_baseline_is_looked_at(folder, capsys):
    (folder / "old.json").write_text(json.dumps({"schema": "another"}))
    code, output = doctor(capsys, "--fm-cohort=slides", "--fm-baseline=old.json")
    assert (code, "FAIL criteria: " in output, "old.json" in output) == (1, True, True), output
    (folder / "slides" / "cohort.toml").write_text("k = 5\n")
    given = ("--fm=demo:stain-invariant", "--fm=demo:color-sensitive", "--fm-cohort=slides")
    code, output = doctor(capsys, *given, "--fm-baseline=color-sensitive")
    assert (code, "compared with color-sensitive" in output) == (0, True), output


def test_combinations_and_their_time_are_told(folder, capsys):
    code, output = doctor(capsys, "--fm-cohort=slides", "--fm-criteria=ours.toml")
    assert (code, "reads a sample" in output) == (0, False), output
    assert "PASS time: roughly 1 minute per FM for the metrics on 2 cores" in output
    many_centers(folder, 40)
    code, output = doctor(capsys, "--fm-cohort=many", "--fm-criteria=ours.toml")
    assert code == 0, output
    assert "WARN cohort many: the clustering score reads a sample, 400 of 780 combinations" in output
    assert "PASS time: roughly 2 minutes per FM for the metrics on 2 cores" in output


def test_what_has_to_be_downloaded_is_told_where_it_is_known(capsys):
    _, output = doctor(capsys, "--fm-cohort=slides")
    assert "PASS disk: nothing to download, " in output
    code, output = doctor(capsys, "--fm=virchow2", "--fm-cohort=camelyon")
    assert code == 1
    assert "how much has to be downloaded is not known" in output
    assert "0.00 GB" not in output


def test_repositories_of_recipes_stay_whole_in_80_columns(capsys):
    from pathorob_checks.models.recipes import recipes

    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for recipe in recipes().values():
        assert f"  {recipe.repo}" in lines
        assert main(["recipes", recipe.name]) == 0
        assert recipe.repo in capsys.readouterr().out


def test_work_is_counted_once_for_all_metrics_of_a_computation() -> None:
    """The drops, their errors and their normalized form are one computation."""
    computations = {one.computation.name for one in metrics().values() if one.computation.work is not None}
    assert len(work_ahead(demo.load(), computations)) == len(computations)
