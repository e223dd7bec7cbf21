"""Parts one after the other, each in a process that ends in time, and a Markdown file of their results."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gpu_parts import machine
from gpu_parts.record import write

_RESERVE_S = 10.0  # at the end, so that the command itself ends in time
_SHORTEST_S = 5.0  # a part with less time is not started
_GRACE_S = 3.0  # for a process to end after it was asked to
_LAST_LINES = 12


@dataclass(frozen=True)
class Part:
    """A module with `measure(record, task)`, its heading, and its share of the whole time at most."""

    name: str
    module: str
    heading: str
    share: float = 1.0


def run_parts(parts: Sequence[Part], command: Sequence[str], out: Path, seconds: float, *, shown: str) -> int:
    """Run every part within `seconds` together; 1 if one of them failed or had no time, else 0.

    `command` is followed by `--measure MODULE FILE SECONDS FOLDER`; `shown` is the command in `gpu.md`.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:  # results of an earlier command are not mistaken for this one's
        (out / f"{part.name}.json").unlink(missing_ok=True)
    facts = machine.facts()
    done: list[tuple[Part, dict[str, Any]]] = []
    work = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    for part in parts:
        left = began + seconds - min(_RESERVE_S, 0.05 * seconds) - time.monotonic()
        limit = min(left, part.share * seconds)
        result = _run(part, command, out / f"{part.name}.json", limit, work.name)
        done.append((part, result))
        (out / "gpu.md").write_text(markdown(done, facts, shown), encoding="utf-8")
    work.cleanup()
    failed = [part.name for part, result in done if result["error"]]
    print(
        f"{len(done) - len(failed)} of {len(done)} parts done",
        *(f"; {name} failed" for name in failed),
        sep="",
    )
    return int(bool(failed))


def _run(part: Part, command: Sequence[str], path: Path, seconds: float, work: str) -> dict[str, Any]:
    """What the part wrote, with its seconds; `error` says what went wrong."""
    print(f"== {part.name}: {max(0.0, seconds):.0f} s at most", flush=True)
    began, lines, code, in_time = time.monotonic(), deque[str](maxlen=_LAST_LINES), 0, False
    if started := seconds >= min(_SHORTEST_S, 1.0):
        code, in_time = _watch(
            [*command, "--measure", part.module, str(path), f"{seconds:.1f}", work], seconds, lines
        )
    result: dict[str, Any] = {"rows": [], "notes": [], "error": None, "finished": False}
    with contextlib.suppress(OSError, ValueError):
        result |= json.loads(path.read_text(encoding="utf-8"))
    if not started:
        result["error"] = "not started, because no time was left"
    elif not in_time:
        result["error"] = f"stopped after {seconds:.0f} s, its share of the time"
    elif code and not result["error"]:
        result["error"] = f"ended with exit code {code}: {' / '.join(list(lines)[-3:])}"
    if result["error"] and started:
        result["last lines"] = list(lines)
    result["seconds"] = round(time.monotonic() - began, 1)
    write(path, {"part": part.name, "heading": part.heading, **result})
    return result


def _watch(command: Sequence[str], seconds: float, lines: deque[str]) -> tuple[int, bool]:
    """The exit code, and whether it ended in time; else it is killed with all that it started."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    reader = threading.Thread(target=_copy, args=(process, lines), daemon=True)
    reader.start()
    in_time = True
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        in_time = False
    finally:
        _end_group(process)
    reader.join(_GRACE_S)
    return process.returncode, in_time


def _copy(process: subprocess.Popen[str], lines: deque[str]) -> None:
    for line in process.stdout or ():
        sys.stdout.write(line)
        sys.stdout.flush()
        if line.strip():
            lines.append(line.rstrip())


def _end_group(process: subprocess.Popen[str]) -> None:
    """End the process and everything of its group, also what it left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def markdown(done: Sequence[tuple[Part, dict[str, Any]]], facts: dict[str, str], shown: str) -> str:
    """The command, the machine, and a table per part."""
    blocks = ["# On a GPU", f"`{shown}`", "\n".join(f"- {name}: {value}" for name, value in facts.items())]
    for part, result in done:
        blocks.append(f"## {part.heading} ({part.name}, {result['seconds']:.0f} s)")
        if result["error"]:
            blocks.append(f"**{_cell(result['error'])}**")
        if rows := result["rows"]:
            names = list(dict.fromkeys(name for row in rows for name in row))
            cells = [[_cell(row.get(name)) for name in names] for row in rows]
            blocks.append(tabulate(cells, names, tablefmt="pipe", disable_numparse=True))
        if result["notes"]:
            blocks.append("\n".join(f"- {note}" for note in result["notes"]))
    return "\n\n".join(blocks) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return " ".join(str(value).replace("|", "\\|").split())
