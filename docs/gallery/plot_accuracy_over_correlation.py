"""
Accuracy when class and center are confounded in training
=========================================================

A classifier is trained on slides in which biological class and medical center go together more and more
(Cramér's V from 0 to 1), and tested on balanced slides. A robust FM has a flat curve; where it falls, the
classifier has learned the center.
"""

from pathorob_checks import Results, figures

results = Results.read("results.json")
figure = figures.accuracy_over_correlation(results, fm="color-sensitive")
figure.savefig("accuracy-over-correlation.png")
