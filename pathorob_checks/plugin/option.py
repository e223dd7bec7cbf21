"""One option: its names, how text becomes its value, and which part of a value is a path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathorob_checks.evaluation.settings import DEVICE, DEVICES
from pathorob_checks.wording import nearest


def batch_size(text: str) -> int:
    """A positive number of patches."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a positive whole number")
    return int(text)


def repetitions(text: str) -> int:
    """A number of draws, of which one alone has no spread."""
    if not text.isdecimal() or int(text) < 2:
        raise ValueError(f"{text!r} is not a whole number from 2")
    return int(text)


def yes_or_no(text: str) -> bool:
    """A switch's value where one is written: in an ini file or an environment variable."""
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def device(text: str) -> str:
    """What a model runs on."""
    if not DEVICE.fullmatch(text):
        raise ValueError(f"{text!r} is no device; choose {DEVICES}")
    return text


def sha256(text: str) -> str:
    """64 hexadecimal digits."""
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise ValueError(f"{text!r} is not a SHA-256 of 64 hexadecimal digits")
    return text.lower()


def one_of(*allowed: str) -> Callable[[str], str]:
    """A parser for one of a few words."""

    def parse(text: str) -> str:
        if text not in allowed:
            near = nearest(text, allowed)
            meant = f"; did you mean {near}?" if near else ""
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}{meant}")
        return text

    return parse


def no_path(value: str) -> None:
    """No part of the value."""


def whole(value: str) -> str:
    """All of the value."""
    return value


def after_kind(value: str) -> str | None:
    """What follows `local-dir:` or `embeddings:`."""
    kind, _, path = value.partition(":")
    return path if kind in ("local-dir", "embeddings") else None


def own_cohort(value: str) -> str | None:
    """The value, unless it names a cohort of the benchmark or a generated one."""
    from pathorob_checks.cohorts.registry import is_own

    return value if is_own(value) else None


def criteria_file(value: str) -> str | None:
    """The value, unless it names a built-in profile."""
    from pathorob_checks.criteria.document import BUILT_IN

    return None if value in BUILT_IN else value


def key_file(value: str) -> str | None:
    """The value, unless it means signing without a key."""
    return None if value == "sigstore" else value


def history_file(value: str) -> str | None:
    """The value, unless it is a word for the default file or for none."""
    from pathorob_checks.history.place import named_file

    return named_file(value)


def history(text: str) -> Path | None:
    """The file that runs are kept in."""
    from pathorob_checks.history.place import chosen_file

    return chosen_file(text)


def results_file(value: str) -> str | None:
    """The value where it names a file."""
    return value if value.endswith(".json") else None


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: `--fm-cache`, ini value `fm_cache`, environment variable `PATHOROB_CHECKS_CACHE`."""

    flag: str
    metavar: str
    help: str
    parse: Callable[[str], Any] = str
    repeatable: bool = False
    switch: bool = False  # takes no value
    default: Any = None
    environment: str | None = None
    decides: bool = True  # whether it can change what is measured
    setting: str | None = None  # its name in `Settings`, where that is not the flag's
    is_report: bool = False  # names a file that a report is written to
    is_evidence: bool = False  # is about the evidence folder
    is_history: bool = False  # names the file that runs are kept in
    bare: str | None = None  # what it means without a value; one with a value then needs `=`
    path_in: Callable[[str], str | None] = no_path  # the part of a value that is a path, if it has one

    def beside(self, folder: Path, value: Any) -> Any:
        """A value of a configuration file in this folder, its path relative to where pytest runs."""
        path = self.path_in(value) if isinstance(value, str) else None
        if not path or path.startswith("~") or Path(path).is_absolute():
            return value
        with contextlib.suppress(ValueError):  # another drive
            folder = Path(os.path.relpath(folder))
        return value.removesuffix(path) + str(folder / path)

    @property
    def ini(self) -> str:
        """Name of the ini value."""
        return self.flag.lstrip("-").replace("-", "_")

    @property
    def is_setting(self) -> bool:
        """Whether it is a part of `Settings`: of what is measured and how, not of what is made of it."""
        return not (self.is_report or self.is_evidence or self.is_history)

    @property
    def name(self) -> str:
        """Name in `Settings`."""
        return self.setting or self.ini.removeprefix("fm_")
