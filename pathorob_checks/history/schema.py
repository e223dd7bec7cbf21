"""The tables of a history, and the steps that bring an older file to this version.

A step is never changed once a version with it was used: files made by it exist.
"""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x50524243  # "PRBC": tells a history from the SQLite files of other programs

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            digest TEXT NOT NULL UNIQUE,
            created TEXT NOT NULL,
            outcome TEXT NOT NULL,
            summary TEXT NOT NULL,
            terms TEXT NOT NULL,
            version TEXT
        )
        """,
        """
        CREATE TABLE checks (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            fm TEXT NOT NULL,
            revision TEXT,
            method TEXT NOT NULL,
            cohort TEXT NOT NULL,
            metric TEXT NOT NULL,
            metric_version INTEGER,
            label TEXT NOT NULL,
            criterion TEXT NOT NULL,
            quantity TEXT NOT NULL,
            neighbors INTEGER,
            value REAL,
            low REAL,
            high REAL,
            confidence REAL,
            direction TEXT NOT NULL,
            bound REAL NOT NULL,
            verdict TEXT NOT NULL,
            resampling BLOB
        )
        """,
        "CREATE INDEX checks_of_run ON checks (run)",
    ),
    # Whether every integrity check of the embeddings passed; NULL in runs that an older version kept.
    ("ALTER TABLE checks ADD COLUMN sound INTEGER",),
)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring an open transaction's file from a version to `VERSION`; 0 is a file without tables."""
    for step in MIGRATIONS[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
