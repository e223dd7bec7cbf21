"""Templates of a validation plan and a validation report, as Markdown and HTML."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from pathorob_checks.criteria.templates import TO_FILL_IN
from pathorob_checks.errors import EvidenceError
from pathorob_checks.evidence.pages import rendered
from pathorob_checks.version import version

DOCUMENTS = ("plan", "report")
FORMS = ("md", "html")
_CODE = re.compile(r"`([^`]*)`")


def write_templates(folder: Path) -> list[Path]:
    """Write `validation-plan` and `validation-report` in both forms; files that exist are never replaced.

    Raises
    ------
    EvidenceError : one of them exists, or cannot be written.
    """
    texts = {
        folder / f"validation-{document}.{form}": template(document, form)
        for document in DOCUMENTS
        for form in FORMS
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in texts:
            if path.exists():
                raise EvidenceError(f"{path} exists already", remedy="name a new folder with --templates")
        for path, text in texts.items():
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise EvidenceError(
            f"the templates cannot be written to {folder} ({error.strerror or error})",
            remedy="name a folder with --templates that you may write to",
        ) from None
    return list(texts)


def template(document: str, form: str) -> str:
    """The text of one of `DOCUMENTS` in one of `FORMS`, with `FILL IN` where the user decides."""
    content = contents()
    return rendered(
        f"validation.{form}",
        **_in_form(content[document], form),
        clauses=_in_form(content["clauses"], form),
        mark=TO_FILL_IN,
        version=version(),
    )


def _in_form(value: Any, form: str) -> Any:
    """The package's own texts, in which backticks mean code."""
    if isinstance(value, dict):
        return {key: _in_form(inner, form) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_form(inner, form) for inner in value]
    if form == "md":
        return Markup(value)  # noqa: S704 (of this package)
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(value))))  # noqa: S704 (escaped)


def contents() -> dict[str, Any]:
    """The content of `validation.toml`."""
    return tomllib.loads((files("pathorob_checks.evidence") / "validation.toml").read_text(encoding="utf-8"))
