"""What a run shows while it works, and how it shares the machine: here nothing, in other rooms more."""

from __future__ import annotations

from collections.abc import Iterable

from pathorob_checks.progress import Item
from pathorob_checks.wording import printable


class Observer:
    """Follows a run and shows nothing; callers derive from it.

    Attributes
    ----------
    process : number of this process among those of the run, from 0; several GPUs are taken in turn by it.
    """

    process = 0

    def progress(self, items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:  # noqa: ARG002
        """The items, perhaps with a bar of `total` steps."""
        return items

    def extraction_progress(self, items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:
        """As `progress`, for an extraction, which may take hours."""
        return self.progress(items, total, text)

    def waits(self, text: str) -> None:
        """This process waits for another one; called about once a second."""

    def works(self) -> None:
        """This process works again after it may have waited."""


class Bars(Observer):
    """Shows a bar for what takes longer than two seconds, as text or as a widget in a notebook."""

    def progress(self, items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:
        """The items, with a bar while they are consumed."""
        from tqdm.auto import tqdm

        yield from tqdm(items, desc=printable(text), total=total, delay=2.0, leave=False, dynamic_ncols=True)
