"""L-BFGS for many problems in lockstep, as scikit-learn's logistic regression uses it.

Source: Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices and their use in limited
memory methods", Mathematical Programming 63 (1994). All problems start together, and converged ones are
dropped. A line search needs only one product with the data, the one for its direction.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pathorob_checks.numerics.line_search import DECREASE, FLATNESS, LineSearches

MEMORY = 10
MAX_ITERATIONS = 100
TOLERANCE = 1e-4  # of the largest entry of the gradient
RELATIVE_DECREASE = 64 * float(np.finfo(np.float64).eps)
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


class Problems(Protocol):
    """Functions of P parameters each, and the current point of each.

    Values may be rounded, as scikit-learn's are to float32; then a decrease below their spacing ends a fit.
    """

    @property
    def count(self) -> int:
        """A, the number of problems that are not dropped."""
        ...

    def begin(self) -> tuple[Float64, Tensor]:
        """(A,) values and (A, P) float32 gradients at the start."""
        ...

    def aim(self, directions: Tensor) -> None:
        """Set the (A, P) directions of the next line searches."""
        ...

    def values(self, steps: Float64, which: npt.NDArray[np.int64], *, exact: bool) -> tuple[Float64, Float64]:
        """Values (rounded unless `exact`) and slopes of the problems `which` after these steps."""
        ...

    def move(self, steps: Float64) -> Tensor:
        """Move by (A,) steps along the directions; returns the (A, P) gradients at the new points."""
        ...

    def drop(self, ended: Bool, keep: Bool | None) -> None:
        """Store the results of the `ended` problems; if given, continue only with the mask `keep`."""
        ...


def minimize(problems: Problems) -> None:
    """Minimize all problems; each ends at 100 iterations, a small gradient or no more decrease."""
    value, gradient = problems.begin()
    memory = _Memory(gradient)
    pending = np.ones(problems.count, dtype=bool)
    ended = _largest(gradient) <= TOLERANCE
    for iteration in range(MAX_ITERATIONS + 1):
        if iteration == MAX_ITERATIONS:
            ended |= pending
        ended &= pending
        pending &= ~ended
        few = 5 * pending.sum() < 4 * len(pending)
        problems.drop(ended, pending if few else None)
        if not pending.any():
            return
        if few:
            rows = torch.from_numpy(np.flatnonzero(pending)).to(gradient.device)
            memory.keep(rows)
            gradient, value, pending = gradient[rows], value[pending], pending[pending]
        direction = memory.direction(gradient)
        slope = _dot(direction, gradient)
        uphill = slope >= 0
        if uphill[pending].any():
            rows = torch.from_numpy(uphill).to(gradient.device)
            direction[rows] = -gradient[rows]
            slope = _dot(direction, gradient)
        problems.aim(direction)
        first = np.ones(len(value))
        if iteration == 0:
            first = 1 / np.sqrt(_dot(direction, direction))
        # A first decrease may be smaller than the spacing of rounded values.
        steps, reached, failed = _search(problems, value, slope, first, pending, exact=iteration == 0)
        if iteration == 0:
            reached, _ = problems.values(steps, np.arange(len(steps)), exact=False)
        moved = problems.move(steps)
        memory.update(direction * torch.from_numpy(steps).to(direction)[:, None], moved - gradient)
        decrease = value - reached
        ended = failed | (_largest(moved) <= TOLERANCE)
        ended |= decrease <= RELATIVE_DECREASE * np.maximum(np.maximum(abs(value), abs(reached)), 1)
        gradient, value = moved, reached


def _search(
    problems: Problems,
    value: Float64,
    slope: Float64,
    step: Float64,
    pending: Bool,
    *,
    exact: bool,
) -> tuple[Float64, Float64, Bool]:
    """Steps and the values after them; a failed search has step 0."""
    every_problem = np.arange(len(value))
    reached, slopes = problems.values(step, every_problem, exact=exact)
    good = (reached <= value + DECREASE * step * slope) & (abs(slopes) <= -FLATNESS * slope)
    steps, failed = np.where(pending, step, 0.0), np.zeros(len(value), dtype=bool)
    reached = np.where(pending, reached, value)
    which = np.flatnonzero(pending & ~good)
    searches = LineSearches(value[which], slope[which], step[which])
    trial_values, trial_slopes = reached[which], slopes[which]
    while len(which):
        steps[which], reached[which] = searches.step, trial_values
        ended, without_end = searches.advance(trial_values, trial_slopes)
        failed[which] = without_end
        which = which[~ended]
        if len(which):
            trial_values, trial_slopes = problems.values(searches.step, which, exact=exact)
    steps[failed], reached[failed] = 0.0, value[failed]
    return steps, reached, failed


class _Memory:
    """The last steps s and gradient changes y of every problem, and their inner products."""

    def __init__(self, like: Tensor) -> None:
        count, parameters = like.shape
        self.count = 0
        self.pairs = like.new_zeros((count, 2 * MEMORY, parameters))  # s, y, s, y, ...
        self.sy = like.new_zeros((count, MEMORY, MEMORY), dtype=torch.float64)
        self.yy = torch.zeros_like(self.sy)
        self.scale = like.new_ones(count, dtype=torch.float64)
        self.flat = torch.zeros(count, dtype=torch.bool, device=like.device)

    def keep(self, rows: Tensor) -> None:
        """Continue with these problems, given by number."""
        for name in ("pairs", "sy", "yy", "scale", "flat"):
            setattr(self, name, getattr(self, name)[rows])

    def update(self, step: Tensor, change: Tensor) -> None:
        """Add a step and the gradient's change; a step without positive curvature is added as zeros."""
        at = 2 * (self.count % MEMORY)
        self.count += 1
        curvature = torch.linalg.vecdot(step, change).double()
        length = change.square().sum(dim=1).double()
        self.flat = curvature <= torch.finfo(torch.float64).eps * length
        self.pairs[:, at] = step.masked_fill(self.flat[:, None], 0)
        self.pairs[:, at + 1] = change.masked_fill(self.flat[:, None], 0)
        self.scale = torch.where(self.flat, self.scale, curvature / length)

    def direction(self, gradient: Tensor) -> Tensor:
        """(A, P) minus the inverse Hessian's approximation times the gradient."""
        if self.count == 0:
            return -gradient
        used = min(self.count, MEMORY)
        pairs = self.pairs[:, : 2 * used]
        newest = (self.count - 1) % MEMORY
        both = torch.stack([pairs[:, 2 * newest + 1], gradient], dim=2)
        with_change, with_gradient = (pairs @ both).double().unbind(dim=2)
        self._learn(newest, with_change[:, ::2], with_change[:, 1::2])
        order = torch.arange(newest + 1 - used, newest + 1, device=gradient.device) % MEMORY
        scale = self.scale[:, None]
        a, b = with_gradient[:, ::2][:, order], scale * with_gradient[:, 1::2][:, order]
        upper = self.sy[:, order[:, None], order]
        inner = scale[..., None] * self.yy[:, order[:, None], order]
        inner = inner + torch.diag_embed(torch.diagonal(upper, dim1=1, dim2=2))
        p = torch.linalg.solve_triangular(upper, a[..., None], upper=True)
        q = torch.linalg.solve_triangular(upper.mT, inner @ p - b[..., None], upper=False)
        weights = torch.empty_like(with_gradient)
        weights[:, 2 * order] = q[..., 0]
        weights[:, 2 * order + 1] = -scale * p[..., 0]
        combined = (weights.to(gradient)[:, None] @ pairs)[:, 0]
        result: Tensor = -(scale.to(gradient) * gradient + combined)
        return result

    def _learn(self, newest: int, steps: Tensor, changes: Tensor) -> None:
        """Inner products of the newest change with all steps and changes; `sy` is upper triangular by age."""
        used = steps.shape[1]
        self.sy[:, newest] = 0
        self.sy[:, :used, newest] = steps
        self.sy[:, newest, newest] += self.flat  # so that a pair of zeros does not make the triangle singular
        self.yy[:, :used, newest] = changes
        self.yy[:, newest, :used] = changes


def _largest(gradient: Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(gradient.abs().amax(dim=1).cpu().numpy())


def _dot(a: Tensor, b: Tensor) -> Float64:
    return np.asarray(torch.linalg.vecdot(a, b).double().cpu().numpy())
