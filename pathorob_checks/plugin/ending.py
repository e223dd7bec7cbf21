"""How the process of a gated run ends: decided last, by the records of the run, not by pytest's reports.

`hooks` registers this module after every other plugin and conftest, so that its hook encloses theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

from pathorob_checks.plugin.fixtures import GATE
from pathorob_checks.plugin.options import is_requested
from pathorob_checks.plugin.process_end import fails, guarded

# Options with which pytest shows something and runs no test.
_SHOWS_ONLY = ("help", "version", "showfixtures", "show_fixtures_per_test", "markers", "cacheshow")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """Return 0 only for a run that earned it."""
    if hasattr(config, "workerinput") or not is_requested(config):
        return (yield)
    with guarded(lambda: _show_output(config)):
        code = yield
    shows_only = any(getattr(config.option, name, None) for name in _SHOWS_ONLY)
    if shows_only or (code is not None and fails(int(code))):
        return code
    gate = config.stash.get(GATE, None)
    if gate is None:
        sys.stderr.write("ERROR: pytest ended without running the checks of --fm\n")
        return pytest.ExitCode.TESTS_FAILED
    if config.option.collectonly:
        return code
    return pytest.ExitCode(gate.exit_code())


def _show_output(config: pytest.Config) -> None:
    """Give the terminal back, so that a last sentence is seen."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
