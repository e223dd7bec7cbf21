"""
Changes between two FMs
=======================

How much more robust is one FM than another on the same slides? :func:`pathorob_checks.compare` gives a
table with a paired interval for each change, and matplotlib draws it. An interval that leaves 0 out is a
change; one that crosses it is undecided.
"""

from matplotlib.figure import Figure

from pathorob_checks import compare

table = compare(["results.json"], to="color-sensitive").table()
changes = table.dropna(subset=["change"]).iloc[::-1]

figure = Figure(figsize=(6.7, 2.4), layout="constrained")
axes = figure.add_subplot()
lengths = [changes.change - changes.change_low, changes.change_high - changes.change]
axes.errorbar(changes.change, changes.metric.str.replace("_", " "), xerr=lengths, fmt="o", capsize=3)
axes.axvline(0, color="gray", linestyle="--")
axes.set_xlabel("stain-invariant minus color-sensitive, with 95 % interval")
axes.margins(y=0.2)
figure.savefig("comparison.png")
