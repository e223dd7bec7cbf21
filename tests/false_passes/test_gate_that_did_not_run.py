"""Kind: the command looks like the gate, and no criterion was checked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from attack import INDEX, Attack, assert_not_passed

from pathorob_checks.plugin.option import Option
from pathorob_checks.plugin.options import OPTIONS

TRIVIAL = "def test_trivial():\n    pass\n"


def test_a_path_on_the_command_line_adds_to_the_gate(attack: Attack) -> None:
    attack.write("test_trivial.py", TRIVIAL)
    outcome = attack.run("test_trivial.py")
    assert_not_passed(outcome)
    assert "test_trivial.py ." in outcome.output


@pytest.mark.parametrize("where", ["addopts", "testpaths", "PYTEST_ADDOPTS"])
def test_a_path_in_the_configuration(where: str, attack: Attack) -> None:
    attack.write("test_trivial.py", TRIVIAL)
    environment = {}
    if where == "PYTEST_ADDOPTS":
        environment[where] = "test_trivial.py"
    else:
        attack.write("pytest.ini", f"[pytest]\n{where} = test_trivial.py\n")
    assert_not_passed(attack.run(**environment))


@pytest.mark.parametrize("path", [None, "test_trivial.py"])
def test_the_fm_in_a_configuration_file(path: str | None, attack: Attack) -> None:
    attack.write("test_trivial.py", TRIVIAL)
    attack.write("pytest.ini", "[pytest]\nfm = embeddings:bad\nfm_cohort = coh\nfm_criteria = index.toml\n")
    outcome = attack.run(*([path] if path else []), fm=None, cohort=None, criteria=None)
    assert_not_passed(outcome)
    assert "test_trivial.py ." in outcome.output


@pytest.mark.parametrize(
    "option",
    ["--fm-cohort=coh", "--fm-criteria=index.toml", "--fm-json=results.json", "--fm-require-complete"],
)
def test_an_option_of_the_gate_without_an_fm(option: str, attack: Attack) -> None:
    attack.write("test_trivial.py", TRIVIAL)
    outcome = attack.run(option, fm=None, cohort=None, criteria=None, results=None)
    assert outcome.code != 0
    assert f"{option.partition('=')[0]} is given without --fm" in outcome.output


def test_settings_without_an_fm_in_the_environment_disturb_nobody(attack: Attack) -> None:
    attack.write("test_trivial.py", TRIVIAL)
    attack.write("pytest.ini", "[pytest]\nfm_criteria = index.toml\n")
    outcome = attack.run(fm=None, cohort=None, criteria=None, results=None, PATHOROB_CHECKS_DEVICE="cpu")
    assert outcome.code == 0, outcome.output


def test_collecting_only_leaves_no_older_pass(attack: Attack) -> None:
    assert attack.run(fm="embeddings:good").code == 0
    outcome = attack.run("--co", "-q")
    assert outcome.results is not None
    assert (outcome.results["outcome"], outcome.results["complete"]) == ("error", False)
    assert outcome.results["problems"] == ["the run did not finish"]


SHOWS = ["--co", "--fixtures", "--fixtures-per-test", "--markers", "--help", "-VV", "--setup-plan"]


@pytest.mark.parametrize("option", SHOWS)
@pytest.mark.parametrize("where", ["pytest.ini", "PYTEST_ADDOPTS"])
def test_an_option_that_shows_something_is_not_typed(where: str, option: str, attack: Attack) -> None:
    environment = {where: option} if where == "PYTEST_ADDOPTS" else {}
    if not environment:
        attack.write(where, f"[pytest]\naddopts = {option}\n")
    assert_not_passed(attack.run(fm="embeddings:good", **environment))


@pytest.mark.parametrize("option", SHOWS[:-1])
def test_an_option_that_shows_something_is_typed(option: str, attack: Attack) -> None:
    outcome = attack.run(option)
    assert (outcome.code, outcome.headline[:5]) == (0, ""), outcome.output


@pytest.mark.parametrize("name", ["collectonly", "showfixtures", "markers"])
def test_a_conftest_chooses_what_pytest_does(name: str, attack: Attack) -> None:
    attack.write(
        "conftest.py",
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        f"def pytest_cmdline_main(config):\n    config.option.{name} = True\n",
    )
    outcome = attack.run(fm="embeddings:good")
    assert_not_passed(outcome)


CHANGES = {"fm": "None", "fm_criteria": "['lax.toml']", "fm_cohort": "['demo']", "fm_commercial": "'true'"}


@pytest.mark.parametrize("hook", ["pytest_cmdline_main", "pytest_configure"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_conftest_changes_an_option(name: str, hook: str, attack: Attack) -> None:
    attack.write(
        "conftest.py",
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        f"def {hook}(config):\n    config.option.pathorob_{name} = {CHANGES[name]}\n",
    )
    attack.write("lax.toml", INDEX.replace("0.5", "0.0"))
    outcome = attack.run()
    assert outcome.code == 4
    assert f"changed --{name.replace('_', '-')} after it was read" in outcome.output


def test_a_results_file_whose_name_is_too_long(attack: Attack) -> None:
    outcome = attack.run(results="x" * 300, fm="embeddings:good")
    assert_not_passed(outcome)
    assert "cannot be written (File name too long)" in outcome.output


@pytest.mark.parametrize("part", ["ending", "fixtures", "interrupting", "listener", "reporting"])
def test_a_part_of_the_gate_is_blocked(part: str, attack: Attack) -> None:
    attack.write("pytest.ini", f"[pytest]\naddopts = -p no:pathorob_checks_{part}\n")
    outcome = attack.run(fm="embeddings:good")
    assert outcome.code == 4
    assert f"-p no:pathorob_checks_{part} takes a part of the gate away" in outcome.output


WITH_VALUE = [option for option in OPTIONS if not option.switch]


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize("option", WITH_VALUE, ids=[option.flag for option in WITH_VALUE])
def test_a_value_is_empty(option: Option, value: str, attack: Attack) -> None:
    """`--fm-baseline=$BASELINE` with a variable that nobody set."""
    given = {"--fm": "fm", "--fm-json": "results"}.get(option.flag)
    outcome = attack.run(f"{option.flag}={value}", **{given: None} if given else {})
    assert outcome.code == 4
    assert option.flag in outcome.output or option.name in outcome.output


def test_the_results_file_is_where_it_was_named_wherever_a_test_changes_to(attack: Attack) -> None:
    attack.write("sub/test_mine.py", "import os\ndef test_mine():\n    os.chdir('sub')\n")
    outcome = attack.run("sub/test_mine.py", results="first.json")
    assert not (attack.folder / "sub" / "first.json").exists()
    assert outcome.results is not None
    assert outcome.results["outcome"] != "pass"
    assert outcome.results["problems"] != ["the run did not finish"]


def test_the_results_file_in_the_users_folder(attack: Attack) -> None:
    outcome = attack.run(results="~/results.json", HOME=str(attack.folder / "home"))
    assert (attack.folder / "home" / "results.json").is_file(), outcome.output


UNUSABLE = {
    "an FM that does not exist": {"fm": "embeddings:nowhere"},
    "an FM without a kind": {"fm": "nonsense"},
    "a cohort that does not exist": {"cohort": "nowhere"},
    "criteria that do not exist": {"criteria": "nowhere.toml"},
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_run_that_cannot_start_leaves_no_older_pass(what: str, attack: Attack) -> None:
    assert attack.run(fm="embeddings:good").code == 0
    outcome = attack.run(**{"fm": "embeddings:good", **UNUSABLE[what]})
    assert_not_passed(outcome)
    assert outcome.results is not None
    assert (outcome.results["outcome"], outcome.results["complete"]) == ("error", False)


@pytest.mark.parametrize("mode", ["--setup-plan", "--setup-only"])
def test_a_plan_of_fixtures_measures_nothing(mode: str, attack: Attack) -> None:
    assert_not_passed(attack.run(mode, fm="embeddings:good"))


def test_a_keyword_that_nothing_matches(attack: Attack) -> None:
    assert_not_passed(attack.run("-k", "nothing_matches_this", fm="embeddings:good"))


@pytest.mark.parametrize("flag", ["--fm-json", "--fm-criteria", "--fm-cohort"])
def test_a_path_after_a_blank_that_pytest_takes_for_tests(flag: str, attack: Attack, tmp_path: Path) -> None:
    """A path outside the project moves pytest's root folder: the project's criteria are not read."""
    attack.write("pytest.ini", "[pytest]\nfm_criteria = index.toml\n")
    attack.write("lax.toml", INDEX.replace("0.5", "0.0"))
    outside = tmp_path / "outside.json"
    outside.write_text("")
    outcome = attack.run(flag, str(outside), criteria=None, results=None)
    assert outcome.code == 4
    assert f"write {flag}={outside}" in outcome.output


def test_a_path_after_a_blank_in_the_environment(attack: Attack, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text("")
    outcome = attack.run(PYTEST_ADDOPTS=f"--fm-json {tmp_path / 'outside.json'}")
    assert outcome.code == 4


def test_a_path_after_a_blank_in_a_file_of_arguments(attack: Attack, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text("")
    attack.write("more.txt", f"--fm-json\n{tmp_path / 'outside.json'}\n")
    attack.write("arguments.txt", "@more.txt\n")
    outcome = attack.run("@arguments.txt", results=None)
    assert outcome.code == 4
    assert "write --fm-json=" in outcome.output


def test_a_path_after_a_blank_that_does_not_exist_is_a_value(attack: Attack) -> None:
    outcome = attack.run("--fm-json", "new.json", fm="embeddings:good", results=None)
    assert outcome.code == 0, outcome.output
    assert (attack.folder / "new.json").exists()


def test_criteria_of_a_configuration_file_lie_beside_it(attack: Attack) -> None:
    attack.write("pytest.ini", "[pytest]\nfm_criteria = index.toml\n")
    attack.write("tests/index.toml", INDEX.replace("0.5", "0.0"))
    shutil.copytree(attack.folder / "bad", attack.folder / "tests" / "bad")
    outcome = attack.run("--rootdir=.", "-c", "pytest.ini", fm="embeddings:tests/bad", criteria=None)
    assert_not_passed(outcome)


ENDS = {
    "os._exit": "os._exit(0)",
    "os._exit with what a system cuts to 0": "os._exit(256)",
    "os._exit by name": "os._exit(status=0)",
    "another program": "os.execv('/bin/true', ['true'])",
    "another program on the path": "os.execlp('true', 'true')",
    "a thread": "(lambda t: (t.start(), t.join()))(threading.Thread(target=lambda: os._exit(0)))",
    "a system exit": "sys.exit(0)",
    "pytest's exit": "pytest.exit('enough', returncode=0)",
    "a signal": "os.kill(os.getpid(), signal.SIGTERM)",
}
MODEL = """
import os, signal, sys, threading
import pytest, torch
class Encoder:
    def preprocess(self, image):
        return torch.zeros(3, 4, 4)
    def embed(self, batch):
        {}
        return torch.zeros(len(batch), 8)
def build():
    return Encoder()
"""


# Raise, which ends no process that a test runs in.
RAISE = {"a system exit", "pytest's exit"}
# The others need a process each, for seconds.
ALWAYS = RAISE | {"os._exit", "a signal"}


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way in ALWAYS else pytest.mark.slow) for way in ENDS]
)
def test_a_model_ends_the_process(way: str, attack: Attack) -> None:
    attack.write("encoder.py", MODEL.format(ENDS[way]))
    outcome = attack.run(fm="python:encoder:build", subprocess=way not in RAISE)
    assert outcome.code & 0xFF != 0, outcome.output
    assert outcome.results is not None
    assert (outcome.results["outcome"], outcome.results["complete"]) == ("error", False)
    if way == "os._exit":
        assert outcome.code == 1
        assert "tried to end the process before the run had ended" in outcome.output


LOADED = {
    "a system exit": "import sys; sys.exit()",
    "a system exit with 256": "import sys; sys.exit(256)",
    "os._exit": "import os; os._exit(0)",
    "another program": "import os; os.execv('/bin/true', ['true'])",
    "a hook that exits": "import sys\ndef pytest_addoption():\n    sys.exit(0)",
}


@pytest.mark.parametrize("way", LOADED)
def test_a_conftest_ends_the_process_while_it_is_loaded(way: str, attack: Attack) -> None:
    attack.write("conftest.py", LOADED[way] + "\n")
    outcome = attack.run(fm="embeddings:good", subprocess=not way.startswith("a "))
    assert outcome.code & 0xFF != 0, outcome.output
    assert "ended pytest while" in outcome.output or "tried to end the process" in outcome.output


LATE = {
    "os._exit": "atexit.register(os._exit, 0)",
    "os._exit by name": "atexit.register(lambda: os._exit(0))",
    "its other name": "import posix; atexit.register(lambda: posix._exit(0))",
    "another program": "atexit.register(os.execv, '/bin/true', ['true'])",
    "a thread": "threading.Thread(target=lambda: (threading.main_thread().join(), os._exit(0))).start()",
}


@pytest.mark.slow
@pytest.mark.parametrize("way", [*LATE][1:])
def test_the_process_ends_by_itself_after_the_run(way: str, attack: Attack) -> None:
    attack.write("encoder.py", MODEL.format(f"import atexit\n        {LATE[way]}"))
    outcome = attack.run(fm="python:encoder:build", subprocess=True)
    assert outcome.code & 0xFF != 0, outcome.output


def test_another_process_goes_on_with_the_run(attack: Attack) -> None:
    attack.write("test_mine.py", "import os\ndef test_mine():\n    if os.fork():\n        os._exit(0)\n")
    outcome = attack.run("test_mine.py", fm="embeddings:good", subprocess=True)
    assert outcome.code != 0
    assert outcome.results is not None
    assert outcome.results["outcome"] == "error"


def test_a_program_that_calls_pytest_ends_as_it_likes(attack: Attack) -> None:
    attack.write(
        "program.py",
        "import os, pytest\n"
        "code = pytest.main(['--fm=embeddings:nowhere', '--fm-cohort=coh'])\n"
        "os._exit(0 if code == 4 else 9)\n",
    )
    assert attack.program("program.py") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"fm": None},
        {"fm": ""},
        {"arguments": ["--fm-device=gpu"]},
        {"arguments": ["--fm-batch-size=x"]},
        {"arguments": ["--fm-criteria-digest=abc"]},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_used_leaves_no_older_pass(change: dict[str, Any], attack: Attack) -> None:
    assert attack.run(fm="embeddings:good").code == 0
    outcome = attack.run(*change.get("arguments", ()), fm=change.get("fm", "embeddings:good"))
    assert outcome.code == 4
    assert outcome.results is not None
    assert (outcome.results["outcome"], outcome.results["complete"]) == ("error", False)


@pytest.mark.parametrize("key", ["fm-criteria", "fm_criterai", "fm_requirecomplete"])
def test_a_misspelled_setting_of_a_configuration_file(key: str, attack: Attack) -> None:
    attack.write("pytest.ini", f"[pytest]\n{key} = release\n")
    outcome = attack.run(fm="embeddings:good")
    assert_not_passed(outcome)
    assert f"pytest.ini has the unknown setting '{key}'; did you mean 'fm_" in outcome.output
