"""Makes the pictures of docs/images from a run on the demo cohort: `python docs/make_screenshots.py`.

The run is of an FM that fails on purpose. Its terminal becomes a drawing (by rich), its HTML report pictures
(by Chromium, which must be on the path: `apt-get install chromium`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent / "images"
COMMAND = ("pytest", "--fm=demo:color-sensitive", "--fm-html=report.html")
COLUMNS = 100
COLORS = 64
FAILED = 1  # what pytest ends with where a test failed
FROM = re.compile(r"^=+ FAILURES =+$")
LEFT_OUT = re.compile(r"^(Bounds|Cohort|Licenses|results file|HTML report)")
UNTIL = re.compile(r"^=+ short test summary info =+$")
REMOTE_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Picture:
    """A picture of the HTML report: the part of the page that it begins with, or its top, and the screen."""

    name: str
    begins_at: str | None
    screen: dict[str, Any] = field(default_factory=dict)


PICTURES = (
    Picture("html-report.png", None, {"viewport": {"width": 1000, "height": 1000}}),
    Picture(
        "html-report-dark.jpg",
        "h4:has-text('Patches that the FM misplaces')",
        {"viewport": {"width": 900, "height": 620}, "color_scheme": "dark"},
    ),
    Picture("html-report-phone.png", None, {"viewport": {"width": 390, "height": 844}, "is_mobile": True}),
)


def main() -> None:
    """Run the gate and draw what it shows."""
    with tempfile.TemporaryDirectory() as folder:
        terminal = run(Path(folder))
        (HERE / "failing-table.svg").write_text(drawn(shortened(terminal)), encoding="utf-8")
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for picture in PICTURES:
                take(browser, Path(folder) / "report.html", picture)
            browser.close()


def run(folder: Path) -> str:
    """What the gate prints on a terminal with colors."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "PATHOROB_CHECKS_CACHE": str(folder / "cache")}
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", *COMMAND, "--color=yes", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != FAILED:
        raise SystemExit(f"the run ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def shortened(terminal: str) -> str:
    """The failure, the table and the outcome, without the paragraphs that a picture has no room for."""
    lines = terminal.splitlines()
    plain = [ESCAPES.sub("", line) for line in lines]
    first = next(number for number, line in enumerate(plain) if FROM.match(line))
    last = next(number for number, line in enumerate(plain) if UNTIL.match(line))
    kept: list[str] = []
    left_out = False
    for line, text in zip(lines[first:last], plain[first:last], strict=True):
        if LEFT_OUT.match(text):
            left_out = True
        elif not text:
            left_out = False
            if kept and not ESCAPES.sub("", kept[-1]):
                continue  # one blank line is enough
        if not left_out:
            kept.append(line)
    return "\n".join((f"$ {' '.join(COMMAND[:2])}", "...", *kept))


def drawn(text: str) -> str:
    """The text in its colors as SVG that refers to nothing outside of it."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    return REMOTE_FONTS.sub("", console.export_svg(title="pathorob-checks", unique_id="terminal"))


def take(browser: Browser, report: Path, picture: Picture) -> None:
    """Write a picture of the report."""
    page: Page = browser.new_context(**picture.screen).new_page()
    page.goto(report.as_uri())
    if picture.begins_at is not None:
        page.locator(picture.begins_at).first.evaluate("heading => heading.scrollIntoView()")
    path = HERE / picture.name
    if path.suffix == ".jpg":  # photographs
        page.screenshot(path=path, type="jpeg", quality=70)
        return
    page.screenshot(path=path)
    with Image.open(path) as taken:
        smaller = taken.convert("RGB").quantize(COLORS)
    smaller.save(path, optimize=True)


if __name__ == "__main__":
    main()
