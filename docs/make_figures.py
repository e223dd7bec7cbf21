"""Makes the pictures of docs/figures.md from a run on the demo cohort: `python docs/make_figures.py`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pathorob_checks import Results, evaluate, figures
from pathorob_checks.cohorts import demo
from pathorob_checks.embeddings.normalizing import fit_target
from pathorob_checks.methods.macenko import Macenko
from pathorob_checks.methods.reinhard import Reinhard

HERE = Path(__file__).parent / "figures"
FM = "color-sensitive"  # it fails on purpose
METHODS = ("reinhard", "combat", "reinhard+combat")
COLORS = 128
SHOWN = {
    "intervals": figures.intervals,
    "accuracy-over-correlation": lambda results: figures.accuracy_over_correlation(results, fm=FM),
    "neighbor-shares": lambda results: figures.neighbor_shares(results, fm=FM),
    "embedding-map": lambda results: figures.embedding_map(results, fm=FM),
}


def main() -> None:
    """Run the demo and write each picture; drawings as PNG, what has photographs as JPEG."""
    results = evaluate([f"demo:{FM}", "demo:stain-invariant"], images=True, progress=False)
    HERE.mkdir(exist_ok=True)
    for name, draw in SHOWN.items():
        picture = as_image(draw(results), 144)
        picture.quantize(COLORS).save(HERE / f"{name}.png", optimize=True)
    repaired = evaluate(f"demo:{FM}", methods=METHODS, progress=False)
    picture = as_image(figures.changes_by_method(repaired), 144)
    picture.quantize(COLORS).save(HERE / "changes-by-method.png", optimize=True)
    patches_before_and_after().save(HERE / "normalized-patches.jpg", quality=80, optimize=True)
    picture = as_image(figures.misled_patches(with_two_patches(results), fm=FM), 96)
    picture.save(HERE / "misled-patches.jpg", quality=70, optimize=True)


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
