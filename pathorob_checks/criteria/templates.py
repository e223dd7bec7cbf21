"""Commented criteria files to start from, each with a standard or regulation in mind."""

from __future__ import annotations

from importlib.resources import files

STANDARDS = ("ai-act", "fda-pccp", "iso-24029")
TO_FILL_IN = "FILL IN"  # stands wherever a template has no answer


def template(standard: str) -> str:
    """The text of the file for one of `STANDARDS`: valid TOML, with `TO_FILL_IN` where the user decides."""
    return (files("pathorob_checks.criteria") / "templates" / f"{standard}.toml").read_text(encoding="utf-8")
