"""What was established about a model on a cohort, measured once and kept beside the embeddings.

    <root>/embeddings/<key[:2]>/<key>/integrity-<digest[:16]>.json

The digest covers the embeddings' key, the patches, what the robustness index reads, and the version of the
tests: where any of them is another, the model is asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks import __version__
from pathorob_checks.embeddings.batch_sizes import BatchSizes
from pathorob_checks.embeddings.extraction import MAX_THREADS, Embeddings, Prepared, available_cpus
from pathorob_checks.embeddings.files import cache_errors, write
from pathorob_checks.embeddings.identity import canonical_json
from pathorob_checks.embeddings.integrity import (
    TOLERANCES,
    VARIATIONS,
    Difference,
    Progress,
    check_variation,
    differences,
    precision_of,
    sample_of,
)
from pathorob_checks.embeddings.precision_drift import (
    Excerpt,
    IndexOf,
    PrecisionDrift,
    excerpt_of,
    precision_drift,
)
from pathorob_checks.embeddings.shards import DAMAGE, expect
from pathorob_checks.models.devices import name_of

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.embeddings.store import EmbeddingStore

# Raise it when the tests measure something else or in another way.
VERSION = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """How a model embeds a few patches of a cohort.

    Attributes
    ----------
    measured : when, ISO 8601 in UTC.
    environment : device, its name, and the versions of torch and this package, then.
    precision : of the forward pass.
    tolerance : the largest relative difference that is let pass in this precision on this device.
    sample : keys of the patches that were embedded in several ways.
    differences : one for each of `integrity.VARIATIONS`.
    drift : from fp32; None in fp32.
    """

    measured: str
    environment: Mapping[str, str]
    precision: str
    tolerance: float
    sample: tuple[str, ...]
    differences: Mapping[str, Difference]
    drift: PrecisionDrift | None

    def check(self, variation: str) -> float:
        """The largest difference that one of `VARIATIONS` makes; EmbeddingError above the tolerance."""
        found = self.differences[variation]
        where = f"{self.precision} on {self.environment['device']}"
        check_variation(variation, found, self.tolerance, where)
        return found.value


def established(
    prepared: Prepared,
    cohort: Cohort,
    embeddings: Embeddings,
    store: EmbeddingStore,
    index_of: IndexOf,
    *,
    progress: Progress | None = None,
    waiting: Callable[[], None] | None = None,
) -> Integrity:
    """What is on record about these embeddings, else what the model shows now, which is then recorded.

    Parameters
    ----------
    prepared : its `load()` is called only when nothing is on record.
    embeddings : of `cohort`, from `store`.
    index_of : see `precision_drift.IndexOf`.
    progress, waiting : see `extraction.obtain`.

    Raises
    ------
    CacheError : the store cannot be written.
    CohortError, EmbeddingError, ModelError : see `integrity.differences`.
    """
    told = prepared.identity.get("precision")
    rows = sample_of(cohort)
    excerpt = excerpt_of(cohort) if told not in (None, "fp32") else None
    question = _question(embeddings.key, [cohort.keys[row] for row in rows], cohort, excerpt)
    path = store.folder(embeddings.key) / f"integrity-{question[:16]}.json"
    found = _read(path, question)
    if found is not None:
        return found
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.lock(embeddings.key, waiting))
        found = _read(path, question)  # another process may have been faster
        if found is not None:
            return found
        if prepared.device != "cpu":
            stack.enter_context(store.locks.hold(name_of(prepared.device)))
        precision = str(told) if told is not None else precision_of(embeddings.values[rows])
        found = _measure(prepared, precision, cohort, rows, excerpt, embeddings, store, index_of, progress)
        record = {"question": question, "integrity": asdict(found)}
        with cache_errors(store.root, "written to"):
            write(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False).encode())
    return found


def _measure(
    prepared: Prepared,
    precision: str,
    cohort: Cohort,
    rows: list[int],
    excerpt: Excerpt | None,
    embeddings: Embeddings,
    store: EmbeddingStore,
    index_of: IndexOf,
    progress: Progress | None,
) -> Integrity:
    model = prepared.load()
    drift = None
    if excerpt is not None:
        drift = precision_drift(
            prepared.name,
            model,
            precision,
            cohort,
            excerpt,
            embeddings.values[excerpt.rows],
            index_of,
            batch_size=BatchSizes(store.root, prepared.identity).usable(model.batch_size),
            threads=min(MAX_THREADS, available_cpus()),
            progress=progress,
        )
    return Integrity(
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=_environment(prepared.device),
        precision=precision,
        tolerance=TOLERANCES[precision, prepared.device.partition(":")[0]],
        sample=tuple(cohort.keys[row] for row in rows),
        differences=differences(prepared.name, model, cohort, rows, embeddings.values[rows]),
        drift=drift,
    )


def _environment(device: str) -> dict[str, str]:
    import torch

    name = platform.machine() if device == "cpu" else torch.cuda.get_device_name(torch.device(device))
    return {"device": device, "name": name, "torch": torch.__version__, "pathorob-checks": __version__}


def _question(key: str, sample: list[str], cohort: Cohort, excerpt: Excerpt | None) -> str:
    """SHA-256 (hex) of everything that decides what is measured."""
    drift: object = None
    if excerpt is not None:
        drift = {
            "keys": [cohort.keys[row] for row in excerpt.rows],
            "positions": excerpt.positions.tolist(),
            "patches": excerpt.patches.to_dict("list"),
            "k": excerpt.k,
            "paired": excerpt.paired,
        }
    about = {"version": VERSION, "embeddings": key, "sample": sample, "drift": drift}
    return hashlib.sha256(canonical_json(about).encode()).hexdigest()


def _read(path: Path, question: str) -> Integrity | None:
    """The record, if there is one and it is whole."""
    try:
        record = json.loads(path.read_bytes())
        expect(record["question"] == question, "it is about something else")
        told = record["integrity"]
        found = Integrity(
            **{
                **told,
                "sample": tuple(told["sample"]),
                "differences": {name: Difference(**one) for name, one in told["differences"].items()},
                "drift": None if told["drift"] is None else PrecisionDrift(**told["drift"]),
            }
        )
        expect(found.differences.keys() == VARIATIONS.keys(), "it lacks a test")
        expect(all(math.isfinite(one.value) for one in found.differences.values()), "it lacks a value")
    except FileNotFoundError:
        return None
    except (*DAMAGE, AttributeError) as error:
        logger.warning("%s is damaged and will be measured again: %s", path, error)
        return None
    return found
