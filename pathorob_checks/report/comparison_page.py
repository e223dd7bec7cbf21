"""A comparison of FMs as one HTML page that needs no network and no script."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from pathorob_checks.report.forms import MARK
from pathorob_checks.results.comparison import Comparison
from pathorob_checks.results.comparison_rows import notes, table_of, verdicts
from pathorob_checks.wording import printable


def comparison_html(comparison: Comparison) -> str:
    """The page; names in it are escaped."""
    headers, parts = table_of(comparison)
    return _template().render(
        mark=Markup(MARK),  # noqa: S704 (of this package)
        headline=comparison.headline,
        verdicts=list(verdicts(comparison)),
        headers=headers,
        groups=[(group.title, rows) for group, rows in parts],
        notes=list(notes(comparison)),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    path = files("pathorob_checks.report") / "templates" / "comparison.html"
    return environment.from_string(path.read_text(encoding="utf-8"))


def _printable(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
