"""Configuration of the project's own tests."""

from __future__ import annotations

import hypothesis

# Deadlines measure the machine, not the code.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")
