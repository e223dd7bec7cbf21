"""
Clustering score by pairs of classes and centers
================================================

Each cell clusters the embeddings of two biological classes from two medical centers. Above 0 the clusters
follow the class, below 0 the center.
"""

from pathorob_checks import Results, figures

results = Results.read("results.json")
figure = figures.clustering_heatmap(results, fm="color-sensitive")
figure.savefig("clustering-heatmap.png")
