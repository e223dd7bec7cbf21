"""A metric of another package has a test, a criterion, a row, a result, a baseline and an explanation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cohort_folders import write_cohort
from terminal import Terminal

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "center-leak"
version = "1.0"

[project.entry-points."pathorob_checks.metrics"]
center_leak = "center_leak:CENTER_LEAK"
"""
MODULE = '''
"""The share of patches whose nearest neighbor on another slide is from their own medical center."""

import numpy as np

from pathorob_checks.metrics import (
    CellValue, Computation, GroupValue, Measurement, Metric, Resampling, interval_of,
)


def center_leak(embeddings, patches, *, confidence):
    slides, centers = patches.slide_id.to_numpy(), patches.medical_center.to_numpy()
    classes = patches.biological_class.to_numpy()
    distances = ((embeddings[:, None] - embeddings[None]) ** 2).sum(axis=2)
    distances[slides[:, None] == slides[None]] = np.inf
    leaks = centers[distances.argmin(axis=1)] == centers
    value = float(leaks.mean())
    names = sorted(set(slides))
    resampling = Resampling(
        metric="center_leak", value=value, scale="identity", drawn="slides", units=tuple(names),
        cells=tuple((f"{centers[slides == s][0]} / {classes[slides == s][0]}",) for s in names),
        effects=tuple(value - float(leaks[slides != s].mean()) for s in names),
        protocol={"patches": len(leaks)},
    )
    interval = interval_of(resampling, confidence=confidence)
    groups = [
        GroupValue(name=str(c), value=float(leaks[centers == c].mean()), interval=interval,
                   simultaneous=interval, support=1.0, rows=int((centers == c).sum()))
        for c in np.unique(centers)
    ]
    cells = [
        CellValue(medical_center=str(c), biological_class=str(k), meaning="share of such patches",
                  value=float(leaks[(centers == c) & (classes == k)].mean()))
        for c in np.unique(centers) for k in np.unique(classes)
    ]
    return Measurement(
        metric="center_leak", value=value, interval=interval, support=1.0, rows=len(leaks),
        confidence=confidence, resampling=resampling,
        groups={"medical_center": tuple(sorted(groups, key=lambda group: -group.value))},
        cells=tuple(sorted(cells, key=lambda cell: -cell.value)),
    )


CENTER_LEAK = Metric(
    name="center_leak",
    label="center leak",
    computation=Computation(
        name="center_leak", function=center_leak, view="robustness_index",
        columns=("slide_id", "medical_center", "biological_class"),
        takes_device=False, takes_progress=False,
    ),
    lowest=0.0, highest=1.0, neutral=0.5, margin=0.05, higher_is_better=False,
    meaning=lambda value: f"{value:.0%} of the patches have a nearest neighbor from their own center",
    remedies=("Normalize the stain.",),
)
'''
CRITERIA = """
schema = "pathorob-checks/criteria/1"
name = "leaks"

[baseline]
rule = "point"

[[criteria]]
id = "leak"
metric = "center_leak"
at_most = 0.3
rule = "point"
rationale = "A neighbor from the own center should be the exception."

[[criteria]]
id = "leak-anywhere"
metric = "center_leak"
at_most = 1.0
group = "worst-center"
rule = "point"
rationale = "In no center."
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "center_leak.py").write_text(MODULE)
    install = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    ]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=120)
    return target


def package(target: Path, installed: Path, module: str) -> Path:
    """A folder where the package's metadata is installed beside another module of that name."""
    target.mkdir()
    (target / "center_leak.py").write_text(module)
    for info in installed.glob("*.dist-info"):
        (target / info.name).symlink_to(info)
    return target


@pytest.fixture
def folder(lone_terminal: Terminal) -> Terminal:
    write_cohort(lone_terminal.folder / "c", slides=4)
    (lone_terminal.folder / "leaks.toml").write_text(CRITERIA)
    return lone_terminal


@pytest.mark.slow
def test_a_metric_of_another_package_is_a_metric_like_any_other(folder: Terminal, installed: Path) -> None:
    path = {"PYTHONPATH": str(installed)}
    gate = ["--fm-cohort=c", "--fm-criteria=leaks.toml"]

    run = folder.pytest("--fm=demo:color-sensitive", *gate, "--fm-json=old.json", "-v", **path)
    assert run.code == 1, run.output
    text = " ".join(run.output.split())
    # a test
    assert "test_further_metrics[color-sensitive-c-leak] FAILED" in text
    assert "test_further_metrics[color-sensitive-c-leak-anywhere] PASSED" in text
    # rows of the table, and the summary
    assert "center leak, worst center" in text
    assert "FAIL: 1 of 2 criteria not met: center leak " in text
    # an explanation: value, meaning, weakest cells (the highest here) and remedy
    assert "above the bound 0.300" in text
    assert "of the patches have a nearest neighbor from their own center." in text
    assert "tumor of north and tumor of south are equally weak: 0.625" in text
    assert "What to do: Start with north or south, which are equally weak. Normalize the stain." in text
    # entries in the results file
    results = folder.results("old.json")
    value, worst = results["checks"]
    assert (value["metric"], value["direction"], value["verdict"]) == ("center_leak", "<=", "fail")
    assert worst["value"] == max(group["value"] for group in value["groups"]["medical_center"])
    assert results["metrics"]["center_leak"] == {
        "label": "center leak", "lowest": 0.0, "highest": 1.0, "neutral": 0.5, "higher_is_better": False,
        "version": 1,
    }  # fmt: skip
    assert results["environment"]["criteria"]["protocol"]["metrics"] == {"center_leak": {"version": 1}}

    # a comparison with a baseline: more is worse
    run = folder.pytest(
        "--fm=demo:stain-invariant", *gate, "--fm-baseline=old.json", "--fm-json=new.json", **path
    )
    difference = folder.results("new.json")["checks"][-1]
    assert difference["id"].endswith("test_not_worse_than_baseline[stain-invariant-c-not-worse-center-leak]")
    assert (difference["direction"], difference["bound"], difference["verdict"]) == ("<=", 0.05, "pass")
    assert difference["value"] < 0
    assert "more robust than the baseline (0." in difference["meaning"]
    assert difference["rationale"] == "Not worse than color-sensitive (old.json) by more than 0.05."

    # a criterion that commands know
    shown = folder.command("criteria", "show", "leaks.toml", "--fm-cohort=c", subprocess=True, **path)
    assert "center leak" in shown.output
    assert "<= 0.300" in shown.output


def test_without_the_package_its_metric_is_unknown(folder: Terminal) -> None:
    run = folder.pytest("--fm=demo:color-sensitive", "--fm-cohort=c", "--fm-criteria=leaks.toml")
    assert run.code == 4
    assert "'metric' is 'center_leak', which is unknown" in run.output


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("raise RuntimeError('no')", "cannot be loaded (RuntimeError: no); update or uninstall the package"),
        ("CENTER_LEAK = 3", "is a int and not a Metric; update or uninstall the package center-leak"),
        (MODULE.replace('name="center_leak",\n    label', 'name="clustering_score",\n    label'),
         "uses the name 'clustering_score', which is taken"),
        (MODULE.replace('computation=Computation(\n        name="center_leak"',
                        'computation=Computation(\n        name="robustness_index"'),
         "uses the computation name 'robustness_index', which is taken"),
        (MODULE.replace('name="center_leak",\n    label', 'name="Center leak",\n    label'),
         "needs a name of lower-case letters, digits and _"),
        (MODULE.replace('view="robustness_index"', 'view="slides"'),
         "the metric center_leak reads the view 'slides' of a cohort, which does not exist; let it read"),
        (MODULE.replace("margin=0.05", "margin=-1.0"), "the metric 'center_leak' has the margin -1"),
    ],
    ids=["raises", "no metric", "name", "computation", "bad name", "view", "margin"],
)  # fmt: skip
def test_a_package_that_does_not_fit_is_named_in_one_sentence(
    folder: Terminal, installed: Path, tmp_path: Path, module: str, sentence: str
) -> None:
    broken = package(tmp_path / "broken", installed, module)
    gate = ["--fm=demo:color-sensitive", "--fm-cohort=c", "--fm-criteria=leaks.toml"]
    run = folder.pytest(*gate, PYTHONPATH=str(broken))
    assert run.code == 4
    assert sentence in run.output
    assert "Traceback" not in run.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (MODULE.replace('metric="center_leak", value=value, int', 'metric="leak", value=value, int'),
         "its function measured leak, which is no metric; let its Measurement have metric='center_leak'"),
        (MODULE.replace("takes_device=False, ", ""),
         "(got an unexpected keyword argument 'device'); use the parameters of its function"),
    ],
    ids=["name", "parameter"],
)  # fmt: skip
def test_a_function_that_does_not_fit_its_definition_is_an_error_in_one_sentence(
    folder: Terminal, installed: Path, tmp_path: Path, module: str, sentence: str
) -> None:
    broken = package(tmp_path / "broken", installed, module)
    gate = ["--fm=demo:color-sensitive", "--fm-cohort=c", "--fm-criteria=leaks.toml"]
    run = folder.pytest(*gate, PYTHONPATH=str(broken))
    assert run.code == 1
    assert sentence in " ".join(run.output.split())
    assert "Traceback" not in run.output


@pytest.mark.slow
def test_a_baseline_whose_values_have_no_resampling_says_that_it_cannot_be_one(
    folder: Terminal, installed: Path, tmp_path: Path
) -> None:
    module = MODULE.replace("confidence=confidence, resampling=resampling,", "confidence=confidence,")
    path = {"PYTHONPATH": str(package(tmp_path / "plain", installed, module))}
    gate = ["--fm=demo:color-sensitive", "--fm-cohort=c", "--fm-criteria=leaks.toml"]
    folder.pytest(*gate, "--fm-json=old.json", **path)
    run = folder.pytest(*gate, "--fm-baseline=old.json", **path)
    assert run.code == 4
    assert "has only values without an interval of slides or repetitions (center_leak)" in run.output
