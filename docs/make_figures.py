"""Makes the pictures that a code host shows on docs/figures.md: `python docs/make_figures.py`.

The site's gallery shows the same figures, drawn when it is built. These are kept in the repository, smaller.
"""

from __future__ import annotations

import io
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from pathorob_checks import Results, figures

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import gallery  # noqa: E402

COLORS = 128
SHOWN = ("intervals", "accuracy-over-correlation", "neighbor-shares", "embedding-map")


def main() -> None:
    """Run scripts of the gallery and write what they draw; drawings as PNG, what has photographs as JPEG."""
    gallery.prepare()
    os.chdir(gallery.COPY)
    for name in SHOWN:
        picture = as_image(ran(name)["figure"], 144)
        picture.quantize(COLORS).save(HERE / "figures" / f"{name}.png", optimize=True)
    picture = as_image(figures.misled_patches(with_two_patches(ran("misled-patches")["results"])), 96)
    picture.save(HERE / "figures" / "misled-patches.jpg", quality=70, optimize=True)


def ran(name: str) -> dict[str, Any]:
    """The names of a script of the gallery after it ran."""
    return runpy.run_path(f"plot_{name.replace('-', '_')}.py")


def with_two_patches(results: Results) -> Results:
    """The results with two of the misled patches, for a smaller picture."""
    runs = [run.model_copy(update={"neighborhoods": run.neighborhoods[:2]}) for run in results.runs]
    return results.model_copy(update={"runs": tuple(runs)})


def as_image(figure: Figure, pixels_per_inch: int) -> Image.Image:
    """The figure without transparency."""
    content = io.BytesIO()
    figure.savefig(content, dpi=pixels_per_inch)
    return Image.open(content).convert("RGB")


if __name__ == "__main__":
    main()
