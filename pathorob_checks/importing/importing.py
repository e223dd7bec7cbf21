"""Import patch features: hold files of other tools against a manifest, write embeddings and a cohort."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathorob_checks.cohorts.design import Patch, check_table
from pathorob_checks.cohorts.names import Names
from pathorob_checks.cohorts.registry import check_own_name, name_in_ids
from pathorob_checks.cohorts.settings import Settings
from pathorob_checks.embeddings import declared
from pathorob_checks.embeddings.checks import check_embeddings, check_rows
from pathorob_checks.embeddings.collected_rows import converted, plain_name
from pathorob_checks.embeddings.imported import EMBEDDINGS, FILE, MANIFEST, SCHEMA, Origin, sha256_of
from pathorob_checks.errors import CohortError, EmbeddingError, SettingsError
from pathorob_checks.files import expanded, shown, write_atomically
from pathorob_checks.importing.bag import Bag
from pathorob_checks.importing.formats import Entry, detected, format_named
from pathorob_checks.importing.labels import Labels, read_labels
from pathorob_checks.importing.selection import Selection, selected
from pathorob_checks.importing.source import source_at
from pathorob_checks.importing.written import check_target, manifest_of, replacing
from pathorob_checks.progress import Progress, no_progress
from pathorob_checks.version import version
from pathorob_checks.wording import brief, counted, named, printable


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import has written.

    Attributes
    ----------
    folder : `pathlib.Path`
        The cohort's folder, with `manifest.csv`, `embeddings.npy` and `import.json`.
    format : `str`
        Which format the features were in.
    extractor : `str` or None
        What the files say about the foundation model.
    patches, slides, centers, classes : `int`
        How many there are.
    dimension : `int`
        D, how many numbers an embedding has.
    notes : `tuple` of `str`
        Sentences on what was left out or converted.
    """

    folder: Path
    format: str
    extractor: str | None
    patches: int
    slides: int
    centers: int
    classes: int
    dimension: int
    notes: tuple[str, ...]


def import_features(
    source: str | os.PathLike[str],
    manifest: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    cohort: str = "cohort",
    format: str | None = None,  # noqa: A002 - the word that users know
    key: str | None = None,
    patches_per_slide: int | None = None,
    seed: int = 0,
    skip_unlisted: bool = False,
    progress: Progress = no_progress,
) -> Imported:
    """Import patch features that another tool has written.

    Parameters
    ----------
    source : `str` or `os.PathLike`
        The folder with the files of features, or a single file or store.
    manifest : `str` or `os.PathLike`
        A CSV with the columns slide_id, medical_center and biological_class, and optionally subset and
        case_id, a row per slide. With patch_id, or with x and y, its rows are of patches.
    out : `str` or `os.PathLike`
        The folder for the embeddings of this foundation model: `embeddings:OUT`.
    cohort : `str`, default 'cohort'
        Name of the cohort, which is its folder in `out`.
    format : {'hdf5', 'anndata', 'bags', 'eva', 'table'}, optional
        The format; found out by default.
    key : `str`, optional
        Which features, where a file holds several.
    patches_per_slide : `int`, optional
        At most so many patches of a slide are drawn; all are imported by default.
    seed : `int`, default 0
        Decides which ones are drawn. The same patches of another foundation model give the same draw.
    skip_unlisted : `bool`, default False
        Whether slides that the manifest does not name are left out; else they are an error.
    progress : callable, optional
        Follows the files: `progress(items, total, text)` returns the items.

    Returns
    -------
    `Imported`
        The folder, counts, and notes on what was left out or converted.

    Raises
    ------
    EmbeddingError
        If the features cannot be read or carry no information.
    CohortError
        If the manifest cannot be used, or does not fit the features.
    SettingsError
        If there is no such format, or not even one patch is to be drawn.
    CacheError
        If `out` cannot be written, or holds files that no import has written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks import import_features
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "features").mkdir()
    >>> numbers = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    >>> slides = ["s1", "s2", "s3", "s4"]
    >>> for slide, rows in zip(slides, numbers):
    ...     table = pd.DataFrame(rows, columns=["feature_0", "feature_1", "feature_2"])
    ...     table.to_csv(folder / "features" / f"{slide}.csv", index=False)
    >>> labels = {"biological_class": ["normal", "tumor"] * 2, "medical_center": ["A", "A", "B", "B"]}
    >>> pd.DataFrame({"slide_id": slides, **labels}).to_csv(folder / "slides.csv", index=False)
    >>> done = import_features(folder / "features", folder / "slides.csv", folder / "fm", cohort="ours")
    >>> done.patches, done.slides, done.dimension, done.folder.name
    (20, 4, 3, 'ours')
    """
    place, table, target = expanded(source), expanded(manifest), expanded(out).absolute() / cohort
    _check_name(cohort)
    if patches_per_slide is not None and patches_per_slide < 1:
        raise SettingsError(f"{patches_per_slide} patches per slide are none", remedy="give 1 or more")
    check_target(target)
    labels = read_labels(table)
    files = source_at(place, without=[table])
    name = format or detected(files)
    kind = format_named(name)
    bags, skipped = _bags(kind.entries(files, key), labels, place, skip_unlisted, progress)
    names = Names()
    selection = selected(bags, labels, names, patches_per_slide, seed)
    check_table(labels.file, selection.patches, Settings(), names)
    extractor = _extractor(bags)
    _check_size(selection, place)
    with replacing(target) as folder:
        _write_values(folder / EMBEDDINGS, selection, place, progress)
        write_atomically(folder / MANIFEST, manifest_of(selection.patches, labels.columns))
        origin = Origin(
            schema=SCHEMA,
            format=name,
            tools=kind.tools,
            extractor=extractor,
            sources=files.digests(progress),
            manifest=sha256_of(table),
            patches_per_slide=patches_per_slide,
            seed=seed if patches_per_slide is not None else None,
            version=version(),
            written={one: sha256_of(folder / one) for one in (EMBEDDINGS, MANIFEST)},
        )
        write_atomically(folder / FILE, origin.model_dump_json(by_alias=True, indent=1).encode() + b"\n")
    patches = selection.patches
    return Imported(
        folder=target,
        format=name,
        extractor=extractor,
        patches=len(patches),
        slides=_different(patches, "slide_id"),
        centers=_different(patches, "medical_center"),
        classes=_different(patches, "biological_class"),
        dimension=bags[0].dimension,
        notes=tuple(_notes(selection, skipped)),
    )


def _check_name(cohort: str) -> None:
    plain_name(cohort, "cohort")
    if cohort.startswith(".") or name_in_ids(cohort) != cohort:
        raise CohortError(
            f"the cohort {cohort!r} has characters that reports and folders lack",
            remedy=f"call it '{name_in_ids(cohort)}'",
        )
    check_own_name(cohort, Path(cohort))


def _bags(
    entries: Sequence[Entry], labels: Labels, place: Path, skip_unlisted: bool, progress: Progress
) -> tuple[list[Bag], list[str]]:
    """The bags of listed slides, by slide and then as the files have them, and the slides left out."""
    if not entries:
        raise EmbeddingError(f"'{shown(place)}' has no features of this format", remedy="leave out --format")
    listed = labels.slides
    known = [entry.slide_id for entry in entries if entry.slide_id is not None]
    if len(known) == len(entries):  # before any file is opened
        labels.check_slides(known, skip_unlisted=skip_unlisted)
    wanted = [entry for entry in entries if entry.slide_id is None or entry.slide_id in listed]
    bags: list[Bag] = []
    for entry in progress(wanted, len(wanted), "looking into the files"):
        bags += entry.bags()
    unlisted = labels.check_slides([*known, *(bag.slide_id for bag in bags)], skip_unlisted=skip_unlisted)
    bags = [bag for bag in bags if bag.slide_id in listed]
    return sorted(bags, key=lambda bag: bag.slide_id), unlisted


def _extractor(bags: Iterable[Bag]) -> str | None:
    """What the files say about the FM, all the same."""
    stated: dict[str, Bag] = {}
    for bag in bags:
        if bag.extractor is not None:
            stated.setdefault(bag.extractor, bag)
    if len(stated) > 1:
        one, two = list(stated)[:2]
        raise EmbeddingError(
            f"'{stated[one].where}' has features of {one} and '{stated[two].where}' of {two}",
            remedy="give the folder of one FM",
        )
    # From a file: it stands in reports.
    return next((printable(brief(name)) for name in stated), None)


def _check_size(selection: Selection, place: Path) -> None:
    rows = len(selection.patches)
    if rows > declared.MOST_ROWS:
        raise EmbeddingError(
            f"'{shown(place)}' has {rows:,} patches where at most {declared.MOST_ROWS:,} are read",
            remedy="draw some of each slide with --patches-per-slide",
        )


def _write_values(path: Path, selection: Selection, place: Path, progress: Progress) -> None:
    """Write (N, D) float32, a slide after the other, so that only one is in memory.

    Raises
    ------
    EmbeddingError : values carry no information, or a file has changed since it was looked into.
    OSError : they cannot be written.
    """
    keys = [patch.key for patch in selection.patches]
    dimension = selection.parts[0][0].dimension
    # Not mapped: where the disk is full, writing to a map ends the process.
    with path.open("xb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(keys), dimension)}
        np.lib.format.write_array_header_1_0(stream, header)
        start = 0
        for bag, rows in progress(selection.parts, len(selection.parts), "reading features"):
            block = bag.read(rows)
            if block.shape != (len(rows), dimension):
                raise EmbeddingError(f"'{bag.where}' has changed while it was read", remedy="import it again")
            with np.errstate(over="ignore"):  # it becomes infinite, which is refused below
                values = np.ascontiguousarray(block, dtype="<f4")
            with _naming(bag.where):
                check_rows(values, keys[start : start + len(rows)])
            stream.write(values.data)
            start += len(rows)
        stream.flush()
        os.fsync(stream.fileno())
    with _naming(shown(place)):
        check_embeddings(np.load(path, mmap_mode="r"), keys)


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Within the block, complaints about values name the file; no option of an import changes values."""
    try:
        yield
    except EmbeddingError as error:
        raise EmbeddingError(
            f"{error.problem} in '{where}'", remedy="extract these features again"
        ) from error


def _notes(selection: Selection, skipped: Sequence[str]) -> Iterator[str]:
    """What was left out or read otherwise than it is stored."""
    unlabeled = selection.unlabeled
    left_out = [named(skipped, "slide", "slides")] if skipped else []
    left_out += [counted(unlabeled, "patch", "patches")] if unlabeled else []
    if left_out:
        yield f"Left out, because the manifest does not name them: {' and '.join(left_out)}."
    rows: Counter[str] = Counter()
    for bag, own in selection.parts:
        rows[bag.dtype] += len(own)
    for dtype, count in sorted(rows.items()):
        if dtype != "float32":
            yield converted(count, dtype)
    squeezed = [bag.slide_id for bag, _ in selection.parts if bag.squeezed]
    if squeezed:
        yield f"Stored as (1, N, D) and read as (N, D): {named(squeezed, 'slide', 'slides')}."


def _different(patches: Iterable[Patch], column: str) -> int:
    return len({getattr(patch, column) for patch in patches})
