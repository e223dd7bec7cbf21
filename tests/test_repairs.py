"""What every repair of embeddings keeps, and what each of them does to the medical centers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from concept_erasure import LeaceFitter
from hypothesis import given, settings
from hypothesis import strategies as st

from pathorob_checks.errors import MethodError
from pathorob_checks.methods import registry
from pathorob_checks.methods.centering import Center, Standardize, Whiten
from pathorob_checks.methods.combat import Combat, CombatClass
from pathorob_checks.methods.coral import Coral
from pathorob_checks.methods.fitted import FittedRepair
from pathorob_checks.methods.repair import Repair
from pathorob_checks.methods.subspace import Leace, Subspace

Float32 = npt.NDArray[np.float32]
REPAIRS = tuple(
    one for one in registry.methods().values() if issubclass(one, FittedRepair) and one.repairs_embeddings
)
NAMES = ("center", "standardize", "whiten", "combat", "combat-class", "coral", "subspace", "leace")
BY_CENTER = (Center, Standardize, Combat, CombatClass, Coral)  # leave an unseen center as it is
each = pytest.mark.parametrize("kind", REPAIRS, ids=lambda kind: kind.name)
seeds = st.integers(0, 10_000)
examples = settings(max_examples=20, deadline=None)


def patches(
    seed: int = 0, counts: tuple[int, ...] = (40, 25, 15), dim: int = 6
) -> tuple[Float32, list[str], list[str]]:
    """Embeddings that differ between centers in mean and covariance, in mixed order; centers and classes."""
    rng = np.random.default_rng(seed)
    rows, centers, classes = [], [], []
    for number, count in enumerate(counts):
        mixing = np.eye(dim) + 0.3 * rng.standard_normal((dim, dim))
        kinds = rng.permutation(np.arange(count) % 2)
        rows.append(
            3 * rng.standard_normal(dim)
            + (rng.standard_normal((count, dim)) + 2 * kinds[:, None] * (np.arange(dim) < 2)) @ mixing
        )
        centers += [f"center {number}"] * count
        classes += ["tumor" if kind else "normal" for kind in kinds]
    order = rng.permutation(len(centers))
    x = np.concatenate(rows)[order].astype(np.float32)
    return x, [centers[row] for row in order], [classes[row] for row in order]


def fitted(kind: type[Repair], x: Float32, centers: list[str], classes: list[str]) -> Repair:
    return kind().fit(x, centers=centers, classes=classes)


def of_center(x: Float32, centers: list[str]) -> dict[str, npt.NDArray[np.float64]]:
    names = np.array(centers)
    return {name: x[names == name].astype(np.float64) for name in sorted(set(centers))}


def assert_equal_means(x: Float32, centers: list[str], tolerance: float = 2e-5) -> None:
    means = [group.mean(axis=0) for group in of_center(x, centers).values()]
    for mean in means[1:]:
        np.testing.assert_allclose(mean, means[0], atol=tolerance)


def test_every_repair_of_the_task_is_a_method() -> None:
    assert set(NAMES) <= set(registry.methods())
    assert {kind.name for kind in REPAIRS} == set(NAMES)


# --- the contract -------------------------------------------------------------------------------------


@each
@given(seed=seeds)
@examples
def test_float32_of_the_same_shape_comes_out_and_the_input_is_untouched(
    kind: type[FittedRepair], seed: int
) -> None:
    x, centers, classes = patches(seed)
    x.flags.writeable = False
    before = x.tobytes()
    repaired = fitted(kind, x, centers, classes).transform(x, centers=centers)
    assert repaired.dtype == np.float32
    assert repaired.shape == x.shape
    assert x.tobytes() == before
    assert not np.shares_memory(repaired, x)
    assert not np.allclose(repaired, x, atol=0.01)


@each
@given(seed=seeds)
@examples
def test_what_is_learned_does_not_depend_on_the_order_of_patches(kind: type[FittedRepair], seed: int) -> None:
    x, centers, classes = patches(seed)
    order = np.random.default_rng(seed + 1).permutation(len(x))
    first = fitted(kind, x, centers, classes)
    second = fitted(kind, x[order], [centers[row] for row in order], [classes[row] for row in order])
    for name, values in first.state().items():
        assert values.tobytes() == second.state()[name].tobytes()
    # BLAS may multiply the same row in other blocks.
    np.testing.assert_allclose(
        second.transform(x[order], centers=[centers[row] for row in order]),
        first.transform(x, centers=centers)[order],
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "kind", [kind for kind in REPAIRS if not kind.uses_classes], ids=lambda kind: kind.name
)
def test_a_class_blind_repair_reads_no_class(kind: type[FittedRepair]) -> None:
    x, centers, classes = patches()
    learned = fitted(kind, x, centers, classes).state()
    for other in (classes[::-1], [None] * len(x), None):
        again = kind().fit(x, centers=centers, classes=other).state()
        assert all(again[name].tobytes() == values.tobytes() for name, values in learned.items())


def test_combat_with_classes_reads_them() -> None:
    x, centers, classes = patches()
    learned = fitted(CombatClass, x, centers, classes).state()
    other = fitted(CombatClass, x, centers, classes[::-1]).state()
    assert not np.allclose(learned["scale"], other["scale"])


@pytest.mark.parametrize("kind", BY_CENTER, ids=lambda kind: kind.name)
@given(seed=seeds)
@examples
def test_patches_of_an_unseen_center_pass_unchanged(kind: type[FittedRepair], seed: int) -> None:
    x, centers, classes = patches(seed)
    repair = fitted(kind, x, centers, classes)
    mixed = ["elsewhere" if row % 2 else center for row, center in enumerate(centers)]
    repaired = repair.transform(x, centers=mixed)
    assert repaired[1::2].tobytes() == x[1::2].tobytes()
    assert not np.allclose(repaired[::2], x[::2], atol=0.01)


@pytest.mark.parametrize("kind", [Subspace, Leace], ids=lambda kind: kind.name)
def test_an_erasure_is_the_same_for_every_center(kind: type[FittedRepair]) -> None:
    x, centers, classes = patches()
    repair = fitted(kind, x, centers, classes)
    elsewhere = repair.transform(x, centers=["elsewhere"] * len(x))
    assert elsewhere.tobytes() == repair.transform(x, centers=centers).tobytes()


@each
def test_a_repair_before_its_fit_refuses(kind: type[FittedRepair]) -> None:
    assert (kind().centers, kind().dimension) == ((), None)
    with pytest.raises(MethodError, match=f"method '{kind.name}' is not fitted; call fit first"):
        kind().transform(np.ones((2, 3), dtype=np.float32), centers=["a", "b"])


@each
def test_centers_and_dimension_are_those_of_the_fit(kind: type[FittedRepair]) -> None:
    x, centers, classes = patches(dim=5)
    repair = fitted(kind, x, centers, classes)
    assert (repair.centers, repair.dimension) == (("center 0", "center 1", "center 2"), 5)
    with pytest.raises(MethodError, match="the embeddings have dimension 4, those of the fit 5;"):
        repair.transform(x[:, :4], centers=centers)


@each
def test_settings_make_an_equal_repair(kind: type[FittedRepair]) -> None:
    x, centers, classes = patches()
    first = fitted(kind, x, centers, classes)
    second = kind(**first.settings).fit(x, centers=centers, classes=classes)
    assert all(second.state()[name].tobytes() == one.tobytes() for name, one in first.state().items())


@each
def test_what_was_learned_cannot_be_changed_from_outside(kind: type[FittedRepair]) -> None:
    x, centers, classes = patches()
    given = {name: values.copy() for name, values in fitted(kind, x, centers, classes).state().items()}
    repair = kind().restore(given, ("center 0", "center 1", "center 2"))
    before = repair.transform(x, centers=centers).tobytes()
    for values in given.values():
        values[:] = 0
    assert repair.transform(x, centers=centers).tobytes() == before
    assert not any(values.flags.writeable for values in repair.state().values())


WRONG_INPUT: dict[str, tuple[Any, Any, str]] = {
    "float64": (np.ones((4, 3)), "aabb", "an array of float64 and of shape (4, 3);"),
    "vector": (np.ones(4, np.float32), "aabb", "an array of float32 and of shape (4,);"),
    "no patch": (np.ones((0, 3), np.float32), "", "of shape (0, 3);"),
    "nan": (np.float32([[1, np.nan]] * 4), "aabb", "4 patches have values that are not finite;"),
    "one infinite": (np.float32([[1, np.inf], [1, 2]]), "ab", "1 patch has values that are not finite;"),
    "few centers": (np.ones((4, 3), np.float32), "aab", "4 embeddings and labels of 3 patches;"),
    "one center": (np.ones((4, 3), np.float32), "aaaa", "its patches come from 1 medical center;"),
    "center None": (np.ones((4, 3), np.float32), [None, "a", "b", "b"], "None is no medical center;"),
    "center empty": (np.ones((4, 3), np.float32), ["", "a", "b", "b"], "'' is no medical center;"),
    "center nan": (np.ones((2, 3), np.float32), [np.nan, "a"], "nan is no medical center;"),
}


@each
@pytest.mark.parametrize("wrong", WRONG_INPUT)
def test_wrong_input_is_refused_in_one_sentence(kind: type[FittedRepair], wrong: str) -> None:
    x, centers, sentence = WRONG_INPUT[wrong]
    with pytest.raises(MethodError) as caught:
        kind().fit(x, centers=centers, classes=["tumor"] * len(x))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"method '{kind.name}'")


# --- few patches, few dimensions ----------------------------------------------------------------------

NEEDS_TWO = "the medical center 'center 1' has 1 patch, but 2 are needed;"
NOTHING_LEFT = "the means of 3 medical centers leave nothing of 3 patches of dimension 6;"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        *((kind, NEEDS_TWO) for kind in (Standardize, Whiten, Combat, CombatClass, Coral)),
        *((kind, None) for kind in (Center, Subspace, Leace)),
    ],
)
def test_one_patch_of_a_center_works_or_is_refused(kind: type[Repair], sentence: str | None) -> None:
    x, centers, classes = patches(counts=(20, 1, 10))
    if sentence is None:
        assert_equal_means(fitted(kind, x, centers, classes).transform(x, centers=centers), centers)
        return
    with pytest.raises(MethodError) as caught:
        fitted(kind, x, centers, classes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("kind", [Subspace, Leace])
def test_an_erasure_that_leaves_nothing_is_refused(kind: type[Repair]) -> None:
    x, centers, classes = patches(counts=(1, 1, 1))
    with pytest.raises(MethodError, match=NOTHING_LEFT):
        fitted(kind, x, centers, classes)
    x, centers, classes = patches(dim=2)
    with pytest.raises(MethodError, match="3 medical centers leave nothing of 80 patches of dimension 2;"):
        fitted(kind, x, centers, classes)


@each
def test_fewer_patches_than_dimensions(kind: type[FittedRepair]) -> None:
    x, centers, classes = patches(counts=(12, 9, 8), dim=100)
    repaired = fitted(kind, x, centers, classes).transform(x, centers=centers)
    assert np.isfinite(repaired).all()

    def spread(values: Float32) -> float:
        means = [group.mean(axis=0) for group in of_center(values, centers).values()]
        return float(np.ptp(means, axis=0).mean())

    # ComBat takes a part of the differences for chance.
    assert spread(repaired) < (0.2 if kind in (Combat, CombatClass) else 1e-5) * spread(x)


@each
def test_a_constant_feature_stays_finite_and_is_not_made_to_vary(kind: type[FittedRepair]) -> None:
    x, centers, classes = patches()
    x[:, 3] = 0.1  # not exact in binary: sums of it are rounded
    repaired = fitted(kind, x, centers, classes).transform(x, centers=centers)
    np.testing.assert_allclose(repaired[:, 3], 0.1, rtol=1e-5)


@each
@pytest.mark.parametrize("noise", [0, 1], ids=["to the bit", "up to rounding"])
def test_a_feature_that_is_constant_in_one_center_is_not_blown_up(
    kind: type[FittedRepair], noise: int
) -> None:
    x, centers, classes = patches()
    inside = np.flatnonzero(np.array(centers) == "center 1")
    x[inside, 3] = 0.1
    x[inside[::2], 3] = np.nextafter(np.float32(0.1), np.float32(noise * 0.9 + 0.1))
    repaired = fitted(kind, x, centers, classes).transform(x, centers=centers)
    assert np.abs(repaired).max() < 3 * np.abs(x).max()
    if kind not in (Coral, Leace, Subspace):  # they mix features
        assert np.ptp(repaired[inside, 3]) < 1e-5


@each
def test_centers_that_do_not_vary_at_all_work_or_are_refused(kind: type[FittedRepair]) -> None:
    x = np.repeat(np.float32([[0.1, 0.7, 5], [0.3, 0.2, 1], [0.9, 0.1, 3]]), 4, axis=0)
    centers, classes = [name for name in "abc" for _ in range(4)], ["tumor", "normal"] * 6
    refused = {
        Whiten: "the embeddings of the medical center 'a' are all equal;",
        Coral: "the embeddings of the medical center 'a' are all equal;",
        Combat: "0 features vary within every medical center, but two are needed;",
        CombatClass: "0 features vary within every medical center, but two are needed;",
    }
    if kind in refused:
        with pytest.raises(MethodError, match=refused[kind]):
            fitted(kind, x, centers, classes)
        return
    repaired = fitted(kind, x, centers, classes).transform(x, centers=centers)
    np.testing.assert_allclose(repaired, np.broadcast_to(repaired[0], x.shape), atol=1e-6)


@pytest.mark.parametrize("kind", [Standardize, Whiten, Coral, Combat, CombatClass, Leace])
def test_embeddings_that_become_too_large_for_float32_are_refused(kind: type[Repair]) -> None:
    x, centers, classes = patches()
    repair = fitted(kind, x, centers, classes)
    far = np.repeat(np.concatenate([np.eye(6), -np.eye(6)]), 3, axis=0).astype(np.float32)
    far *= np.finfo(np.float32).max
    with pytest.raises(MethodError, match="repaired embeddings are too large for float32; check"):
        repair.transform(far, centers=list(repair.centers) * 12)
    assert np.isfinite(repair.transform(far / 100, centers=list(repair.centers) * 12)).all()


# --- what each of them does ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Center, Standardize, Whiten, Coral, Subspace, Leace])
@given(seed=seeds)
@examples
def test_the_means_of_centers_are_equal_afterwards(kind: type[FittedRepair], seed: int) -> None:
    x, centers, classes = patches(seed)
    repaired = fitted(kind, x, centers, classes).transform(x, centers=centers)
    assert_equal_means(repaired, centers)
    np.testing.assert_allclose(repaired.mean(axis=0), x.mean(axis=0), atol=2e-5)


@given(seed=seeds)
@examples
def test_standardized_features_have_the_pooled_deviation_in_every_center(seed: int) -> None:
    x, centers, classes = patches(seed)
    within = of_center(x, centers).values()
    squares = sum(((group - group.mean(axis=0)) ** 2).sum(axis=0) for group in within)
    repaired = fitted(Standardize, x, centers, classes).transform(x, centers=centers)
    for group in of_center(repaired, centers).values():
        np.testing.assert_allclose(group.std(axis=0, ddof=1), np.sqrt(squares / 77), rtol=1e-4)


@given(seed=seeds)
@examples
def test_whitened_centers_and_new_centers_have_uncorrelated_features(seed: int) -> None:
    x, centers, _ = patches(seed)
    repair = Whiten(shrinkage=1e-9).fit(x, centers=centers)
    for group in of_center(repair.transform(x, centers=centers), centers).values():
        np.testing.assert_allclose(np.cov(group.T), np.eye(6), atol=2e-3)
    elsewhere = repair.transform(x, centers=["elsewhere"] * len(x))
    np.testing.assert_allclose(np.cov(elsewhere.T), np.eye(6), atol=2e-3)


@given(seed=seeds)
@examples
def test_coral_gives_every_center_the_pooled_covariance(seed: int) -> None:
    x, centers, _ = patches(seed)
    pooled = sum((len(group) - 1) * np.cov(group.T) for group in of_center(x, centers).values()) / 77
    repaired = Coral(shrinkage=1e-9).fit(x, centers=centers).transform(x, centers=centers)
    for group in of_center(repaired, centers).values():
        np.testing.assert_allclose(np.cov(group.T), pooled, atol=1e-3 * np.abs(pooled).max())


def test_coral_with_full_shrinkage_only_scales() -> None:
    x, centers, _ = patches()
    matrices = Coral(shrinkage=1).fit(x, centers=centers).state()["matrices"]
    for matrix in matrices:
        np.testing.assert_allclose(matrix, matrix[0, 0] * np.eye(6), atol=1e-6)


@pytest.mark.parametrize("kind", [Whiten, Coral])
@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), "0.1", True])
def test_a_shrinkage_that_is_no_share_is_refused(kind: Any, share: Any) -> None:
    with pytest.raises(MethodError, match=r"is no share; give a number above 0 and up to 1, or None\."):
        kind(shrinkage=share)


@pytest.mark.parametrize("kind", [Whiten, Coral])
def test_a_shrinkage_that_does_not_make_a_covariance_invertible_is_refused(kind: Any) -> None:
    x, centers, _ = patches(counts=(5, 5), dim=20)
    with pytest.raises(MethodError, match=r"cannot be inverted; give a shrinkage above 0, such as 0\.1\."):
        kind(shrinkage=1e-17).fit(x, centers=centers)


@given(seed=seeds)
@examples
def test_the_same_axes_come_from_either_matrix_of_products(seed: int) -> None:
    """Fewer patches than dimensions and more give the same repair."""
    from pathorob_checks.methods.covariance import axes_of

    rows = np.random.default_rng(seed).standard_normal((6, 9))
    wide, tall = axes_of(rows, 5), axes_of(np.concatenate([rows, np.zeros((9, 9))]), 5)
    assert len(wide.variances) == len(tall.variances) == 6
    np.testing.assert_allclose(wide.power(-0.5), tall.power(-0.5), atol=1e-8)


@given(seed=seeds, count=st.sampled_from([3, 5, 40]), dim=st.sampled_from([2, 12]))
@examples
def test_the_shrinkage_is_that_of_scikit_learn(seed: int, count: int, dim: int) -> None:
    from sklearn.covariance import ledoit_wolf_shrinkage

    from pathorob_checks.methods.covariance import Shrinkage, covariance_of

    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, dim)) * np.logspace(0, 1, dim)
    rows -= rows.mean(axis=0)
    ours = covariance_of(rows, count - 1, Shrinkage("coral"), "all patches").share
    assert ours == pytest.approx(ledoit_wolf_shrinkage(rows, assume_centered=True), abs=1e-10)


@pytest.mark.parametrize("kind", [Whiten, Coral])
def test_two_patches_of_a_center_need_a_stated_shrinkage(kind: Any) -> None:
    """Their deviations are opposite, so that they show no error of the covariance."""
    x, centers, _ = patches(counts=(20, 2))
    with pytest.raises(
        MethodError, match="the medical center 'center 1' cannot be inverted; give a shrinkage"
    ):
        kind().fit(x, centers=centers)
    assert_equal_means(kind(shrinkage=0.1).fit(x, centers=centers).transform(x, centers=centers), centers)


@pytest.mark.parametrize("kind", [Whiten, Coral])
def test_embeddings_of_one_dimension_are_scaled(kind: Any) -> None:
    x, centers, _ = patches(dim=1)
    repaired = kind().fit(x, centers=centers).transform(x, centers=centers)
    deviations = [group.std(ddof=1) for group in of_center(repaired, centers).values()]
    np.testing.assert_allclose(deviations, deviations[0], rtol=1e-5)


def test_subspace_removes_nothing_orthogonal_to_the_means() -> None:
    x, centers, classes = patches(dim=8)
    means = np.stack([group.mean(axis=0) for group in of_center(x, centers).values()])
    basis = np.linalg.svd(means - means.mean(axis=0))[2]
    repaired = fitted(Subspace, x, centers, classes).transform(x, centers=centers)
    np.testing.assert_allclose(repaired @ basis[2:].T, x @ basis[2:].T, atol=1e-5)
    np.testing.assert_allclose(np.ptp(repaired @ basis[:2].T, axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("kind", [Subspace, Leace])
def test_centers_of_equal_means_lose_nothing(kind: type[Repair]) -> None:
    x, _, classes = patches(counts=(90,))
    x = x[:30] * np.logspace(0, 12, 30)[:, None].astype(np.float32)  # so that sums are rounded
    x = np.tile(x, (3, 1))
    repair = fitted(kind, x, ["a"] * 30 + ["b"] * 30 + ["c"] * 30, classes)
    assert repair.state()["left"].shape == (0, 6)
    assert repair.transform(x, centers=["a"] * 90).tobytes() == x.tobytes()


@given(seed=seeds)
@examples
def test_leace_leaves_no_linear_trace_of_the_center(seed: int) -> None:
    """A regression on the repaired embeddings explains none of the center; before it explains much."""
    x, centers, classes = patches(seed)
    labels = (np.array(centers)[:, None] == np.array(sorted(set(centers)))).astype(np.float64)
    labels -= labels.mean(axis=0)

    def explained(values: Float32) -> float:
        centered = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
        fit = centered @ np.linalg.pinv(centered, rcond=1e-4) @ labels
        return float((fit**2).sum() / (labels**2).sum())

    assert explained(x) > 0.1
    assert explained(fitted(Leace, x, centers, classes).transform(x, centers=centers)) < 1e-8


@given(seed=seeds, dim=st.sampled_from([6, 120]))
@examples
def test_leace_is_that_of_concept_erasure(seed: int, dim: int) -> None:
    x, centers, classes = patches(seed, dim=dim)
    labels = np.array(centers)[:, None] == np.array(sorted(set(centers)))
    values = torch.from_numpy(x.astype(np.float64))
    other = LeaceFitter.fit(
        values,
        torch.from_numpy(labels.astype(np.float64)),
        shrinkage=False,
        constrain_cov_trace=False,
        svd_tol=1e-6,
    ).eraser(values)
    repaired = fitted(Leace, x, centers, classes).transform(x, centers=centers)
    np.testing.assert_allclose(repaired, other.numpy(), atol=2e-5)
