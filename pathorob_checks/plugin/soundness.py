"""What the integrity tests and the criteria's margins are told about an FM on a cohort."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from pathorob_checks.embeddings.integrity_record import Integrity
    from pathorob_checks.embeddings.shards import Float32
    from pathorob_checks.plugin.gate import Gate
    from pathorob_checks.plugin.pairs import Pair


def integrity(gate: Gate, pair: Pair) -> Integrity | None:
    """How the FM embeds a few patches, from the record or measured now; None where there is no FM to ask.

    Raises
    ------
    CacheError, CohortError, EmbeddingError, ModelError : see `integrity_record.established`.
    """
    if gate.specs[pair.fm].kind == "embeddings":
        return None
    from pathorob_checks.embeddings.integrity_record import established

    model, cohort = gate.model(pair.fm), gate.cohort(pair.cohort)
    found = established(
        gate.last_model.reusing(model),
        cohort,
        gate.embeddings(pair),
        gate.store,
        partial(_robustness_index, gate.settings.fm_device),
        progress=gate.extraction_progress,
        waiting=lambda: gate.wait(f"{pair.fm} on {pair.cohort}: another process tests its integrity"),
    )
    gate.crew.resume()
    return found


def _robustness_index(
    device: str, values: Float32, patches: pd.DataFrame, k: int | None, paired: bool
) -> tuple[float, int]:
    from pathorob_checks.metrics import robustness_index

    found = robustness_index(values, patches, k=k, paired=paired, device=device, draws=0)
    return found.value, found.k
