"""The formats that can be imported, and how a folder shows which one it has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pathorob_checks.errors import EmbeddingError, SettingsError
from pathorob_checks.files import shown
from pathorob_checks.importing import anndata_bags, eva_bags, hdf5_bags, table_bags, torch_bags
from pathorob_checks.importing.bag import Bag
from pathorob_checks.importing.source import Source
from pathorob_checks.wording import counted, hint, quoted

_DEEPEST, _MOST_SEEN = 3, 10_000


@dataclass(frozen=True)
class Entry:
    """A file or store with features.

    Attributes
    ----------
    slide_id : the only slide that it is of; None where it says so itself.
    bags : opens it.
    """

    slide_id: str | None
    bags: Callable[[], Iterator[Bag]]


@dataclass(frozen=True)
class Format:
    """A layout of features on disk.

    Attributes
    ----------
    tools : who writes it, for reports.
    suffixes : of its files.
    entries : the source, and the user's `--key` -> its files.
    """

    tools: str
    suffixes: tuple[str, ...]
    entries: Callable[[Source, str | None], list[Entry]]


def _hdf5(source: Source, key: str | None) -> list[Entry]:
    paths = source.with_suffix(hdf5_bags.SUFFIXES)
    return [Entry(hdf5_bags.slide_of(path), partial(hdf5_bags.bags_of, source, path, key)) for path in paths]


def _torch(source: Source, key: str | None) -> list[Entry]:
    paths = source.with_suffix(torch_bags.SUFFIXES)
    return [
        Entry(torch_bags.slide_of(path), partial(torch_bags.bags_of, source, path, key)) for path in paths
    ]


def _anndata(source: Source, key: str | None) -> list[Entry]:
    paths = [path for path in source.entries if anndata_bags.is_anndata(path)]
    return [Entry(None, partial(anndata_bags.bags_of, source, path, key)) for path in paths]


def _eva(source: Source, key: str | None) -> list[Entry]:
    return [
        Entry(row.slide_id, partial(eva_bags.bags_of, source, row, key)) for row in eva_bags.rows_of(source)
    ]


def _table(source: Source, key: str | None) -> list[Entry]:
    return [
        Entry(None, partial(table_bags.bags_of, source, path, key))
        for path in source.with_suffix(table_bags.SUFFIXES)
    ]


FORMATS: Mapping[str, Format] = {
    "hdf5": Format("TRIDENT or CLAM", hdf5_bags.SUFFIXES, _hdf5),
    "anndata": Format("LazySlide, AnnData or SpatialData", anndata_bags.SUFFIXES, _anndata),
    "bags": Format("slideflow, CLAM or TRIDENT", torch_bags.SUFFIXES, _torch),
    "eva": Format("eva", (eva_bags.MANIFEST,), _eva),
    "table": Format("tables", table_bags.SUFFIXES, _table),
}
# Tables lie beside the features of most tools, so that they are features only where nothing else is.
_WEAK = "table"


def detected(source: Source) -> str:
    """The name of the only format in a source.

    Raises
    ------
    EmbeddingError : it has none, or several.
    """
    formats = {
        name: one.suffixes
        for name, one in FORMATS.items()
        if any(_is_of(path, one.suffixes, name) for path in source.entries)
    }
    if "eva" in formats:
        formats.pop("bags", None)
    if len(formats) > 1:
        formats.pop(_WEAK, None)
    if len(formats) == 1:
        return next(iter(formats))
    place = shown(source.root)
    if formats:
        raise EmbeddingError(
            f"'{place}' has features in {counted(len(formats), 'format')}: "
            + ", ".join(f"{name} ({' and '.join(suffixes)})" for name, suffixes in formats.items()),
            remedy="name the one that you mean with --format",
        )
    below = _folders_below(source.root)
    if below:
        raise EmbeddingError(
            f"'{place}' has no files of features itself but folders with such files: {quoted(below)}",
            remedy="give the one that you mean",
        )
    suffixes = sorted({suffix for one in FORMATS.values() for suffix in one.suffixes})
    content = quoted([path.name for path in source.entries[:5]]) or "nothing"
    raise EmbeddingError(
        f"'{place}' has no files of features (it has {content})",
        remedy=f"give a folder with files such as {', '.join(suffixes)}",
    )


def format_named(name: str) -> Format:
    """A format by its name; SettingsError where there is none of this name."""
    if name not in FORMATS:
        raise SettingsError(f"there is no format '{name}'", remedy=hint(name, FORMATS, "use one of {known}"))
    return FORMATS[name]


def _is_of(path: Path, suffixes: tuple[str, ...], name: str) -> bool:
    if name == "eva":
        return eva_bags.is_manifest(path)
    if name == "anndata":
        return anndata_bags.is_anndata(path)
    return path.is_file() and path.name.lower().endswith(suffixes)


def _folders_below(root: Path) -> list[str]:
    """Folders in a folder that have files of features, at most three; tables do not count."""
    suffixes = tuple(
        suffix for name, one in FORMATS.items() if name not in (_WEAK, "eva") for suffix in one.suffixes
    )
    formats, seen = [], 0
    for place, folders, files in os.walk(root):
        depth = len(Path(place).relative_to(root).parts)
        seen += 1 + len(files)
        if depth and any(name.lower().endswith(suffixes) for name in (*files, *folders)):
            formats.append(shown(Path(place)))
        folders[:] = (
            [] if depth >= _DEEPEST else sorted(name for name in folders if not name.endswith(".zarr"))
        )
        if len(formats) == 3 or seen > _MOST_SEEN:
            break
    return formats
