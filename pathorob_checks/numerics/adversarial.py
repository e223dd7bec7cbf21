"""Features that tell classes and not domains: a hidden layer between two heads, one of which is an adversary.

Source: Ganin et al., Domain-adversarial training of neural networks (JMLR 17, 2016, arXiv 1505.07818). With
h = relu(W (x - mean) + b) of every point, a linear head tells the class of h and another one its domain. Both
heads go down their mean cross-entropy. The hidden layer goes down that of the classes and, because the
gradient is reversed and multiplied by lambda in between, up that of the domains.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.optim.lr_scheduler import LambdaLR

from pathorob_checks.numerics import device as devices
from pathorob_checks.numerics import threads

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

UNKNOWN = -1  # class of a point that only the head of the domains learns from
BATCH = 128  # points of a step
RATE = 1e-3  # of Adam at the first step
AHEAD = 3.0  # times this rate for the head of the domains, which is to be near its best at every step
_MOMENTUM = 0.5  # of Adam: with its usual 0.9 the layer runs past the place where the head is misled
_PENALTY = 0.03  # of the head of the domains, so that it keeps a slope where it is sure
_ANNEALING = (10.0, 0.75)  # after the share p of the steps rates are divided by (1 + 10 p)^0.75, as published
_STEEPNESS = 10.0  # of the rise of lambda, as published
_BLOCK = 4096  # points


@dataclass(frozen=True)
class Hidden:
    """The hidden layer.

    Attributes
    ----------
    mean : (D,) float32.
    weights, shift : (H, D) and (H,) float32, W and b.
    """

    mean: Float32
    weights: Float32
    shift: Float32

    def features(self, points: Float32) -> Float32:
        """(N, H) float32 for (N, D) points; they do not depend on the number of threads."""
        out = np.empty((len(points), len(self.shift)), dtype=np.float32)
        weights, shift = torch.from_numpy(self.weights.copy()), torch.from_numpy(self.shift.copy())
        with devices.full_precision(), threads.limited(1), torch.no_grad():
            for start in range(0, len(points), _BLOCK):
                block = slice(start, start + _BLOCK)
                x = torch.from_numpy(points[block] - self.mean)
                out[block] = linear(x, weights, shift).relu().numpy()
        return out


class _Reversal(torch.autograd.Function):
    """The identity, with its gradient multiplied by -lambda."""

    @staticmethod
    def forward(ctx, h, strength):  # type: ignore[no-untyped-def]
        ctx.strength = strength
        return h.view_as(h)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return -ctx.strength * gradient, None


def adversarial_layer(
    points: Float32,
    classes: Int64,
    domains: Int64,
    *,
    hidden: int,
    steps: int,
    strength: float,
    seed: int,
) -> Hidden:
    """Train a hidden layer on the CPU; equal arguments give equal layers on any number of threads.

    Points are read about their mean, with a mean square of 1 over all dimensions: strong directions stay
    strong, and a dimension of noise does not become as strong as they are. Adam makes steps with `BATCH`
    points each, all points in turn. Its rate is `RATE`, for W in proportion to H / D where D is larger, so
    that a step moves h as much in any number of dimensions. As in the source, the rate is divided by
    (1 + 10 p)^0.75 after the share p of all steps, and lambda is strength * (2 / (1 + exp(-10 p)) - 1). Where
    domains are far apart, two opponents that step alike only circle each other: so the head of the domains
    has `AHEAD` times the rate and a penalty on its weights, and Adam little momentum.

    Parameters
    ----------
    points : (N, D) float32, finite.
    classes : (N,) int64 from 0; `UNKNOWN` where only the head of the domains is to learn.
    domains : (N,) int64 from 0.
    hidden : H.
    steps : of Adam.
    strength : the largest lambda.
    seed : of the initial parameters and of the order of points.
    """
    mean, scale = _standardization(points)
    generator = np.random.default_rng(seed)
    shapes = [(hidden, points.shape[1]), (int(classes.max()) + 1, hidden), (int(domains.max()) + 1, hidden)]
    with devices.full_precision(), threads.limited(1), torch.enable_grad():
        x = torch.from_numpy((points - mean) * scale)
        known, where = torch.from_numpy(classes), torch.from_numpy(domains)
        learned = [_uniform(generator, shape) for shape in shapes] + [torch.zeros(rows) for rows, _ in shapes]
        for parameter in learned:
            parameter.requires_grad_()
        w, of_class, of_domain, b, b_class, b_domain = learned
        rates = [RATE * min(1.0, hidden / points.shape[1]), RATE, RATE * AHEAD, RATE, RATE, RATE * AHEAD]
        groups = [{"params": [one], "lr": rate} for one, rate in zip(learned, rates, strict=True)]
        adam = torch.optim.Adam(groups, betas=(_MOMENTUM, 0.999))
        factor, power = _ANNEALING
        annealing = LambdaLR(adam, lambda step: (1 + factor * step / steps) ** -power)
        for step, rows in enumerate(islice(_batches(len(points), generator), steps)):
            h = linear(x[rows], w, b).relu()
            rising = strength * math.tanh(_STEEPNESS * step / steps / 2)  # = 2 / (1 + exp(-10 p)) - 1
            against: Tensor = _Reversal.apply(h, rising)
            loss = cross_entropy(linear(against, of_domain, b_domain), where[rows])
            loss = loss + _PENALTY / 2 * of_domain.square().sum()
            labelled = known[rows] != UNKNOWN
            if labelled.any():
                scores = linear(h[labelled], of_class, b_class)
                loss = loss + cross_entropy(scores, known[rows][labelled])
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
            annealing.step()
    return Hidden(mean, w.detach().numpy() * scale, b.detach().numpy())


def _batches(count: int, generator: np.random.Generator) -> Iterator[Tensor]:
    """Rows of successive steps: all points in an order of chance, then again in another one."""
    while True:
        order = torch.from_numpy(generator.permutation(count))
        yield from (order[start : start + BATCH] for start in range(0, count, BATCH))


def _standardization(points: Float32) -> tuple[Float32, np.float32]:
    """(D,) mean, and 1 / root of the mean square about it; 0 where all points are alike."""
    mean = points.mean(axis=0, dtype=np.float64)
    square = sum(
        float(np.square(points[start : start + _BLOCK] - mean).sum())
        for start in range(0, len(points), _BLOCK)
    )
    scale = (points.size / square) ** 0.5 if square else 0.0
    return mean.astype(np.float32), np.float32(scale)


def _uniform(generator: np.random.Generator, shape: tuple[int, int]) -> Tensor:
    end = shape[1] ** -0.5
    return torch.from_numpy(generator.uniform(-end, end, shape).astype(np.float32))
