"""The evidence of a gated run: its log and JUnit file, and when it begins, concludes and is sealed.

Only the controller writes it. The manifest is written when nothing of pytest can follow, so that the log
holds all that the run printed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from pathorob_checks.errors import EvidenceError, PathorobChecksError
from pathorob_checks.evidence.folder import EvidenceFolder
from pathorob_checks.evidence.provenance import command_of
from pathorob_checks.evidence.record import Evidence
from pathorob_checks.files import expanded
from pathorob_checks.plugin.junit import junit_path
from pathorob_checks.wording import printable

if TYPE_CHECKING:
    from pathorob_checks.evaluation.run import Evaluation
    from pathorob_checks.evidence.signing import Signer
    from pathorob_checks.plugin.report_files import ReportFiles
    from pathorob_checks.plugin.values import EvidenceOptions
    from pathorob_checks.results.results import Results

_NO_REPORTER = "The run had no terminal reporter of pytest; this is what came of it."
_LOG_WIDTH = 120
_UNSIGNED = "NOT SIGNED: nobody can tell who wrote the evidence; sign it with --fm-sign=KEY.pem."


class _Tee:
    """A stream that also tells a log what it is given."""

    def __init__(self, stream: TextIO, log: Any) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class RunEvidence:
    """Registered on the controller of a run with `--fm-evidence` only.

    Parameters
    ----------
    config : of the run.
    options : what was asked for.
    reports : the files that the run writes beside the evidence.

    Raises
    ------
    EvidenceError : the folder or the key cannot be used, or another file of the run is in the folder.
    """

    def __init__(self, config: pytest.Config, options: EvidenceOptions, reports: ReportFiles) -> None:
        self._config = config
        EvidenceFolder(options.path).refuse_unusable()
        self._junit = self._junit_file(Path(options.path).absolute())
        self._refuse_files_inside(Path(options.path).absolute(), reports)
        self._evidence = Evidence(
            options.path,
            identify=options.identify,
            by=options.by,
            signer=self._signer(options.sign),
            qualification=_qualification(options.qualification),
        )
        self._process = os.getpid()  # a test may start another one, which runs on as this one does
        self._undo_tee = contextlib.ExitStack()
        self._is_teed = False
        self._results: Results | None = None
        self._stopped_by: str | None = None
        self._problem: str | None = None
        self._unwritten: str | None = None

    def __str__(self) -> str:
        return str(self._evidence.folder)

    # -- from the start of the run ----------------------------------------------------------------------

    @contextlib.contextmanager
    def beginning(self, evaluation: Evaluation) -> Iterator[None]:
        """Within the block the terms are fixed; a run that is refused there leaves no folder.

        Raises
        ------
        EvidenceError : the folder cannot be written.
        """
        self._evidence.folder.begin()
        try:
            self._tee()
            yield
            processes = int(getattr(self._config.option, "numprocesses", None) or 1)
            command = command_of(map(str, self._config.invocation_params.args))
            self._evidence.fix(evaluation, command, processes=processes)
        except PathorobChecksError:
            self._undo_tee.close()
            self._evidence.folder.withdraw()
            raise

    def conclude(self, results: Results) -> list[PathorobChecksError]:
        """Write what follows from the results; returns the error of what cannot be written."""
        if not self._evidence.is_begun or os.getpid() != self._process:
            return []
        self._results = results
        try:
            self._evidence.conclude(results)
        except PathorobChecksError as error:
            self._problem = str(error)
            return [error]
        self._problem = None
        return []

    def seal(self) -> str | None:
        """Finish the folder and say so, or leave it incomplete.

        Returns
        -------
        Why it is incomplete although the run came to its end; None where it is finished, or the run did not
        come to its end.
        """
        if not self._evidence.is_begun or os.getpid() != self._process:
            return None
        reason = self._stopped_by or self._problem
        if reason is not None:
            self._evidence.remain_incomplete(reason)
            sys.stdout.write(printable(f"evidence: {self} is INCOMPLETE: {reason}") + "\n")
            return None
        if self._unwritten is not None:
            self._evidence.remain_incomplete(self._unwritten)
            return self._unwritten
        if not self._is_teed:
            self._log_results()
        try:
            manifest = self._evidence.seal(self._junit)
        except PathorobChecksError as error:
            self._evidence.remain_incomplete(str(error))
            return str(error)
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
        sys.stdout.write(printable(f"evidence: {self}, SHA-256 of its manifest.json: {digest}") + "\n")
        if self._evidence.signer is None:
            sys.stdout.write(_UNSIGNED + "\n")
        return None

    # -- what pytest tells ------------------------------------------------------------------------------

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """By a key, by `pytest.exit`, or by tests that cannot be read."""
        reason = str(excinfo.value)
        self._stopped_by = "the run was interrupted" + (f" ({reason})" if reason else "")

    def pytest_internalerror(self) -> None:
        """A run in which pytest itself broke did not come to its end."""
        self._stopped_by = "pytest stopped with an internal error"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """A JUnit file that pytest cannot write is a problem, and no traceback."""
        try:
            return (yield)
        except OSError as error:
            reason = error.strerror or str(error)
            self._unwritten = f"a file of the run cannot be written ({reason}); make room and run again."
            return None

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """pytest prints nothing more."""
        self._undo_tee.close()

    # -- parts ------------------------------------------------------------------------------------------

    def _tee(self) -> None:
        """Let what pytest prints go to the log as well."""
        writer = getattr(self._config.pluginmanager.getplugin("terminalreporter"), "_tw", None)
        if writer is None:
            return
        self._is_teed = True
        stream = writer._file
        writer._file = _Tee(stream, self._evidence.log)
        self._undo_tee.callback(setattr, writer, "_file", stream)

    def _log_results(self) -> None:
        """Let the log say what the results are, where pytest's own reporter prints nothing."""
        from pathorob_checks.report.terminal import render_results

        if self._results is not None:
            rendered = render_results(self._results, _LOG_WIDTH)
            self._evidence.log.write(f"{_NO_REPORTER}\n\n{rendered}\n\n{self._results.summary}\n")

    def _junit_file(self, folder: Path) -> Path:
        """Where pytest writes its JUnit file: where the user wants it, else in the folder."""
        option = self._config.option
        if not hasattr(option, "xmlpath"):
            raise EvidenceError(
                "--fm-evidence needs pytest's own JUnit file, which -p no:junitxml takes away",
                remedy="leave that out",
            )
        path = option.xmlpath or str(folder / "junit.xml")
        if option.xmlpath is None and os.path.expanduser(os.path.expandvars(path)) != path:  # noqa: PTH111
            raise EvidenceError(
                f"pytest would not write its JUnit file to {path}, which has the name of a variable in it",
                remedy="name another folder with --fm-evidence",
            )
        option.xmlpath = path
        return junit_path(self._config.option) or Path(path)

    def _refuse_files_inside(self, folder: Path, reports: ReportFiles) -> None:
        given = self._config.getoption("xmlpath", None)
        others = [(noun, Path(path).absolute()) for noun, path in reports]
        if given is not None and self._junit != folder / "junit.xml":
            others.append(("JUnit file", self._junit))
        for noun, path in others:
            if path.is_relative_to(folder):
                raise EvidenceError(
                    f"the {noun} {path.name} would be written into the evidence folder, which has its own",
                    remedy="name a file elsewhere, or leave that option out",
                )

    def _signer(self, text: str | None) -> Signer | None:
        """What signs, its passphrase asked for where there is a terminal."""
        if text is None:
            return None
        from pathorob_checks.evidence.signing import signer_of

        capture = self._config.pluginmanager.getplugin("capturemanager")
        with contextlib.ExitStack() as stack:
            if capture is not None and capture.is_globally_capturing():
                capture.suspend_global_capture(in_=True)
                stack.callback(capture.resume_global_capture)
            return signer_of(text)


def _qualification(folder: str | None) -> dict[str, Any] | None:
    if folder is None:
        return None
    from pathorob_checks.evidence.qualified import qualification_facts

    return qualification_facts(expanded(folder))
