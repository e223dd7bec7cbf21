"""ComBat is that of the literature: against neuroCombat, which follows the authors' R code."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_repairs import Float32, of_center, patches

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.combat import Combat, CombatClass

examples = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 10_000)


@pytest.fixture
def neuro_combat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Its iteration ends at a change of 1e-4, which leaves more of a difference than the parity below."""
    module = import_module("neuroCombat.neuroCombat")  # the package has a function of that name
    monkeypatch.setattr(module.it_sol, "__defaults__", (1e-10,))

    def run(x: Float32, centers: list[str], classes: list[str] | None = None) -> Float32:
        covariates = {"center": centers} | ({} if classes is None else {"class": classes})
        result = module.neuroCombat(
            dat=x.astype(np.float64).T,
            covars=pd.DataFrame(covariates),
            batch_col="center",
            categorical_cols=None if classes is None else ["class"],
        )
        return np.asarray(result["data"].T)

    return run


@pytest.mark.parametrize("dim", [6, 200])
@given(seed=seeds)
@examples
def test_combat_is_that_of_neuro_combat(neuro_combat: Any, seed: int, dim: int) -> None:
    x, centers, _ = patches(seed, dim=dim)
    repaired = Combat().fit(x, centers=centers).transform(x, centers=centers)
    np.testing.assert_allclose(repaired, neuro_combat(x, centers), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("dim", [6, 200])
@given(seed=seeds)
@examples
def test_combat_with_classes_is_that_of_neuro_combat(neuro_combat: Any, seed: int, dim: int) -> None:
    x, centers, classes = unbalanced(seed, dim)
    repair = CombatClass().fit(x, centers=centers, classes=classes)
    repaired = repair.transform(x, centers=centers, classes=classes)
    np.testing.assert_allclose(repaired, neuro_combat(x, centers, classes), rtol=1e-6, atol=2e-6)


def unbalanced(seed: int = 0, dim: int = 6) -> tuple[Float32, list[str], list[str]]:
    """Three classes with unlike shares in the centers; one center lacks a class."""
    x, centers, _ = patches(seed, dim=dim)
    rng = np.random.default_rng(seed)
    shares = {"center 0": (0.6, 0.2, 0.2), "center 1": (0.3, 0.4, 0.3), "center 2": (0.5, 0.5, 0)}
    kinds = [rng.choice(3, p=shares[center]) for center in centers]
    effects = 2 * rng.standard_normal((3, dim))
    return (x + effects[kinds]).astype(np.float32), centers, [f"class {kind}" for kind in kinds]


def test_without_its_class_a_patch_is_repaired_about_the_mean_of_the_fit() -> None:
    """Then patches of one center are all scaled and moved alike."""
    x, centers, classes = unbalanced()
    repair = CombatClass().fit(x, centers=centers, classes=classes)
    blind = repair.transform(x, centers=centers)
    for name, group in of_center(x, centers).items():
        repaired = of_center(blind, centers)[name]
        moved = repaired - group * repair.state()["scale"][repair.centers.index(name)]
        assert np.ptp(moved, axis=0).max() < 1e-5
    aware = repair.transform(x, centers=centers, classes=classes)
    assert np.abs(aware - blind).max() > 0.05
    assert repair.transform(x, centers=centers, classes=[None] * len(x)).tobytes() == blind.tobytes()


def test_classes_of_patches_of_an_unseen_center_change_nothing() -> None:
    x, centers, classes = unbalanced()
    repair = CombatClass().fit(x, centers=centers, classes=classes)
    repaired = repair.transform(x, centers=["elsewhere"] * len(x), classes=classes)
    assert repaired.tobytes() == x.tobytes()


def test_the_class_as_covariate_keeps_biology_that_goes_with_the_center() -> None:
    """Nine tenths of each class from one center, no difference between centers but that."""
    rng = np.random.default_rng(0)
    kinds = np.array([0] * 90 + [1] * 10 + [0] * 10 + [1] * 90)
    centers, classes = ["Aachen"] * 100 + ["Bonn"] * 100, [f"class {kind}" for kind in kinds]
    x = (rng.standard_normal((200, 20)) + 3 * kinds[:, None]).astype(np.float32)

    def distance(values: Float32) -> float:
        return float((values[kinds == 1].mean(axis=0) - values[kinds == 0].mean(axis=0)).mean())

    blind = Combat().fit(x, centers=centers).transform(x, centers=centers)
    aware = CombatClass().fit(x, centers=centers, classes=classes).transform(x, centers=centers)
    assert distance(x) == pytest.approx(3, abs=0.1)
    assert distance(aware) == pytest.approx(3, abs=0.1)
    assert distance(blind) < 1.5


def test_patches_of_unknown_class_are_left_out_of_the_fit() -> None:
    x, centers, classes = unbalanced()
    rows = [row for row in range(len(x)) if row % 3]
    partly = [kind if row % 3 else None for row, kind in enumerate(classes)]
    some = CombatClass().fit(x, centers=centers, classes=partly)
    only = CombatClass().fit(
        x[rows], centers=[centers[row] for row in rows], classes=[classes[row] for row in rows]
    )
    assert all(some.state()[name].tobytes() == values.tobytes() for name, values in only.state().items())


def test_classes_that_link_no_centers_are_refused() -> None:
    x, centers, _ = patches()
    with pytest.raises(MethodError) as caught:
        CombatClass().fit(
            x, centers=centers, classes=["tumor" if "0" in name else "normal" for name in centers]
        )
    assert str(caught.value) == (
        "method 'combat-class': no biological class links 2 medical centers ('center 1', 'center 2') "
        "with 'center 0'; add patches of a class that both sides have."
    )


def test_classes_that_link_centers_through_a_third_are_enough() -> None:
    """Center 0 has a and b, center 1 has a alone, center 2 has b alone."""
    x, centers, classes = patches()
    kinds = {"center 1": "a", "center 2": "b"}
    labels = [kinds.get(name, "ab"[kind == "tumor"]) for name, kind in zip(centers, classes, strict=True)]
    repaired = CombatClass().fit(x, centers=centers, classes=labels).transform(x, centers=centers)
    assert np.isfinite(repaired).all()


REFUSED: dict[str, tuple[Any, str]] = {
    "none given": (lambda centers, classes: None, "is fitted with classes, and none were given;"),
    "a center without": (
        lambda centers, classes: [
            None if name == "center 2" else kind for name, kind in zip(centers, classes, strict=True)
        ],
        "the medical center 'center 2' has 0 patches of known class, but 2 are needed;",
    ),
    "too few": (lambda centers, classes: classes[1:], "80 embeddings and labels of 79 patches;"),
    "a number": (lambda centers, classes: [3, *classes[1:]], "3 is no biological class;"),
    "an empty name": (lambda centers, classes: ["", *classes[1:]], "'' is no biological class;"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_classes_that_cannot_be_used_are_refused(wrong: str) -> None:
    x, centers, classes = patches()
    make, sentence = REFUSED[wrong]
    with pytest.raises(MethodError) as caught:
        CombatClass().fit(x, centers=centers, classes=make(centers, classes))
    assert sentence in str(caught.value)


def test_a_class_that_the_fit_had_not_is_refused_in_transform() -> None:
    x, centers, classes = patches()
    repair = CombatClass().fit(x, centers=centers, classes=classes)
    with pytest.raises(MethodError) as caught:
        repair.transform(x, centers=centers, classes=["stroma", *classes[1:]])
    assert str(caught.value) == (
        "method 'combat-class': its fit lacks 1 biological class ('stroma'); "
        "use classes of the fit: 'normal', 'tumor', or None."
    )


def test_equal_features_have_priors_without_variance() -> None:
    """All features alike: locations and variances do not vary over them, and all of them is removed."""
    x, centers, _ = patches()
    same = np.repeat(x[:, :1], 5, axis=1)
    repaired = Combat().fit(same, centers=centers).transform(same, centers=centers)
    means = [group.mean(axis=0) for group in of_center(repaired, centers).values()]
    deviations = [group.std(axis=0, ddof=1) for group in of_center(repaired, centers).values()]
    np.testing.assert_allclose(means, np.full((3, 5), x[:, 0].mean()), atol=1e-5)
    np.testing.assert_allclose(deviations, np.full((3, 5), deviations[0][0]), rtol=1e-5)
