"""A killed extraction loses at most the shards that it is embedding or writing; see also `kill_rounds`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_rounds.py")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs processes that can be forked")
@pytest.mark.parametrize(
    ("kills", "seed"), [(4, 3), *(pytest.param(8, seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_kills_at_random_moments_lose_nothing(kills: int, seed: int) -> None:
    command = [sys.executable, str(SCRIPT), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["kills"] >= kills
    assert counts["shards_kept"] > 0  # the kills came in the middle of the work
    assert counts["extractions"] >= 1
