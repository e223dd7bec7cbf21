"""Names from files, repositories and tables reach no output raw, whatever output it is."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib
import io
import json
import types
import unicodedata
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from made_checks import made
from pydantic import BaseModel

import pathorob_checks
from pathorob_checks.cli import main
from pathorob_checks.console import logger_of
from pathorob_checks.criteria.mistakes import CriteriaFileError, Mistake
from pathorob_checks.errors import PathorobChecksError
from pathorob_checks.report.terminal import render_results
from pathorob_checks.results.check import Check
from pathorob_checks.results.results import Results

# A title, a cleared screen, C1's own introducer, a reversed direction, line breaks of four kinds, a private
# and a lone surrogate character, marks that cannot be seen.
EVIL = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m\u202etxet\u2066\r\nPASS: all\x85\u2028\x00\x7f\ue000\udc80"
    "\ufeff\u200b\U000e0041"
)
RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u0643\u0632 \u6771\u4eac Ko\u0308ln"


def assert_printable(text: str, lines: int | None = None) -> None:
    """Nothing but line breaks of ours is a control, format, surrogate or private character."""
    raw = {char for char in text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}} - {
        "\n"
    }
    assert not raw, (sorted(map(ord, raw)), text)
    assert lines is None or text.count("\n") == lines - 1


def poisoned(kind: Any) -> Any:
    """A value of this type in which every text is `EVIL`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return arguments[0]
    if hasattr(kind, "__metadata__"):
        return poisoned(kind.__origin__)
    if origin in (types.UnionType, __import__("typing").Union):
        return poisoned(arguments[0])
    if origin is tuple:
        return tuple(poisoned(one) for one in arguments if one is not Ellipsis)
    if origin in (dict, Mapping):
        return {EVIL: poisoned(arguments[1])}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_construct(
            **{name: poisoned(field.annotation) for name, field in kind.model_fields.items()}
        )
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: poisoned(hints[field.name]) for field in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[1]
    return {str: EVIL, int: 1, float: 0.25, bool: True}.get(kind, EVIL)


def poisoned_results(verdict: str = "fail") -> Results:
    """Results in which every text of every part is `EVIL`."""
    results = poisoned(Results)
    checks = []
    for quantity in ("value", "worst-center", "mean", "difference"):
        for value in (0.25, None):
            state = verdict if value is not None else "error"
            fields = {"quantity": quantity, "value": value, "verdict": made().verdict.__class__(state)}
            checks.append(poisoned(Check).model_copy(update=fields))
    integrity = tuple(one.model_copy(update={"verdict": checks[0].verdict}) for one in results.integrity)
    return results.model_copy(update={"checks": tuple(checks), "integrity": integrity})


def test_the_poison_reaches_every_part():
    text = repr(poisoned_results().model_dump(exclude={"created"}))
    assert len(text) > 5000
    for name in ("cells", "slides", "groups", "suspects", "baseline", "notes", "license", "problems"):
        assert name in text


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive", "skipped", "error"])
@pytest.mark.parametrize("width", [20, 80, 200])
def test_no_report_of_results_shows_a_name_raw(verdict, width):
    results = poisoned_results(verdict)
    assert_printable(render_results(results, width))
    explained = results.explain(width)
    assert_printable(explained)
    assert not any(line.startswith("PASS: ") for line in explained.splitlines())  # wrapped, but indented
    assert_printable(str(results))
    assert_printable(repr(results), lines=1)
    for explanation in results.explanations():
        assert_printable(explanation.subject, lines=1)
        assert_printable(explanation.headline, lines=1)


def test_a_notebook_shows_names_escaped_in_both_ways():
    html = poisoned_results().model_copy(update={"summary": f"<script>{EVIL}"})._repr_html_()
    assert_printable(html)
    assert "<script>" not in html
    assert "&lt;script&gt;\\x1b]0;owned" in html


def test_letters_of_real_names_stay_as_they_are():
    check = made(fm=RIGHT_TO_LEFT, cohort=RIGHT_TO_LEFT)
    results = poisoned(Results).model_copy(update={"checks": (check,), "runs": (), "integrity": ()})
    assert RIGHT_TO_LEFT in results.explain(200)


def test_every_error_is_one_printable_sentence():
    def kinds(kind: type[PathorobChecksError]) -> set[type[PathorobChecksError]]:
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    for kind in kinds(PathorobChecksError) - {CriteriaFileError}:
        if kind.__init__ is PathorobChecksError.__init__:
            assert_printable(str(kind(f"{EVIL} is wrong", remedy=f"rename {EVIL}")), lines=1)


def test_mistakes_of_a_criteria_file_are_a_line_each():
    mistakes = [Mistake(EVIL, line, f"the key {EVIL} is unknown", EVIL) for line in (1, 2)]
    assert_printable(str(CriteriaFileError(mistakes)), lines=3)
    assert_printable(str(CriteriaFileError(mistakes[:1])), lines=1)


def test_log_messages_are_printable_lines(caplog):
    logger_of("pathorob_checks.made").warning("%s is damaged: %s", EVIL, ValueError(EVIL))
    (record,) = caplog.records
    assert_printable(record.getMessage(), lines=1)
    assert_printable(caplog.text.rstrip("\n"), lines=1)


@pytest.mark.parametrize(
    "module", ["hub", *(f"embeddings.{name}" for name in ("extraction", "integrity", "store"))]
)
def test_every_logger_of_the_package_makes_its_messages_printable(module):
    logger = importlib.import_module(f"pathorob_checks.{module}").logger
    assert logger.filters == logger_of("pathorob_checks.made").filters


def test_no_module_makes_a_logger_of_its_own():
    package = Path(pathorob_checks.__file__).parent
    makers = [path.name for path in package.rglob("*.py") if "getLogger(" in path.read_text()]
    # The latter two silence those of libraries.
    assert sorted(makers) == ["console.py", "hub_requests.py", "ray_engine.py"]


def test_bars_and_waits_are_printable(monkeypatch, pytestconfig):
    from pathorob_checks.plugin import bars

    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.__stderr__", shown)
    monkeypatch.setattr(bars, "BAR_AFTER_S", 0.0)
    one = bars.Bars(pytestconfig)
    assert list(one.progress(iter(range(3)), 3, EVIL)) == [0, 1, 2]
    one.wait(EVIL)
    assert_printable(shown.getvalue().replace("\r", "").replace("\x1b[A", ""))
    assert "\\x1b]0;owned" in shown.getvalue()


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("criteria", "check", "evil.toml"),
    ("criteria", "show", "evil.toml", "--fm-cohort=evil"),
    ("criteria", "show", "evil.toml", "--fm-cohort=evil", "--fm-baseline=evil.json"),
    ("criteria", "diff", "floor", "evil.toml"),
    ("criteria", "check", EVIL.replace("\x00", "")),
    ("doctor", "--fm-cohort=evil", "--fm-criteria=evil.toml"),
    ("doctor", "--fm-cohort=evil", "--fm-baseline=evil.json"),
    ("doctor", f"--fm=local-dir:{EVIL}".replace("\x00", "")),
    ("prefetch", "--fm-cohort=evil"),
    ("prefetch", f"--fm=hf-hub:{EVIL}"),
    ("recipes", EVIL),
    ("cache", "ls", "--fm-cache=cache"),
    ("cache", "verify", "--fm-cache=cache"),
    ("cache", "export", EVIL, "out", "--fm-cache=cache"),
    ("cache", EVIL),
    (EVIL,),
)


@pytest.fixture
def evil_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in which every name is `EVIL`."""
    from cohort_folders import write_cohort

    written = EVIL.replace("\udc80", "").replace("\x00", "")
    quoted = json.dumps(written)
    (tmp_path / "evil.toml").write_text(
        f'schema = "pathorob-checks/criteria/1"\nname = {quoted}\n[[criteria]]\nid = "x"\n'
        f'metric = "robustness_index"\nat_least = 0.5\nrationale = {quoted}\nowner = {quoted}\n'
    )
    write_cohort(tmp_path / "evil")
    manifest = tmp_path / "evil" / "manifest.csv"
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "slide_id": row["slide_id"] + written} for row in rows)
    (tmp_path / "evil.json").write_text(json.dumps({"schema": EVIL}))
    monkeypatch.setenv("PATHOROB_CHECKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_no_command_shows_a_name_raw(evil_folder, command, capsys):
    with contextlib.suppress(SystemExit):
        main(command)
    output = capsys.readouterr()
    assert_printable(output.out + output.err)
