"""The benchmark's cohorts: images from their repositories on the hub, rows from the published tables."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from pathorob_checks import hub
from pathorob_checks.cohorts.cohort import COLUMNS, IN_DOMAIN, OUT_OF_DOMAIN, Cohort, View, patch_keys
from pathorob_checks.cohorts.images import decode
from pathorob_checks.cohorts.parquet import ParquetImages
from pathorob_checks.cohorts.tables import Pin, Tables, parse
from pathorob_checks.errors import CohortError, named

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from PIL import Image

_FROZEN = ConfigDict(frozen=True, extra="forbid")
_TRAIN = re.compile(r"(^|[/_.-])train([/_.-]|$)")
_LABELS = ("biological_class", "medical_center")


class ViewFacts(BaseModel):
    """What a metric reads of a cohort: the rows of a table, and the design."""

    model_config = _FROZEN

    table: str
    in_domain_only: bool = False
    paired: bool = False
    k: int | None = None
    schedule: str | None = None


class CohortFacts(BaseModel):
    """A cohort of the benchmark."""

    model_config = _FROZEN

    repository: str
    license: str
    commercial: bool | Literal["uncertain"]
    source: str
    views: Mapping[str, ViewFacts]


class PinFacts(BaseModel):
    """Digests of a table."""

    model_config = _FROZEN

    git_sha1: str
    sha256: str | None = None


class Benchmark(BaseModel):
    """All of it."""

    model_config = _FROZEN

    tables_url: str
    tables_commit: str
    tables: Mapping[str, PinFacts]
    cohorts: Mapping[str, CohortFacts]


@cache
def facts() -> Benchmark:
    """The table of facts that comes with the package."""
    text = (files("pathorob_checks.cohorts") / "benchmark.toml").read_text(encoding="utf-8")
    return Benchmark.model_validate(tomllib.loads(text))


def tables(folder: Path | None, cache: Path) -> Tables:
    """Where the benchmark's tables come from: the user's folder, or the published files in a cache."""
    known = facts()
    pins = {name: Pin(file=name, **pin.model_dump()) for name, pin in known.tables.items()}
    return Tables(
        pins=pins, url=known.tables_url, folder=folder, cache=cache / "tables" / known.tables_commit[:12]
    )


def load(name: str, commit: str | None, source: Tables) -> Cohort:
    """A cohort of the benchmark.

    Tables are read now, images when the first of them is asked for.

    Parameters
    ----------
    name : camelyon, tcga or tolkach_esca.
    commit : of the images' repository; None for who needs labels only, as with precomputed embeddings.

    Raises
    ------
    CohortError : a table cannot be had or used.
    """
    known = facts().cohorts[name]
    read: dict[str, pd.DataFrame] = {}
    digests, changed = {}, []
    for reading in known.views.values():
        if reading.table not in read:
            content = source.content(reading.table)
            read[reading.table] = parse(reading.table, content, paired=reading.paired)
            digests[reading.table] = hashlib.sha256(content).hexdigest()
            if not source.is_published(reading.table, content):
                changed.append(reading.table)
    patches = _union([read[reading.table] for reading in _first_tables(known)])
    images = _HubImages(name, known.repository, commit, patches)
    notes = [f"{', '.join(changed)} of --fm-metadata: not the published table, values do not compare."]
    return Cohort(
        name=name,
        patches=patches,
        read_image=images,
        reading_order=images.reading_order,
        digest=_digest(known.repository, commit),
        views={metric: _view(patches, read[view.table], view) for metric, view in known.views.items()},
        license=known.license,
        commercial=None if known.commercial == "uncertain" else bool(known.commercial),
        source=f"{known.repository}@{commit}" if commit else known.repository,
        notes=tuple(notes) if changed else (),
        tables=digests,
    )


def image_files(name: str, commit: str) -> list[hub.RemoteFile]:
    """The parquet files of a cohort's split `train`, in order.

    Raises
    ------
    CohortError : the repository has none.
    HubError : it cannot be asked.
    """
    repository = facts().cohorts[name].repository
    listed = hub.list_files(repository, commit, "dataset")
    parquet = [file for file in listed if file.name.endswith(".parquet")]
    train = [file for file in parquet if _TRAIN.search(file.name)]
    if not train:
        found = ", ".join(file.name for file in parquet) or "no parquet file"
        raise CohortError(
            f"{repository} at {commit[:8]} has no parquet file of a split 'train' (it has {found})",
            remedy="check HF_ENDPOINT, or name another revision with --fm-cohort=" + name + "@REVISION",
        )
    return train


def _first_tables(known: CohortFacts) -> list[ViewFacts]:
    """One view per table, the performance drop's first: it alone tells in-domain from out-of-domain."""
    order = sorted(known.views, key=lambda metric: metric != "performance_drop")
    first: dict[str, ViewFacts] = {}
    for metric in order:
        first.setdefault(known.views[metric].table, known.views[metric])
    return list(first.values())


def _union(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Every patch once, as the first table has it; subset ID unless that says OOD.

    Raises
    ------
    CohortError : two tables give a patch different labels.
    """
    import pandas as pd

    everything = pd.concat(parts, ignore_index=True)
    labels = everything.drop_duplicates(["slide_id", "patch_id", *_LABELS])
    twice = labels.duplicated(["slide_id", "patch_id"])
    if twice.any():
        raise CohortError(
            f"the tables disagree on the labels of {named(patch_keys(labels[twice]))}",
            remedy="use tables of one release of the benchmark",
        )
    patches = everything.drop_duplicates(["slide_id", "patch_id"]).reset_index(drop=True)
    patches["subset"] = patches.subset.where(patches.subset == OUT_OF_DOMAIN, IN_DOMAIN)
    return patches[list(COLUMNS)]


def _view(patches: pd.DataFrame, table: pd.DataFrame, known: ViewFacts) -> View:
    import numpy as np

    if known.in_domain_only:
        table = table[table.subset == IN_DOMAIN]
    table = table.reset_index(drop=True)
    row = {key: number for number, key in enumerate(patch_keys(patches))}
    rows = np.array([row[key] for key in patch_keys(table)], dtype=np.int64)
    rows.flags.writeable = False
    return View(rows=rows, patches=table, paired=known.paired, k=known.k, schedule=known.schedule)


def _digest(repository: str, commit: str | None) -> str:
    """A commit is a digest of everything in its repository."""
    return hashlib.sha256(json.dumps(["pathorob-checks/hub/1", repository, commit]).encode()).hexdigest()


class _HubImages:
    """Row number -> RGB image; the repository's files are fetched when the first image is read."""

    def __init__(self, name: str, repository: str, commit: str | None, patches: pd.DataFrame) -> None:
        self._name, self._repository, self._commit = name, repository, commit
        self._patches = patches
        self._opened: tuple[ParquetImages, npt.NDArray[np.int64]] | None = None
        self._lock = threading.Lock()

    def __call__(self, row: int) -> Image.Image:
        """Fetch and decode.

        Raises
        ------
        CohortError : the repository lacks patches, has others, or has an image that cannot be decoded.
        HubError : its files cannot be had.
        """
        images, places = self._open()
        place = int(places[row])
        patch = self._patches.iloc[row]
        where = f"{images.where(place)} (patch '{patch.slide_id}-{patch.patch_id}')"
        return decode(images.content(place), where)

    def reading_order(self) -> npt.NDArray[np.int64]:
        """Rows in the order of their images in the files."""
        import numpy as np

        return np.argsort(self._open()[1], kind="stable").astype(np.int64)

    def _open(self) -> tuple[ParquetImages, npt.NDArray[np.int64]]:
        with self._lock:
            if self._opened is None:
                self._opened = self._matched()
            return self._opened

    def _matched(self) -> tuple[ParquetImages, npt.NDArray[np.int64]]:
        """The images, and where in them each row of the tables is."""
        import numpy as np

        if self._commit is None:
            raise CohortError(
                f"the images of {self._name} were not asked for", remedy="resolve the cohort's revision first"
            )
        shards = [file.name for file in image_files(self._name, self._commit)]
        paths = [hub.fetch(self._repository, self._commit, shard, "dataset") for shard in shards]
        images = ParquetImages(
            [(f"{shard} of {self._repository}", path) for shard, path in zip(shards, paths, strict=True)]
        )
        there = images.labels(["slide_id", "patch_id", *_LABELS])
        keys, wanted = patch_keys(there), patch_keys(self._patches)
        place = {key: number for number, key in enumerate(keys)}
        release = f"images ({self._repository} at {self._commit[:8]}) and tables of {self._name} do not match"
        remedy = f"name the revision that they belong to with --fm-cohort={self._name}@REVISION"
        if len(place) < len(keys):
            twice = there.duplicated(["slide_id", "patch_id"])
            double = named(patch_keys(there[twice]), "patch stands", "patches stand")
            raise CohortError(f"{release}: {double} in the repository twice", remedy=remedy)
        if missing := [key for key in wanted if key not in place]:
            lack = named(missing, "patch of the tables is", "patches of the tables are")
            raise CohortError(f"{release}: {lack} missing from the repository", remedy=remedy)
        if extra := sorted(place.keys() - set(wanted)):
            more = named(extra, "patch of the repository is", "patches of the repository are")
            raise CohortError(f"{release}: {more} in no table", remedy=remedy)
        places = np.array([place[key] for key in wanted], dtype=np.int64)
        found = there.iloc[places].reset_index(drop=True)
        other = (found[list(_LABELS)] != self._patches[list(_LABELS)]).any(axis=1)
        if other.any():
            which = named(patch_keys(found[other]), "patch has", "patches have")
            raise CohortError(f"{release}: {which} other labels in the repository", remedy=remedy)
        return images, places

    def __reduce__(self) -> Any:
        return _HubImages, (self._name, self._repository, self._commit, self._patches)
