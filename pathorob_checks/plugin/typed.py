"""What was typed on the command line, apart from what configuration files and the environment add to it."""

from __future__ import annotations

import argparse

import pytest

ADDED = "addopts or PYTEST_ADDOPTS"  # where else options are from
_HELP = ("-h", "--help")  # before pytest 9 they end the parsing, as an exception


def typed(config: pytest.Config) -> argparse.Namespace:
    """The options that were typed, without those of `PYTEST_ADDOPTS` and of configuration files."""
    arguments = [str(argument) for argument in config.invocation_params.args]
    options = config._parser.parse_known_args([one for one in arguments if one not in _HELP])
    options.help = any(one in _HELP for one in arguments)
    return options
