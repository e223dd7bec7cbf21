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
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from pathorob_checks import hub
from pathorob_checks.cohorts.cohort import CASE, COLUMNS, Cohort, View, patch_keys
from pathorob_checks.cohorts.images import decode
from pathorob_checks.cohorts.names import (
    LABELS,
    NONE_ACCEPTED,
    AcceptedNames,
    Names,
    check_characters,
    check_ids,
)
from pathorob_checks.cohorts.parquet import ParquetImages
from pathorob_checks.cohorts.tables import Pin, Tables, parse
from pathorob_checks.errors import CohortError
from pathorob_checks.subsets import IN_DOMAIN, OUT_OF_DOMAIN
from pathorob_checks.wording import named

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from PIL import Image

_FROZEN = ConfigDict(frozen=True, extra="forbid")
_TRAIN = re.compile(r"(^|[/_.-])train([/_.-]|$)")
_LABELS = ("biological_class", "medical_center")


class ViewFacts(BaseModel):
    """The view of a cohort for one metric: the rows of a table, and the design."""

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
    sources: tuple[str, ...]
    views: Mapping[str, ViewFacts]


class PinFacts(BaseModel):
    """Digests of a table."""

    model_config = _FROZEN

    git_sha1: str
    sha256: str | None = None


class Benchmark(BaseModel):
    """All cohorts of the benchmark and their tables."""

    model_config = _FROZEN

    tables_url: str
    tables_commit: str
    tables: Mapping[str, PinFacts]
    cohorts: Mapping[str, CohortFacts]


@cache
def facts() -> Benchmark:
    """The facts in `benchmark.toml`, which comes with the package."""
    text = (files("pathorob_checks.cohorts") / "benchmark.toml").read_text(encoding="utf-8")
    return Benchmark.model_validate(tomllib.loads(text))


def tables(folder: Path | None, cache: Path) -> Tables:
    """The benchmark's tables: those in the user's folder, or the published files in a cache."""
    published = facts()
    pins = {name: Pin(file=name, **pin.model_dump()) for name, pin in published.tables.items()}
    return Tables(
        pins=pins,
        url=published.tables_url,
        folder=folder,
        cache=cache / "tables" / published.tables_commit[:12],
    )


def load(name: str, commit: str | None, source: Tables, accepted: AcceptedNames = NONE_ACCEPTED) -> Cohort:
    """A cohort of the benchmark.

    Tables are read now, images only when the first image is read.

    Parameters
    ----------
    name : camelyon, tcga or tolkach_esca.
    commit : of the images' repository; None where only labels are needed, as for precomputed embeddings.
    accepted : reviewed names of the user's own tables that may look alike.

    Raises
    ------
    CohortError : a table cannot be read, downloaded or used.
    """
    cohort = facts().cohorts[name]
    read: dict[str, pd.DataFrame] = {}
    digests, changed, names = {}, [], Names(accepted)
    for view in cohort.views.values():
        if view.table not in read:
            content = source.content(view.table)
            table = parse(view.table, content, paired=view.paired)
            digests[view.table] = hashlib.sha256(content).hexdigest()
            if not source.is_published(view.table, content):
                changed.append(view.table)
                table = _checked(view.table, table, names)
            read[view.table] = table
    if changed:
        names.check()
    patches = _union([read[view.table] for view in _first_views(cohort)])
    images = _HubImages(name, cohort.repository, commit, patches)
    differ = "differs from the published table" if len(changed) == 1 else "differ from the published tables"
    note = f"{', '.join(changed)} of --fm-metadata {differ}: values cannot be compared with the benchmark's."
    return Cohort(
        name=name,
        patches=patches,
        read_image=images,
        reading_order=images.reading_order,
        images=_digest(cohort.repository, commit),
        views={metric: _view(patches, read[view.table], view) for metric, view in cohort.views.items()},
        license=cohort.license,
        commercial=None if cohort.commercial == "uncertain" else bool(cohort.commercial),
        source=f"{cohort.repository}@{commit}" if commit else cohort.repository,
        sources=cohort.sources,
        notes=(note, *names.notes) if changed else (),
        tables=digests,
        own_tables=tuple(changed),
    )


def _checked(file: str, table: pd.DataFrame, names: Names) -> pd.DataFrame:
    """A table of the user's with its labels normalized, as those of any cohort of the user's.

    Raises
    ------
    CohortError : a name has characters that cannot be seen, or two slides have one id.
    """
    for column in [name for name in ("slide_id", "patch_id", CASE) if name in table.columns]:
        for text in table[column].unique():
            check_characters(f"a row of {file}", column, text)
    for noun, column in {"slides": "slide_id", "cases": CASE}.items():
        if column in table.columns:
            first = table.drop_duplicates(column)
            check_ids(noun, zip(first[column], first.medical_center, repeat(file)))
    normal = {
        column: [names.label(f"a row of {file}", column, text) for text in table[column]] for column in LABELS
    }
    return table.assign(**normal)


def image_files(name: str, commit: str) -> list[hub.RemoteFile]:
    """The parquet files of a cohort's split `train`, in order.

    Raises
    ------
    CohortError : the repository has none.
    HubError : it cannot be reached or read.
    """
    repository = facts().cohorts[name].repository
    files = hub.list_files(repository, commit, "dataset")
    parquet = [file for file in files if file.name.endswith(".parquet")]
    train = [file for file in parquet if _TRAIN.search(file.name)]
    if not train:
        present = ", ".join(file.name for file in parquet) or "no parquet file"
        raise CohortError(
            f"{repository} at {commit[:8]} has no parquet file of a split 'train' (it has {present})",
            remedy=f"check HF_ENDPOINT, or choose another revision with --fm-cohort={name}@REVISION",
        )
    return train


def _first_views(cohort: CohortFacts) -> list[ViewFacts]:
    """One view per table, the performance drop's first: its table alone has out-of-domain patches."""
    order = sorted(cohort.views, key=lambda metric: metric != "performance_drop")
    first: dict[str, ViewFacts] = {}
    for metric in order:
        first.setdefault(cohort.views[metric].table, cohort.views[metric])
    return list(first.values())


def _union(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Every patch once, as in the first table that has it; its subset is ID unless it is OOD there.

    Raises
    ------
    CohortError : two tables have different labels for a patch.
    """
    import pandas as pd

    everything = pd.concat(parts, ignore_index=True)
    labels = everything.drop_duplicates(["slide_id", "patch_id", *_LABELS])
    repeated = labels.duplicated(["slide_id", "patch_id"])
    if repeated.any():
        raise CohortError(
            f"the tables disagree on the labels of {named(patch_keys(labels[repeated]))}",
            remedy="use tables of one release of the benchmark",
        )
    patches = everything.drop_duplicates(["slide_id", "patch_id"]).reset_index(drop=True)
    patches["subset"] = patches.subset.where(patches.subset == OUT_OF_DOMAIN, IN_DOMAIN)
    return patches[list(COLUMNS)]


def _view(patches: pd.DataFrame, table: pd.DataFrame, view: ViewFacts) -> View:
    import numpy as np

    if view.in_domain_only:
        table = table[table.subset == IN_DOMAIN]
    table = table.reset_index(drop=True)
    row = {key: number for number, key in enumerate(patch_keys(patches))}
    rows = np.array([row[key] for key in patch_keys(table)], dtype=np.int64)
    rows.flags.writeable = False
    return View(rows=rows, patches=table, paired=view.paired, k=view.k, schedule=view.schedule)


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
        CohortError : the repository's patches are not those of the tables, or an image cannot be decoded.
        HubError : its files cannot be downloaded.
        """
        images, positions = self._open()
        position = int(positions[row])
        patch = self._patches.iloc[row]
        where = f"{images.where(position)} (patch '{patch.slide_id}-{patch.patch_id}')"
        return decode(images.content(position), where)

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
        """The images, and the position of each row of the tables in them."""
        import numpy as np

        if self._commit is None:
            raise CohortError(
                f"{self._name} was loaded without its images", remedy="resolve the cohort's revision first"
            )
        shards = [file.name for file in image_files(self._name, self._commit)]
        paths = [hub.fetch(self._repository, self._commit, shard, "dataset") for shard in shards]
        images = ParquetImages(
            [(f"{shard} of {self._repository}", path) for shard, path in zip(shards, paths, strict=True)]
        )
        stored = images.labels(["slide_id", "patch_id", *_LABELS])
        keys, expected = patch_keys(stored), patch_keys(self._patches)
        position_of = {key: position for position, key in enumerate(keys)}
        mismatch = (
            f"images ({self._repository} at {self._commit[:8]}) and tables of {self._name} do not match"
        )
        remedy = f"give the revision that belongs to the tables with --fm-cohort={self._name}@REVISION"
        if len(position_of) < len(keys):
            repeated = patch_keys(stored[stored.duplicated(["slide_id", "patch_id"])])
            raise CohortError(f"{mismatch}: the repository has {named(repeated)} twice", remedy=remedy)
        if missing := [key for key in expected if key not in position_of]:
            absent = named(missing, "patch of the tables", "patches of the tables")
            raise CohortError(f"{mismatch}: the repository does not have {absent}", remedy=remedy)
        if extra := sorted(position_of.keys() - set(expected)):
            surplus = named(extra, "patch that is in no table", "patches that are in no table")
            raise CohortError(f"{mismatch}: the repository has {surplus}", remedy=remedy)
        positions = np.array([position_of[key] for key in expected], dtype=np.int64)
        matched = stored.iloc[positions].reset_index(drop=True)
        differs = (matched[list(_LABELS)] != self._patches[list(_LABELS)]).any(axis=1)
        if differs.any():
            relabeled = named(patch_keys(matched[differs]))
            raise CohortError(f"{mismatch}: the repository has other labels for {relabeled}", remedy=remedy)
        return images, positions

    def __reduce__(self) -> Any:
        return _HubImages, (self._name, self._repository, self._commit, self._patches)
