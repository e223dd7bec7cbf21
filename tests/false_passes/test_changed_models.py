"""A `python:` model that changed where nobody looks, and the embeddings of the model that it was before."""

from __future__ import annotations

import numpy as np
import pytest
from attack import Attack, assert_not_passed, rows_of
from PIL import Image

# An embedding is a color, weighted: by CLASS it follows the class, by CENTER the center.
ENCODER = """
import numpy as np, torch
class Encoder:
    def __init__(self):
        self.model = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(self.model.weight)
        torch.nn.init.zeros_(self.model.bias)
        {init}
    def preprocess(self, image):
        pixels = np.asarray(image.resize((4, 4)), dtype="float32").copy()
        return torch.from_numpy(pixels).permute(2, 0, 1) / 255
    def embed(self, batch):
        {embed}
        return (batch - 0.51).flatten(1) * weights.repeat_interleave(16)
def build():
    return Encoder()
"""
CLASS, CENTER = [0.2, 1.0, 0.2], [1.0, 0.1, 0.2]


def write_model(attack: Attack, way: str, weights: list[float]) -> None:
    init, embed = WAYS[way]
    attack.write("encoder.py", ENCODER.format(init=init, embed=embed))
    attack.write("helper.py", f"WEIGHTS = {weights}\n")
    np.save(attack.folder / "weights.npy", np.array(weights, dtype=np.float32))


WAYS = {
    "a_second_network": (
        "self.head = torch.nn.Linear(3, 1); self.head.weight.data[:] = torch.tensor(np.load('weights.npy'))",
        "weights = self.head.weight[0]",
    ),
    "an_array_from_a_file": (
        "self.weights = torch.tensor(np.load('weights.npy'))",
        "weights = self.weights",
    ),
    "a_module_imported_in_the_factory": (
        "import helper; self.weights = torch.tensor(helper.WEIGHTS)",
        "weights = self.weights",
    ),
    "a_closure": (
        "array = np.load('weights.npy'); self.scale = lambda: torch.tensor(array)",
        "weights = self.scale()",
    ),
    "a_file_read_by_embed": ("pass", "weights = torch.tensor(np.load('weights.npy'))"),
    "an_environment_variable": (
        "pass",
        "import os; weights = torch.tensor([float(x) for x in os.environ['ENCODER_WEIGHTS'].split()])",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_old_embeddings_are_not_measured(attack: Attack, way: str) -> None:
    rng = np.random.default_rng(0)
    attack.write("coh/cohort.toml", "k = 12\n")
    red, green = {"north": 60, "south": 200, "west": 130}, {"stroma": 90, "tumor": 170}
    for row in rows_of(attack.folder / "coh"):
        color = np.array([red[row["medical_center"]], green[row["biological_class"]], 120])
        pixels = np.clip(color + rng.normal(0, 8, 3) + rng.normal(0, 30, (8, 8, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(attack.folder / "coh" / row["image_path"])
    outcomes = []
    for weights in (CLASS, CENTER):
        write_model(attack, way, weights)
        text = " ".join(map(str, weights))
        outcomes.append(attack.run(fm="python:encoder:build", ENCODER_WEIGHTS=text))
    first, second = outcomes
    assert first.code == 0, first.output
    assert_not_passed(second)
    assert second.headline.startswith("FAIL")
