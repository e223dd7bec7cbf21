"""An extraction that is killed and goes on: nothing that was embedded is lost, and no bit is another one."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pathorob_checks.cohorts import demo
from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.embeddings import extraction
from pathorob_checks.embeddings.identity import embedding_key
from pathorob_checks.embeddings.shards import SHARD_PATCHES, plan_of
from pathorob_checks.embeddings.store import EmbeddingStore
from pathorob_checks.evidence.qualification.record import Finding, failure
from pathorob_checks.models.loading import PreparedModel

_PAUSE_S = 0.2  # after each batch of the extraction that is killed, so that it is killed between two shards
_PATIENCE_S = 120.0
_IDENTITY: dict[str, object] = {"kind": "qualification", "describes": "mean color"}


class MeanColor:
    """Embeds a patch as the mean and the spread of its colors."""

    dimension = 6
    batch_size = 16
    device = torch.device("cpu")

    def __init__(self, pause: float) -> None:
        self.identity: Mapping[str, object] = _IDENTITY
        self._pause = pause

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """(3, height, width) float32 in 0..1."""
        return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32)).permute(2, 0, 1) / 255

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, height, width) -> (B, 6)."""
        time.sleep(self._pause)
        return torch.cat([batch.mean(dim=(2, 3)), batch.std(dim=(2, 3))], dim=1)


def interruption() -> Iterator[Finding]:
    """Kill an extraction after its first shard, go on, and compare with one that was not killed."""
    try:
        kept, equal, note = *_killed_and_resumed(), ""
    except Exception as error:  # the step failed, and the records say so
        kept, equal, note = None, None, failure(error)
    yield Finding(
        id="operation/interruption/kept",
        what="patches that were not embedded again after an extraction was killed",
        expected=float(SHARD_PATCHES),
        actual=None if kept is None else float(kept),
        unit="patches",
        origin="one shard was complete when the process was killed",
        note=note,
    )
    yield Finding(
        id="operation/interruption/equal",
        what="embeddings of the extraction that was killed and went on",
        expected="equal to the last bit",
        actual=None if equal is None else "equal to the last bit" if equal else "different",
        origin="an extraction that was not killed",
        note=note,
    )


def _killed_and_resumed() -> tuple[int, bool]:
    cohort = demo.load()
    with tempfile.TemporaryDirectory(prefix="pathorob-checks-") as place:
        cut, whole = EmbeddingStore(Path(place) / "cut"), EmbeddingStore(Path(place) / "whole")
        key = embedding_key(_IDENTITY, cohort)
        child = multiprocessing.get_context("spawn").Process(target=_embed, args=(str(cut.root), _PAUSE_S))
        child.start()
        try:
            _wait_for_first_shard(child, cut, key)
        finally:
            child.kill()
            child.join()
        done = cut.whole_shards(plan_of(cohort, key))
        resumed = _embed(str(cut.root), 0.0, cohort)
        untouched = _embed(str(whole.root), 0.0, cohort)
        kept = resumed.details["resumed_patches"]
        if not isinstance(kept, int) or len(done) != 1:
            raise RuntimeError(f"the extraction was killed with {len(done)} complete shards, not with one")
        return kept, resumed.values.tobytes() == untouched.values.tobytes()


def _wait_for_first_shard(
    child: multiprocessing.process.BaseProcess, store: EmbeddingStore, key: str
) -> None:
    until = time.monotonic() + _PATIENCE_S
    while store.count_shards(key) < 1:
        if not child.is_alive():
            raise RuntimeError(f"the extraction ended with {child.exitcode} before it was killed")
        if time.monotonic() > until:
            raise RuntimeError(f"the extraction had no shard after {_PATIENCE_S:.0f} s")
        time.sleep(0.02)


def _embed(root: str, pause: float, cohort: Cohort | None = None) -> extraction.Embeddings:
    prepared = PreparedModel("mean color", _IDENTITY, lambda: MeanColor(pause))
    return extraction.obtain(prepared, cohort or demo.load(), EmbeddingStore(Path(root)))
