"""What a prompt shows of a result, in a line or two."""

from __future__ import annotations

from pathorob_checks.wording import counted, percent, printable


def short_text(kind: str, *parts: str) -> str:
    """`<Kind: part; part>`, without the parts that are empty.

    >>> short_text("RobustnessIndex", "0.672", "", "160 patches")
    '<RobustnessIndex: 0.672; 160 patches>'
    """
    return printable(f"<{kind}: {'; '.join(filter(None, parts))}>")


def value_text(value: float, interval: tuple[float, float] | None, confidence: float) -> str:
    """A value, with its interval where it has one.

    >>> value_text(0.672, (0.601, 0.735), 0.95)
    '0.672 (95 % interval [0.601, 0.735])'
    """
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({percent(confidence)} interval [{interval[0]:.3f}, {interval[1]:.3f}])"


def patches_text(rows: int) -> str:
    """`1,200 patches`."""
    return counted(rows, "patch", "patches")
