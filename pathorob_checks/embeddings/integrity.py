"""Whether a model's embeddings of a cohort are a sound measurement: measured in every run.

Nothing that a store can hold proves that its embeddings are those that the model gives now, so every run
loads the model and embeds patches that are drawn anew. What it measured is written beside the embeddings:

    <root>/embeddings/<key[:2]>/<key>/integrity-<digest[:16]>.json

Only the drift of a lower precision, which takes hundreds of patches and judges no stored value, is read from
there by later runs, if the digest is the same. It covers the embeddings that were compared (their bytes), the
patches, what the robustness index reads, and the version of this measurement.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pathorob_checks.canonical import digest_of
from pathorob_checks.console import logger_of
from pathorob_checks.cpus import available_cpus
from pathorob_checks.embeddings.batch_sizes import BatchSizes
from pathorob_checks.embeddings.extraction import MAX_THREADS, Embeddings, Prepared
from pathorob_checks.embeddings.files import cache_errors
from pathorob_checks.embeddings.ownership import FILE_MODE
from pathorob_checks.embeddings.precision_drift import (
    Excerpt,
    IndexOf,
    PrecisionDrift,
    excerpt_of,
    precision_drift,
)
from pathorob_checks.embeddings.variations import (
    SAMPLE,
    STORED_SAMPLE,
    TOLERANCES,
    VARIATIONS,
    Difference,
    check_variation,
    differences,
    precision_of,
    sample_of,
)
from pathorob_checks.errors import CacheError
from pathorob_checks.files import write_atomically
from pathorob_checks.models.devices import give_back_memory, name_of
from pathorob_checks.progress import Progress
from pathorob_checks.version import version

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.embeddings.store import EmbeddingStore

# Raise it when the drift is measured in another way, or its file changes.
VERSION = 3

logger = logger_of(__name__)


class Integrity(BaseModel):
    """How a model embeds a few patches of a cohort in several ways.

    Attributes
    ----------
    measured : when, ISO 8601 in UTC.
    environment : device, its name, and the versions of torch and this package at that time.
    precision : of the forward pass.
    tolerance : the largest relative difference that is allowed in this precision on this device.
    sample : keys of the patches that were embedded, drawn anew; the first `SAMPLE` of them in several ways,
        the others only to compare them with what the store has.
    differences : one for each of `VARIATIONS`.
    drift : from fp32; None in fp32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    measured: str
    environment: dict[str, str]
    precision: str
    tolerance: float
    sample: tuple[str, ...]
    differences: dict[str, Difference]
    drift: PrecisionDrift | None

    @field_validator("differences")
    @classmethod
    def _one_per_variation(cls, value: dict[str, Difference]) -> dict[str, Difference]:
        if value.keys() != VARIATIONS.keys():
            raise ValueError(f"it must have one difference for each of {', '.join(VARIATIONS)}")
        return value

    def check(self, variation: str) -> float:
        """The largest difference that one of `VARIATIONS` makes; EmbeddingError above the tolerance."""
        difference = self.differences[variation]
        where = f"{self.precision} on {self.environment['device']}"
        check_variation(variation, difference, self.tolerance, where)
        return difference.value


class _File(BaseModel):
    """The content of the file; see `_digest`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    integrity: Integrity


def integrity_of(
    prepared: Prepared,
    cohort: Cohort,
    embeddings: Embeddings,
    store: EmbeddingStore,
    index_of: IndexOf,
    *,
    progress: Progress | None = None,
    waiting: Callable[[], None] | None = None,
) -> Integrity:
    """The integrity of these embeddings, measured now with the model.

    Parameters
    ----------
    embeddings : of `cohort`, from `store`. `STORED_SAMPLE` of them are compared where the store had some of
        them before this run, and `SAMPLE` where this run embedded all.
    index_of : see `precision_drift.IndexOf`.
    progress, waiting : see `extraction.obtain`.

    Raises
    ------
    CohortError, EmbeddingError, ModelError : see `variations.differences`.
    """
    declared = prepared.identity.get("precision")
    new = embeddings.extracted and not embeddings.details.get("resumed_patches")
    rows = sample_of(cohort, secrets.token_bytes(16), SAMPLE if new else STORED_SAMPLE)
    excerpt = excerpt_of(cohort) if declared not in (None, "fp32") else None
    digest = _digest(embeddings, cohort, excerpt)
    path = store.folder(embeddings.key) / f"integrity-{digest[:16]}.json"
    with contextlib.ExitStack() as stack:
        if prepared.device != "cpu":
            stack.enter_context(store.locks.hold_where_possible(name_of(prepared.device), waiting))
            stack.callback(give_back_memory, prepared.device)
        model = prepared.load()
        precision = str(declared) if declared is not None else precision_of(embeddings.values[rows])
        drift = None
        if excerpt is not None:
            earlier = _read(path, digest)
            drift = earlier.drift if earlier else None
            drift = drift or precision_drift(
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
        measured = Integrity(
            measured=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=_environment(prepared.device),
            precision=precision,
            tolerance=TOLERANCES[precision, prepared.device.partition(":")[0]],
            sample=tuple(cohort.keys[row] for row in rows),
            differences=differences(prepared.name, model, cohort, rows, embeddings.values[rows]),
            drift=drift,
        )
    try:
        with cache_errors(store.root, "written to"):
            content = _File(digest=digest, integrity=measured).model_dump_json(indent=1)
            write_atomically(path, content.encode(), FILE_MODE)
    except CacheError as error:  # a complete cache may be read-only
        logger.info("the integrity record was not kept: %s", error)
    return measured


def _environment(device: str) -> dict[str, str]:
    import torch

    name = platform.machine() if device == "cpu" else torch.cuda.get_device_name(torch.device(device))
    return {"device": device, "name": name, "torch": torch.__version__, "pathorob-checks": version()}


def _digest(embeddings: Embeddings, cohort: Cohort, excerpt: Excerpt | None) -> str:
    """SHA-256 (hex) of everything that decides the drift."""
    drift: object = None
    if excerpt is not None:
        drift = {
            "values": hashlib.sha256(embeddings.values[excerpt.rows].astype("<f4").tobytes()).hexdigest(),
            "keys": [cohort.keys[row] for row in excerpt.rows],
            "positions": excerpt.positions.tolist(),
            "patches": excerpt.patches.to_dict("list"),
            "k": excerpt.k,
            "paired": excerpt.paired,
        }
    return digest_of({"version": VERSION, "embeddings": embeddings.key, "drift": drift})


def _read(path: Path, digest: str) -> Integrity | None:
    """The integrity in a file; None where there is no file or it is damaged."""
    try:
        content = _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = ": ".join([*map(str, first["loc"]), first["msg"]])
    except OSError as error:
        reason = str(error)
    else:
        if content.digest == digest:
            return content.integrity
        reason = "it has another digest"
    logger.warning("%s is damaged and will be measured again: %s", path, reason)
    return None
