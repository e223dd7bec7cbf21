"""Which FMs are versions of one: the family whose values are one trend."""

from __future__ import annotations

import re

from pathorob_checks.errors import HistoryError

# What is taken off the end of a name, as often as it is there.
_VERSION = re.compile(
    r"""
    [-_.]                                                   # after a separator
    (?:
        v\d+(?:[.]\d+)*(?:[-_.]?(?:rc|alpha|beta|dev)\d*)?  # v2, v1.3, v2-rc1
      | \d+(?:[.]\d+)+                                      # 1.3.0
      | (?:19|20)\d\d(?:[-_.]?[01]\d(?:[-_.]?[0-3]\d)?)?    # 2026, 2026-05, 20260504
      | (?:step|steps|epoch|ep|iter|iteration|ckpt|checkpoint|rev)[-_.=]?\d+[km]?
    )
    $
    """,
    re.IGNORECASE | re.VERBOSE,
)


def family_of(fm: str, pattern: re.Pattern[str] | None = None) -> str:
    """The family of an FM.

    Parameters
    ----------
    fm : its name in the results.
    pattern : what the family's name is in the FM's: its first group, or all of it if it has none. A name in
        which it is not found is a family of its own.

    Notes
    -----
    Without a pattern, the revision after `@` is left out, and then every ending that is a version, a date or
    a step of training: `our-fm-v1`, `our-fm-v2-2026-05-04` and `our-fm@main` are `our-fm`. A number alone is
    no version: `h-optimus-0` and `h-optimus-1` are two families.
    """
    if pattern is not None:
        match = pattern.search(fm)
        name = match and (match.group(1) if pattern.groups else match.group())
        return name or fm
    name = fm.partition("@")[0] or fm
    while (shorter := _VERSION.sub("", name)) not in ("", name):
        name = shorter
    return name


def pattern_of(text: str) -> re.Pattern[str]:
    """A regular expression of the user's.

    Raises
    ------
    HistoryError : it is none.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise HistoryError(
            f"--family={text!r} is no regular expression ({error})", remedy="write one such as '^(our-fm)'"
        ) from None
