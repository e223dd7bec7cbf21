"""
What a method changes
=====================

Does a repair make an FM more robust, and what does it take from biology? Each mark is a paired difference to
the FM without the method; it is filled where the whole interval is on one side of 0.
"""

from pathorob_checks import evaluate, figures

results = evaluate("demo:color-sensitive", criteria="index.toml", methods="combat", progress=False)
figure = figures.changes_by_method(results)
figure.savefig("changes-by-method.png")
