"""What a person can mean by a signature: what 21 CFR 11.50 (a) (3) names."""

from __future__ import annotations

from typing import Literal, get_args

Meaning = Literal["authorship", "review", "approval", "responsibility"]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
