"""Names as tables show them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.results.check import Check
from pathorob_checks.wording import printable

_COMMIT = re.compile(r"(@[0-9a-f]{8})[0-9a-f]{32}$")


def short_names(checks: Iterable[Check]) -> dict[str, str]:
    """Each FM's name for tables: of a commit only the first eight digits, where names stay distinct."""
    full = {check.fm: printable(check.fm) for check in checks}
    short = {fm: _COMMIT.sub(r"\1", name) for fm, name in full.items()}
    return short if len(set(short.values())) == len(short) else full


def fm_and_method(fm: str, method: str) -> str:
    """`virchow2`, or `virchow2 + combat` where a method repairs the embeddings."""
    return printable(fm if method == NO_METHOD else f"{fm} + {method}")


def subject_id(fm: str, method: str, *cohort: str) -> str:
    """Names joined as test ids have them, with a cohort or without; a method of `none` is left out."""
    return "-".join([fm, *cohort] if method == NO_METHOD else [fm, method, *cohort])
