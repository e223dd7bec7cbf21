"""Options of this plugin that are misspelled or lack their value: pytest itself suggests nothing."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest

from pathorob_checks.plugin.options import OPTIONS
from pathorob_checks.wording import nearest, printable

_METAVARS = {option.flag: option.metavar for option in OPTIONS}
_TAKE_VALUES = frozenset(one.flag for one in OPTIONS if not one.switch and one.bare is None)
_PREFIX = "--fm"
# pytest's own `-f -m` may be written `-fm`, but nobody means `-f -m =x` by `-fm=x`.
_ONE_DASH = re.compile(r"-fm(?:-[a-z-]+)?=.*", re.DOTALL)
# No dash at all, or a dash as word processors write it.
_NO_DASH = re.compile(
    r"fm(?:-[a-z-]+)?=.*|-?[\N{HYPHEN}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}]+fm(?:-[a-z-]+)?(?:=.*)?",
    re.DOTALL,
)
# Words that other tools use for what an option of this plugin does.
_OTHER_WORDS = {
    "--fm-model": "--fm",
    "--fm-spec": "--fm",
    "--fm-profile": "--fm-criteria",
    "--fm-threshold": "--fm-criteria",
    "--fm-thresholds": "--fm-criteria",
    "--fm-bounds": "--fm-criteria",
    "--fm-config": "--fm-criteria",
    "--fm-data": "--fm-cohort",
    "--fm-dataset": "--fm-cohort",
    "--fm-datasets": "--fm-cohort",
    "--fm-images": "--fm-cohort",
    "--fm-manifest": "--fm-cohort",
    "--fm-patches": "--fm-cohort",
    "--fm-report": "--fm-html",
    "--fm-results": "--fm-json",
    "--fm-repair": "--fm-method",
    "--fm-repairs": "--fm-method",
    "--fm-normalization": "--fm-method",
    "--fm-gpu": "--fm-device",
    "--fm-compare": "--fm-baseline",
    "--fm-reference": "--fm-baseline",
}
_HELP = f"`pytest --help` lists all options that begin with {_PREFIX}."
_LETTERS = re.compile(r"[^A-Za-z]*(.*)", re.DOTALL)


def without_value(flag: str) -> str:
    """What is wrong with an option that has no value, as one sentence."""
    if flag == _PREFIX:
        remedy = "name an FM, for example --fm=demo:stain-invariant, which needs no download"
    else:
        remedy = f"write {flag}={_METAVARS[flag]}, or leave the option out"
    return f"{flag} has no value, and nothing was measured; {remedy}."


def refuse_options_without_values(arguments: Sequence[str]) -> None:
    """Refuse `pytest --fm`; argparse says that one argument is expected, but not which.

    Raises
    ------
    pytest.UsageError : an option of this plugin is the last word, or another option follows it.
    """
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for flag, following in pairwise([*words, "--"]):
        if flag in _TAKE_VALUES and len(following) > 1 and following.startswith("-") and " " not in following:
            raise pytest.UsageError(without_value(flag))


def refuse_unknown_options(
    arguments: Iterable[str], known: argparse.Namespace, unknown: Iterable[str], *, is_requested: bool
) -> None:
    """Refuse words that are almost an option of this plugin, and say which is meant where one is near.

    Parameters
    ----------
    arguments : all words of the command line.
    known : what pytest makes of those that are options or paths.
    unknown : those that begin with a dash and that no plugin and no conftest knows.
    is_requested : whether the run has an FM; a word without `fm` may be this plugin's only then.

    Raises
    ------
    pytest.UsageError : a word is almost an option of this plugin, or begins with `--fm-`.
    """
    words = [word for word in arguments if _ONE_DASH.fullmatch(word)]
    words += [word for word in known.file_or_dir if _NO_DASH.fullmatch(word) and not os.path.lexists(word)]
    for word in [*words, *unknown]:
        flag, equals, value = word.partition("=")
        plain = "--" + _LETTERS.sub(r"\1", flag).casefold().replace("_", "-")
        if plain.startswith(_PREFIX):
            near = _nearest(plain)
        else:
            prefixed = plain.replace("--", f"{_PREFIX}-", 1)
            near = prefixed if is_requested and prefixed in _METAVARS else None
        if near is not None or plain.startswith(f"{_PREFIX}-"):
            remedy = _HELP if near is None else f"did you mean {near}{equals}{value}?"
            raise pytest.UsageError(
                printable(f"there is no option {flag}, and nothing was measured; {remedy}")
            )


def _nearest(flag: str) -> str | None:
    """The option of this plugin that is probably meant: written in another way, cut, or misspelled."""
    if flag in _METAVARS:
        return flag
    if (meant := _OTHER_WORDS.get(flag)) is not None:
        return meant
    begun = [known for known in _METAVARS if known.startswith(flag)]
    return begun[0] if len(begun) == 1 else nearest(flag, _METAVARS, cutoff=0.7)
