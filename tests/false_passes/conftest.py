"""Attacks on the gate: each test is one way to end with 0 unearned, and the gate must not.

A module is a kind of attack; its tests are the ways that were tried.
"""

from __future__ import annotations

import pytest
from attack import Attack


@pytest.fixture
def attack(small_gate: Attack) -> Attack:
    """A small gate to attack."""
    return small_gate
