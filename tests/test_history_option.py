"""`pytest --fm --fm-history`: the run is kept, whatever that comes to its verdict stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack import Attack, Outcome

from pathorob_checks.history.store import History

GOOD = ("--fm=embeddings:good", "--fm-cohort=coh", "--fm-criteria=index.toml")


def kept(gate: Attack, name: str = "h.sqlite") -> list[str]:
    """Outcomes of the runs in a history; none without one."""
    path = gate.folder / name
    return [run.outcome for run in History(path).runs()] if path.exists() else []


def line(outcome: Outcome) -> str:
    """What the run says of its history, as one line."""
    parts: list[str] = []
    for one in outcome.output.splitlines():
        if one.startswith("history: ") or (parts and one.startswith("  ")):
            parts.append(one.strip())
        elif parts:
            break
    assert outcome.output.count("\nhistory: ") == bool(parts), outcome.output
    return " ".join(parts)


@pytest.mark.parametrize("fm", ["good", "bad"])
def test_a_run_is_kept_and_its_results_file_is_the_same_run(fm: str, small_gate: Attack) -> None:
    outcome = small_gate.run("--fm-history=h.sqlite", fm=f"embeddings:{fm}")
    assert (outcome.code, kept(small_gate)) == ((0, ["pass"]) if fm == "good" else (1, ["fail"]))
    assert line(outcome) == "history: h.sqlite"
    added = small_gate.terminal.command("history", "add", "results.json", "--file", "h.sqlite")
    assert (added.code, added.output) == (0, "results.json: was there already\nhistory: h.sqlite\n")


def test_no_history_is_kept_where_nobody_asked(small_gate: Attack) -> None:
    outcome = small_gate.run(fm="embeddings:good", XDG_DATA_HOME=str(small_gate.folder / "data"))
    assert (outcome.code, line(outcome)) == (0, "")
    assert not (small_gate.folder / "data").exists()


DEFAULT = "data/pathorob-checks/history.sqlite"
PLACES = {
    "the option alone": (("--fm-history",), {}, "", DEFAULT),
    "the option with a file": (("--fm-history=h.sqlite",), {}, "", "h.sqlite"),
    "the option, and a file in the environment": (
        ("--fm-history",), {"PATHOROB_CHECKS_HISTORY": "theirs.sqlite"}, "", "theirs.sqlite"
    ),
    "a file in the environment": ((), {"PATHOROB_CHECKS_HISTORY": "theirs.sqlite"}, "", "theirs.sqlite"),
    "a word in the environment": ((), {"PATHOROB_CHECKS_HISTORY": "1"}, "", DEFAULT),
    "a word in the ini file": ((), {}, "fm_history = true", DEFAULT),
    "a file in the ini file": ((), {}, "fm_history = ini.sqlite", "ini.sqlite"),
    "the option in addopts": ((), {}, "addopts = --fm-history", DEFAULT),
}  # fmt: skip


@pytest.mark.parametrize("how", PLACES)
def test_where_a_run_is_kept(how: str, small_gate: Attack) -> None:
    arguments, environment, ini, place = PLACES[how]
    if ini:
        small_gate.write("pytest.ini", f"[pytest]\n{ini}\n")
    data = {"XDG_DATA_HOME": str(small_gate.folder / "data")}
    outcome = small_gate.run(*arguments, fm="embeddings:good", **data, **environment)
    assert outcome.code == 0, outcome.output
    assert line(outcome).endswith(place)
    assert kept(small_gate, place) == ["pass"]


@pytest.mark.parametrize("word", ["false", "no", "0"])
def test_a_history_of_the_ini_file_is_left_out_by_the_command_line(word: str, small_gate: Attack) -> None:
    small_gate.write("pytest.ini", "[pytest]\nfm_history = h.sqlite\n")
    outcome = small_gate.run(f"--fm-history={word}", fm="embeddings:good")
    assert (outcome.code, line(outcome), kept(small_gate)) == (0, "", [])


MINE = "def test_mine(fm_model):\n    pass\n"
SWALLOWED = {
    "a folder of tests": (("--fm-history", "mine/"), {}, ""),
    "a file of tests": (("--fm-history", "mine/test_mine.py"), {}, ""),
    "a test": (("--fm-history", "mine/test_mine.py::test_mine"), {}, ""),
    "the packaged checks": (("--fm-history", "suites"), {}, ""),
    "a path that does not exist": (("--fm-history", "nowhere"), {}, ""),
    "a path in an ini file": ((), {}, "addopts = --fm-history mine"),
    "a path in a variable": ((), {"PYTEST_ADDOPTS": "--fm-history mine"}, ""),
    "a path in a variable after an ini file": ((), {"PYTEST_ADDOPTS": "mine"}, "addopts = --fm-history"),
}


@pytest.mark.parametrize("what", SWALLOWED)
def test_a_path_is_not_taken_for_the_history(what: str, small_gate: Attack) -> None:
    arguments, environment, ini = SWALLOWED[what]
    small_gate.write("mine/test_mine.py", MINE)
    if ini:
        small_gate.write("pytest.ini", f"[pytest]\n{ini}\n")
    run = small_gate.terminal.pytest(*arguments, *GOOD, **environment)
    assert run.code == 4, run.output
    word = arguments[-1] if arguments else "mine"
    sentence = (
        f"--fm-history {word}: it is not clear what '{word}' is; write --fm-history={word} for a file, "
        "or name tests before --fm-history."
    )
    assert run.errors == [f"ERROR: {sentence}"]
    assert not list(small_gate.folder.rglob("*.sqlite"))


BESIDE = {
    "before": ("mine", "--fm-history"),
    "after two dashes": ("--fm-history", "--", "mine"),
    "with a file": ("--fm-history=h.sqlite", "mine"),
    "after another option": ("--fm-history", "-q", "mine"),
}


@pytest.mark.parametrize("where", BESIDE)
def test_tests_beside_a_history(where: str, small_gate: Attack) -> None:
    small_gate.write("mine/test_mine.py", MINE)
    run = small_gate.terminal.pytest(
        *GOOD, "-rA", *BESIDE[where], XDG_DATA_HOME=str(small_gate.folder / "data")
    )
    assert run.code == 0, run.output
    assert "mine/test_mine.py::test_mine" in run.output
    assert len(list(small_gate.folder.rglob("*.sqlite"))) == 1


def _newer(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as file:
        file.execute("PRAGMA application_id = 1347568195")
        file.execute("PRAGMA user_version = 99")


UNWRITABLE = {
    "a folder": (lambda path: path.mkdir(), "unable to open database file"),
    "another file": (lambda path: path.write_text("my notes\n" * 99), "file is not a database"),
    "a newer history": (_newer, "is of version 99, which a newer pathorob-checks made"),
}


@pytest.mark.parametrize("what", UNWRITABLE)
@pytest.mark.parametrize(("fm", "code"), [("good", 0), ("bad", 1)])
def test_a_history_that_cannot_be_written_changes_no_verdict(
    fm: str, code: int, what: str, small_gate: Attack
) -> None:
    make, reason = UNWRITABLE[what]
    make(small_gate.folder / "h.sqlite")
    outcome = small_gate.run("--fm-history=h.sqlite", fm=f"embeddings:{fm}")
    assert outcome.code == code, outcome.output
    assert line(outcome).startswith("history: not written: ")
    assert reason in line(outcome)
    assert outcome.results is not None
    assert outcome.results["outcome"] == ("pass" if code == 0 else "fail")
    assert outcome.results["problems"] == []


def test_a_run_that_was_stopped_is_not_kept(small_gate: Attack) -> None:
    small_gate.write("test_mine.py", "import pytest\ndef test_mine(fm_model):\n    pytest.exit('enough')\n")
    outcome = small_gate.run("test_mine.py", "--fm-history=h.sqlite", fm="embeddings:good")
    assert line(outcome) == (
        "history: the run is not kept in h.sqlite, because the run was interrupted (enough)"
    )
    assert kept(small_gate) == []


def test_a_part_of_the_checks_is_kept_as_such(small_gate: Attack) -> None:
    outcome = small_gate.run("-k", "index", "--fm-history=h.sqlite", fm="embeddings:good")
    assert (outcome.code, kept(small_gate)) == (0, ["partial"])


@pytest.mark.parametrize("arguments", [("--co",), ("--fixtures",), ("--version",)])
def test_a_command_that_measures_nothing_keeps_nothing(
    arguments: tuple[str, ...], small_gate: Attack
) -> None:
    small_gate.run(*arguments, "--fm-history=h.sqlite", fm="embeddings:good")
    assert kept(small_gate) == []


@pytest.mark.slow
def test_workers_keep_one_run(small_gate: Attack) -> None:
    outcome = small_gate.run("-n2", "--fm-history=h.sqlite", fm="embeddings:good")
    assert (outcome.code, kept(small_gate), line(outcome)) == (0, ["pass"], "history: h.sqlite")


def test_without_pytests_reporter_it_is_told_too(small_gate: Attack) -> None:
    run = small_gate.terminal.pytest(*GOOD, "-pno:terminal", "--fm-history=h.sqlite")
    assert (run.output.count("history: h.sqlite\n"), kept(small_gate)) == (1, ["pass"])


def test_what_comes_after_the_end_of_the_session_is_in_the_run_that_is_kept(small_gate: Attack) -> None:
    small_gate.write(
        "conftest.py",
        "import pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_sessionfinish(session):\n"
        "    for plugin in session.config.pluginmanager.get_plugins():\n"
        "        if type(plugin).__name__ == 'Listener':\n"
        "            plugin.gate.records.other_failures.append('late')\n",
    )
    outcome = small_gate.run("--fm-history=h.sqlite", fm="embeddings:good")
    assert (outcome.code, kept(small_gate)) == (1, ["fail"])


def test_a_history_without_an_fm_is_refused(small_gate: Attack) -> None:
    run = small_gate.terminal.pytest("--fm-history=h.sqlite")
    [error] = run.errors
    assert error.startswith(
        "ERROR: --fm-history is given without --fm, and nothing was measured; name an FM "
    )
