"""Normalized patches have the target's colors, and what shows no tissue stays as it is."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchstain.torch.normalizers.macenko as torchstain_macenko
from hypothesis import given
from hypothesis import strategies as st
from torchstain.torch.normalizers import TorchMacenkoNormalizer, TorchReinhardNormalizer

from pathorob_checks.cohorts import demo
from pathorob_checks.errors import MethodError
from pathorob_checks.methods.image_method import ImageMethod
from pathorob_checks.methods.macenko import Macenko
from pathorob_checks.methods.registry import method, methods
from pathorob_checks.methods.reinhard import Reinhard
from pathorob_checks.methods.stain_normalization import StainNormalization
from pathorob_checks.numerics.lab import colors_of, lab_of, rgb_of
from pathorob_checks.numerics.stains import LIGHT

Uint8 = npt.NDArray[np.uint8]
METHODS: tuple[type[StainNormalization], ...] = (Reinhard, Macenko)
TARGETS: Mapping[str, dict[str, Any]] = {
    "reinhard": {"mean": [62.0, 31.0, -13.0], "std": [10.0, 6.5, 4.5]},
    "macenko": {"stains": [[0.56, 0.72, 0.41], [0.22, 0.80, 0.56]], "most": [1.5, 0.9]},
}
HEMATOXYLIN, EOSIN = np.array([0.61, 0.69, 0.39]), np.array([0.15, 0.93, 0.33])


@pytest.fixture(scope="module")
def patches() -> list[Uint8]:
    """Patches of every class and center of the demo cohort."""
    cohort = demo.load()
    return [np.array(cohort.read_image(row)) for row in range(5, len(cohort), 60)]


@pytest.fixture(params=METHODS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> type[StainNormalization]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def given_target(kind: type[StainNormalization]) -> StainNormalization:
    return kind(TARGETS[kind.name])


def tensor(image: Uint8) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


def difference(one: Any, other: Any) -> npt.NDArray[np.int64]:
    return np.asarray(one).astype(np.int64) - np.asarray(other).astype(np.int64)


def stained(amounts: npt.NDArray[np.float64]) -> Uint8:
    """An image of (H, W, 2) amounts of two stains, without noise."""
    density = amounts @ np.stack([HEMATOXYLIN, EOSIN])
    return (LIGHT * np.exp(-density) - 1).round().clip(0, 255).astype(np.uint8)


def planted(seed: int) -> Uint8:
    """A third of the image has hardly any hematoxylin, a third hardly any eosin."""
    amounts = np.random.default_rng(seed).gamma(2.0, 0.4, (120, 120, 2))
    amounts[:40, :, 0] = 0.02
    amounts[40:80, :, 1] = 0.02
    return stained(amounts)


# -- another implementation --------------------------------------------------------------------------------


def test_reinhard_is_that_of_torchstain_where_every_pixel_is_tissue(patches: list[Uint8]):
    """torchstain cuts decimals off, so it is at most one gray level darker, and counts glass as tissue."""
    tissue = [patch.clip(30, 190) for patch in patches]
    theirs = TorchReinhardNormalizer()
    theirs.fit(tensor(tissue[0]))
    ours = Reinhard().fit([tissue[0]])
    for patch in tissue[1:]:
        gray_levels = difference(ours.transform(patch)[0], theirs.normalize(tensor(patch)).numpy())
        assert set(np.unique(gray_levels)) == {0, 1}
        assert 0.3 < gray_levels.mean() < 0.7  # rounding against cutting off


def test_macenko_is_that_of_torchstain_with_a_plane_through_the_origin(
    patches: list[Uint8], monkeypatch: pytest.MonkeyPatch
):
    """torchstain leaves the 1 in that it added to every gray level, and cuts decimals off."""
    monkeypatch.setattr(torchstain_macenko, "cov", lambda densities: densities @ densities.T)
    theirs = TorchMacenkoNormalizer()
    theirs.fit(tensor(patches[0]))
    ours = Macenko().fit([patches[0]])
    np.testing.assert_allclose(np.transpose(ours.target["stains"]), theirs.HERef, atol=2e-4)
    np.testing.assert_allclose(ours.target["most"], theirs.maxCRef, rtol=2e-4)
    for patch in patches[1:]:
        gray_levels = difference(theirs.normalize(tensor(patch))[0].numpy(), ours.transform(patch)[0])
        inside = np.isin(gray_levels, (0, 1))
        assert inside.mean() > 0.999, np.unique(gray_levels, return_counts=True)
        assert abs(gray_levels).max() <= 2


def test_macenko_is_that_of_torchstain_as_it_is_where_no_pixel_leaves_the_plane():
    """torchstain centers the densities, which tilts its plane where pixels do not lie in one."""
    theirs, ours = TorchMacenkoNormalizer(), Macenko()
    theirs.fit(tensor(planted(0)))
    ours.fit([planted(0)])
    gray_levels = difference(theirs.normalize(tensor(planted(7)))[0].numpy(), ours.transform(planted(7))[0])
    assert np.isin(gray_levels, (0, 1)).mean() > 0.999
    assert abs(gray_levels).max() <= 2


def test_macenko_is_near_to_torchstain_as_it_is_on_rendered_tissue(patches: list[Uint8]):
    theirs = TorchMacenkoNormalizer()
    theirs.fit(tensor(patches[0]))
    ours = Macenko().fit([patches[0]])
    for patch in patches[1:]:
        gray_levels = difference(theirs.normalize(tensor(patch))[0].numpy(), ours.transform(patch)[0])
        assert abs(gray_levels).mean() < 5  # gray levels


def test_macenko_finds_planted_stains():
    truth = np.stack([HEMATOXYLIN, EOSIN])
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    np.testing.assert_allclose(Macenko().fit([planted(0)]).target["stains"], truth, atol=0.005)


# -- properties --------------------------------------------------------------------------------------------


def test_a_normalized_patch_has_the_mean_and_spread_of_the_target(patches: list[Uint8]):
    reinhard = Reinhard(TARGETS["reinhard"])
    for patch in patches:
        colors = colors_of(tensor(reinhard.transform(patch)[0])[None])
        np.testing.assert_allclose(colors.mean[0], TARGETS["reinhard"]["mean"], atol=1.0)
        np.testing.assert_allclose(colors.std[0], TARGETS["reinhard"]["std"], atol=1.0)


def test_two_stainings_of_the_same_tissue_become_the_same_patch():
    amounts = np.random.default_rng(0).gamma(2.0, 0.3, (96, 96, 2))
    weak, strong = stained(amounts), stained(amounts * [1.4, 1.2])
    assert abs(difference(weak, strong)).mean() > 10
    macenko = Macenko(TARGETS["macenko"])
    assert abs(difference(macenko.transform(weak)[0], macenko.transform(strong)[0])).mean() < 2


def test_lab_holds_every_color():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    colors = np.array(list(itertools.product(levels, repeat=3)), dtype=np.uint8)[None]
    images = tensor(colors)[None]
    assert torch.equal(rgb_of(lab_of(images)), images.flatten(2))


def test_lab_of_known_colors():
    """White, black, and the red of sRGB (L* 53.24, a* 80.09, b* 67.20)."""
    image = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], dtype=np.uint8)
    lab = lab_of(tensor(image)[None])[0].T
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]], atol=0.02)


def test_glass_keeps_its_color(patches: list[Uint8]):
    patch = patches[0].copy()
    patch[:60] = (243, 242, 245)
    normalized, enough = Reinhard(TARGETS["reinhard"]).transform(patch)
    assert enough
    np.testing.assert_array_equal(normalized[:60], patch[:60])
    assert abs(difference(normalized[60:], patch[60:])).mean() > 3


def test_twice_normalized_is_once_normalized_where_every_pixel_stays_tissue(
    kind: type[StainNormalization],
):
    amounts = np.random.default_rng(0).uniform(0.5, 1, (96, 96, 2))
    patch, method = stained(amounts * [1.3, 0.9]), kind().fit([stained(amounts[::-1])])
    once = method.transform(patch)[0]
    assert abs(difference(once, patch)).mean() > 5
    assert abs(difference(method.transform(once)[0], once)).max() <= 1


def test_normalizing_again_changes_little(given_target: StainNormalization, patches: list[Uint8]):
    """The second time other pixels are tissue, as some are brighter than before."""
    for patch in patches:
        once = given_target.transform(patch)[0]
        changed = abs(difference(once, patch)).mean()
        assert abs(difference(given_target.transform(once)[0], once)).mean() < changed / 3


@given(
    seed=st.integers(0, 2**32 - 1),
    low=st.integers(0, 200),
    width=st.integers(0, 255),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    kind=st.sampled_from(METHODS),
)
def test_any_image_gives_an_image_of_its_size(
    seed: int, low: int, width: int, shape: tuple[int, int], kind: type[StainNormalization]
):
    rng = np.random.default_rng(seed)
    image = rng.integers(low, min(256, low + width + 1), (*shape, 3)).astype(np.uint8)
    before = image.copy()
    normalized, enough = kind(TARGETS[kind.name]).transform(image)
    assert normalized.dtype == np.uint8
    assert normalized.shape == image.shape
    np.testing.assert_array_equal(image, before)
    if not enough:
        np.testing.assert_array_equal(normalized, before)


@given(color=st.tuples(*[st.integers(0, 255)] * 3), kind=st.sampled_from(METHODS))
def test_a_patch_of_one_color_stays_as_it_is(color: tuple[int, int, int], kind: type[StainNormalization]):
    image = np.full((20, 20, 3), color, dtype=np.uint8)
    normalized, enough = kind(TARGETS[kind.name]).transform(image)
    assert not enough
    np.testing.assert_array_equal(normalized, image)


NO_TISSUE: Mapping[str, Callable[[Uint8], Uint8]] = {
    "glass": lambda patch: np.random.default_rng(0).integers(238, 248, patch.shape).astype(np.uint8),
    "outside of the scan": lambda patch: np.zeros_like(patch),
    "a corner of tissue": lambda patch: np.where(np.arange(patch.shape[0])[:, None, None] < 5, patch, 243),
    "a corner of tissue, the rest black": lambda patch: np.where(
        np.arange(patch.shape[0])[:, None, None] < 5, patch, 2
    ),
    "gray": lambda patch: np.repeat(patch.mean(axis=2, keepdims=True), 3, axis=2),
}


@pytest.mark.parametrize("name", NO_TISSUE)
def test_a_patch_without_enough_tissue_stays_as_it_is(
    given_target: StainNormalization, patches: list[Uint8], name: str
):
    image = NO_TISSUE[name](patches[0]).astype(np.uint8)
    normalized, enough = given_target.transform(image)
    assert not enough
    np.testing.assert_array_equal(normalized, image)


def test_what_is_black_does_not_change_how_tissue_is_normalized(
    given_target: StainNormalization, patches: list[Uint8]
):
    black = patches[3].copy()
    black[:, :20] = 0
    gray_levels = difference(given_target.transform(black)[0], given_target.transform(patches[3])[0])[:, 20:]
    assert abs(gray_levels).mean() < 3
    np.testing.assert_array_equal(given_target.transform(black)[0][:, :20], 0)


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))][1::4])
def test_the_target_does_not_depend_on_the_order(
    kind: type[StainNormalization], patches: list[Uint8], order: tuple[int, ...]
):
    assert kind().fit([patches[place] for place in order]).target == kind().fit(patches[:4]).target


def test_many_patches_at_once_are_those_one_by_one(given_target: StainNormalization, patches: list[Uint8]):
    """On a GPU too, within a gray level: it multiplies in another order."""
    images = torch.stack([tensor(patch) for patch in [*patches, np.zeros_like(patches[0])]])
    alone = [given_target.transform(np.asarray(image.permute(1, 2, 0))) for image in images]
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        many, enough = given_target.normalized(images.to(device))
        assert many.dtype == torch.uint8
        assert enough.tolist() == [one[1] for one in alone]
        for image, (one, _) in zip(many.cpu(), alone, strict=True):
            gray_levels = abs(difference(image.permute(1, 2, 0), one))
            assert gray_levels.max() <= 1
            assert (gray_levels > 0).mean() < 0.001


# -- targets and the registry ------------------------------------------------------------------------------


def test_a_target_is_the_mean_over_patches_with_tissue(kind: type[StainNormalization], patches: list[Uint8]):
    blank = np.full((50, 50, 3), 244, dtype=np.uint8)
    fitted = kind().fit([blank, *patches, blank])
    assert fitted.target == kind().fit(patches).target
    alone = [kind().fit([patch]).target for patch in patches]
    for part, values in fitted.target.items():
        mean = np.mean([target[part] for target in alone], axis=0)
        if part == "stains":
            mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        np.testing.assert_allclose(values, mean, atol=2e-6)


def test_a_target_that_was_given_is_the_one_that_was_fitted(
    kind: type[StainNormalization], patches: list[Uint8]
):
    fitted = kind().fit(patches[:3])
    again = kind(fitted.target)
    assert again.target == fitted.target
    np.testing.assert_array_equal(again.transform(patches[4])[0], fitted.transform(patches[4])[0])
    sent = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(sent.transform(patches[4])[0], fitted.transform(patches[4])[0])


WRONG: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "does not have the parts": lambda target: dict(list(target.items())[1:]),
    "does not have the parts ": lambda target: {**target, "more": 1},
    "does not have the parts  ": lambda target: 5,
    "not finite numbers of the shape": lambda target: {**target, next(iter(target)): [1.0]},
    "not finite numbers of the shape ": lambda target: {**target, next(iter(target)): "red"},
    "not finite numbers of the shape  ": lambda target: {**target, list(target)[1]: [float("nan")] * 3},
    "not above zero": lambda target: {**target, list(target)[1]: [0.0] * len(target[list(target)[1]])},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_target_is_refused(kind: type[StainNormalization], message: str):
    with pytest.raises(MethodError, match=message.strip()):
        kind(WRONG[message](TARGETS[kind.name]))


def test_without_a_target_nothing_is_normalized(kind: type[StainNormalization], patches: list[Uint8]):
    with pytest.raises(MethodError, match=f"{kind.name} has no target yet; fit it to patches"):
        kind().transform(patches[0])
    with pytest.raises(MethodError, match="none of 1 patch shows enough tissue; "):
        kind().fit([np.full((9, 9, 3), 250, dtype=np.uint8)])
    with pytest.raises(MethodError, match="none of 0 patches shows enough tissue; "):
        kind().fit([])


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_rgb_image_is_refused(given_target: StainNormalization, image: Any):
    with pytest.raises(MethodError, match="which is no RGB image; give"):
        given_target.transform(image)


def test_both_are_methods_by_name():
    assert {"reinhard", "macenko"} <= set(methods())
    for kind in METHODS:
        assert method(kind.name) is kind
        assert issubclass(kind, ImageMethod)
