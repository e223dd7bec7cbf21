"""What a part has measured, in a file that is whole after every measurement."""

from __future__ import annotations

import importlib
import json
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What every part is told.

    Attributes
    ----------
    small : whether few data are enough.
    deadline : the `time.monotonic()` at which it is stopped.
    work : a folder for models and images, which later parts use again.
    """

    device: str
    small: bool
    deadline: float
    work: Path

    @property
    def left(self) -> float:
        """Seconds until the part is stopped."""
        return self.deadline - time.monotonic()

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


@dataclass
class Record:
    """Rows of a table and notes beside it; every change is written."""

    path: Path
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    finished: bool = False

    def row(self, **columns: Any) -> Row:
        """Add a row; columns of a later `update` stand behind these."""
        self.rows.append(columns)
        self._write()
        print(", ".join(f"{name}: {value}" for name, value in columns.items()), flush=True)
        return columns

    def update(self, row: Row, **columns: Any) -> None:
        """Add columns to a row, or change them."""
        row |= columns
        self._write()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._write()
        print(text, flush=True)

    @contextmanager
    def attempt(self, row: Row) -> Iterator[None]:
        """An error in the block stands in the row, and the part goes on; in the end the part has failed."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.update(row, error=said(error))

    def end(self, error: str | None) -> None:
        failed = sum("error" in row for row in self.rows)
        if failed and error is None:
            error = f"{failed} of {len(self.rows)} rows failed"
        self.error, self.finished = error, True
        self._write()

    def _write(self) -> None:
        kept = {"rows": self.rows, "notes": self.notes, "error": self.error, "finished": self.finished}
        write(self.path, kept)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """JSON that is replaced as a whole, so that a reader, or a kill, never sees a part of it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1, default=_plain) + "\n", encoding="utf-8")
    new.replace(path)


def said(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def measure(module: str, path: Path, task: Task) -> int:
    """Run `measure(record, task)` of a module; an error stands in the record, the exit code is then 1."""
    record = Record(path)
    try:
        importlib.import_module(module).measure(record, task)
    except Exception as error:
        traceback.print_exc()
        record.end(said(error))
    else:
        record.end(None)
    return int(record.error is not None)
