"""
Misled patches beside their nearest neighbors
=============================================

Patches that a metric misses, with the neighbors that mislead it: here of another biological class from
the same medical center. A results file never holds images, so this script measures, with the criterion of
``index.toml``.
"""

from pathorob_checks import evaluate, figures

results = evaluate("demo:color-sensitive", criteria="index.toml", images=True, progress=False)
figure = figures.misled_patches(results)
figure.savefig("misled-patches.png", dpi=96)
