"""What the classifiers of all repetitions and splits predict, also without each training slide."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.metrics.drop_effects import Deletions, SlideDeletions, deletions
from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.schedules import Repetition

if TYPE_CHECKING:
    import torch

    from pathorob_checks.numerics.logistic import Classifier

_MEMORY = 2 << 30  # bytes that repetitions in work at the same time may take on a CPU
_COPIES = 3  # of the embeddings while they are repaired: standardized, repaired, on the device
_PEAK = 2  # times what `memory` says may be taken at the peaks, where a GPU's memory is planned


@dataclass(frozen=True, kw_only=True)
class SplitPredictions:
    """Per split of one repetition: the predicted classes of a domain's test rows, also without each slide."""

    predicted: list[Int64]
    without: list[SlideDeletions]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Per split of one repetition the chosen C, and what was predicted in each domain."""

    regularisation: list[float]
    inside: SplitPredictions
    outside: SplitPredictions


def together(parts: list[SplitPredictions]) -> dict[str, Any]:
    """Of all repetitions, as `Predictions` takes them."""
    return {"predicted": [part.predicted for part in parts], "without": [part.without for part in parts]}


def outcomes(
    array: Float32,
    codes: Int64,
    units: Int64,
    cells: Int64,
    drawn: list[Repetition],
    device: torch.device,
    repaired_on: Callable[[Int64], Float32] | None = None,
) -> Iterator[Outcome]:
    """Of every repetition, in order.

    On a CPU each core takes one repetition at a time. On a GPU all splits of as many repetitions as its free
    memory holds are fitted together; if it runs out of memory nonetheless, half as many. With a repair each
    split has embeddings of its own: on either device each core takes one repetition at a time, split by
    split.

    Parameters
    ----------
    array : (N, D) float32 embeddings.
    codes, units, cells : (N,) int64 class, slide (or case) and cell of every row.
    drawn : the repetitions.
    repaired_on : from training rows to the (N, E) float32 embeddings that are used with them, writable.
    """
    import torch

    from pathorob_checks.numerics import device as devices
    from pathorob_checks.numerics import threads
    from pathorob_checks.numerics.logistic import arrangement_for, memory

    work = _Work(codes, units, cells)
    if repaired_on is not None:
        longest = max((rows for draw in drawn for rows in draw.training), key=len)
        each = memory(array.shape[1], codes, [longest], arrangement_for(device)) + _COPIES * array.nbytes
        most = devices.free_memory(device) // _PEAK if devices.is_gpu(device) else _MEMORY
        repairs = partial(work.repaired_outcome, repaired_on, device)
        return threads.spread(repairs, drawn, at_once=max(1, most // each))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nothing writes into it
        points = torch.from_numpy(array).to(device)
    largest = max(drawn, key=lambda draw: max(map(len, draw.training)))
    each = memory(array.shape[1], codes, largest.training, arrangement_for(device))
    if not devices.is_gpu(device):
        at_once = max(1, _MEMORY // each)
        return threads.spread(lambda draw: work.outcomes(points, [draw])[0], drawn, at_once=at_once)
    return _in_batches(work, points, drawn, max(1, devices.free_memory(device) // (_PEAK * each)))


def _in_batches(
    work: _Work, points: torch.Tensor, drawn: list[Repetition], at_once: int
) -> Iterator[Outcome]:
    import torch

    start = 0
    while start < len(drawn):
        batch = drawn[start : start + at_once]
        try:
            done = work.outcomes(points, batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            at_once = -(-len(batch) // 2)
            continue  # outside of the handler, which would keep the tensors of the failed batch
        yield from done
        start += len(batch)


@dataclass(frozen=True)
class _Work:
    """Codes of the rows."""

    codes: Int64
    units: Int64
    cells: Int64

    def outcomes(self, points: torch.Tensor, draws: list[Repetition]) -> list[Outcome]:
        """Of some repetitions, whose splits are fitted together."""
        from pathorob_checks.numerics.logistic import best_classifiers

        training = [rows for draw in draws for rows in draw.training]
        validation = [rows for draw in draws for rows in draw.validation]
        fitted = iter(best_classifiers(points, self.codes, training, validation))
        return [
            _outcome(draw, [self._split(points, draw, rows, next(fitted)) for rows in draw.training])
            for draw in draws
        ]

    def repaired_outcome(
        self, repaired_on: Callable[[Int64], Float32], device: torch.device, draw: Repetition
    ) -> Outcome:
        """Of a repetition, one split after the other, each with its own embeddings."""
        import torch

        from pathorob_checks.numerics.logistic import best_classifiers

        splits = []
        for rows, held_out in zip(draw.training, draw.validation, strict=True):
            points = torch.from_numpy(repaired_on(rows)).to(device)
            (classifier,) = best_classifiers(points, self.codes, [rows], [held_out])
            splits.append(self._split(points, draw, rows, classifier))
        return _outcome(draw, splits)

    def _split(
        self, points: torch.Tensor, draw: Repetition, training: Int64, classifier: Classifier
    ) -> _Split:
        import torch

        from pathorob_checks.numerics.deletions import predictions_without

        tested = np.concatenate([draw.id_test, draw.ood_test])
        left_out = deletions(training, self.units, self.cells)
        return _Split(
            c=classifier.c,
            predicted=classifier.predict(points[torch.from_numpy(tested).to(points.device)]),
            left_out=left_out,
            without=predictions_without(
                points, self.codes, training, classifier, left_out.multiplicity, tested
            ),
        )


@dataclass(frozen=True, kw_only=True)
class _Split:
    """What a split's classifier predicts for all test rows, also without each of its slides."""

    c: float
    predicted: Int64
    left_out: Deletions
    without: Int64


def _outcome(draw: Repetition, splits: list[_Split]) -> Outcome:
    border = len(draw.id_test)
    return Outcome(
        regularisation=[split.c for split in splits],
        inside=_predicted(splits, slice(border)),
        outside=_predicted(splits, slice(border, None)),
    )


def _predicted(splits: list[_Split], domain: slice) -> SplitPredictions:
    return SplitPredictions(
        predicted=[split.predicted[domain] for split in splits],
        without=[
            SlideDeletions(
                units=split.left_out.units,
                share=split.left_out.share,
                predicted=split.without[:, domain].astype(np.int16),
            )
            for split in splits
        ],
    )
