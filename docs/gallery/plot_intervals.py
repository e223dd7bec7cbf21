"""
Every criterion with value, interval and bound
==============================================

The first figure to look at. A shape is a value, the thin line its interval, the thick line the bound; the
shaded side meets the bound. A criterion is clear where the whole interval lies on one side.
"""

from pathorob_checks import Results, figures

results = Results.read("results.json")
figure = figures.intervals(results)
figure.savefig("intervals.png")
