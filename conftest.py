"""Configuration of the project's own tests.

It is also read by `pytest --fm=SPEC` in a checkout, with or without the `dev` extra, so it must not depend on
that extra. A run of the gate does not import it either: that would double what loading pytest takes.
"""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Examples of hypothesis for the project's own tests."""
    if config.getoption("--fm"):
        return
    try:
        import hypothesis
    except ImportError:
        return
    # Deadlines measure the machine, not the code. A machine of CI tries the same examples each time; new ones
    # are sought where somebody can look at what they show.
    hypothesis.settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
    hypothesis.settings.load_profile("default")
