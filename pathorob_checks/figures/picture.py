"""A figure with what a report puts around it: title, caption, words for those who cannot see it, a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure of a report; it is drawn when it is needed.

    Attributes
    ----------
    kind : what it shows, in lower-case letters and `_`, such as `intervals`.
    subjects : ids of the FM and cohort that it is about; empty for one about the whole run.
    title : a short line.
    caption : how to read it, in sentences.
    alt : what it shows, in words, for those who cannot see it.
    columns, rows : the same content as a table of texts.
    draw : makes the figure.
    """

    kind: str
    subjects: tuple[str, ...]
    title: str
    caption: str
    alt: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    draw: Callable[[], Figure]
