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

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pathorob_checks import Results, evaluate, figures
from pathorob_checks.cohorts import demo
from pathorob_checks.embeddings.normalizing import fit_target
from pathorob_checks.methods.macenko import Macenko
from pathorob_checks.methods.reinhard import Reinhard

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import gallery  # noqa: E402

COLORS = 128
SHOWN = ("intervals", "accuracy-over-correlation", "neighbor-shares", "embedding-map")
METHODS = ("reinhard", "combat", "reinhard+combat")


def main() -> None:
    """Run scripts of the gallery and write what they draw; drawings as PNG, what has photographs as JPEG."""
    gallery.prepare()
    os.chdir(gallery.COPY)
    for name in SHOWN:
        write_drawing(ran(name)["figure"], name)
    picture = as_image(figures.misled_patches(with_two_patches(ran("misled-patches")["results"])), 96)
    picture.save(HERE / "figures" / "misled-patches.jpg", quality=70, optimize=True)
    repaired = evaluate("demo:color-sensitive", methods=METHODS, progress=False)
    write_drawing(figures.changes_by_method(repaired), "changes-by-method")
    path = HERE / "figures" / "normalized-patches.jpg"
    patches_before_and_after().save(path, quality=80, optimize=True)


def ran(name: str) -> dict[str, Any]:
    """The names of a script of the gallery after it ran."""
    return runpy.run_path(f"plot_{name.replace('-', '_')}.py")


def write_drawing(figure: Figure, name: str) -> None:
    """Write it as a PNG of few colors."""
    path = HERE / "figures" / f"{name}.png"
    as_image(figure, 144).quantize(COLORS).save(path, optimize=True)


def patches_before_and_after() -> Image.Image:
    """Patches of one class from each center: as they are, by `reinhard`, and by `macenko`, in three rows."""
    cohort = demo.load()
    of_class = cohort.patches[cohort.patches.biological_class == "tumor"]
    rows = of_class.groupby("medical_center").head(2).index
    before = [np.asarray(cohort.read_image(row)) for row in rows]
    after = [
        [method.transform(image)[0] for image in before]
        for method in (fit_target(kind(), cohort) for kind in (Reinhard, Macenko))
    ]
    whole = np.concatenate([np.concatenate(images, axis=1) for images in (before, *after)])
    return Image.fromarray(whole)


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
