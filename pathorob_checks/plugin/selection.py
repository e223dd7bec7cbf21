"""Which tests a run has: the packaged checks always, and what the command line adds or leaves out."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pathorob_checks.plugin.mistyped import without_value
from pathorob_checks.plugin.options import OPTIONS
from pathorob_checks.plugin.typed import typed
from pathorob_checks.wording import hint, shortened

SUITES = "suites"
# Options of pytest that leave out what passed in the last run, if anything failed then; and what does so.
_BY_THE_LAST_RUN = {"lf": "lfplugin", "stepwise": "stepwiseplugin"}
_FILTERS = ("main", "mark")  # the parts of pytest that leave tests out by `--deselect`, `-k` and `-m`


@dataclass(frozen=True)
class Selection:
    """What the command line says about the tests of a run.

    Attributes
    ----------
    options : those that were typed.
    named : the packaged tests that it names, as the report prints them.
    """

    options: argparse.Namespace
    named: tuple[str, ...] = ()

    @property
    def narrows(self) -> bool:
        """Whether the command line may leave packaged checks out, by `-k`, `-m`, `--deselect` or names."""
        options = self.options
        return bool(self.named or options.keyword or options.markexpr or options.deselect)

    def leaves_out(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Those of some tests that the command line itself leaves out, whatever else does so too."""
        if not items:
            return []
        kept, config = list(items), items[0].config
        for option, plugin in _BY_THE_LAST_RUN.items():
            if getattr(self.options, option, None) and _something_failed(config, plugin):
                return kept
        for name in _FILTERS:
            part: Any = config.pluginmanager.get_plugin(name)
            part.pytest_collection_modifyitems(kept, _Typed(config, self.options))
        return [item for item in items if item not in kept]


def _something_failed(config: pytest.Config, name: str) -> bool:
    """Whether a plugin of pytest knows tests that failed in the last run."""
    plugin = config.pluginmanager.get_plugin(name)
    cached = getattr(plugin, "cached_info", None)  # of `--stepwise` since pytest 8.4
    return bool(getattr(plugin, "lastfailed", None) or getattr(cached, "last_failed", None))


class _Typed:
    """pytest's configuration as if nothing but some options were given; tests left out are told to nobody."""

    def __init__(self, config: pytest.Config, options: argparse.Namespace) -> None:
        self._config, self.option = config, options
        self.hook = SimpleNamespace(pytest_deselected=lambda items: None)  # noqa: ARG005

    def getoption(self, name: str) -> Any:
        """The value of an option."""
        return getattr(self.option, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


def arrange(config: pytest.Config) -> Selection:
    """Let pytest collect the packaged checks, and beside them what the user names.

    A user who names packaged checks gets these alone. What a configuration file or a variable of the
    environment names cannot take a packaged check away.
    """
    options = typed(config)
    named = [argument for argument in options.file_or_dir if is_packaged(argument)]
    others = [argument for argument in config.args if not is_packaged(argument)]
    if config.args_source is not pytest.Config.ArgsSource.ARGS and options.pathorob_fm:
        others = []  # the tests of the project are not what `pytest --fm=SPEC` asks for
    packaged = [one for argument in named for one in _paths(argument)] or [str(path) for path in suites()]
    config.args = [*others, *packaged]
    return Selection(options, tuple(map(_id, packaged)) if named else ())


def folder() -> Path:
    """The folder of the packaged suites."""
    with as_file(files("pathorob_checks") / SUITES) as path:
        return path


def suites() -> list[Path]:
    """The packaged suites: files, because an ini file's `python_files` must not hide them."""
    return sorted(folder().glob("test_*.py"))


def is_packaged(argument: str) -> bool:
    """Whether an argument names packaged checks: by their path, or as the report prints them."""
    return bool(_paths(argument))


def _paths(argument: str) -> list[str]:
    """`suites`, `suites/test_x.py` or `suites/test_x.py::...` as paths; empty for anything else."""
    path, *rest = argument.split("::")
    if os.path.realpath(path).startswith(os.path.realpath(folder())):
        target = Path(os.path.realpath(path))
    elif Path(path).parts[:1] == (SUITES,) and not Path(path).exists():
        target = folder().joinpath(*Path(path).parts[1:])
    else:
        return []
    if target.is_dir():
        return [str(suite) for suite in suites()]
    return ["::".join([str(target), *rest])] if target.exists() else []


def _id(argument: str) -> str:
    """The path of a packaged test as the report prints it."""
    path, *rest = argument.split("::")
    return "::".join([f"{SUITES}/{Path(path).name}", *rest])


def refuse_misread_values(config: pytest.Config) -> None:
    """Refuse a path after `--fm-json` and a blank: pytest takes it for tests before this plugin is loaded.

    It then looks for its configuration file beside that path, and criteria in the project's are not read.

    Raises
    ------
    pytest.UsageError : an option of this plugin has an existing path as its value, and no `=` before it.
    """
    variable = shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    for flag, value in _pairs([*variable, *map(str, config.invocation_params.args)]):
        if os.path.lexists(value):
            raise pytest.UsageError(
                f"{flag} {value}: pytest reads a path after a blank as a path of tests and may use another "
                f"configuration file because of it; write {flag}={value}."
            )


def refuse_swallowed_paths(config: pytest.Config) -> None:
    """Refuse `--fm-history tests/`: an option that needs no value would take the path for its own.

    Raises
    ------
    pytest.UsageError : such an option is followed by a blank and a word.
    """
    bare = {option.flag for option in OPTIONS if option.bare is not None}
    variable = shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    given = [*config.getini("addopts"), *variable, *map(str, config.invocation_params.args)]
    words = list(_with_files(given))
    for flag, word in pairwise(words[: words.index("--")] if "--" in words else words):
        if flag in bare and not word.startswith("-"):
            raise pytest.UsageError(
                f"{flag} {word}: it is not clear what {shortened(word)} is; write {flag}={word} for a file, "
                f"or name tests before {flag}."
            )


def refuse_changed_values(config: pytest.Config) -> None:
    """Refuse options that a `conftest.py` or a plugin changed after the command line was read.

    Raises
    ------
    pytest.UsageError : an option of this plugin has another value now.
    """
    for option in OPTIONS:
        name = "pathorob_" + option.ini
        if getattr(config.option, name, None) != getattr(config.known_args_namespace, name, None):
            raise pytest.UsageError(
                f"a conftest.py or a plugin changed {option.flag} after it was read; give it on the command "
                "line or in a configuration file."
            )


def refuse_unknown_settings(config: pytest.Config) -> None:
    """Refuse a misspelled setting: pytest only warns of it, and another gate would run.

    Raises
    ------
    pytest.UsageError : the configuration file has a key that begins with `fm` and is none of this plugin's.
    """
    known = [option.ini for option in OPTIONS]
    keys = getattr(config, "_inicfg", None)  # `inicfg` is deprecated since pytest 9
    for key in config.inicfg if keys is None else keys:
        if (key == "fm" or key.startswith(("fm_", "fm-"))) and key not in known:
            file = config.inipath.name if config.inipath else "the configuration file"
            remedy = hint(key.replace("-", "_"), known, "known settings are {known}")
            raise pytest.UsageError(f"{file} has the unknown setting {shortened(key)}; {remedy}.")


def refuse_empty_values(config: pytest.Config) -> None:
    """Refuse an option without its value: `--fm-baseline=$BASELINE` must not mean that there is none.

    Raises
    ------
    pytest.UsageError : an option of this plugin has an empty value.
    """
    for option in OPTIONS:
        given = config.getoption("pathorob_" + option.ini)
        values = given if isinstance(given, list) else [given]
        if not all(str(value).strip() for value in values):
            raise pytest.UsageError(without_value(option.flag))


def _pairs(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Options of this plugin and the values that follow them after a blank."""
    takes_value = {option.flag for option in OPTIONS if not option.switch and option.bare is None}
    rest = _with_files(arguments)
    for argument in rest:
        if argument in takes_value:
            yield argument, next(rest, "")


def _with_files(arguments: Iterable[str]) -> Iterator[str]:
    """Arguments, those in a file, `@FILE`, in its place, as pytest reads them."""
    for argument in arguments:
        if argument.startswith("@") and Path(argument[1:]).is_file():
            yield from _with_files(Path(argument[1:]).read_text().splitlines())
        else:
            yield argument
