"""Kind: what the profile requires vanishes from the plan: a name, an option or a setting takes it away."""

from __future__ import annotations

import shutil

import pytest
from attack import INDEX, Attack, assert_not_passed, rows_of, write_embeddings
from cohort_folders import write_cohort

CRITERION = INDEX.partition("[[criteria]]")[2]
HEAD = INDEX.partition("[[criteria]]")[0]


def criteria(*cohorts: str | None, required: bool = True) -> str:
    """A criterion for each of these cohorts; None for all of a run's."""
    entries = []
    for number, cohort in enumerate(cohorts):
        entry = CRITERION.replace('"index"', f'"index-{number}"').replace("0.5", "0.0")
        if cohort is not None:
            entry += f'cohorts = ["{cohort}"]\n'
        entries.append(f"[[criteria]]{entry}required = {str(required).lower()}\n")
    return HEAD + "\n".join(entries)


@pytest.mark.parametrize("required", [True, False])
def test_a_misspelled_cohort(required: bool, attack: Attack) -> None:
    attack.write("typo.toml", criteria("cohh", None, required=required))
    outcome = attack.run(criteria="typo.toml", fm="embeddings:good")
    assert outcome.code == 4
    assert "did you mean 'coh'?" in outcome.output


def test_a_cohort_of_the_benchmark_that_the_command_line_leaves_out(attack: Attack) -> None:
    attack.write("two.toml", criteria("camelyon", None))
    outcome = attack.run(criteria="two.toml", fm="embeddings:good")
    assert (outcome.code, outcome.headline.split(":")[0]) == (0, "PARTIAL"), outcome.output
    assert "1 left out by the settings" in outcome.headline
    assert "this run does not have camelyon" in " ".join(outcome.output.split())
    assert outcome.results is not None
    assert outcome.results["complete"] is False
    assert_not_passed(attack.run("--fm-require-complete", criteria="two.toml", fm="embeddings:good"))


def test_a_cohort_that_a_configuration_file_leaves_out(attack: Attack) -> None:
    attack.write("two.toml", criteria("camelyon", None))
    attack.write("pytest.ini", "[pytest]\nfm_cohort = coh\n")
    outcome = attack.run(criteria="two.toml", fm="embeddings:good", cohort=None)
    assert_not_passed(outcome)
    assert "fm_cohort in pytest.ini" in outcome.output


@pytest.mark.parametrize("where", ["pytest.ini", "PYTEST_ADDOPTS"])
def test_a_cohort_that_added_options_leave_out(where: str, attack: Attack) -> None:
    attack.write("two.toml", criteria("camelyon", None))
    environment = {where: "--fm-cohort=coh"} if where == "PYTEST_ADDOPTS" else {}
    if not environment:
        attack.write(where, "[pytest]\naddopts = --fm-cohort=coh\n")
    outcome = attack.run(criteria="two.toml", fm="embeddings:good", cohort=None, **environment)
    assert_not_passed(outcome)
    assert "--fm-cohort=coh (from addopts or PYTEST_ADDOPTS)" in outcome.output


@pytest.mark.parametrize("cohorts", ['["camelyon", "tcga"]', '["coh", "tcga"]'])
def test_a_mean_over_cohorts_that_are_not_there(cohorts: str, attack: Attack) -> None:
    mean = CRITERION.replace('"index"', '"mean"') + f'aggregate = "mean"\ncohorts = {cohorts}\n'
    attack.write("mean.toml", INDEX.replace("0.5", "0.0") + "[[criteria]]" + mean)
    outcome = attack.run("--fm-require-complete", criteria="mean.toml", fm="embeddings:good")
    assert_not_passed(outcome)


def test_a_required_criterion_of_a_second_file(attack: Attack) -> None:
    attack.write("more.toml", criteria("camelyon"))
    outcome = attack.run("--fm-criteria=more.toml", "--fm-require-complete", fm="embeddings:good")
    assert_not_passed(outcome)


@pytest.mark.slow
def test_the_profile_release_with_a_users_test_only(attack: Attack) -> None:
    attack.write(
        "test_mine.py",
        "def test_mine(fm_measure, fm_check):\n    fm_check(fm_measure('robustness_index'), at_least=0.0)\n",
    )
    shutil.rmtree(attack.folder / "coh")
    cohort = write_cohort(attack.folder / "coh", patches=2, side=8)  # enough slides for all four metrics
    write_embeddings(attack.folder / "good", rows_of(cohort))
    outcome = attack.run("test_mine.py", criteria="release", fm="embeddings:good")
    assert outcome.results is not None
    assert len(outcome.results["checks"]) == 6, outcome.output


@pytest.fixture
def licensed(attack: Attack) -> Attack:
    """The same with a second cohort, `other`, that forbids commercial use."""
    shutil.copytree(attack.folder / "coh", attack.folder / "other")
    attack.write("other/cohort.toml", 'k = 5\nlicense = "CC-BY-NC-4.0"\ncommercial = false\n')
    for name in ("good", "bad"):
        shutil.copytree(attack.folder / name / "coh", attack.folder / name / "other")
    return attack


def test_a_license_forbids_what_the_command_names(licensed: Attack) -> None:
    outcome = licensed.run("--fm-cohort=other", "--fm-commercial", fm="embeddings:good")
    assert_not_passed(outcome)


TWO_FMS = ("--fm=demo:color-sensitive", "--fm-commercial")


@pytest.mark.parametrize(
    "how", ["command line", "environment", "configuration file", "addopts", "PYTEST_ADDOPTS"]
)
def test_an_fm_is_dropped_for_its_license(how: str, attack: Attack) -> None:
    """virchow2 may not be used commercially: it is left out, and the run is not complete."""
    attack.write("coh/cohort.toml", "k = 5\ncommercial = true\n")
    environment, arguments = {}, ["--fm=virchow2", "--fm-licensed=embeddings:good"]
    if how == "command line":
        arguments.append("--fm-commercial")
    elif how == "environment":
        environment["PATHOROB_CHECKS_COMMERCIAL"] = "true"
    elif how == "addopts":
        attack.write("pytest.ini", "[pytest]\naddopts = --fm-commercial\n")
    elif how == "PYTEST_ADDOPTS":
        environment[how] = "--fm-commercial"
    else:
        attack.write("pytest.ini", "[pytest]\nfm_commercial = true\n")
    outcome = attack.run(*arguments, fm="embeddings:good", **environment)
    assert outcome.results is not None
    assert outcome.results["complete"] is False
    assert "FM virchow2 is left out by --fm-commercial" in " ".join(outcome.output.split())
    if how == "command line":
        assert (outcome.code, outcome.headline.split(":")[0]) == (0, "PARTIAL"), outcome.output
    else:
        assert_not_passed(outcome)
    assert_not_passed(attack.run(*arguments, "--fm-require-complete", fm="embeddings:good", **environment))


SETTINGS = {
    "PATHOROB_CHECKS_BATCH_SIZE": ("4", "--fm-batch-size=4 (from PATHOROB_CHECKS_BATCH_SIZE)"),
    "PATHOROB_CHECKS_CRITERIA": ("lax.toml", "--fm-criteria=lax.toml (from PATHOROB_CHECKS_CRITERIA)"),
    "HF_ENDPOINT": ("http://user:secret@127.0.0.1:9/x", "hub: 127.0.0.1:9 (HF_ENDPOINT)"),
}


@pytest.mark.parametrize("variable", SETTINGS)
def test_a_variable_that_changes_what_is_measured_is_shown_and_kept(variable: str, attack: Attack) -> None:
    attack.write("lax.toml", INDEX.replace("0.5", "0.0"))
    value, sentence = SETTINGS[variable]
    outcome = attack.run(criteria=None if "CRITERIA" in variable else "index.toml", **{variable: value})
    assert outcome.output.count(sentence) == 2, outcome.output  # in the head of the run and of the table
    assert outcome.results is not None
    assert outcome.results["environment"]["settings"] == [sentence]
    assert "secret" not in outcome.output


def test_swapped_labels_have_another_digest(attack: Attack) -> None:
    digest = (attack.run(fm="embeddings:good").results or {})["environment"]["criteria"]["digest"]
    demand = f"--fm-criteria-digest={digest}"
    assert attack.run(demand, fm="embeddings:good").code == 0
    manifest = attack.folder / "coh" / "manifest.csv"
    text = manifest.read_text()
    for old, new in (("stroma,", "@,"), ("tumor,", "stroma,"), ("@,", "tumor,")):
        text = text.replace(old, new)
    manifest.write_text(text)
    outcome = attack.run(demand, fm="embeddings:good")
    assert outcome.code == 4
    assert "--fm-criteria-digest" in outcome.output


@pytest.mark.slow
def test_a_cohort_that_changes_while_workers_start(attack: Attack) -> None:
    attack.write(
        "conftest.py",
        "from pathlib import Path\n"
        "def pytest_configure(config):\n"
        "    if hasattr(config, 'workerinput'):\n"
        "        manifest = Path('coh/manifest.csv')\n"
        "        manifest.write_text(manifest.read_text().replace('stroma,north', 'tumor,north', 1))\n",
    )
    assert_not_passed(attack.run("-n1", fm="embeddings:good"))


def test_two_fms_on_two_cohorts_that_have_one_id(attack: Attack) -> None:
    """FM `a` on cohort `b-c` and FM `a-b` on cohort `c`: one record would count for both."""
    for cohort in ("c", "b-c"):
        shutil.copytree(attack.folder / "coh", attack.folder / cohort)
        for fm in ("a", "a-b"):
            shutil.copytree(attack.folder / "good" / "coh", attack.folder / fm / cohort)
    outcome = attack.run("--fm=embeddings:a-b", "--fm-cohort=b-c", fm="embeddings:a", cohort="c")
    assert outcome.code == 4
    assert "have the same id 'a-b-c'" in outcome.output


def test_two_subjects_with_one_test_id(attack: Attack) -> None:
    """FM `a` on cohort `b-c` and FM `a-b` on cohort `c`: one record would hide the other."""
    for cohort in ("b-c", "c"):
        shutil.copytree(attack.folder / "coh", attack.folder / cohort)
    for fm, kind in (("a", "bad"), ("a-b", "good")):
        for cohort in ("b-c", "c"):
            shutil.copytree(attack.folder / kind / "coh", attack.folder / fm / cohort)
    outcome = attack.run("--fm=embeddings:a-b", "--fm-cohort=c", fm="embeddings:a", cohort="b-c")
    assert outcome.code == 4
    assert "have the same id" in outcome.output
