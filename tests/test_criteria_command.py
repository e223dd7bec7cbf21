"""`pathorob-checks criteria show|check|diff`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest
from cohort_folders import write_cohort

from pathorob_checks.cli import main
from pathorob_checks.criteria.profile import SCHEMA
from pathorob_checks.metrics import registry
from pathorob_checks.metrics.registry import metric, metrics

OURS = f"""schema = "{SCHEMA}"
name = "ours"
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.7
rationale = "Agreed with the clinic."
requirements = ["REQ-12"]
owner = "J. Doe"
[[criteria]]
id = "mean-index"
metric = "robustness_index"
aggregate = "mean"
cohorts = ["camelyon", "tcga"]
at_least = 0.6
rationale = "Ours."
required = false
"""


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours.toml"
    path.write_text(OURS)
    return path


def digest(text: str) -> str:
    return re.findall(r"digest: ([0-9a-f]{64})", text)[0]


def test_show_tells_what_is_asked_of_each_cohort_and_why(ours, capsys):
    assert main(["criteria", "show", str(ours)]) == 0
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.startswith(("camelyon", "tcga", "tolkach"))]
    assert rows[:2] == [["camelyon", "robustness", "index", ">=", "0.700", "three-way", "index"],
                        ["tcga", "robustness", "index", ">=", "0.700", "three-way", "index"]]  # fmt: skip
    assert "(optional)" in shown
    assert "- index: Agreed with the clinic. [REQ-12; J. Doe]" in shown


@pytest.mark.parametrize("profile", ["floor", "median", "frontier", "release"])
def test_show_fits_eighty_columns(profile, ours, capsys):
    assert main(["criteria", "show", profile, str(ours)] if profile == "release" else
                ["criteria", "show", profile]) == 0  # fmt: skip
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_the_digest_follows_bounds_cohorts_and_their_settings(ours, tmp_path, capsys):
    def shown(*arguments):
        assert main(["criteria", "show", str(ours), *arguments]) == 0
        return digest(capsys.readouterr().out)

    first = shown()
    assert shown() == first
    assert shown("--fm-cohort=camelyon") != first
    folder = write_cohort(tmp_path / "slides", slides=3, side=8)
    before = shown(f"--fm-cohort={folder}")
    (folder / "cohort.toml").write_text("k = 21\n")
    with_k = shown(f"--fm-cohort={folder}")
    assert with_k != before
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("stroma,north", "tumor,north", 1))
    assert shown(f"--fm-cohort={folder}") != with_k
    ours.write_text(OURS.replace("0.7", "0.71"))
    assert shown() != first


def test_the_digest_follows_the_protocol(ours, capsys, monkeypatch):
    main(["criteria", "show", str(ours)])
    first = digest(capsys.readouterr().out)
    newer = dataclasses.replace(metric("robustness_index").computation, version=99)
    changed = dataclasses.replace(metric("robustness_index"), computation=newer)
    monkeypatch.setattr(registry, "metrics", lambda: {**metrics(), "robustness_index": changed})
    main(["criteria", "show", str(ours)])
    assert digest(capsys.readouterr().out) != first


def test_show_refuses_what_cannot_be_applied(capsys):
    assert main(["criteria", "show", "median", "--fm-cohort=demo"]) == 1
    assert "no published values for cohort demo" in capsys.readouterr().err


def test_check_tells_every_mistake_with_its_line(ours, capsys):
    assert main(["criteria", "check", str(ours), "floor"]) == 1  # floor warns where ours fails
    ours.write_text(OURS.replace("0.7", "7").replace("Ours.", ""))
    capsys.readouterr()
    assert main(["criteria", "check", str(ours)]) == 1
    assert [line.split(":")[1] for line in capsys.readouterr().out.splitlines()] == ["6", "16"]
    ours.write_text("a = [")
    assert main(["criteria", "check", str(ours)]) == 1


def test_check_of_sound_files_ends_with_0(ours, capsys):
    assert main(["criteria", "check", "floor", str(ours)]) == 0
    assert capsys.readouterr().out == "no mistakes\n"


def test_check_remarks_a_bound_in_the_other_direction(ours, capsys):
    ours.write_text(OURS.replace("at_least = 0.7", "at_most = 0.7"))
    assert main(["criteria", "check", str(ours)]) == 0
    assert capsys.readouterr().out == (
        f"remark: {ours}:6: criterion 'index': higher values of robustness_index are more robust, and "
        "at_most lets the less robust ones pass; be sure that this is meant.\nno mistakes\n"
    )
    assert main(["criteria", "show", str(ours)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Agreed with the clinic. Note: higher values of robustness_index are more robust" in shown


def test_check_remarks_a_cohort_that_the_benchmark_lacks_and_refuses_one_that_the_run_lacks(ours, capsys):
    ours.write_text(OURS.replace("camelyon", "camelyom"))
    assert main(["criteria", "check", str(ours)]) == 0
    said = capsys.readouterr().out
    assert f"remark: {ours}:14: criterion 'mean-index' is about the cohort 'camelyom', which is no" in said
    assert "cohort of the benchmark; did you mean 'camelyon'?" in said
    assert main(["criteria", "check", str(ours), "--fm-cohort=camelyon", "--fm-cohort=tcga"]) == 1
    assert "'camelyom', which is no cohort of this run" in capsys.readouterr().out
    assert main(["criteria", "check", str(ours), "--fm-cohort=camelyom", "--fm-cohort=tcga"]) == 0


def test_show_tells_profiles_of_this_package_from_files(ours, capsys):
    assert main(["criteria", "show", "release", str(ours)]) == 0
    assert "From the profile release of this package, the file" in capsys.readouterr().out


def test_diff_names_what_changed_and_fails_where_less_is_asked(ours, tmp_path, capsys):
    tighter = tmp_path / "tighter.toml"
    tighter.write_text(OURS.replace("0.7", "0.8"))
    assert main(["criteria", "diff", str(ours), str(tighter)]) == 0
    assert capsys.readouterr().out == (
        "tightened  index: robustness_index >= 0.7 (three-way) -> robustness_index >= 0.8\n"
        "           (three-way)\n"
    )
    assert main(["criteria", "diff", str(tighter), str(ours)]) == 1
    assert capsys.readouterr().out.startswith("loosened   index")
    assert main(["criteria", "diff", str(ours), str(ours)]) == 0
    assert capsys.readouterr().out == "no difference\n"


@pytest.mark.parametrize("name", metrics())
def test_the_protocol_is_what_the_metrics_do_by_themselves(name):
    computation = metric(name).computation
    parameters = inspect.signature(computation.function).parameters
    for key, value in computation.settings.items():
        default = parameters[key].default
        assert (list(default) if isinstance(default, range) else default) == value, key
    numbers = {key for key, one in parameters.items() if type(one.default) in (int, float, range)}
    assert numbers - {"confidence"} == set(computation.settings)
    assert set(computation.design) <= set(parameters)


def test_margins_that_no_criterion_or_baseline_has_a_value_for_are_remarked(
    ours: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from pathorob_checks.commands import criteria_show

    margins = "margin = { robustness_index = 0.02, class_ari = 0.1 }"
    ours.write_text(
        OURS.replace('[[criteria]]\nid = "index"', f'[baseline]\n{margins}\n[[criteria]]\nid = "index"')
    )
    assert main(["criteria", "check", str(ours)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "the margin of class_ari counts only where the baseline has it, as no criterion is about it; " in said
    )
    assert "margin of robustness_index" not in said
    compared = SimpleNamespace(measured={("camelyon", "robustness_index"): None}, source="released.json")
    profile = criteria_show.load_profiles([str(ours)])
    [sentence] = criteria_show._unused_margins(profile, compared)  # type: ignore[arg-type]
    assert " ".join(sentence.split()) == (
        "The baseline released.json has no value of class_ari: the margin is not used."
    )
    assert criteria_show._unused_margins(profile, None) == []
