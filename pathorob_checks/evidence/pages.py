"""The pages for reading: protocol, traceability, deviations, limitations, and the page to sign."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from pathorob_checks.evidence.confirmations import confirmations
from pathorob_checks.evidence.deviations import deviations
from pathorob_checks.evidence.limitations import limitations
from pathorob_checks.evidence.manifest import MANIFEST
from pathorob_checks.evidence.provenance import fms_of, weights_sha256
from pathorob_checks.evidence.report_rows import seal_in_words
from pathorob_checks.evidence.traceability import NO_CHECK, Trace, requirements_of
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.numbers import interval_text
from pathorob_checks.version import is_development_version
from pathorob_checks.wording import counted, printable

ROLES = ("Prepared by", "Reviewed by", "Approved by")
# What Markdown or the HTML within it would take for markup.
_MARKUP = re.compile(r"([\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_])|^[#+=-]|^\d+(?=[.)]\s))")


def protocol_page(protocol: Mapping[str, Any]) -> str:
    """protocol.md."""
    return _markdown("protocol.md", protocol=protocol, command=shlex.join(protocol["command"]))


def traceability_page(rows: Sequence[Trace], results: ResultsDocument) -> str:
    """traceability.md."""
    return _markdown(
        "traceability.md",
        results=results,
        traces=rows,
        requirements=requirements_of(rows),
        without_requirement=sorted({one.criterion for one in rows if not one.requirement}),
        without_check=[one for one in rows if one.verdict == NO_CHECK],
        interval=lambda one: interval_text((one.low, one.high)) if one.low is not None else "-",
    )


def deviations_page(results: ResultsDocument, protocol: Mapping[str, Any]) -> str:
    """deviations.md."""
    kinds = deviations(results, protocol)
    return _markdown(
        "deviations.md",
        results=results,
        kinds=kinds,
        confirmed=list(confirmations(protocol)),
        number=sum(len(one.sentences) for one in kinds),
    )


def limitations_page(results: ResultsDocument, protocol: Mapping[str, Any]) -> str:
    """limitations.md."""
    return _markdown("limitations.md", results=results, limitations=limitations(results, protocol))


def signature_page(
    results: ResultsDocument,
    protocol: Mapping[str, Any],
    digests: Mapping[str, str],
    machine: str,
    *,
    is_signed: bool,
) -> str:
    """signature-page.html.

    Parameters
    ----------
    digests : SHA-256 of other files of the folder, by name.
    machine : a sentence about where the run computed.
    is_signed : whether the folder gets an electronic signature.
    """
    return (
        _environment(autoescape=True)
        .get_template("signature-page.html")
        .render(
            results=results,
            protocol=protocol,
            digests=digests,
            weights=[(fm, weights_sha256(fm)) for fm in fms_of(results)],
            machine=machine,
            is_signed=is_signed,
            is_development=is_development_version(protocol["tool"]["version"]),
            roles=ROLES,
            manifest=MANIFEST,
        )
    )


def rendered(name: str, **content: Any) -> str:
    """A template of this folder with its content: Markdown, or HTML by its ending."""
    if name.endswith(".html"):
        return _environment(autoescape=True).get_template(name).render(**content)
    return _markdown(name, **content)


def _markdown(name: str, **content: Any) -> str:
    text = _environment(autoescape=False).get_template(name).render(**content)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _environment(*, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=autoescape,  # noqa: S701 (Markdown is escaped by `_escaped`)
        finalize=_printable if autoescape else _escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"counted": counted, "code": _code, "seal_in_words": seal_in_words}
    return environment


def _template(name: str) -> str:
    return (files("pathorob_checks.evidence") / "templates" / name).read_text(encoding="utf-8")


def _printable(value: Any) -> Any:
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _escaped(value: Any) -> Any:
    """Names come from files and repositories: none of them may become markup or a line of its own."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _MARKUP.sub(r"\\\1", printable(value))


def _code(value: object) -> Markup:
    """A value as code; backticks and pipes cannot stand in it."""
    text = printable(str(value)).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return Markup(f"`{text}`")  # noqa: S704 (within a span of code nothing is markup)
