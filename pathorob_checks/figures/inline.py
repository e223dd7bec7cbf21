"""A figure as an SVG element inside a page."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure
from PIL import Image

from pathorob_checks.figures.style import INK, style

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_ELEMENTS = frozenset(
    ("svg", "g", "defs", "clipPath", "path", "use", "rect", "image", "text", "tspan", "pattern")
)
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_DPI = 120  # of what is drawn as pixels: points of a map
_QUALITY = 80
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def svg_of(figure: Figure, prefix: str = "figure", *, label: str = "") -> str:
    """Return a figure as an `<svg>` element for a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Made by a function of this package.
    prefix : str, default 'figure'
        Put before the ids, so that several elements can be in one page: a letter, then letters, digits, `_`
        and `-`.
    label : str, optional
        What the figure shows, for those who cannot see it.

    Returns
    -------
    str
        One element without prolog, script, style sheet, link or metadata; the same for the same figure. Its
        background is transparent, text and lines take the color and the font of the text around it.

    Raises
    ------
    ValueError
        The prefix is none.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import intervals, svg_of
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> svg_of(intervals(results), "intervals")[:4]  # doctest: +SKIP
    '<svg'
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} is no prefix of ids")
    content = io.BytesIO()
    with style(svg__fonttype="none", image__interpolation="none"):
        figure.savefig(content, format="svg", transparent=True, dpi=_DPI, metadata=_NO_METADATA)
    root = ElementTree.fromstring(content.getvalue())  # noqa: S314 (it is matplotlib's own)
    names = _numbered(root, prefix)
    for parent in root.iter():
        for child in list(parent):
            if _name(child) not in _ELEMENTS:
                parent.remove(child)
    for element in root.iter():
        _clean(element, names)
    box = root.get("viewBox", "0 0 1 1")
    _, _, width, height = box.split()
    root.attrib.clear()
    root.attrib |= {
        "xmlns": _SVG,
        "viewBox": box,
        "width": f"{float(width) * 96 / 72:.0f}",
        "height": f"{float(height) * 96 / 72:.0f}",
        "role": "img",
        "style": "stroke-linejoin:round;stroke-linecap:butt;max-width:100%;height:auto",
    }
    if label:
        root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _numbered(root: ElementTree.Element, prefix: str) -> dict[str, str]:
    """New names of the ids that something in the figure refers to."""
    used: dict[str, None] = {}
    for element in root.iter():
        for value in element.attrib.values():
            used |= dict.fromkeys(_REFERENCE.findall(value))
        link = element.get(_LINK, "")
        if link.startswith("#"):
            used[link[1:]] = None
    return {old: f"{prefix}-{number}" for number, old in enumerate(used)}


def _clean(element: ElementTree.Element, names: dict[str, str]) -> None:
    element.tag = _name(element)
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        if key == "id":
            if value in names:
                element.set("id", names[value])
        elif key == _LINK:
            link = f"#{names[value[1:]]}" if value.startswith("#") else _image(value)
            element.set("href", link)
        elif not key.startswith("{"):
            text = _REFERENCE.sub(lambda match: f"url(#{names[match[1]]})", value)
            text = text.replace(INK, "currentColor")
            element.set(key, _without_family(text) if key == "style" else text)
    if element.text and not element.text.strip():
        element.text = None
    element.tail = None


def _without_family(text: str) -> str:
    """A style with the font of the page, in matplotlib's size and weight."""
    parts = []
    for part in filter(None, (one.strip() for one in text.split(";"))):
        name, _, value = part.partition(":")
        if name == "font":
            words = value.partition("px")[0].split()
            parts += [f"font-size:{words[-1]}px"]
            parts += [f"font-weight:{word}" for word in words[:-1] if word in ("bold", "700")]
            parts += [f"font-style:{word}" for word in words[:-1] if word in ("italic", "oblique")]
        elif name != "font-family":
            parts.append(f"{name}:{value.strip()}")
    return ";".join(parts)


def _image(link: str) -> str:
    """An image inside the figure; opaque ones as JPEG, which takes less room than matplotlib's PNG."""
    head, _, data = link.partition(",")
    if head != "data:image/png;base64":
        return ""
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    written = io.BytesIO()
    if image.mode == "RGB" or image.getextrema()[-1] == (255, 255):
        image.convert("RGB").save(written, "JPEG", quality=_QUALITY, optimize=True)
        kind = "jpeg"
    else:
        image.quantize(64).save(written, "PNG", optimize=True)
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
