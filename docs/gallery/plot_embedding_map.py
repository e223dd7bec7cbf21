"""
Map of the embeddings
=====================

The first two principal components, once by biological class and once by medical center. Points that lie
apart by center and mix by class say that the FM sees the center first.
"""

from pathorob_checks import Results, figures

results = Results.read("results.json")
figure = figures.embedding_map(results, fm="color-sensitive")
figure.savefig("embedding-map.png")
