"""What the classifiers of all repetitions and splits predict, also without each training slide."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.metrics.drop_effects import Deletions, SlideDeletions, deletions
from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.schedules import Repetition

if TYPE_CHECKING:
    import torch

_MEMORY = 2 << 30  # bytes that repetitions in work at the same time may take on a CPU
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
    array: Float32, codes: Int64, units: Int64, cells: Int64, drawn: list[Repetition], device: torch.device
) -> Iterator[Outcome]:
    """Of every repetition, in order.

    On a CPU each core takes one repetition at a time. On a GPU all splits of as many repetitions as its free
    memory holds are fitted together; if it runs out of memory nonetheless, half as many.

    Parameters
    ----------
    array : (N, D) float32 embeddings.
    codes, units, cells : (N,) int64 class, slide (or case) and cell of every row.
    drawn : the repetitions.
    """
    import torch

    from pathorob_checks.numerics import device as devices
    from pathorob_checks.numerics import threads
    from pathorob_checks.numerics.logistic import arrangement_for, memory

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nothing writes into it
        points = torch.from_numpy(array).to(device)
    work = _Work(points, codes, units, cells)
    largest = max(drawn, key=lambda draw: max(map(len, draw.training)))
    each = memory(array.shape[1], codes, largest.training, arrangement_for(device))
    if not devices.is_gpu(device):
        at_once = max(1, _MEMORY // each)
        return threads.spread(lambda draw: work.outcomes([draw])[0], drawn, at_once=at_once)
    return _in_batches(work, drawn, max(1, devices.free_memory(device) // (_PEAK * each)))


def _in_batches(work: _Work, drawn: list[Repetition], at_once: int) -> Iterator[Outcome]:
    import torch

    start = 0
    while start < len(drawn):
        batch = drawn[start : start + at_once]
        try:
            done = work.outcomes(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            at_once = -(-len(batch) // 2)
            continue  # outside of the handler, which would keep the tensors of the failed batch
        yield from done
        start += len(batch)


@dataclass(frozen=True)
class _Work:
    """Embeddings on the device, and codes of their rows."""

    points: torch.Tensor
    codes: Int64
    units: Int64
    cells: Int64

    def outcomes(self, draws: list[Repetition]) -> list[Outcome]:
        """Of some repetitions, whose splits are fitted together."""
        from pathorob_checks.numerics.logistic import best_classifiers

        training = [rows for draw in draws for rows in draw.training]
        validation = [rows for draw in draws for rows in draw.validation]
        fitted = iter(best_classifiers(self.points, self.codes, training, validation))
        return [self._outcome(draw, [next(fitted) for _ in draw.training]) for draw in draws]

    def _outcome(self, draw: Repetition, classifiers: list[Any]) -> Outcome:
        import torch

        from pathorob_checks.numerics.deletions import predictions_without

        tested = np.concatenate([draw.id_test, draw.ood_test])
        test = self.points[torch.from_numpy(tested).to(self.points.device)]
        splits: list[tuple[Int64, Deletions, Int64]] = []
        for classifier, rows in zip(classifiers, draw.training, strict=True):
            left_out = deletions(rows, self.units, self.cells)
            without = predictions_without(
                self.points, self.codes, rows, classifier, left_out.multiplicity, tested
            )
            splits.append((classifier.predict(test), left_out, without))
        border = len(draw.id_test)
        return Outcome(
            regularisation=[classifier.c for classifier in classifiers],
            inside=_predicted(splits, slice(border)),
            outside=_predicted(splits, slice(border, None)),
        )


def _predicted(splits: list[tuple[Int64, Deletions, Int64]], domain: slice) -> SplitPredictions:
    return SplitPredictions(
        predicted=[predicted[domain] for predicted, _, _ in splits],
        without=[
            SlideDeletions(
                units=left_out.units, share=left_out.share, predicted=without[:, domain].astype(np.int16)
            )
            for _, left_out, without in splits
        ],
    )
