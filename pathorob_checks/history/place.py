"""Where runs are kept: the file that was asked for, or one in the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from pathorob_checks.files import expanded

VARIABLE = "PATHOROB_CHECKS_HISTORY"
DEFAULT = "default"  # the word for the file in the user's data folder
_WORDS = {DEFAULT: True, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def default_file() -> Path:
    """The file that the variable names, else the one in the user's data folder."""
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen and chosen.lower() not in _WORDS:
        return expanded(chosen)
    import platformdirs

    return Path(platformdirs.user_data_dir("pathorob-checks", appauthor=False)) / "history.sqlite"


def named_file(text: str) -> str | None:
    """A setting that is a path, as it is; None for a word that stands for the default file or for none."""
    return None if text.strip().lower() in _WORDS else text


def chosen_file(text: str) -> Path | None:
    """The file that a setting means.

    Parameters
    ----------
    text : a path; `default`, `true`, `yes` or `1` for the default file; `false`, `no` or `0` for none.
    """
    path = named_file(text)
    if path is not None:
        return expanded(path)
    return default_file() if _WORDS[text.strip().lower()] else None
