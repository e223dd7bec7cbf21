"""Plugins of the project's own tests; everything else of theirs is in tests/conftest.py."""

pytest_plugins = ["pytester"]
