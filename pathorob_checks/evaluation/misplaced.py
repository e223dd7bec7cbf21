"""Values that another option takes: `--fm-cohort=virchow2`, `--fm=floor`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.errors import MethodError, PathorobChecksError, SettingsError, SpecError
from pathorob_checks.files import expanded

if TYPE_CHECKING:
    from pathorob_checks.evaluation.settings import Settings


def refuse_misplaced_values(settings: Settings) -> None:
    """Refuse a value that its option does not take and that another one does.

    What no option takes is left to the code that reads it, which says more.

    Raises
    ------
    SettingsError : the message names the other option.
    """
    criteria = settings.criteria if isinstance(settings.criteria, tuple) else ()
    given: Mapping[str, Iterable[str]] = {
        "--fm": settings.fms,
        "--fm-cohort": settings.cohorts,
        "--fm-criteria": [text for text in criteria if isinstance(text, str)],
        "--fm-method": settings.methods,
    }
    for option, texts in given.items():
        for text in texts:
            if _TAKES[option](text):
                continue
            for other, is_evident in _EVIDENT.items():
                if other != option and is_evident(text) and not (option == "--fm" and _has_near_fm(text)):
                    raise SettingsError(
                        f"{option}={text} is {_WHAT[other]}, not {_WHAT[option]}",
                        remedy=f"did you mean {other}={text}?",
                    )


def _is_fm(text: str) -> bool:
    from pathorob_checks.models.spec import parse_spec

    return _reads(parse_spec, text, SpecError)


def _is_cohort(text: str) -> bool:
    from pathorob_checks.cohorts.file_names import MANIFEST
    from pathorob_checks.cohorts.registry import is_own

    path = expanded(text)
    return not is_own(text) or (
        _exists(path) and (path.is_dir() or path.suffix == ".parquet" or path.name == MANIFEST)
    )


def _is_evident_cohort(text: str) -> bool:
    """Whether a text can be meant as a cohort: any folder could, so there must be patches in it."""
    from pathorob_checks.cohorts.registry import has_form_of_a_cohort, is_own, own_path

    return not is_own(text) or (_is_cohort(text) and has_form_of_a_cohort(own_path(text)))


def _has_near_fm(text: str) -> bool:
    """Whether a folder, or the name of a cohort and of demo models, is rather meant as an FM."""
    from pathorob_checks.models.meant_spec import meant_spec

    return _is_cohort(text) and meant_spec(text) is not None


def _is_criteria(text: str) -> bool:
    from pathorob_checks.criteria.document import TOML, YAML, is_built_in

    path = expanded(text)
    return is_built_in(text) or (path.suffix in TOML + YAML and _exists(path) and path.is_file())


def _is_method(text: str) -> bool:
    from pathorob_checks.methods.chain import chains_of

    return _reads(lambda one: chains_of([one]), text, MethodError)


def _reads(read: Callable[[str], object], text: str, error: type[PathorobChecksError]) -> bool:
    try:
        read(text)
    except error:
        return False
    return True


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 (`Path.exists` raises for a long name)


_TAKES: Mapping[str, Callable[[str], bool]] = {
    "--fm": _is_fm,
    "--fm-cohort": _is_cohort,
    "--fm-criteria": _is_criteria,
    "--fm-method": _is_method,
}
_EVIDENT = {**_TAKES, "--fm-cohort": _is_evident_cohort}
_WHAT = {
    "--fm": "an FM",
    "--fm-cohort": "a cohort",
    "--fm-criteria": "a profile or criteria file",
    "--fm-method": "a method",
}
