"""Whether a model's embeddings of a cohort are a sound measurement: measured once, kept beside them.

    <root>/embeddings/<key[:2]>/<key>/integrity-<digest[:16]>.json

The digest covers the embeddings' key, the patches, what the robustness index reads, and the version of the
integrity checks: when any of them changes, the model is loaded and measured again.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pathorob_checks import __version__
from pathorob_checks.canonical import digest_of
from pathorob_checks.console import logger_of
from pathorob_checks.cpus import available_cpus
from pathorob_checks.embeddings.batch_sizes import BatchSizes
from pathorob_checks.embeddings.extraction import MAX_THREADS, Embeddings, Prepared
from pathorob_checks.embeddings.files import cache_errors
from pathorob_checks.embeddings.precision_drift import (
    Excerpt,
    IndexOf,
    PrecisionDrift,
    excerpt_of,
    precision_drift,
)
from pathorob_checks.embeddings.variations import (
    TOLERANCES,
    VARIATIONS,
    Difference,
    check_variation,
    differences,
    precision_of,
    sample_of,
)
from pathorob_checks.files import write_atomically
from pathorob_checks.models.devices import name_of
from pathorob_checks.progress import Progress

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.embeddings.store import EmbeddingStore

# Raise it when the integrity checks measure something else or in another way, or their file changes.
VERSION = 2

logger = logger_of(__name__)


class Integrity(BaseModel):
    """How a model embeds a few patches of a cohort in several ways.

    Attributes
    ----------
    measured : when, ISO 8601 in UTC.
    environment : device, its name, and the versions of torch and this package at that time.
    precision : of the forward pass.
    tolerance : the largest relative difference that is allowed in this precision on this device.
    sample : keys of the patches that were embedded in several ways.
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
    """The integrity of these embeddings: from its file in the store, else measured now and written there.

    Parameters
    ----------
    prepared : its `load()` is called only when the store has no such file.
    embeddings : of `cohort`, from `store`.
    index_of : see `precision_drift.IndexOf`.
    progress, waiting : see `extraction.obtain`.

    Raises
    ------
    CacheError : the store cannot be written.
    CohortError, EmbeddingError, ModelError : see `variations.differences`.
    """
    declared = prepared.identity.get("precision")
    rows = sample_of(cohort)
    excerpt = excerpt_of(cohort) if declared not in (None, "fp32") else None
    digest = _digest(embeddings.key, [cohort.keys[row] for row in rows], cohort, excerpt)
    path = store.folder(embeddings.key) / f"integrity-{digest[:16]}.json"
    stored = _read(path, digest)
    if stored is not None:
        return stored
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.lock(embeddings.key, waiting))
        stored = _read(path, digest)  # another process may have been faster
        if stored is not None:
            return stored
        if prepared.device != "cpu":
            stack.enter_context(store.locks.hold(name_of(prepared.device)))
        precision = str(declared) if declared is not None else precision_of(embeddings.values[rows])
        measured = _measure(prepared, precision, cohort, rows, excerpt, embeddings, store, index_of, progress)
        content = _File(digest=digest, integrity=measured)
        with cache_errors(store.root, "written to"):
            write_atomically(path, content.model_dump_json(indent=1).encode())
    return measured


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


def _digest(key: str, sample: list[str], cohort: Cohort, excerpt: Excerpt | None) -> str:
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
    return digest_of({"version": VERSION, "embeddings": key, "sample": sample, "drift": drift})


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
