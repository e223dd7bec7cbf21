"""
Robustness index over the number of neighbors
=============================================

Does the verdict depend on k? Above 0.5 a patch's informative neighbors share its biological class more
often than its medical center. The diamond is the value that the criterion judges.
"""

from pathorob_checks import Results, figures

results = Results.read("results.json")
figure = figures.index_over_k(results, fm="color-sensitive")
figure.savefig("index-over-k.png")
