"""A figure that a notebook shows by itself."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image

PIXELS_PER_INCH = 96  # of a page


class ShownFigure(Figure):
    """A figure that a notebook shows as an image, whether or not it has imported `matplotlib.pyplot`.

    Notebooks learn to show figures when pyplot is imported, which the figures of this package do without.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The image, and its width on the page: the screen may show it with more pixels."""
        whole, content = io.BytesIO(), io.BytesIO()
        self.savefig(whole, format="png")
        # A notebook keeps its images: with a palette they take a quarter of the room.
        colors = Image.open(whole).convert("RGB").quantize(dither=Image.Dither.NONE)
        colors.save(content, "PNG", optimize=True)
        return content.getvalue(), {"width": round(self.get_figwidth() * PIXELS_PER_INCH)}
