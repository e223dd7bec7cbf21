"""One HTML page with all that results hold; it needs no network, and no script to be read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from pathorob_checks.report.forms import MARK
from pathorob_checks.report.limits import limits_of
from pathorob_checks.report.page import OUTCOMES, VERDICTS, page_of
from pathorob_checks.report.pictures import RELATIONS, drawn_pictures, label_sheet, relation
from pathorob_checks.report.reproduction import command_of
from pathorob_checks.report.sheets import (
    bound_sheets,
    cell_sheet,
    cohorts_of,
    count_rows,
    design_sheet,
    environment_rows,
    extraction_rows,
    flat,
    fm_sheets,
    group_sheet,
    license_of,
    listed,
    metric_rows,
    notes_of,
    slide_sheet,
)
from pathorob_checks.report.terms import planned_subjects, source_of
from pathorob_checks.results.embedded import results_script
from pathorob_checks.results.integrity_counts import integrity_counted
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.outcome import UNFINISHED, lets_pass
from pathorob_checks.results.remarks import remarks
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.results.results import Results

_SYMBOLS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "error": "!", "skipped": "-", "partial": "…"}
_OPENED = 5  # explanations that are open at first
_FEW = 20  # checks that need no filter


@dataclass(frozen=True)
class _Asset:
    """A style sheet or a script, and its name in the page's security policy."""

    text: Markup

    @property
    def source(self) -> Markup:
        digest = base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode()
        return Markup(f"'sha256-{digest}'")  # noqa: S704 (base64)


def html_report(results: Results, evidence: Sequence[tuple[str, str]] = ()) -> str:
    """Write results as one HTML page.

    Parameters
    ----------
    results : images of patches are shown where they have some.
    evidence : what the evidence of the run says beside its results, as terms and texts; empty without
        evidence, and then the page has no such section.

    Returns
    -------
    The page. It refers to nothing outside of it, and `Results.read` reads the results back from it.
    """
    page = page_of(results)
    terms = results.environment.criteria
    counts = terms.completeness
    pictures = drawn_pictures(results)
    return (
        _environment()
        .get_template("report.html")
        .render(
            results=results,
            page=page,
            pictures=pictures,
            pictured=pictures.numbers,
            mark=Markup(MARK),  # noqa: S704 (a constant)
            style=_asset("report.css"),
            script=_asset("filter.js"),
            embedded=Markup(results_script(results.to_json())),  # noqa: S704 (escaped there)
            meaning=OUTCOMES[results.outcome],
            summary=results.summary.removeprefix(f"{results.outcome.upper()}: "),
            measured=f"{counts.measured:,} of {counted(counts.planned, 'criterion', 'criteria')}",
            overview=_overview(results),
            verdicts=VERDICTS,
            symbols=_SYMBOLS,
            relations=RELATIONS,
            opened=_OPENED,
            few=_FEW,
            anything_missed=bool(page.missed or page.failed_integrity or results.other_failures),
            allowed=lets_pass(results),
            source=source_of(terms),
            command=command_of(results),
            limits=limits_of(results),
            remarks=remarks(results.checks),
            bounds=bound_sheets(results.checks),
            cohorts=cohorts_of(results.runs),
            fms=fm_sheets(results.runs),
            notes=notes_of(results.runs),
            metrics=metric_rows(results.metrics),
            environment=environment_rows(results),
            evidence=evidence,
        )
    )


def _overview(results: Results) -> tuple[tuple[str, str], ...]:
    checks, terms = results.checks, results.environment.criteria
    written = results.created.astimezone(UTC)
    planned = planned_subjects(results)
    fms = dict.fromkeys(
        [*(fm_and_method(check.fm, check.method) for check in checks), *(fm for fm, _ in planned)]
    )
    cohorts = dict.fromkeys([*(run.cohort.name for run in results.runs), *(cohort for _, cohort in planned)])
    return (
        ("foundation models", listed(fms)),
        ("cohorts", listed(cohorts)),
        ("criteria", source_of(terms)),
        (
            "started" if UNFINISHED in results.problems else "ended",
            f"{written.day} {written:%B %Y, %H:%M} UTC",
        ),
        ("digest of the terms", terms.digest[:16] or "none"),
        ("pathorob-checks", results.environment.packages.get("pathorob-checks") or "unknown"),
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "capital": _capital,
        "cells": cell_sheet,
        "counts": count_rows,
        "design": design_sheet,
        "extraction": extraction_rows,
        "groups": group_sheet,
        "integrity_counted": _integrity_counted,
        "flat": lambda value: list(flat(value)),
        "labels": label_sheet,
        "license": license_of,
        "relation": relation,
        "searched": lambda text: printable(text).lower(),
        "sentence": _sentence,
        "slides": slide_sheet,
        "words": lambda text: text.replace("_", " "),
    }
    return environment


def _text(name: str) -> str:
    return (files("pathorob_checks.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _asset(name: str) -> _Asset:
    return _Asset(Markup(_text(name)))  # noqa: S704 (of this package)


def _printable(value: Any) -> Any:
    """Names come from files and model repositories; what is `Markup` was made here."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = value if value.isascii() and value.isprintable() else printable(value)
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _sentence(text: str) -> str:
    """A clause with a capital and a full stop."""
    text = _capital(text.strip())
    return text + ("." if text and not text.endswith((".", "!", "?")) else "")


def _integrity_counted(results: Results) -> str:
    return integrity_counted(results.integrity, results.environment.criteria.completeness)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
