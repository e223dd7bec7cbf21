"""Classifiers of bags by gated attention, many of them trained as one batch.

Source: Ilse, Tomczak and Welling, Attention-based deep multiple instance learning (ICML 2018, arXiv
1802.04712, equations 8 and 9). A bag (a slide) is a set of points (its patches). With
h_k = relu(W x_k + b) of every point, the bag is z = sum of a_k h_k with weights
a = softmax of u^T (tanh(V h_k) * sigmoid(G h_k)), and its class scores are C z + c.

Every model has its own training bags; parameters have a leading axis of models. Models share nothing but the
products in which they are computed, so that a model in a batch is the model that is trained alone, up to
rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Int64 = npt.NDArray[np.int64]

HIDDEN = 128  # numbers that a point is reduced to
GATED = 64  # of the attention
STEPS = 60  # of Adam, each with all training bags
RATE = 1e-3  # of Adam
MOST_POINTS = 64  # of a bag that a step reads
CHECKED_EVERY = 5  # steps: the loss of the validation bags
_ALIKE = 1e-12  # variance of values of about 1 that is that of rounding
_AT_ONCE = 2048  # points of each model in one product, where nothing is learned


@dataclass(frozen=True)
class Bags:
    """Bags of one model.

    Attributes
    ----------
    rows : row numbers of the points of each bag, at least one; bags may share points.
    classes : (B,) int64 class of each bag, from 0.
    """

    rows: tuple[Int64, ...]
    classes: Int64


@dataclass(frozen=True)
class AttentionModels:
    """The parameters of M models: float32, with a leading axis of models.

    Attributes
    ----------
    mean, scale : (M, 1, D) each point is read as (x - mean) * scale.
    hidden, hidden_shift : (M, D, HIDDEN) and (M, 1, HIDDEN), W and b.
    tanh, tanh_shift, gate, gate_shift : (M, HIDDEN, GATED) and (M, 1, GATED), V and G.
    attention : (M, GATED, 1), u.
    output, output_shift : (M, HIDDEN, K) and (M, 1, K), C and c.
    """

    mean: Tensor
    scale: Tensor
    hidden: Tensor
    hidden_shift: Tensor
    tanh: Tensor
    tanh_shift: Tensor
    gate: Tensor
    gate_shift: Tensor
    attention: Tensor
    output: Tensor
    output_shift: Tensor

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """What training changes: everything but mean and scale."""
        return tuple(getattr(self, one.name) for one in fields(self)[2:])

    def scores(self, points: Tensor, mask: Tensor) -> Tensor:
        """(M, B, K) class scores of (M, B * P, D) points; `mask` (M, B, P) tells them from padding."""
        models, bags, _ = mask.shape
        # The scale is put on the weights, which are fewer than the points.
        weights = self.hidden * self.scale.transpose(1, 2)
        h = torch.baddbmm(self.hidden_shift - self.mean @ weights, points, weights).relu()
        gated = torch.baddbmm(self.tanh_shift, h, self.tanh).tanh()
        gated = gated * torch.baddbmm(self.gate_shift, h, self.gate).sigmoid()
        attention = (gated @ self.attention).view(mask.shape).masked_fill(~mask, -torch.inf).softmax(dim=2)
        pooled = attention.view(models * bags, 1, -1) @ h.view(models * bags, -1, h.shape[2])
        return torch.baddbmm(self.output_shift, pooled.view(models, bags, -1), self.output)


def train(
    points: Tensor,
    training: Sequence[Bags],
    validation: Sequence[Bags],
    starts: Sequence[Sequence[int]],
    classes: int,
) -> AttentionModels:
    """Train one model on each set of bags, all together.

    Points are standardized by those of the model's training bags (a dimension in which these do not differ is
    left out). Adam makes `STEPS` steps down the mean cross-entropy of all training bags, with a rate of
    `RATE`, for W in proportion to HIDDEN / D, so that a step moves h as much in any number of dimensions. Of
    a bag with more than `MOST_POINTS` points a step reads every second, third, ... point, the next step the
    points beside them. The parameters kept are those after the first step, of every fifth
    (`CHECKED_EVERY`), with the lowest mean cross-entropy of all points of the validation bags.

    Parameters
    ----------
    points : (N, D) float32, see `rescaled`.
    training, validation : bags of each model, at least one.
    starts : seed of the initial parameters of each model; models with equal seeds begin alike.
    classes : K, of all models.
    """
    models = _initial(points, training, starts, classes)
    learned = models.learned
    for parameter in learned:
        parameter.requires_grad_()
    of_width = HIDDEN / points.shape[1]
    adam = torch.optim.Adam(
        [{"params": learned[:1], "lr": RATE * of_width}, {"params": learned[1:], "lr": RATE}]
    )
    learning, checking = _Batch(points, training, MOST_POINTS), _Batch(points, validation)
    lowest = torch.full((len(training),), torch.inf, device=points.device)
    best = [parameter.detach().clone() for parameter in learned]
    for step in range(STEPS):
        adam.zero_grad()
        # The sum over models: the gradient of each is that of its own loss.
        torch.autograd.backward(learning.losses(models, step).sum())
        adam.step()
        if (step + 1) % CHECKED_EVERY == 0:
            with torch.no_grad():
                loss = checking.losses(models)
                lower = loss < lowest
                lowest = torch.where(lower, loss, lowest)
                for kept, parameter in zip(best, learned, strict=True):
                    kept[lower] = parameter[lower]
    return AttentionModels(models.mean, models.scale, *best)


def scores(
    models: AttentionModels, points: Tensor, bags: Sequence[Sequence[Int64]]
) -> list[npt.NDArray[np.float64]]:
    """For each model the (B, K) class scores of its bags, from all of their points.

    Parameters
    ----------
    points : (N, D) float32.
    bags : for each model the row numbers of the points of each bag; equally many for all models.
    """
    parts = []
    with torch.no_grad():
        for some in _in_parts([max(map(len, those)) for those in zip(*bags, strict=True)]):
            batch = _Batch(points, [Bags(tuple(own[some]), _unknown(own[some])) for own in bags])
            parts.append(models.scores(*batch.read(0)).double().cpu().numpy())
    return list(np.concatenate(parts, axis=1))


def _unknown(bags: Sequence[Int64]) -> Int64:
    return np.zeros(len(bags), dtype=np.int64)


def _in_parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Successive bags that, padded to the largest of them, have at most `_AT_ONCE` points."""
    begin, largest = 0, 0
    for number, size in enumerate(sizes):
        if number > begin and max(largest, size) * (number + 1 - begin) > _AT_ONCE:
            yield slice(begin, number)
            begin, largest = number, 0
        largest = max(largest, size)
    yield slice(begin, len(sizes))


class _Batch:
    """The bags of every model, padded to equally many bags of equally many points.

    Parameters
    ----------
    most : a bag is divided into as few parts as have at most so many points each (None: not at all). Part p
        of q has the points p, p + q, p + 2q, ...
    """

    def __init__(self, points: Tensor, bags: Sequence[Bags], most: int | None = None) -> None:
        count = max(len(own.rows) for own in bags)
        begin, size, target = (np.zeros((len(bags), count), dtype=np.int64) for _ in range(3))
        size += 1  # a bag of padding is one point of weight 0
        share = np.zeros((len(bags), count), dtype=np.float32)
        rows, end = [], 0
        for model, own in enumerate(bags):
            for number, of_bag in enumerate(own.rows):
                begin[model, number], size[model, number] = end, len(of_bag)
                rows.append(of_bag)
                end += len(of_bag)
            target[model, : len(own.rows)] = own.classes
            share[model, : len(own.rows)] = 1 / len(own.rows)
        parts = np.ones_like(size) if most is None else -(-size // most)
        self._points = points
        self._rows, self._begin, self._size, self._parts, self._target, self._share = (
            torch.from_numpy(values).to(points.device)
            for values in (np.concatenate(rows), begin, size, parts, target, share)
        )
        self._places = torch.arange(int((-(-size // parts)).max()), device=points.device)
        shape = (len(bags), count * len(self._places), points.shape[1])
        self._read = torch.empty(shape, device=points.device)

    def read(self, step: int) -> tuple[Tensor, Tensor]:
        """The points that a step reads and their mask, as `AttentionModels.scores` takes them.

        They are overwritten by the next call.
        """
        place = (step % self._parts)[..., None] + self._parts[..., None] * self._places
        mask = place < self._size[..., None]
        rows = self._rows[(self._begin[..., None] + place * mask).flatten()]
        torch.index_select(self._points, 0, rows, out=self._read.view(-1, self._points.shape[1]))
        return self._read, mask

    def losses(self, models: AttentionModels, step: int = 0) -> Tensor:
        """(M,) mean cross-entropy of the bags."""
        loss = cross_entropy(models.scores(*self.read(step)).transpose(1, 2), self._target, reduction="none")
        return (loss * self._share).sum(dim=1)


def _initial(
    points: Tensor, training: Sequence[Bags], starts: Sequence[Sequence[int]], classes: int
) -> AttentionModels:
    """Models that have not learned: uniform weights of variance 1 / (3 inputs), shifts of 0."""
    dimension = points.shape[1]
    shapes = [
        (dimension, HIDDEN),
        (1, HIDDEN),
        (HIDDEN, GATED),
        (1, GATED),
        (HIDDEN, GATED),
        (1, GATED),
        (GATED, 1),
        (HIDDEN, classes),
        (1, classes),
    ]
    drawn: dict[tuple[int, ...], list[Tensor]] = {}
    for start in map(tuple, starts):
        if start not in drawn:
            generator = np.random.default_rng(start)
            drawn[start] = [
                torch.zeros(shape) if shape[0] == 1 else _uniform(generator, shape) for shape in shapes
            ]
    means, scales = zip(*_standardized(points, training), strict=True)
    return AttentionModels(
        torch.stack(means)[:, None],
        torch.stack(scales)[:, None],
        *(
            torch.stack([drawn[tuple(start)][number] for start in starts]).to(points.device)
            for number in range(len(shapes))
        ),
    )


def _standardized(points: Tensor, training: Sequence[Bags]) -> Iterator[tuple[Tensor, Tensor]]:
    """For each model the (D,) mean of the points of its bags, and 1 / their standard deviation."""
    of_bag: dict[bytes, tuple[Tensor, Tensor]] = {}  # models share most of their bags
    for own in training:
        keys = [rows.tobytes() for rows in own.rows]
        for key, rows in zip(keys, own.rows, strict=True):
            if key not in of_bag:
                there = points[torch.from_numpy(rows).to(points.device)]
                of_bag[key] = torch.var_mean(there, dim=0, correction=0)
        variances, means = (torch.stack([of_bag[key][which] for key in keys]) for which in (0, 1))
        weights = torch.tensor([[float(len(rows))] for rows in own.rows], device=points.device)
        weights /= weights.sum()
        mean = (weights * means).sum(dim=0)
        variance = (weights * (variances + (means - mean).square())).sum(dim=0)
        yield mean, _inverse_root(variance)


def _uniform(generator: np.random.Generator, shape: tuple[int, int]) -> Tensor:
    end = shape[0] ** -0.5
    return torch.from_numpy(generator.uniform(-end, end, shape).astype(np.float32))


def memory(training: Bags, dimension: int) -> int:
    """Bytes that a model with these training bags takes in a batch, beside the points."""
    largest = max(map(len, training.rows))
    read = max(len(training.rows) * min(MOST_POINTS, largest), _AT_ONCE)
    return 4 * (read * (dimension + 12 * HIDDEN) + 10 * dimension * HIDDEN)


def rescaled(points: Tensor) -> Tensor:
    """(N, D) float32 points of mean 0 and variance 1 in every dimension, so that no digits are lost later.

    A dimension in which all points are alike, as far as float32 can tell, is 0.
    """
    largest = torch.maximum(points.amax(dim=0), -points.amin(dim=0))
    points = points / torch.where(largest > 0, largest, 1)
    variance, mean = torch.var_mean(points, dim=0, correction=0)
    return (points - mean) * _inverse_root(variance)


def _inverse_root(variance: Tensor) -> Tensor:
    """1 / standard deviation of values of about 1; 0 where they are alike up to rounding."""
    return torch.where(variance > _ALIKE, variance.clamp_min(_ALIKE).rsqrt(), 0)
