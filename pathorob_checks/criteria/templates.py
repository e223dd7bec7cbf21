"""Criteria files to start from: a profile's, and commented ones with a standard or regulation in mind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from pathorob_checks.criteria.toml_text import KeyPath
from pathorob_checks.metrics.registry import metric

STANDARDS = ("ai-act", "fda-pccp", "iso-24029")
TO_FILL_IN = "FILL IN"  # stands in every value of a template that has no answer


_HEADER = """\
# What must hold for an FM here. Started from the profile {profile} of pathorob-checks: its bounds and
# rationales are starting values. Make them yours, then look at what they require:
#
#     pathorob-checks criteria show {file}
"""
_BASELINE = """\
[baseline.margin]  # only with --fm-baseline: by how much a value may be worse than the baseline's
{margins}

"""


def template(standard: str) -> str:
    """The text of the file for one of `STANDARDS`: valid TOML, with `TO_FILL_IN` where the user decides."""
    return (files("pathorob_checks.criteria") / "templates" / f"{standard}.toml").read_text(encoding="utf-8")


def started_from(profile: str, file: str) -> str:
    """A profile's text under a name of its own, with a header that is the user's and the margins in use.

    Parameters
    ----------
    profile : name of a built-in one.
    file : what the file will be called.
    """
    text = (files("pathorob_checks.criteria") / "profiles" / f"{profile}.toml").read_text(encoding="utf-8")
    body = text[text.index("schema = ") :]
    for key, value in (("name", "ours"), ("description", f"Started from {profile}.")):
        body = re.sub(rf'^{key} = ".*"$', f'{key} = "{value}"', body, count=1, flags=re.MULTILINE)
    measured = dict.fromkeys(entry["metric"] for entry in tomllib.loads(text)["criteria"])
    margins = "\n".join(f"{name} = {metric(name).margin:g}" for name in measured)
    settings, first, criteria = body.partition("[[criteria]]")
    header = _HEADER.format(profile=profile, file=file)
    return header + settings + _BASELINE.format(margins=margins) + first + criteria


def places_in(text: str) -> int:
    """How many places of a criteria file (TOML) are to be filled in: as many as `criteria check` names."""
    return sum(1 for _ in open_places(tomllib.loads(text)))


def open_places(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of each text in the content of a criteria file that nobody has filled in.

    >>> list(open_places({"name": "ours", "criteria": [{"owner": "FILL IN: who"}]}))
    [('criteria', 0, 'owner')]
    """
    if isinstance(value, str) and TO_FILL_IN in value:
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from open_places(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from open_places(inner, (*path, place))


def filled_in(texts: Sequence[str]) -> list[str]:
    """Those that are not a template's own, such as the requirements that somebody has stated."""
    return [text for text in texts if TO_FILL_IN not in text]
