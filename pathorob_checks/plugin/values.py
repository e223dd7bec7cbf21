"""The values of the options: from the command line, the environment and configuration files to settings."""

from __future__ import annotations

import argparse
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pathorob_checks.errors import HubError, SettingsError
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.files import expanded
from pathorob_checks.hub import check_addresses, host_of
from pathorob_checks.hub_failures import redacted
from pathorob_checks.plugin.option import Option
from pathorob_checks.plugin.options import OPTIONS
from pathorob_checks.plugin.typed import ADDED, typed

BY_NAME = {option.name: option for option in OPTIONS}


def is_requested(config: pytest.Config) -> bool:
    """Whether the run has an FM to check, as first read: no plugin takes the request back."""
    given = [
        getattr(options, "pathorob_fm", None) for options in (config.known_args_namespace, config.option)
    ]
    try:
        return any(given) or bool(config.getini("fm"))
    except (TypeError, ValueError):
        return True  # `settings` says what is wrong with it


def settings(config: pytest.Config) -> Settings:
    """Command line, then environment, then ini file, then default; without FMs the plugin has nothing to do.

    Raises
    ------
    pytest.UsageError
        A value that its option does not take, or an option without an FM that it could be for.
    """
    if not is_requested(config):
        for option in OPTIONS:
            if config.getoption("pathorob_" + option.ini) is not None:
                raise pytest.UsageError(
                    f"{option.flag} is given without --fm, and nothing was measured; name an FM with "
                    "--fm=SPEC, for example --fm=demo:stain-invariant."
                )
        return Settings(fms=())  # values of the environment and of files are of no concern without an FM
    values = {name: _value(config, option) for name, option in BY_NAME.items() if option.is_setting}
    origins = {
        name: f"{BY_NAME[name].flag}={_written(value)} (from {origin})"
        for name, (value, origin) in values.items()
        if origin is not None and BY_NAME[name].decides
    }
    try:
        return Settings(**{name: value for name, (value, _) in values.items()}, origins=origins | _hub())
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def report_paths(config: pytest.Config) -> dict[str, str]:
    """The values of the options that write a report, by form."""
    paths = {}
    for name, option in BY_NAME.items():
        path: str | None = _value(config, option)[0] if option.is_report else None
        if path:
            try:
                paths[name] = str(Path(path).expanduser())  # no shell does so after `--fm-json=`
            except RuntimeError:
                raise pytest.UsageError(
                    f"{option.flag}={path}: there is no such user; name another file."
                ) from None
    return paths


@dataclass(frozen=True, kw_only=True)
class EvidenceOptions:
    """The evidence that was asked for.

    Attributes
    ----------
    path : of the folder.
    identify : whether it names person and machine.
    by : who is responsible for the run, as the user states it.
    sign : what signs it.
    qualification : folder of the qualification that it refers to.
    """

    path: str
    identify: bool
    by: str | None
    sign: str | None
    qualification: str | None = None


def evidence_options(config: pytest.Config) -> EvidenceOptions | None:
    """What was asked for; None where it was no evidence.

    Raises
    ------
    pytest.UsageError : evidence is to be signed, or to name somebody, but is not to be written.
    """
    given_or_set = {option.flag: _value(config, option) for option in OPTIONS if option.is_evidence}
    values = {flag: value for flag, (value, _) in given_or_set.items()}
    path = values.pop("--fm-evidence")
    if path is None:
        # A project may say once and for all how its evidence is made; what is typed is meant for this run.
        given = [flag for flag, (value, origin) in given_or_set.items() if value and origin is None]
        if given:
            raise pytest.UsageError(
                f"{given[0]} is given without --fm-evidence; name a folder with --fm-evidence=DIR."
            )
        return None
    return EvidenceOptions(
        path=str(expanded(path)),
        identify=values["--fm-evidence-identify"],
        by=values["--fm-evidence-by"],
        sign=values["--fm-sign"],
        qualification=values["--fm-qualification"],
    )


def evidence_folder(config: pytest.Config, options: argparse.Namespace) -> Path | None:
    """The folder of the evidence, as far as a run that is refused knows it; such a run writes nothing there.

    Parameters
    ----------
    options : those of the command line, which `config` may not have yet.
    """
    path = getattr(options, "pathorob_fm_evidence", None)
    try:
        if path is None and (wanted := evidence_options(config)) is not None:
            path = wanted.path
    except pytest.UsageError:
        return None  # evidence without a folder is what the run is refused for
    return None if path is None else expanded(path).absolute()


def spared(config: pytest.Config, options: argparse.Namespace) -> list[Path]:
    """Where a run that is refused writes no report: in the folder of the evidence, and over the baseline.

    Parameters
    ----------
    options : as in `evidence_folder`.
    """
    folder = evidence_folder(config, options)
    baseline = getattr(options, "pathorob_fm_baseline", None)
    if baseline is None:
        with contextlib.suppress(pytest.UsageError):
            baseline = _value(config, BY_NAME["baseline"])[0]
    return [place for place in (folder, baseline and expanded(baseline).absolute()) if place is not None]


def history_path(config: pytest.Config) -> Path | None:
    """The file that the run is kept in; None where nobody asked for that."""
    [option] = [one for one in OPTIONS if one.is_history]
    path: Path | None = _value(config, option)[0]
    return path


def _written(value: object) -> str:
    """A value as on a command line, without what may be a secret."""
    parts = value if isinstance(value, tuple) else (value,)
    return redacted(", ".join(str(part).lower() if isinstance(part, bool) else str(part) for part in parts))


def _hub() -> dict[str, str]:
    """Another hub than the usual one decides which weights a name means."""
    endpoint = os.environ.get("HF_ENDPOINT")
    if not endpoint:
        return {}
    try:
        check_addresses()
    except HubError as error:
        raise SettingsError(error.problem, remedy=error.remedy) from None
    return {"hub": f"hub: {host_of(endpoint)} (HF_ENDPOINT)"}


def _value(config: pytest.Config, option: Option) -> tuple[Any, str | None]:
    """An option's value, and where it is from if it is neither from the command line nor the default."""
    dest = "pathorob_" + option.ini
    given = config.getoption(dest)
    origin = None if given == getattr(typed(config), dest, None) else ADDED
    if given is None and option.environment and os.environ.get(option.environment):
        variable = os.environ[option.environment]
        given = variable.split(os.pathsep) if option.repeatable else variable
        origin = option.environment
    if given is None:
        given = _ini_value(config, option)
        origin = f"{option.ini} in {config.inipath.name if config.inipath else 'a configuration file'}"
    if given is None or given == []:
        return option.default or (() if option.repeatable else option.default), None
    if option.repeatable:
        return tuple(given), origin
    try:
        return option.parse(str(given)), origin
    except ValueError as error:
        end = "" if str(error).endswith("?") else "."
        raise pytest.UsageError(f"{origin or option.flag}: {error}{end}") from None


def _ini_value(config: pytest.Config, option: Option) -> Any:
    """The value in the configuration file; a relative path in it starts at the file's folder."""
    try:
        value = config.getini(option.ini)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{option.ini}: {error}.") from None
    if value is None or value == "" or config.inipath is None:
        return value or None
    folder = config.inipath.parent
    return (
        [option.beside(folder, one) for one in value] if option.repeatable else option.beside(folder, value)
    )
