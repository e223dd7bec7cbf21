"""
What each method changes
========================

Which repair helps, and what does it cost in biology? A run with methods measures every criterion without and
with each of them, on the same slides. This script measures, with the criterion of ``index.toml``.
"""

from pathorob_checks import evaluate, figures

methods = ["reinhard", "combat", "reinhard+combat"]
results = evaluate("demo:color-sensitive", criteria="index.toml", methods=methods, progress=False)
figure = figures.changes_by_method(results)
figure.savefig("changes-by-method.png")
