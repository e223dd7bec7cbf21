"""How figures look: colors that color-blind readers tell apart, shapes and lines that print in gray."""

from __future__ import annotations

import functools
import threading
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ParamSpec

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.text import Text

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.figures.shown import ShownFigure
from pathorob_checks.wording import printable

WIDTH = 6.67  # inches: 640 pixels of a page at 96 per inch
DPI = 192
SMALL = 8.0  # points
_EDGE = 0.05  # inches between a title and the edge of the figure
_FITTINGS, _NOTICEABLE = 3, 0.96  # widths of letters are whole pixels: a bit smaller may be as wide
_LEFT_TO_RIGHT, _FROM_RIGHT = "\N{LEFT-TO-RIGHT MARK}", ("R", "AL")

# Text and lines of this color take the color of the text around an inline SVG; `BLACK` stays black.
INK = "#1d1d1b"
BLACK = "#111111"
MUTED = "#808080"  # readable on white and on black
# The palette of Okabe and Ito (2008) without yellow, which white paper swallows.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
COLORS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, MUTED)
MARKERS = ("o", "s", "^", "X", "D", "v", "P", "<", "*", ">", "p")  # a prime number more than colors repeat
LINES = ("-", "--", "-.", ":")
FILLS = ("#CFE8F7", SKY, ORANGE, "#D0D0D0", "#7FCDB6", "#E5BCD3", "#F2A678")  # black text is legible on each
HATCHES = ("", "////", "xxxx", "\\\\\\\\", "----", "||||", "++++")  # dots take much room in an SVG

# Shape, color and whether the shape is filled.
VERDICT_MARKS: Mapping[Verdict, tuple[str, str, bool]] = {
    Verdict.FAIL: ("s", VERMILLION, True),
    Verdict.ERROR: ("s", VERMILLION, False),
    Verdict.INCONCLUSIVE: ("D", ORANGE, False),
    Verdict.SKIPPED: ("o", MUTED, False),
    Verdict.PASS: ("o", BLUE, True),
}

STYLE: Mapping[str, object] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],  # it comes with matplotlib: the same figure everywhere
    "font.size": 9.0,
    "hatch.color": BLACK,
    "hatch.linewidth": 0.6,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a `$` in a name is a character
    "xtick.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.color": INK,
    "ytick.labelsize": SMALL,
}
_LOCK = threading.RLock()  # matplotlib's settings are those of the process
_Arguments = ParamSpec("_Arguments")


@contextmanager
def style(**more: object) -> Iterator[None]:
    """Matplotlib's own defaults with this style, whatever the user set; for one thread at a time."""
    settings = {**STYLE, **{name.replace("__", "."): value for name, value in more.items()}}
    with _LOCK, matplotlib.style.context(["default", settings]), warnings.catch_warnings():
        # The reader's font may have a letter that this one lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def styled(function: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """A function that makes its figure in this style, laid out, and with all text taken literally."""

    @functools.wraps(function)
    def drawing(*positional: _Arguments.args, **named: _Arguments.kwargs) -> Figure:
        with style():
            figure = function(*positional, **named)
            figure.draw_without_rendering()  # axes make some of their text only now
            for text in figure.findobj(Text):
                text.set_parse_math(False)
            _fit_titles(figure)
            return figure

    return drawing


def _fit_titles(figure: Figure) -> None:
    """Make titles smaller that would be cut at the right edge of the figure."""
    titles = [*figure.texts]
    for axes in figure.axes:
        titles += [one for one in axes.get_children() if isinstance(one, Text) and one not in axes.texts]
    for title in titles:
        for _ in range(_FITTINGS):
            box = title.get_window_extent()
            if box.width and box.x1 > figure.bbox.x1:
                room = max(figure.bbox.x1 - box.x0 - _EDGE * figure.dpi, box.width / 2)
                title.set_fontsize(title.get_fontsize() * min(room / box.width, _NOTICEABLE))


def new_figure(height: float, *, layout: str | None = "constrained") -> Figure:
    """An empty figure of the width of all figures, `height` inches high."""
    return ShownFigure(figsize=(WIDTH, height), layout=layout)  # type: ignore[arg-type]


def short(text: str, most: int = 32) -> str:
    """`text` made printable, its middle cut where it is longer than `most`: both ends tell names apart.

    An end with letters that are read from right to left gets a mark of the other direction (counted as a
    character), so that what follows, such as a number, stays behind it. Such marks in `text` are kept.

    >>> short("hf-hub:organization/model", most=11)
    'hf-hu…model'
    """
    clean = _LEFT_TO_RIGHT.join(map(printable, text.split(_LEFT_TO_RIGHT)))
    directions = [one for one in map(unicodedata.bidirectional, clean) if one in ("L", *_FROM_RIGHT)]
    before, after = (
        _LEFT_TO_RIGHT if one in _FROM_RIGHT else ""
        for one in (directions[:1] + directions[-1:] or ["L", "L"])
    )
    most -= len(before) + len(after)
    if len(clean) > most:
        end = (most - 1) // 2
        clean = f"{clean[: most - 1 - end]}…{clean[len(clean) - end :]}"
    return f"{before}{clean}{after}"


def entry(text: str, most: int = 44) -> str:
    """`text` as an entry of a legend; matplotlib leaves out those that are empty or begin with `_`."""
    name = short(text, most)
    return f" {name}" if not name or name.startswith("_") else name


def distinct(names: Iterable[str], most: int = 32) -> dict[str, str]:
    """Each name as `short` shows it; those that would look alike get a number.

    >>> list(distinct(["a" * 9 + "1" + "b" * 9, "a" * 9 + "2" + "b" * 9], most=11).values())
    ['aaaaa…bbbbb (1)', 'aaaaa…bbbbb (2)']
    """
    names = tuple(dict.fromkeys(names))
    return dict(zip(names, distinguished([short(name, most) for name in names]), strict=True))


def distinguished(shown: Sequence[str]) -> list[str]:
    """These texts; those that are alike with a number.

    >>> distinguished(["a", "b", "a"])
    ['a (1)', 'b', 'a (2)']
    """
    texts, taken = list(shown), set(shown)
    for text, times in Counter(shown).items():
        number = 0
        for place in [place for place, one in enumerate(shown) if one == text and times > 1]:
            while texts[place] in taken:
                number += 1
                texts[place] = f"{text} ({number})"
            taken.add(texts[place])
    return texts
