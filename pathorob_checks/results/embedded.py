"""Results inside an HTML page, from which they are read again later."""

from __future__ import annotations

import json

_OPENING, _CLOSING = '<script type="application/json" id="results">', "</script>"
# In JSON, these characters stand only in strings, where an escape is the same text.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
_HTML = b"<!doctype html>"


def results_script(content: str) -> str:
    """A `script` element with the content of a results file, which nothing in it can close.

    Parameters
    ----------
    content : as `Results.to_json` gives it.
    """
    text = json.dumps(json.loads(content), allow_nan=False, separators=(",", ":"))
    return _OPENING + text.translate(_ESCAPES) + _CLOSING


def is_page(content: bytes) -> bool:
    """Whether the content of a file is an HTML page rather than JSON."""
    return content[: len(_HTML)].lower() == _HTML


def results_within(page: bytes) -> bytes:
    """The content of the results file that a page holds.

    Raises
    ------
    ValueError : it holds none, or several.
    """
    parts = page.split(_OPENING.encode())
    if len(parts) != 2:
        raise ValueError("the page holds no results" if len(parts) < 2 else "the page holds several results")
    content, closing, _ = parts[1].partition(_CLOSING.encode())
    if not closing:
        raise ValueError("the page is cut off within its results")
    return content
