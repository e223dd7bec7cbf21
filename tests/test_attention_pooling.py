"""Many attention models in one batch are the models that are trained alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pathorob_checks.numerics import attention_pooling, threads
from pathorob_checks.numerics.attention_pooling import AttentionModels, Bags, rescaled, scores, train

Int64 = npt.NDArray[np.int64]
DIM, CLASSES = 6, 2


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads.limited(1):
        yield


def cohort(bags: int, sizes: Sequence[int], *, seed: int = 0, witnesses: bool = False) -> tuple[Tensor, Bags]:
    """Points of bags of two classes in turn; all tell the class, or with `witnesses` one of each bag."""
    generator = np.random.default_rng(seed)
    counts = [sizes[number % len(sizes)] for number in range(bags)]
    rows = np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])
    x = generator.standard_normal((sum(counts), DIM))
    for number, own in enumerate(rows):
        if number % 2:
            x[own[:1] if witnesses else own, 0] += 6 if witnesses else 1.5
    return rescaled(torch.from_numpy(x.astype(np.float32))), Bags(tuple(rows), np.arange(bags) % 2)


def some_of(bags: Bags, chosen: Sequence[int]) -> Bags:
    return Bags(tuple(bags.rows[number] for number in chosen), bags.classes[list(chosen)])


def assert_equal_models(one: AttentionModels, other: AttentionModels, atol: float = 2e-5) -> None:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=atol, msg=lambda text, n=field.name: f"{n}: {text}")


def only(models: AttentionModels, number: int) -> AttentionModels:
    return AttentionModels(*(getattr(models, one.name)[number : number + 1] for one in fields(models)))


def test_a_model_in_a_batch_is_the_model_that_is_trained_alone() -> None:
    points, bags = cohort(16, [5, 3, 9])
    training = [some_of(bags, chosen) for chosen in ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9], [2, 5, 8, 11, 12])]
    validation = [some_of(bags, chosen) for chosen in ([13, 14], [15, 12, 0], [14])]
    starts = [(7, 0), (7, 0), (7, 1)]
    together = train(points, training, validation, starts, CLASSES)
    for number in range(3):
        alone = train(
            points,
            training[number : number + 1],
            validation[number : number + 1],
            starts[number : number + 1],
            CLASSES,
        )
        assert_equal_models(only(together, number), alone)
    assert not torch.allclose(together.hidden[0], together.hidden[1], atol=1e-4)


def test_the_order_of_bags_and_of_their_points_makes_no_difference() -> None:
    points, bags = cohort(12, [5, 8])
    generator = np.random.default_rng(1)
    training, validation = some_of(bags, range(8)), some_of(bags, range(8, 12))
    shuffled = [
        Bags(tuple(generator.permutation(rows) for rows in other.rows), other.classes)
        for other in (some_of(training, generator.permutation(8).tolist()), validation)
    ]
    one, other = (train(points, [a], [b], [(0,)], CLASSES) for a, b in ((training, validation), shuffled))
    assert_equal_models(one, other)


def test_attention_finds_the_one_point_that_tells_the_class() -> None:
    points, bags = cohort(90, [12], witnesses=True)
    models = train(points, [some_of(bags, range(60))], [some_of(bags, range(60, 70))], [(0,)], CLASSES)
    held_out = some_of(bags, range(70, 90))
    predicted = scores(models, points, [held_out.rows])[0].argmax(axis=1)
    assert (predicted == held_out.classes).mean() >= 0.9


def test_scores_do_not_depend_on_the_other_bags(monkeypatch: pytest.MonkeyPatch) -> None:
    points, bags = cohort(9, [4, 11, 2])
    models = train(points, [bags], [bags], [(0,)], CLASSES)
    together = scores(models, points, [bags.rows])[0]
    monkeypatch.setattr(attention_pooling, "_AT_ONCE", 1)
    np.testing.assert_allclose(together, scores(models, points, [bags.rows])[0], atol=1e-5)
    assert np.ptp(together) > 0.1


def test_a_large_bag_is_read_in_parts_each_point_once(monkeypatch: pytest.MonkeyPatch) -> None:
    points, bags = cohort(2, [11, 3])
    batch = attention_pooling._Batch(points, [bags], most=4)
    read: list[Tensor] = []
    for step in range(3):
        there, mask = batch.read(step)
        large = there.view(1, 2, -1, DIM)[mask][: int(mask[0, 0].sum())]
        assert len(large) <= 4
        assert int(mask[0, 1].sum()) == 3  # the small bag is read whole in every step
        read.append(large.clone())
    assert torch.equal(
        torch.cat(read).sort(dim=0).values, points[torch.from_numpy(bags.rows[0])].sort(dim=0).values
    )
    again, mask = batch.read(3)
    assert torch.equal(again.view(1, 2, -1, DIM)[0, 0][mask[0, 0]], read[0])


def loss(models: AttentionModels, points: Tensor, bags: Bags) -> float:
    predicted = torch.from_numpy(scores(models, points, [bags.rows])[0])
    return float(cross_entropy(predicted, torch.from_numpy(bags.classes)))


def test_the_parameters_kept_are_those_with_the_lowest_loss_of_the_validation_bags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, bags = cohort(44, [2])
    training = some_of(bags, range(8))
    validation = some_of(bags, range(8, 44))  # 8 training bags are learned by heart, which these are not
    kept = train(points, [training], [validation], [(0,)], CLASSES)
    losses = []
    for count in range(5, attention_pooling.STEPS + 1, 5):
        monkeypatch.setattr(attention_pooling, "STEPS", count)
        monkeypatch.setattr(attention_pooling, "CHECKED_EVERY", count)
        losses.append(loss(train(points, [training], [validation], [(0,)], CLASSES), points, validation))
    assert 0 < int(np.argmin(losses)) < len(losses) - 1
    assert loss(kept, points, validation) == pytest.approx(min(losses), abs=1e-6)


def test_a_dimension_in_which_the_training_points_are_alike_is_left_out() -> None:
    points, bags = cohort(8, [4])
    training, validation = some_of(bags, range(6)), some_of(bags, range(6, 8))
    points[: 6 * 4, 2] = 3.25
    models = train(points, [training], [validation], [(0,)], CLASSES)
    assert float(models.scale[0, 0, 2]) == 0
    moved = points.clone()
    moved[6 * 4 :, 2] += 100
    for one, other in zip(*(scores(models, x, [validation.rows]) for x in (points, moved)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("factor", [2.0**100, 2.0**-100, -1.0])
def test_points_of_any_scale_are_read_alike(factor: float) -> None:
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32))
    torch.testing.assert_close(rescaled(x * factor), rescaled(x) * np.sign(factor))
    assert torch.equal(rescaled(torch.full((40, 3), 0.1)), torch.zeros(40, 3))
