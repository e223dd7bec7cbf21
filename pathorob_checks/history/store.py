"""The file of kept runs: SQLite, so that runs at the same time lose nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pathorob_checks.canonical import digest_of
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import HistoryError
from pathorob_checks.history.kept import KeptCheck, KeptRun, packed
from pathorob_checks.history.schema import APPLICATION_ID, VERSION, migrate
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.finished import why_unfinished
from pathorob_checks.wording import brief

_PATIENCE_S = 60.0  # how long a writer waits for others
_PAUSE_S = 0.05
_RUN_COLUMNS = ("id", "digest", "created", "outcome", "summary", "terms", "version")
_CHECK_COLUMNS = (
    "fm", "revision", "method", "cohort", "metric", "metric_version", "label", "criterion", "quantity",
    "neighbors", "value", "low", "high", "confidence", "direction", "bound", "verdict", "resampling",
    "sound",
)  # fmt: skip


class History:
    """Runs in a SQLite file.

    Parameters
    ----------
    path : the file; with its folder it is made when the first run is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, results: ResultsDocument, *, instead_of: str | None = None) -> tuple[str, bool]:
        """Keep a run that has finished; the same results are kept once.

        Parameters
        ----------
        instead_of : the digest of a run that this one replaces.

        Returns
        -------
        digest : of the run.
        is_new : False where it was there already.

        Raises
        ------
        HistoryError : the run did not finish, or the file cannot be written or is something else.
        """
        if reason := why_not_kept(results):
            raise HistoryError(f"the run is not kept, because {reason}", remedy="let a run finish")
        digest = digest_of_results(results)
        with self._writing() as connection:
            if instead_of not in (None, digest):
                connection.execute("DELETE FROM runs WHERE digest = ?", (instead_of,))
            terms = results.environment.criteria
            run = connection.execute(
                "INSERT INTO runs (digest, created, outcome, summary, terms, version) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
                (
                    digest,
                    results.model_dump(mode="json", include={"created"})["created"],
                    str(results.outcome),
                    results.summary,
                    terms.digest,
                    results.environment.packages.get("pathorob-checks"),
                ),
            )
            if not run.rowcount:
                return digest, False
            places = ", ".join("?" * (len(_CHECK_COLUMNS) + 1))
            connection.executemany(
                f"INSERT INTO checks (run, {', '.join(_CHECK_COLUMNS)}) VALUES ({places})",  # noqa: S608
                [(run.lastrowid, *_row(check, results)) for check in results.checks],
            )
        return digest, True

    def runs(self) -> list[KeptRun]:
        """All runs, the newest last.

        Raises
        ------
        HistoryError : there is no such file, or it cannot be read.
        """
        return self._read()[0]

    def checks(self) -> list[KeptCheck]:
        """All checks, those of the newest run last.

        Raises
        ------
        HistoryError : there is no such file, it cannot be read, or it is damaged.
        """
        return self._read()[1]

    def _read(self) -> tuple[list[KeptRun], list[KeptCheck]]:
        columns = ", ".join(f"checks.{name}" for name in _CHECK_COLUMNS)
        with self._reading() as connection:
            connection.execute("BEGIN")  # both tables as they are at one moment
            runs = connection.execute(
                f"SELECT {', '.join(_RUN_COLUMNS)} FROM runs ORDER BY created, id"  # noqa: S608
            ).fetchall()
            checks = connection.execute(
                f"SELECT checks.run, {columns} FROM checks JOIN runs ON runs.id = checks.run "  # noqa: S608
                "ORDER BY runs.created, runs.id, checks.id"
            ).fetchall()
        try:
            kept = [KeptRun(**dict(zip(_RUN_COLUMNS, row, strict=True))) for row in runs]
            by_id = {run.id: run for run in kept}
            return kept, [_kept(row, by_id) for row in checks]
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise HistoryError(
                f"the history {self.path} is damaged ({place}: {brief(first['msg'])})",
                remedy="make a new file and add the results files to it with 'pathorob-checks history add'",
            ) from None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise HistoryError(
                f"there is no history {self.path}",
                remedy="keep runs with pytest --fm=SPEC --fm-history, or add results files with "
                "'pathorob-checks history add FILE'",
            )
        with self._opened() as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from None
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(
                sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None)
            ) as it:
                it.execute("PRAGMA foreign_keys = ON")
                self._bring_up_to_date(it)
                try:
                    yield it
                except BaseException:
                    if it.in_transaction:
                        it.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from None

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == VERSION:
            return
        _write_ahead(connection)
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection, self._version(connection))  # another process may have done it meanwhile
        connection.execute("COMMIT")

    def _version(self, connection: sqlite3.Connection) -> int:
        """The version of a history; 0 for an empty file.

        Raises
        ------
        HistoryError : it is the file of another program, or of a newer version of this one.
        """
        version, application = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("user_version", "application_id")
        )
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != APPLICATION_ID and (tables or application or version):
            raise HistoryError(
                f"{self.path} is no history but another SQLite file", remedy="name another file"
            )
        if version > VERSION:
            raise HistoryError(
                f"the history {self.path} is of version {version}, which a newer pathorob-checks made; this "
                f"one knows versions up to {VERSION}",
                remedy="install the newer one, or name another file",
            )
        return version

    def _unusable(self, reason: str) -> HistoryError:
        return HistoryError(
            f"the history {self.path} cannot be used ({reason})",
            remedy="name a file in a folder on this machine that you may write to",
        )


def digest_of_results(results: ResultsDocument) -> str:
    """SHA-256 over what results say: equal for a run and for its results file, whatever version reads it."""
    # Without defaults, so that a key that a later version adds does not make a new run of an older file.
    content = results.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"runs": {"__all__": {"images"}}}
    )
    return digest_of(content)


def why_not_kept(results: ResultsDocument) -> str:
    """Why a run is no part of a history, as a clause; "" for one that has finished."""
    if reason := why_unfinished(results):
        return reason
    return "" if results.checks else "it has no check"


def _row(check: Check, results: ResultsDocument) -> tuple[Any, ...]:
    facts = results.metrics.get(check.metric)
    revisions = {run.fm.name: run.fm.revision for run in results.runs}
    low, high = check.interval or (None, None)
    return (
        check.fm,
        revisions.get(check.fm),
        check.method,
        check.cohort,
        check.metric,
        facts.version if facts else None,
        check.label,
        check.criterion,
        check.quantity,
        check.neighbors,
        check.value,
        low,
        high,
        check.confidence,
        check.direction,
        check.bound,
        str(check.verdict),
        packed(check.resampling) if check.resampling else None,
        _is_sound(check, results),
    )


def _is_sound(check: Check, results: ResultsDocument) -> bool:
    cohorts = {check.cohort, *check.cohort.split("+")}  # a mean has the names of several
    return not any(
        one.verdict in (Verdict.FAIL, Verdict.ERROR)
        for one in results.integrity
        if (one.fm, one.method) == (check.fm, check.method) and one.cohort in cohorts
    )


def _kept(row: tuple[Any, ...], runs: dict[int, KeptRun]) -> KeptCheck:
    run, *rest = row
    content = dict(zip(_CHECK_COLUMNS, rest, strict=True))
    low, high = content.pop("low"), content.pop("high")
    return KeptCheck(
        run=runs[run],
        packed=content.pop("resampling"),
        interval=None if low is None or high is None else (low, high),
        **content,
    )


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work at the same time; SQLite does not wait by itself when it changes this."""
    last = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > last:
                raise
            time.sleep(_PAUSE_S)
