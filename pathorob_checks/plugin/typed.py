"""What was typed on the command line, apart from what configuration files and the environment add to it."""

from __future__ import annotations

import argparse

import pytest

ADDED = "addopts or PYTEST_ADDOPTS"  # where else options are from


def typed(config: pytest.Config) -> argparse.Namespace:
    """The options that were typed, without those of `PYTEST_ADDOPTS` and of configuration files."""
    arguments = [str(argument) for argument in config.invocation_params.args]
    return config._parser.parse_known_args(arguments)
