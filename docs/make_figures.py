"""Makes the pictures of docs/figures.md from a run on the demo cohort: `python docs/make_figures.py`."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from pathorob_checks import Results, evaluate, figures

HERE = Path(__file__).parent / "figures"
FM = "color-sensitive"  # it fails on purpose
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
    picture = as_image(figures.misled_patches(with_two_patches(results), fm=FM), 96)
    picture.save(HERE / "misled-patches.jpg", quality=70, optimize=True)


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
