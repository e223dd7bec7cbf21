"""The domain-adversarial head: what it learns, that it is repeatable, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from planted import embed, patch_table
from planted_drops import DropDesign

from pathorob_checks.errors import MethodError
from pathorob_checks.methods import saving
from pathorob_checks.methods.dann import Dann
from pathorob_checks.methods.registry import method
from pathorob_checks.metrics import performance_drop
from pathorob_checks.metrics.drop_result import PerformanceDrop
from pathorob_checks.numerics import adversarial
from pathorob_checks.numerics.adversarial import UNKNOWN, adversarial_layer

Float32 = npt.NDArray[np.float32]
TABLE = patch_table(slides=6, patches=10)
X = embed(TABLE, biology=0.5, center=1)
CENTERS, CLASSES = TABLE.medical_center.tolist(), TABLE.biological_class.tolist()


def fitted(x: Float32 = X, **settings: Any) -> Dann:
    return Dann(**{"hidden": 16, **settings}).fit(x, centers=CENTERS, classes=CLASSES)


def features(dann: Dann, x: Float32 = X) -> Float32:
    return dann.transform(x, centers=["elsewhere"] * len(x))


# --- what it learns ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_features_tell_classes_apart_by_much_more_than_centers() -> None:
    """Without the adversary more of the center stays, which is twice as far apart in the embeddings."""

    def apart(h: Float32, labels: list[str]) -> float:
        means = [h[np.array(labels) == label].mean(axis=0) for label in sorted(set(labels))]
        return float(np.linalg.norm(means[0] - means[1]))

    def ratio(strength: float) -> float:
        of_seeds = [features(fitted(strength=strength, seed=seed)) for seed in range(3)]
        return float(np.mean([apart(h, CENTERS) / apart(h, CLASSES) for h in of_seeds]))

    assert apart(X, CENTERS) / apart(X, CLASSES) > 1.9
    assert ratio(1.0) < 0.22
    assert ratio(1.0) < 0.6 * ratio(0.0)


class ByLabels:
    """DANN on the training patches of a split."""

    def __init__(self, table: pd.DataFrame, **settings: Any) -> None:
        self._settings = settings
        self._centers, self._classes = table.medical_center.tolist(), table.biological_class.tolist()

    def __call__(self, embeddings: Float32, training: npt.NDArray[np.int64]) -> Float32:
        rows = training.tolist()
        dann = Dann(**self._settings).fit(
            embeddings[rows],
            centers=[self._centers[row] for row in rows],
            classes=[self._classes[row] for row in rows],
        )
        return dann.transform(embeddings, centers=self._centers)


@pytest.mark.slow
def test_with_the_center_in_a_second_direction_less_is_lost_by_confounded_training() -> None:
    clear = DropDesign(patches=10, biology=2.0, center=4.0, slide=0.3)
    blurred = DropDesign(dim=12, patches=20, biology=1.2, center=2.0)
    plain, repaired = (
        [
            performance_drop(
                design.embeddings(seed),
                design.table,
                repetitions=2,
                repair=ByLabels(design.table) if with_repair else None,
            )
            for design, seed in ((clear, 1), (blurred, 0))
        ]
        for with_repair in (False, True)
    )

    def mean(of: Callable[[PerformanceDrop], Any], results: list[PerformanceDrop]) -> float:
        return float(np.mean([of(result) for result in results]))

    assert mean(lambda drop: drop.id_drop, repaired) > mean(lambda drop: drop.id_drop, plain) + 0.02
    assert mean(lambda drop: drop.ood_drop, repaired) > mean(lambda drop: drop.ood_drop, plain) + 0.015
    # Not because there is less to lose: the accuracies are higher.
    whole, first = (lambda drop: drop.id_accuracies), (lambda drop: drop.id_accuracies[0])
    assert mean(whole, repaired) > mean(whole, plain) + 0.01
    assert mean(first, repaired) > mean(first, plain) - 0.02


def test_patches_of_unknown_class_train_the_head_of_the_centers() -> None:
    """Those of a third center, whose own direction the others do not have, lose it in the features."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 8)).astype(np.float32)
    centers, classes = np.repeat([0, 1, 2], 100), np.tile([0, 1], 150)
    x[:, 0] += 3 * classes
    x[centers == 2, 1] += 6
    labelled, known = np.flatnonzero(centers < 2), np.where(centers < 2, classes, UNKNOWN)
    settings: dict[str, Any] = {"hidden": 16, "steps": 300, "strength": 1.0, "seed": 0}
    with_them = adversarial_layer(x, known, centers, **settings).features(x)
    without = adversarial_layer(x[labelled], known[labelled], centers[labelled], **settings).features(x)

    def apart(h: Float32) -> float:
        here, there = h[centers < 2], h[centers == 2]
        return float(np.linalg.norm(there.mean(axis=0) - here.mean(axis=0)) / here.std(axis=0).mean())

    assert apart(with_them) < 0.7 * apart(without)


def test_a_class_of_a_patch_whose_class_is_hidden_changes_nothing() -> None:
    hidden = [None if place % 3 == 0 else label for place, label in enumerate(CLASSES)]
    one = Dann(hidden=4).fit(X, centers=CENTERS, classes=hidden)
    assert not np.array_equal(features(one), features(fitted(hidden=4)))


# --- repeatable -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_equal_patches_give_equal_features_in_any_order_and_on_any_threads(count: int) -> None:
    expected = features(fitted())
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with torch.no_grad():  # as a caller may
            order = np.random.default_rng(0).permutation(len(X)).tolist()
            shuffled = Dann(hidden=16).fit(
                X[order],
                centers=[CENTERS[row] for row in order],
                classes=[CLASSES[row] for row in order],
            )
        np.testing.assert_array_equal(features(shuffled), expected)
        assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert not np.array_equal(features(fitted(seed=1)), expected)


def test_the_center_of_a_patch_and_the_patches_beside_it_do_not_matter() -> None:
    dann = fitted()
    whole = features(dann)
    np.testing.assert_array_equal(dann.transform(X, centers=CENTERS), whole)
    np.testing.assert_allclose(features(dann, X[5:9]), whole[5:9], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_scale_and_offset_of_the_embeddings_do_not_matter() -> None:
    np.testing.assert_allclose(features(fitted(X * 1024), X * 1024), features(fitted()), atol=1e-3)
    moved = X + np.float32(64)
    np.testing.assert_allclose(features(fitted(moved), moved), features(fitted()), atol=0.05)


def test_a_saved_head_is_restored_to_the_bit(tmp_path: Path) -> None:
    dann = fitted(seed=3)
    saved = {name: values.copy() for name, values in dann.state().items()}
    saving.save(dann, tmp_path / "dann")
    for again in (Dann(**dann.settings).restore(saved, dann.centers), saving.load(tmp_path / "dann")):
        np.testing.assert_array_equal(again.transform(X, centers=CENTERS), features(dann))
        assert (again.centers, again.settings, again.dimension) == (dann.centers, dann.settings, X.shape[1])


def test_embeddings_that_are_all_alike_have_features_that_are_alike() -> None:
    alike = np.ones_like(X)
    assert np.ptp(features(fitted(alike), alike), axis=0).max() == 0


def test_the_program_s_precision_is_as_before() -> None:
    before = torch.get_float32_matmul_precision()
    fitted()
    assert torch.get_float32_matmul_precision() == before


# --- what it says and refuses -----------------------------------------------------------------------------


def test_it_is_a_method_for_classifiers_only() -> None:
    assert method("dann") is Dann
    assert (Dann.uses_classes, Dann.repairs_embeddings) == (True, False)
    assert features(Dann().fit(X, centers=CENTERS, classes=CLASSES)).shape == (len(X), 128)


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        (None, "method 'dann' is fitted with classes, and none were given"),
        (["tumor"] * len(X), "method 'dann': its patches are of 1 known biological class"),
        ([None] * len(X), "method 'dann': its patches are of 0 known biological classes"),
    ],
)
def test_it_needs_two_classes(classes: list[str | None] | None, problem: str) -> None:
    with pytest.raises(MethodError) as error:
        Dann().fit(X, centers=CENTERS, classes=classes)
    assert error.value.problem == problem


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"hidden": 0}, "its hidden is 0"),
        ({"steps": 0}, "its steps is 0"),
        ({"strength": -1.0}, "its strength is -1.0"),
        ({"strength": float("nan")}, "its strength is nan"),
        ({"seed": -1}, "its seed is -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(MethodError, match=problem):
        Dann(**settings)


def test_a_state_of_another_number_of_features_is_refused() -> None:
    state = dict(fitted().state())
    state["shift"] = state["shift"][:-1]
    with pytest.raises(MethodError, match="does not fit the others"):
        Dann(hidden=16).restore(state, ["Aachen", "Bonn"])
    with pytest.raises(MethodError, match="its arrays are of 16 features, its settings of 128"):
        Dann().restore(fitted().state(), ["Aachen", "Bonn"])


def test_lambda_rises_from_0_to_the_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    reversal = adversarial._Reversal

    class Recorded:
        @staticmethod
        def apply(h: Any, strength: float) -> Any:
            seen.append(strength)
            return reversal.apply(h, strength)

    monkeypatch.setattr(adversarial, "_Reversal", Recorded)
    fitted(strength=0.5, steps=40)
    p = np.arange(len(seen)) / len(seen)
    assert len(seen) == 40
    np.testing.assert_allclose(seen, 0.5 * (2 / (1 + np.exp(-10 * p)) - 1), atol=1e-12)
