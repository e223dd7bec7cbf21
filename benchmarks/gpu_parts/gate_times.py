"""A whole run of the gate in a process of its own, cold and warm, and what takes its time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from defusedxml.ElementTree import parse

from gpu_parts import images, models
from gpu_parts.record import Record, Task

_TO_EMBED = ("load the model, s", "embed, s")
_VERDICTS = (0, 1)  # exit codes of a run that measured everything: a model of random weights may fail


def measure(record: Record, task: Task) -> None:
    network = models.SMALL if task.small else models.VIT_L
    patches = images.write_images(task)
    cohort = models.write_cohort(task.work, patches, "png")
    fm = models.write_model(task.work / network.name, network, task.device)
    record.note(f"{network.name}, bf16, {patches:,} patches of 256 px as PNG, profile floor")
    for state in ("cold", "warm"):
        row = record.row(run=state)
        with record.attempt(row):
            measured = run(task, cohort, [fm])
            if state == "warm":  # nothing was embedded: the results repeat what the first run needed
                measured = {name: value for name, value in measured.items() if name not in _TO_EMBED}
            record.update(row, **measured)


def run(task: Task, cohort: Path, fms: Sequence[Path], *options: str) -> dict[str, Any]:
    """Seconds of `pytest --fm` in all, to load, to embed, and of each suite; with the outcome.

    The cache is kept for the next run.
    """
    place = task.work / "here"
    place.mkdir(exist_ok=True)
    files = {name: place / f"run.{name}" for name in ("json", "xml")}
    for file in files.values():
        file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *(f"--fm=local-dir:{fm}" for fm in fms)]
    command += [f"--fm-cohort={cohort}", f"--fm-device={task.device}", "--fm-precision=bf16"]
    command += [f"--fm-cache={place / 'cache'}", f"--fm-json={files['json']}", f"--junitxml={files['xml']}"]
    command += ["--fm-repetitions=2"] * task.small
    began = time.monotonic()
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *options],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - began
    print(done.stdout[-6000:], flush=True)
    if done.returncode not in _VERDICTS or not files["json"].exists():
        raise RuntimeError(f"exit code {done.returncode}: {' / '.join(done.stdout.splitlines()[-3:])}")
    results = json.loads(files["json"].read_text(encoding="utf-8"))
    suites: Counter[str] = Counter()
    for case in parse(files["xml"]).getroot().iter("testcase"):
        suites[(case.get("classname") or "").rpartition(".")[2].removeprefix("test_")] += float(
            case.get("time", 0)
        )
    tests = sum(suites.values())
    return {
        "seconds": round(seconds, 1),
        "outside of tests": round(seconds - tests, 1),
        **{f"{name}, s": round(spent, 1) for name, spent in suites.items()},
        **_extraction(results),
        "exit code": done.returncode,
        "summary": results.get("summary"),
    }


def _extraction(results: dict[str, Any]) -> dict[str, Any]:
    """What the results say of the first extraction: its seconds and those of loading the model."""
    for fact in _facts(results):
        if "model_seconds" in fact and "seconds" in fact:
            return dict(zip(_TO_EMBED, (fact["model_seconds"], fact["seconds"]), strict=True))
    return {}


def _facts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(fact for part in value.values() for fact in _facts(part))]
    return [fact for part in value for fact in _facts(part)] if isinstance(value, list) else []
