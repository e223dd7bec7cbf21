"""A report that is open in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true"


@dataclass
class Visit:
    """A page, what its console said, and the addresses that it asked for."""

    page: Page
    file: Path
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(self.file.as_uri(), wait_until="load")

    @property
    def remote(self) -> list[str]:
        """Requests for anything but the file and what is in it."""
        return [one for one in self.requests if one != self.file.as_uri() and not one.startswith("data:")]

    def all(self, script: str) -> Any:
        """What a script makes of the page with everything opened."""
        self.page.evaluate(OPEN_ALL)
        return self.page.evaluate(script)
