"""
Whose neighbors are nearest
===========================

For the patches of each medical center and biological class: how many of their nearest neighbors share
class, center, both or neither.
"""

from pathorob_checks import Results, figures

results = Results.read("results.json")
figure = figures.neighbor_shares(results, fm="color-sensitive")
figure.savefig("neighbor-shares.png")
