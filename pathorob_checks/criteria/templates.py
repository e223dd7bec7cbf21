"""Commented criteria files to start from: a plain one, and others with a standard or regulation in mind."""

from __future__ import annotations

from importlib.resources import files

STANDARDS = ("ai-act", "fda-pccp", "iso-24029")
PLAIN = "robustness"
TO_FILL_IN = "FILL IN"  # stands wherever a template has no answer


def template(standard: str | None = None) -> str:
    """The text of the file for one of `STANDARDS`: valid TOML, with `TO_FILL_IN` where the user decides.

    Without a standard it is the plain file that `pathorob-checks init` writes.
    """
    name = PLAIN if standard is None else standard
    return (files("pathorob_checks.criteria") / "templates" / f"{name}.toml").read_text(encoding="utf-8")
