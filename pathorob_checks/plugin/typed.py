"""What was typed on the command line, apart from what configuration files and the environment add to it."""

from __future__ import annotations

import argparse
import contextlib

import pytest
from _pytest.config.exceptions import PrintHelp

ADDED = "addopts or PYTEST_ADDOPTS"  # where else options are from


def typed(config: pytest.Config) -> argparse.Namespace:
    """The options that were typed, without those of `PYTEST_ADDOPTS` and of configuration files."""
    arguments = [str(argument) for argument in config.invocation_params.args]
    options = argparse.Namespace()
    with contextlib.suppress(PrintHelp):  # before pytest 9, --help ends the parsing so, and is set by then
        config._parser.parse_known_args(arguments, options)
    return options
