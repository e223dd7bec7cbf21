"""How long work reports its progress."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Shows a bar while items are consumed, for example with tqdm."""

    def __call__(self, items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:
        """The same items; `total` is their number and `text` says what is being done."""
        ...


def no_progress(items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:  # noqa: ARG001
    """The items, with nothing shown."""
    return items
