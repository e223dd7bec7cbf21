"""The real commands as a user types them: in this process by pytest's own `pytester`, or in another."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import pty
import re
import subprocess as processes
import sys
import termios
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pathorob_checks

# What a test's own surroundings must not decide.
FOREIGN = ("PYTEST_", "HF_", "HUGGING", "PATHOROB_", "GITHUB_STEP_")
# What is read when a process starts.
AT_START = {"OMP_NUM_THREADS", "PYTHONPATH", "PYTHONHASHSEED", "LANG", "LC_ALL", "PYTHONUTF8"}
OUTCOMES = ("PASS", "FAIL", "ERROR", "PARTIAL", "INCONCLUSIVE")
TIMEOUT_S = 280
# No run of the gate has use for these plugins; the last two import libraries, for a second or more each.
WITHOUT = ("-pno:cacheprovider", "-pno:anyio", "-pno:platformdirs", "-pno:hypothesispytest", "-pno:zarr")
SUITES = Path(pathorob_checks.__file__).parent / "suites"


@dataclass(frozen=True)
class Run:
    """How one command ended."""

    code: int
    output: str

    @property
    def errors(self) -> list[str]:
        """pytest's one-line usage errors."""
        return [line for line in self.output.splitlines() if line.startswith("ERROR: ")]

    @property
    def headline(self) -> str:
        """The last sentence in which an outcome leads, on one line; "" without one."""
        headlines = re.findall(rf"^(?:{'|'.join(OUTCOMES)}): .*(?:\n  .*)*", self.output, re.M)
        return " ".join(headlines[-1].split()) if headlines else ""


@dataclass(frozen=True)
class Terminal:
    """A folder to run commands in, with a cache.

    Attributes
    ----------
    folder : where commands run, and first on the path of imports.
    cache : where embeddings are kept.
    pytester : what runs them in this process.
    libraries : collects the modules that commands imported, see `library_modules`.
    """

    folder: Path
    cache: Path
    pytester: pytest.Pytester
    libraries: dict[str, ModuleType] = field(default_factory=dict)

    def pytest(self, *arguments: str, subprocess: bool = False, **environment: str) -> Run:
        """Run `python -m pytest`.

        It has a process of its own where a variable of `environment` is read when a process starts, and where
        `subprocess` says so: for what kills its process, or changes modules of the package for good. The
        workers of `-n` are processes in any case.
        """
        arguments = (*WITHOUT, *arguments)
        if subprocess or AT_START & environment.keys():
            return self._in_a_process(["pytest", *arguments], environment)
        with surroundings(self.folder, self._variables(environment)):
            import pathorob_checks.evaluation.assembling  # noqa: F401 - a refused run imports it at its very end

            kept = _KeepsLibraries(self.folder)
            done = self.pytester.runpytest_inprocess(*arguments, plugins=[kept])
            # pytester forgets what was imported meanwhile; torch and its like cannot be loaded twice.
            sys.modules.update(kept.modules)
        self.libraries.update(kept.modules)
        return Run(int(done.ret), "".join(f"{line}\n" for line in (*done.outlines, *done.errlines)))

    def pytest_on_a_tty(self, *arguments: str, **environment: str) -> Run:
        """Run `python -m pytest` in a process whose standard streams are a terminal of 80 columns."""
        theirs, ours = pty.openpty()
        try:
            termios.tcsetwinsize(ours, (24, 80))
            process = processes.Popen(
                [sys.executable, "-m", "pytest", *WITHOUT, *arguments],
                cwd=self.folder,
                env={**self.process_environment(environment), "TERM": "xterm"},
                stdin=ours,
                stdout=ours,
                stderr=ours,
            )
        finally:
            os.close(ours)
        with os.fdopen(theirs, "rb", buffering=0) as screen:
            shown = b"".join(_chunks(screen))
        return Run(process.wait(TIMEOUT_S), shown.decode().replace("\r\n", "\n"))

    def command(self, *arguments: str, subprocess: bool = False, **environment: str) -> Run:
        """Run `pathorob-checks`."""
        if subprocess or AT_START & environment.keys():
            return self._in_a_process(["pathorob_checks", *arguments], environment)
        from pathorob_checks.cli import main

        output = io.StringIO()
        streams = contextlib.redirect_stdout(output), contextlib.redirect_stderr(output)
        with surroundings(self.folder, self._variables(environment)), streams[0], streams[1]:
            try:
                code = main(list(arguments))
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Run(code, output.getvalue())

    def results(self, name: str = "results.json") -> dict[str, Any]:
        """The results file, read as strict JSON."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} in the results file")

        document: dict[str, Any] = json.loads((self.folder / name).read_text(), parse_constant=refuse)
        return document

    def process_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """All variables of a process of its own."""
        # Under xdist these processes run beside each other; threads that fight for cores multiply the time.
        one_thread = {"OMP_NUM_THREADS": "1"} if "PYTEST_XDIST_WORKER" in os.environ else {}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {**inherited, **one_thread, **self._variables(environment)}

    def _variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        # The cache last: other helpers pass on the whole environment they run in.
        return {"COLUMNS": "80", **environment, "PATHOROB_CHECKS_CACHE": str(self.cache)}

    def _in_a_process(self, command: list[str], environment: Mapping[str, str]) -> Run:
        done = processes.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.process_environment(environment),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr)


@contextlib.contextmanager
def surroundings(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """This process as one that was started in a folder with this environment."""
    from xdist import workermanage

    from pathorob_checks import hub, hub_requests

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        for name, value in environment.items():
            if os.environ.get(name) != value:
                patch.setenv(name, value)
        patch.chdir(folder)
        patch.setattr(sys, "path", [str(folder), *sys.path])
        # Where workers import from: xdist keeps the path of when it was imported.
        patch.setattr(workermanage, "_sys_path", sys.path)
        patch.setattr(hub, "download_bar", None)
        # Between attempts at a hub that is down.
        patch.setattr(hub_requests, "FIRST_PAUSE_S", 0.01)
        with _hub_settings(patch):
            yield


def _chunks(screen: io.RawIOBase) -> Iterator[bytes]:
    """What a terminal is sent, until nobody has it open."""
    with contextlib.suppress(OSError):
        while chunk := screen.read(65536):
            yield chunk


class _KeepsLibraries:
    """A plugin of a run in this process that notes the libraries that it imported."""

    def __init__(self, folder: Path) -> None:
        self.modules: dict[str, ModuleType] = {}
        self._folder = folder

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_parse(self) -> Generator[None, Any, Any]:
        """A run that is refused while its options are read is never configured."""
        try:
            return (yield)
        finally:
            self.modules |= library_modules(self._folder)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        self.modules |= library_modules(self._folder)


def library_modules(folder: Path) -> dict[str, ModuleType]:
    """All imported modules but those of a test's folder and the packaged suites."""
    ours = (f"{folder}{os.sep}", f"{SUITES}{os.sep}")
    return {
        name: module
        for name, module in list(sys.modules.items())
        if not str(getattr(module, "__file__", None) or "").startswith(ours)
    }


@contextlib.contextmanager
def _hub_settings(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """What huggingface_hub would have read of the environment, had it been imported now."""
    from huggingface_hub import constants

    spec = importlib.util.find_spec("huggingface_hub.constants")
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for name, value in vars(fresh).items():
        if name.isupper() and getattr(constants, name, value) != value:
            patch.setattr(constants, name, value)
    _close_connections()
    try:
        yield
    finally:
        _close_connections()


def _close_connections() -> None:
    """Let huggingface_hub open its connections anew, by the settings and proxies that hold now."""
    from huggingface_hub import utils

    # `reset_sessions` before version 1.
    close = getattr(utils, "close_session", None) or getattr(utils, "reset_sessions", None)
    if close is not None:
        close()
