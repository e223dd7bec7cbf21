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
    kind : str
        What it shows, in lower-case letters and `_`, such as `intervals`.
    subjects : tuple of str
        Ids of the FM and cohort that it is about, as in test ids; empty for one about the whole run.
    title : str
        A short line.
    caption : str
        How to read it, in sentences.
    alt : str
        What it shows, in words, for those who cannot see it.
    columns : tuple of str
        The head of a table with the same content.
    rows : tuple of tuple of str
        The rows of that table.
    draw : callable
        Makes the figure.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from pathorob_checks.figures import Picture
    >>> picture = Picture(
    ...     kind="curve",
    ...     subjects=("virchow2-camelyon",),
    ...     title="Leak over layers",
    ...     caption="A flat curve is robust.",
    ...     alt="Leak is 0.1 in layer 1 and 0.2 in layer 2.",
    ...     columns=("layer", "leak"),
    ...     rows=(("1", "0.1"), ("2", "0.2")),
    ...     draw=Figure,
    ... )
    >>> picture.draw().axes
    []
    """

    kind: str
    subjects: tuple[str, ...]
    title: str
    caption: str
    alt: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    draw: Callable[[], Figure]
