"""Chromium without a window, and pages in it that note what they say and what they ask for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from visits import Visit

    from pathorob_checks import Results

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; playwright's own is not downloaded."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the path: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Results], Path]:
    """The report on some results, written once in a session."""
    from pathorob_checks.report.forms import FORMS

    folder = tmp_path_factory.mktemp("reports")
    written: list[Results] = []

    def report(results: Results) -> Path:
        known = [number for number, one in enumerate(written) if one is results]
        number = known[0] if known else len(written)
        file = folder / f"report-{number}.html"
        if not known:
            FORMS["html"].save(results, file)
            written.append(results)
        return file

    return report


@pytest.fixture
def visit(chromium: Browser, reports: Callable[[Results], Path]) -> Iterator[Callable[..., Visit]]:
    """Opens the report on some results; keyword arguments are those of a browser's context."""
    from visits import Visit

    contexts = []

    def open_report(results: Results, **options: object) -> Visit:
        context = chromium.new_context(**options)
        contexts.append(context)
        return Visit(context.new_page(), reports(results))

    yield open_report
    for context in contexts:
        context.close()
