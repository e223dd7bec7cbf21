"""
Trend over versions of an FM
============================

``--fm-history`` keeps runs, and ``pathorob-checks history --figure`` draws them. Here four versions of an
FM are checked on made embeddings, in which the medical center weighs more from version to version. A ring
marks a significant fall.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from pathorob_checks import evaluate
from pathorob_checks.cli import main
from pathorob_checks.history.store import History

labels = [["Aachen", "Bonn"], ["normal", "tumor"], range(12), range(8)]
columns = ["medical_center", "biological_class", "slide_id", "patch_id"]
patches = pd.MultiIndex.from_product(labels, names=columns).to_frame(index=False)
patches["slide_id"] = patches[columns[:3]].astype(str).agg("-".join, axis=1)
Path("ours").mkdir()
patches.to_csv("ours/manifest.csv", index=False)

random = np.random.default_rng(0)
for version in range(1, 5):
    values = random.normal(size=(len(patches), 16)).astype(np.float32)
    values[:, 0] += 3 * (patches.biological_class == "tumor")
    values[:, 1] += version * (patches.medical_center == "Bonn")
    folder = Path(f"our-fm-v{version}")
    folder.mkdir()
    np.save(folder / "embeddings.npy", values)
    patches.to_csv(folder / "manifest.csv", index=False)
    results = evaluate(f"embeddings:{folder}", cohorts="ours", criteria="index.toml", progress=False)
    ended = datetime(2026, version, 1, tzinfo=UTC)
    History(Path("history.sqlite")).add(results.model_copy(update={"created": ended}))

# %%
# The command shows each criterion of each FM family, the newest run last, and draws the same.

main(["history", "--file=history.sqlite", "--figure=trend.png"])
figure = Path("trend.png")
