"""`pathorob-checks ci`: the gate as a job of a CI server, which gives its inputs by the environment.

A CI server knows texts that others wrote: the title of a branch, the inputs of a workflow. In a variable of
the environment they are data; in the text of a shell script they would be commands.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.console import say
from pathorob_checks.errors import PathorobChecksError, SettingsError
from pathorob_checks.files import expanded, write_atomically
from pathorob_checks.wording import printable, quoted

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results

Commands = argparse._SubParsersAction  # `argparse` has no public name for it

PREFIX = "PATHOROB_CI_"
OUTPUT = "GITHUB_OUTPUT"  # names a file; GitHub, Gitea and Forgejo set it
DEFAULT_REPORTS = "pathorob-checks-report"
# What a job writes into its folder, by the option that writes it.
REPORTS: Mapping[str, str] = {
    "--fm-json": "results.json",
    "--fm-html": "report.html",
    "--fm-markdown": "report.md",
    "--junitxml": "junit.xml",
}
# By variable: the options that each of its lines becomes.
LISTS: Mapping[str, str] = {
    "FM": "--fm",
    "NAMES": "--fm-name",
    "COHORTS": "--fm-cohort",
    "CRITERIA": "--fm-criteria",
    "BASELINE": "--fm-baseline",
}
SWITCHES: Mapping[str, bool] = {"COMPLETE": True, "IMAGES": False}
WORDS: Mapping[str, bool] = {"true": True, "false": False, "": False}
VARIABLES = tuple(f"{PREFIX}{name}" for name in (*LISTS, *SWITCHES, "ARGUMENTS", "REPORTS"))

_ENDED_EARLY = "its process ended before it could say why; see what it printed."


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of the gate as a CI server asks for it.

    Attributes
    ----------
    options : of pytest, by the name of the variable that gave them.
    arguments : further arguments of pytest.
    reports : the folder that reports are written to.
    complete : whether a run that left something out fails.
    images : whether the HTML report shows small images of a few patches.
    """

    options: Mapping[str, tuple[str, ...]]
    arguments: tuple[str, ...]
    reports: Path
    complete: bool
    images: bool

    def command(self) -> list[str]:
        """What is run; the options that say where reports go come last, so that they hold."""
        options = [f"{LISTS[name]}={value}" for name, values in self.options.items() for value in values]
        reports = [f"{option}={self.file(option)}" for option in REPORTS]
        images = f"--fm-html-images={str(self.images).lower()}"
        return [sys.executable, "-m", "pytest", *options, *self.arguments, images, *reports]

    def file(self, option: str) -> Path:
        """The file that an option of `REPORTS` names."""
        return self.reports / REPORTS[option]


def reports_of(environment: Mapping[str, str]) -> Path:
    """The folder for the reports.

    Raises
    ------
    SettingsError : its name has a character that cannot be shown.
    """
    reports = environment.get(f"{PREFIX}REPORTS", "").strip() or DEFAULT_REPORTS
    if not reports.isprintable():
        raise SettingsError(
            f"{PREFIX}REPORTS has a character that cannot be shown: {reports!r}", remedy="name a folder"
        )
    return expanded(reports)


def job_of(environment: Mapping[str, str]) -> Job:
    """What the variables of the environment ask for.

    Raises
    ------
    SettingsError : a variable that does not exist is set, none names an FM, or a value cannot be used.
    """
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in VARIABLES)
    if unknown:
        raise SettingsError(
            f"there is no variable {unknown[0]}", remedy=f"use {quoted(VARIABLES)}, or unset it"
        )

    def text(name: str) -> str:
        return environment.get(f"{PREFIX}{name}", "")

    options = {
        name: tuple(line.strip() for line in text(name).splitlines() if line.strip()) for name in LISTS
    }
    if not options["FM"]:
        raise SettingsError(
            f"{PREFIX}FM names no FM", remedy="give one SPEC a line, such as hf-hub:org/model"
        )
    switches = {}
    for name, default in SWITCHES.items():
        written = environment.get(f"{PREFIX}{name}", str(default)).strip().lower()
        if written not in WORDS:
            raise SettingsError(f"{PREFIX}{name} is {written!r}", remedy="give true or false")
        switches[name] = WORDS[written]
    reports = reports_of(environment)
    try:
        arguments = tuple(shlex.split(text("ARGUMENTS")))
    except ValueError as error:
        raise SettingsError(
            f"{PREFIX}ARGUMENTS cannot be read ({error})", remedy="close every quote, as in a shell"
        ) from None
    return Job(
        options=options,
        arguments=arguments,
        reports=reports,
        complete=switches["COMPLETE"],
        images=switches["IMAGES"],
    )


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "ci",
        help="run the gate as a job of a CI server: inputs from the environment, all reports in a folder",
        description=f"Run pytest --fm with what the variables {PREFIX}FM, {PREFIX}NAMES, {PREFIX}COHORTS, "
        f"{PREFIX}CRITERIA, {PREFIX}BASELINE (one value a line) and {PREFIX}ARGUMENTS (further arguments, "
        f"quoted as in a shell) say, write all reports into the folder {PREFIX}REPORTS "
        f"({DEFAULT_REPORTS}), and end as 'pathorob-checks verdict --complete' does "
        f"({PREFIX}COMPLETE=false: without --complete; {PREFIX}IMAGES=true: images of patches in the "
        "HTML report). A job of GitHub Actions gets outputs.",
    )
    parser.add_argument(
        "--cache-key",
        action="store_true",
        help="print a key for the CI server's cache that changes where other embeddings are needed",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.cache_key:
        from pathorob_checks.commands.cache_key import key_of_job

        key = key_of_job(job_of(os.environ))
        write_outputs({"cache-key": key})
        say(key)
        return 0
    reports = Path(DEFAULT_REPORTS)
    try:
        reports = reports_of(os.environ)
        _refuse_baseline_among(reports, os.environ)
    except SettingsError as error:
        _tell(reports, "error", f"ERROR: {error}", 1)
        raise
    # A job that is refused, or ended before the gate starts, leaves no older file behind as its own.
    _write_unstarted(reports, _ENDED_EARLY)
    try:
        job = job_of(os.environ)
    except SettingsError as error:
        results = _write_unstarted(reports, str(error))
        _add_to_summary(results)
        _tell(reports, "error", results.summary, 1)
        raise
    return _gate(job)


def _refuse_baseline_among(reports: Path, environment: Mapping[str, str]) -> None:
    """Refuse a baseline that the reports of the job would take the place of."""
    written = {(reports / name).absolute() for name in REPORTS.values()}
    for line in environment.get(f"{PREFIX}BASELINE", "").splitlines():
        if line.strip() and expanded(line.strip()).absolute() in written:
            raise SettingsError(
                f"{PREFIX}BASELINE is a file that the job writes: {printable(line.strip())}",
                remedy=f"keep the baseline outside of {printable(str(reports))}",
            )


def _gate(job: Job) -> int:
    with _commands_of_the_server_stopped():
        code = _exit_code(job.command())
    results, sentence, by_file = _verdict(job)
    code = code or by_file
    if results and results.problems == (_ENDED_EARLY,):
        _add_to_summary(results)
    say(sentence)
    _tell(job.reports, results.outcome.value if results else "error", sentence, code)
    return code


def _write_unstarted(reports: Path, problem: str) -> Results:
    """Have all reports say that the run did not start; returns what they say. A file of others stays.

    Raises
    ------
    PathorobChecksError : one cannot be written.
    """
    from pathorob_checks.evaluation.assembling import unstarted
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.report.forms import FORMS
    from pathorob_checks.report.junit_error import junit_error, may_be_replaced

    results = unstarted(Settings(fms=()), problem)
    for option, name in REPORTS.items():
        form, path = FORMS.get(option.removeprefix("--fm-")), reports / name
        if form is None and may_be_replaced(path):
            write_atomically(path, junit_error(results.summary))
        elif form is not None and form.may_replace(path):
            form.save(results, path)
    return results


def _add_to_summary(results: Results) -> None:
    from pathorob_checks.report.step_summary import add_to_summary

    if problem := add_to_summary(results):
        sys.stderr.write(f"WARNING: {problem}\n")


def _tell(reports: Path, outcome: str, sentence: str, code: int) -> None:
    """Give the CI server its outputs."""
    write_outputs(
        {
            "verdict": outcome,
            "passed": str(code == 0).lower(),
            "exit-code": str(code),
            "summary": sentence,
            "finished": str(outcome != "error").lower(),
            "reports": str(reports),
            "results": str(reports / REPORTS["--fm-json"]),
        }
    )


def _exit_code(command: list[str]) -> int:
    """How a command ended; a signal that ends this process ends it too, and is waited for."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment["PYTHONUNBUFFERED"] = "1"  # so that the log of a job that is killed says how far it came
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603 (a list: no shell reads it)
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    return code if code >= 0 else 128 - code  # as a shell says which signal ended it


def _verdict(job: Job) -> tuple[Results | None, str, int]:
    """The results, what they came to in one sentence, and the exit code that follows."""
    from pathorob_checks.commands.verdict import verdict
    from pathorob_checks.results.results import Results

    path = job.file("--fm-json")
    try:
        sentence, code = verdict(path, complete=job.complete)
        return Results.read(path), sentence, code
    except PathorobChecksError as error:
        return None, f"ERROR: {printable(str(error))}", 1


@contextmanager
def _commands_of_the_server_stopped() -> Iterator[None]:
    """Nothing that is printed meanwhile, such as a name in a cohort, is a command to GitHub's runner."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        yield
        return
    token = secrets.token_hex(16)
    say(f"::stop-commands::{token}")
    try:
        yield
    finally:
        say(f"\n::{token}::")


def write_outputs(outputs: Mapping[str, str]) -> None:
    """Append to the file that `OUTPUT` names; every value is one line, so that none makes another output.

    Raises
    ------
    SettingsError : the file cannot be written.
    """
    path = os.environ.get(OUTPUT)
    if not path:
        return
    lines = [f"{name}={printable(value)}\n" for name, value in outputs.items()]
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise SettingsError(
            f"the outputs of the job ({OUTPUT}) cannot be written ({error.strerror})",
            remedy="see to the file that the variable names",
        ) from None
