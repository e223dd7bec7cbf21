"""The models of slides of all repetitions and splits: trained in batches, tested in both domains."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pathorob_checks.metrics.auc_effects import ScoredBags, log_odds
from pathorob_checks.metrics.bags import BagTable
from pathorob_checks.metrics.inputs import Float32, Int64
from pathorob_checks.metrics.schedules import Repetition
from pathorob_checks.progress import Progress

if TYPE_CHECKING:
    import torch

    from pathorob_checks.numerics.attention_pooling import Bags

Float64 = npt.NDArray[np.float64]
_MEMORY = {"cpu": 512 << 20, "cuda": 8 << 30}  # bytes that a batch of models may take


def scored_bags(
    array: Float32,
    bags: BagTable,
    drawn: list[Repetition],
    seed: int,
    device: str | torch.device | None,
    progress: Progress | None,
    repaired_on: Callable[[Int64], Float32] | None = None,
) -> tuple[ScoredBags, ScoredBags | None]:
    """Train all models and score the test bags in-domain and, where two classes are there, out-of-domain.

    Parameters
    ----------
    repaired_on : from training rows to the (N, E) float32 embeddings that are used with them, writable. Each
        model then has embeddings of its own, and is trained alone.
    """
    import torch

    from pathorob_checks.numerics import device as devices
    from pathorob_checks.numerics import threads
    from pathorob_checks.numerics.attention_pooling import rescaled, scores, train

    chosen = devices.choose(device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nothing writes into it
        shared = rescaled(torch.from_numpy(array).to(chosen)) if repaired_on is None else None
    test = [(bags.among(draw.id_test), bags.among(draw.ood_test)) for draw in drawn]
    models = _models(bags, drawn, test)
    batches = (
        list(_batches(models, array.shape[1], _MEMORY[chosen.type]))
        if repaired_on is None
        else [[model] for model in models]
    )

    def outcome(batch: list[_Model]) -> list[Float64]:
        points = shared
        if repaired_on is not None:
            points = rescaled(torch.from_numpy(repaired_on(batch[0].rows)).to(chosen))
        assert points is not None  # noqa: S101 (one of the two)
        trained = train(
            points,
            [model.training for model in batch],
            [model.validation for model in batch],
            [(seed, model.repetition) for model in batch],
            len(bags.classes),
        )
        return scores(trained, points, [model.tested for model in batch])

    work: Iterable[list[Float64]]
    work = threads.spread(outcome, batches) if chosen.type == "cpu" else map(outcome, batches)
    if progress is not None:
        work = progress(work, len(batches), "slide prediction")
    with devices.full_precision():
        of_models = [log_odds(scored) for part in work for scored in part]
    splits = len(drawn[0].training)
    of_repetition = [
        np.stack(of_models[number * splits : (number + 1) * splits]) for number in range(len(drawn))
    ]
    inside, outside = (
        ScoredBags(
            tested=[of_domain[domain][0] for of_domain in test],
            log_odds=[
                odds[:, : len(here)] if domain == 0 else odds[:, len(here) :]
                for odds, ((here, _), _) in zip(of_repetition, test, strict=True)
            ],
            bags=bags,
        )
        for domain in (0, 1)
    )
    both = len(np.unique(bags.classes.codes[bags.outside])) > 1
    return inside, outside if both else None


@dataclass(frozen=True, kw_only=True)
class _Model:
    """One model to be trained: a split of a repetition, with the rows of its training patches."""

    repetition: int
    rows: Int64
    training: Bags
    validation: Bags
    tested: tuple[Int64, ...]


_Test = tuple[tuple[Int64, tuple[Int64, ...]], tuple[Int64, tuple[Int64, ...]]]


def _models(bags: BagTable, drawn: list[Repetition], test: list[_Test]) -> Iterator[_Model]:
    from pathorob_checks.numerics.attention_pooling import Bags

    def learned(rows: Int64) -> Bags:
        numbers, of_bags = bags.among(rows)
        return Bags(of_bags, bags.classes.codes[numbers])

    for number, (draw, ((_, inside), (_, outside))) in enumerate(zip(drawn, test, strict=True)):
        for training, validation in zip(draw.training, draw.validation, strict=True):
            yield _Model(
                repetition=number,
                rows=training,
                training=learned(training),
                validation=learned(validation),
                tested=(*inside, *outside),
            )


def _batches(models: Iterable[_Model], dimension: int, most: int) -> Iterator[list[_Model]]:
    """Successive models of one size of test that fit into some memory together."""
    from pathorob_checks.numerics.attention_pooling import memory

    batch: list[_Model] = []
    for model in models:
        large = (len(batch) + 1) * max(memory(one.training, dimension) for one in (*batch[:1], model)) > most
        if batch and (large or len(model.tested) != len(batch[0].tested)):
            yield batch
            batch = []
        batch.append(model)
    yield batch
