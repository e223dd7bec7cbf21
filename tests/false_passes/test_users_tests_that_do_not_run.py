"""Kind: a user's test of the gate is never run, or is about something else than it says."""

from __future__ import annotations

import pytest
from attack import Attack, assert_not_passed

TEST = """
import pytest
@pytest.mark.{mark}
def test_mine(fm_measure, fm_check, fm_criterion):
    fm_check(fm_measure(fm_criterion), fm_criterion)
"""
MARKS = {
    "fm_metric('robustnes_index')": "did you mean 'robustness_index'?",
    "fm_metric(5)": "fm_metric(5)",
    "fm_metric('robustness_index', 'clustering_score')": "takes one of robustness_index",
    "fm_metric(name='robustness_index')": "takes one of robustness_index",
    "fm_criteria('means')": "did you mean 'mean'?",
    "fm_criteria": "takes one of mean, difference",
    "fm_metrics('robustness_index')": "mark it with @pytest.mark.fm_metric",
}


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_that_names_no_metric(mark: str, attack: Attack) -> None:
    """Without a criterion of that name it would have no cases, and vanish."""
    attack.write("test_mine.py", TEST.format(mark=mark))
    outcome = attack.run("test_mine.py", fm="embeddings:good")
    assert_not_passed(outcome)
    assert MARKS[mark] in outcome.output


def test_a_metric_that_the_profile_has_no_criterion_for_is_no_mistake(attack: Attack) -> None:
    attack.write("test_mine.py", TEST.format(mark="fm_metric('clustering_score')"))
    assert attack.run("test_mine.py", fm="embeddings:good").code == 0


@pytest.mark.parametrize("parameter", ["fm_cohort", "fm_model, fm_cohort"])
def test_a_cohort_of_the_test_itself(parameter: str, attack: Attack) -> None:
    values = {"fm_cohort": "['other']", "fm_model, fm_cohort": "[('good', 'other')]"}[parameter]
    attack.write(
        "test_mine.py",
        "import pytest\n"
        f"@pytest.mark.parametrize('{parameter}', {values})\n"
        "def test_mine(fm_cohort, fm_measure, fm_check):\n"
        "    fm_check(fm_measure('robustness_index'), at_least=0.0)\n",
    )
    outcome = attack.run("test_mine.py", fm="embeddings:good")
    assert_not_passed(outcome)


def test_a_cohort_of_the_test_itself_has_a_sentence(attack: Attack) -> None:
    attack.write(
        "test_mine.py",
        "import pytest\n"
        "@pytest.fixture\n"
        "def fm_cohort():\n    return 'other'\n"
        "def test_mine(fm_cohort, fm_measure, fm_check):\n"
        "    fm_check(fm_measure('robustness_index'), at_least=0.0)\n",
    )
    outcome = attack.run("test_mine.py", fm="embeddings:good")
    assert_not_passed(outcome)
    assert "which this run does not have; use the fixture fm_cohort of this plugin" in " ".join(
        outcome.output.split()
    )


def test_a_fixture_of_the_project_that_is_called_fm_check_needs_no_record(attack: Attack) -> None:
    attack.write(
        "test_mine.py",
        "import pytest\n"
        "@pytest.fixture\n"
        "def fm_check():\n    return 5\n"
        "def test_mine(fm_check):\n    assert fm_check == 5\n",
    )
    assert attack.run("test_mine.py", fm="embeddings:good").code == 0


@pytest.mark.parametrize("folder", ["tests", "suites"])
def test_a_users_file_that_is_called_like_a_packaged_one(folder: str, attack: Attack) -> None:
    name = f"{folder}/test_robustness_index.py"
    attack.write(name, TEST.format(mark="fm_metric('robustness_index')") + "    assert not 'mine'\n")
    outcome = attack.run(name, fm="embeddings:good")
    assert_not_passed(outcome)
    assert "test_mine[good-coh] failed; 1 of 1 criterion met" in outcome.headline


def test_tests_that_cannot_be_read_are_told(attack: Attack) -> None:
    attack.write("test_mine.py", "import nowhere_to_be_found\n")
    outcome = attack.run("test_mine.py", fm="embeddings:good")
    assert_not_passed(outcome)
    assert "the run was interrupted (1 error during collection)" in outcome.headline
