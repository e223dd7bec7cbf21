"""The file of kept runs: nothing is lost, nothing is there twice, and other files are left alone."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from made_checks import made, unmeasured
from made_results import drawn, results_of

from pathorob_checks.errors import HistoryError
from pathorob_checks.history.schema import APPLICATION_ID, VERSION
from pathorob_checks.history.store import History
from pathorob_checks.results.check import IntegrityCheck
from pathorob_checks.results.results import Results

WRITER = """
import sys
from pathlib import Path
from made_results import drawn, results_of
from pathorob_checks.history.store import History
history, writer = History(Path(sys.argv[1])), int(sys.argv[2])
for number in range(50):
    history.add(results_of([drawn(0.5 + number / 1000, fm=f"fm-of-{writer}")], day=number))
"""
PROCESSES, RUNS = 8, 50


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "new folder" / "history.sqlite")


def test_a_run_is_read_as_it_was_added(history: History) -> None:
    checks = [drawn(0.6), made("performance_drop_id", fm="our-fm"), unmeasured(fm="our-fm")]
    results = results_of(checks, revision="a" * 40)
    digest, is_new = history.add(results)
    assert is_new
    [run] = history.runs()
    assert (run.digest, run.created, run.outcome) == (digest, "2026-05-04T12:00:00Z", str(results.outcome))
    assert (run.summary, run.terms, run.version) == (results.summary, "d" * 64, "0.1.0")
    kept = history.checks()
    assert [one.resampling for one in kept] == [one.resampling for one in checks]
    for one, check in zip(kept, checks, strict=True):
        assert one.revision == "a" * 40
        for name in ("fm", "method", "cohort", "metric", "criterion", "quantity", "label", "neighbors",
                     "value", "interval", "confidence", "direction", "bound", "verdict"):  # fmt: skip
            assert getattr(one, name) == getattr(check, name), name


def test_the_same_results_are_one_run_from_a_file_too(history: History, tmp_path: Path) -> None:
    results = results_of([drawn(0.6)])
    results.save(tmp_path / "r.json")
    assert history.add(results)[1]
    assert not history.add(results)[1]
    assert not history.add(Results.read(tmp_path / "r.json"))[1]
    assert history.add(results_of([drawn(0.6)], day=1))[1]
    assert len(history.runs()) == 2
    assert len(history.checks()) == 2


def test_a_key_that_a_later_version_adds_makes_no_other_run(history: History) -> None:
    class Later(Results):
        more: str = ""

    results = results_of([drawn(0.6)])
    history.add(results)
    later = Later.model_validate(results.model_dump())
    assert "more" in later.model_dump()
    assert not history.add(later)[1]


def test_images_of_a_report_make_no_other_run(history: History) -> None:
    results = results_of([drawn(0.6)])
    run = results.runs[0].model_copy(update={"images": {"s1-p1": "aGFsbG8="}})
    history.add(results)
    assert not history.add(results.model_copy(update={"runs": (run,)}))[1]


def test_a_run_that_replaces_another_takes_its_place(history: History) -> None:
    first, _ = history.add(results_of([drawn(0.6)]))
    second, _ = history.add(results_of([drawn(0.7)]), instead_of=first)
    assert [run.digest for run in history.runs()] == [second]
    assert [check.value for check in history.checks()] == [0.7]


UNFINISHED = {
    "the run did not finish": results_of([drawn(0.6)], problems=("the run did not finish",)),
    "2 criteria never ran": results_of([drawn(0.6)], planned=3),
    "it has no check": results_of([]),
}


@pytest.mark.parametrize("reason", UNFINISHED)
def test_a_run_that_has_not_finished_is_not_kept(reason: str, history: History) -> None:
    with pytest.raises(HistoryError, match=f"not kept, because {reason}"):
        history.add(UNFINISHED[reason])
    assert not history.path.exists()


def test_a_run_that_left_something_out_on_purpose_is_kept(history: History) -> None:
    assert history.add(results_of([drawn(0.6)], planned=2, deselected=1))[1]


@pytest.mark.slow
def test_processes_that_write_at_the_same_time_lose_nothing(history: History) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(history.path), str(number)],
            env={"PYTHONPATH": ":".join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))},
            stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    for writer in writers:
        assert writer.wait(250) == 0, writer.stderr.read().decode() if writer.stderr else ""
    checks = history.checks()
    assert len(history.runs()) == PROCESSES * RUNS
    assert {(check.fm, check.value) for check in checks} == {
        (f"fm-of-{writer}", 0.5 + number / 1000) for writer in range(PROCESSES) for number in range(RUNS)
    }


def test_a_process_that_is_killed_while_it_writes_leaves_whole_runs(history: History) -> None:
    history.add(results_of([drawn(0.6)]))
    program = (
        "import sqlite3, sys, os\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); c.execute('DELETE FROM checks'); c.execute('DELETE FROM runs')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(history.path)], check=False)
    assert done.returncode == -9
    assert [check.value for check in history.checks()] == [0.6]
    assert history.add(results_of([drawn(0.7)]))[1]


def test_the_file_of_another_program_is_left_alone(history: History) -> None:
    history.path.parent.mkdir()
    with sqlite3.connect(history.path) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = history.path.read_bytes()
    for use in (history.runs, lambda: history.add(results_of([drawn(0.6)]))):
        with pytest.raises(HistoryError, match="is no history but another SQLite file; name another file"):
            use()
    assert history.path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(history: History) -> None:
    history.path.parent.mkdir()
    history.path.write_text("my notes\n" * 200)
    for use in (history.runs, lambda: history.add(results_of([drawn(0.6)]))):
        with pytest.raises(HistoryError, match=r"cannot be used .*file is not a database"):
            use()
    assert history.path.read_text() == "my notes\n" * 200


def test_a_newer_version_is_refused_in_one_sentence(history: History) -> None:
    history.add(results_of([drawn(0.6)]))
    with sqlite3.connect(history.path) as file:
        file.execute(f"PRAGMA user_version = {VERSION + 1}")
    for use in (history.runs, lambda: history.add(results_of([drawn(0.7)]))):
        with pytest.raises(HistoryError) as error:
            use()
        assert f"is of version {VERSION + 1}, which a newer pathorob-checks made" in str(error.value)
        assert str(error.value).endswith("; install the newer one, or name another file.")


DAMAGE = {
    "a number that is a word": "UPDATE checks SET bound = 'wide'",
    "a verdict that nobody knows": "UPDATE checks SET verdict = 'fine'",
    "a confidence that is none": "UPDATE checks SET confidence = 95",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_said_to_be_one(what: str, history: History) -> None:
    history.add(results_of([drawn(0.6)]))
    with sqlite3.connect(history.path) as file:
        file.execute(DAMAGE[what])
    with pytest.raises(HistoryError, match="is damaged"):
        history.checks()


@pytest.mark.parametrize("content", [b"", b"junk", b"x\x9c\xcbH\xcd\xc9\xc9\x07\x00\x06,\x02\x15"])
def test_damaged_slides_are_said_to_be_that(content: bytes, history: History) -> None:
    history.add(results_of([drawn(0.6)]))
    with sqlite3.connect(history.path) as file:
        file.execute("UPDATE checks SET resampling = ?", (content,))
    [check] = history.checks()
    with pytest.raises(HistoryError, match="is damaged: the slides of a value cannot be read"):
        _ = check.resampling


def test_there_is_nothing_to_read_and_nothing_is_made(history: History) -> None:
    with pytest.raises(HistoryError, match=r"there is no history .*; keep runs with pytest"):
        history.runs()
    assert not history.path.parent.exists()


def test_a_file_knows_what_it_is_and_of_which_version(history: History) -> None:
    history.add(results_of([drawn(0.6)]))
    with sqlite3.connect(history.path) as file:
        assert file.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.fixture
def of_version_1(tmp_path: Path) -> History:
    path = tmp_path / "history.sqlite"
    with sqlite3.connect(path) as file:
        file.executescript((Path(__file__).parent / "history_version_1.sql").read_text())
    return History(path)


def test_a_file_of_version_1_is_read_and_goes_on(of_version_1: History) -> None:
    kept = of_version_1.checks()
    assert [(one.fm, one.value, one.sound) for one in kept] == [
        ("our-fm-v1", 0.7, None),
        ("our-fm-v1", -0.123, None),
        ("our-fm-v2", 0.6, None),
        ("our-fm-v2", None, None),
    ]
    assert [one.resampling and len(one.resampling.units) for one in kept] == [6, None, 6, None]
    of_version_1.add(results_of([drawn(0.5, fm="our-fm-v3", slides=6)], day=9))
    assert [one.sound for one in of_version_1.checks()] == [None] * 4 + [True]
    with sqlite3.connect(of_version_1.path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_an_older_file_has_the_tables_of_a_new_one(of_version_1: History, history: History) -> None:
    of_version_1.runs()
    history.add(results_of([drawn(0.6)]))
    columns = []
    for one in (of_version_1, history):
        with sqlite3.connect(one.path) as file:
            columns.append(
                {
                    table: file.execute(f"PRAGMA table_info({table})").fetchall()
                    for table in ("runs", "checks")
                }
            )
    assert columns[0] == columns[1]


def test_a_migration_that_fails_leaves_the_older_file(of_version_1: History, monkeypatch) -> None:
    from pathorob_checks.history import schema

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE half (x)", "NONSENSE")))
    with pytest.raises(HistoryError, match="cannot be used"):
        of_version_1.runs()
    monkeypatch.undo()
    with sqlite3.connect(of_version_1.path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (1,)
    assert len(of_version_1.runs()) == 2


def test_values_of_embeddings_that_are_not_sound_are_kept_as_such(history: History) -> None:
    broken = IntegrityCheck(id="i", name="finite", fm="our-fm", cohort="demo", verdict="fail")
    checks = [drawn(0.6), drawn(0.7, fm="other"), drawn(0.8).model_copy(update={"cohort": "demo+more"})]
    history.add(results_of(checks, integrity=(broken,)))
    assert [one.sound for one in history.checks()] == [False, True, False]
