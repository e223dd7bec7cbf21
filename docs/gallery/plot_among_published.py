"""
An FM among the published ones
==============================

Where an FM stands among those that the benchmark's authors measured. Nothing is published about the demo
cohort, so the FM "ours" and its value on Camelyon are invented here; with results of your own on a cohort
of the benchmark, begin at the last lines.
"""

from pathorob_checks import Results, figures

results = Results.read("results.json")
index = next(check for check in results.checks if check.metric == "robustness_index")
invented = index.model_copy(
    update={"fm": "ours", "cohort": "camelyon", "value": 0.62, "interval": (0.55, 0.69)}
)
results = results.model_copy(update={"checks": (invented,)})

figure = figures.among_published(results, fm="ours", cohort="camelyon")
figure.savefig("among-published.png")
