"""The outcome of the run as properties of the whole suite in pytest's JUnit file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results


def add_to_suite(config: pytest.Config, results: Results) -> None:
    """Put the outcome of the run into pytest's JUnit file, if it writes one."""
    from pathorob_checks.results.properties import of_run

    for plugin in config.pluginmanager.get_plugins():
        add = getattr(plugin, "add_global_property", None)
        if add is not None:
            for name, text in of_run(results):
                add(name, text)
