"""A cohort from a folder whose folders are the labels: `<class>/<center>/<slide>/<patch>.png`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from pathorob_checks.cohorts.cohort import Cohort
from pathorob_checks.cohorts.design import (
    check_images,
    check_table,
    made_patch,
    own_cohort,
    without_images,
)
from pathorob_checks.cohorts.file_names import SETTINGS
from pathorob_checks.cohorts.folder_paths import is_inside
from pathorob_checks.cohorts.image_files import FileImages, MissingImagesError, hash_files
from pathorob_checks.cohorts.names import NONE_ACCEPTED, AcceptedNames, Names
from pathorob_checks.cohorts.settings import read_settings
from pathorob_checks.errors import CohortError
from pathorob_checks.subsets import IN_DOMAIN, OUT_OF_DOMAIN

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
LEVELS = ("biological_class", "medical_center", "slide_id")
_LAYOUT = "<class>/<center>/<slide>/<patch>.png"
_SIDES = (IN_DOMAIN, OUT_OF_DOMAIN)
# Files of file managers, archive programs and network storage; hidden files are ignored as well.
_LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"})
_WHOLE_SLIDES = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".bif", ".czi", ".dcm"})

_Parts = tuple[str, ...]


def load_tree(folder: Path, accepted: AcceptedNames = NONE_ACCEPTED, *, needs_images: bool = True) -> Cohort:
    """Read and check a cohort folder whose folders are the labels.

    Parameters
    ----------
    folder : holds `<class>/<center>/<slide>/<patch>.png` (or another of `IMAGE_SUFFIXES`, in any case), all
        in-domain; or the two folders `ID` and `OOD` with that layout in each; and optionally `cohort.toml`.
        Folder names are the labels as written, and a file's name without its suffix is the patch's. Hidden
        files and those of file managers are ignored. A slide that gives patches to several classes has a
        folder in each of them, and all its patches have different names.
    accepted : reviewed names that may look alike.
    needs_images : False where no FM embeds the images: then the files may be empty or pointers of git-lfs,
        and the cohort says so in a note.

    Returns
    -------
    The cohort, rows in the order of their paths, named after the folder. Its digests are those of a folder
    with a manifest that names the same patches.

    Raises
    ------
    CohortError : a file or folder is in the wrong place, leads outside the folder, or cannot be used.
    """
    root = Path(os.path.realpath(folder))
    names = Names(accepted)
    paths, patches = [], []
    for path, labels in labels_by_path(root):
        paths.append(path)
        patches.append(made_patch(repr(path), labels, names))
    settings = read_settings(root / SETTINGS)
    check_table(f"folder {root.name!r}", patches, settings, names)
    where = tuple(patch.where for patch in patches)
    images, notes = None, names.notes
    try:
        images = FileImages(root, tuple(paths), where, hash_files(root, paths, where))
    except MissingImagesError as error:
        if needs_images:
            raise
        notes = (*notes, without_images(error))
    if images is not None:
        check_images(patches, images.digests)
    return own_cohort(
        name=root.name,
        source=str(folder),
        patches=patches,
        images=images,
        settings=settings,
        notes=notes,
    )


def labels_by_path(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The path of each image, relative to the folder, and the labels that it states; unchecked.

    Raises
    ------
    CohortError : a file or folder is in the wrong place or leads outside the folder.
    """
    root = Path(os.path.realpath(folder))
    for subset, first in _starts(root):
        for parts in _image_files(root, first, 0):
            values = (*parts[len(first) : -1], PurePath(parts[-1]).stem)
            labels = dict(zip((*LEVELS, "patch_id"), values, strict=True))
            yield "/".join(parts), {**labels, "subset": subset}


def levels_above_images(folder: Path) -> int | None:
    """How many levels of folders are above the first image in a folder; None where no image is found.

    Those of a cohort are `LEVELS`; ID and OOD count as none. Nothing is read.
    """
    parts: _Parts = ()
    while len(parts) <= len(LEVELS) + len(_SIDES):
        try:
            entries = [entry for entry in _entries(folder, parts) if entry.name != SETTINGS]
        except CohortError:
            return None
        if not entries:
            return None
        if not entries[0].is_dir():
            is_image = PurePath(entries[0].name).suffix.lower() in IMAGE_SUFFIXES
            return len(parts) - (parts[:1] in {(side,) for side in _SIDES}) if is_image else None
        parts = (*parts, entries[0].name)
    return None


def _starts(root: Path) -> list[tuple[str, _Parts]]:
    """The subsets, each with the folder that contains its classes."""
    top = [entry.name for entry in _entries(root, ()) if entry.is_dir()]
    if not top and all(entry.name == SETTINGS for entry in _entries(root, ())):
        raise CohortError(
            f"folder {root.name!r} has no patches",
            remedy=f"fill it with manifest.csv and its images, or with folders {_LAYOUT}",
        )
    if not all(side in top for side in _SIDES):
        return [(IN_DOMAIN, ())]
    for entry in _entries(root, ()):
        if entry.name not in (*_SIDES, SETTINGS):
            raise CohortError(
                f"{entry.name!r} is beside the folders ID and OOD",
                remedy=f"move it below one of them, as ID/{_LAYOUT}, or out of the cohort's folder",
            )
    return [(side, (side,)) for side in _SIDES]


def _image_files(root: Path, parts: _Parts, level: int) -> Iterator[_Parts]:
    """All image files below a folder, in the order of their names.

    The depth is fixed, so that links in a circle end in an error and not in an endless walk.
    """
    entries = _entries(root, parts)
    if parts and not entries:
        kind = f"{_level_name(level - 1)} folder" if level else "folder"
        raise CohortError(
            f"the {kind} {'/'.join(parts)!r} has no files", remedy="put its patches there or delete it"
        )
    for entry in entries:
        inner = (*parts, entry.name)
        path = "/".join(inner)
        if entry.is_symlink():
            _check_link(root, path)
        if entry.is_dir():
            if level == len(LEVELS):
                raise _too_deep(path, inner[0])
            yield from _image_files(root, inner, level + 1)
        elif inner == (SETTINGS,):
            continue
        elif level < len(LEVELS):
            raise _too_shallow(path)
        elif PurePath(entry.name).suffix.lower() not in IMAGE_SUFFIXES:
            raise _no_image(path)
        else:
            yield inner


def _entries(root: Path, parts: _Parts) -> list[os.DirEntry[str]]:
    """A folder's entries by name, without hidden files and those of file managers."""
    try:
        with os.scandir(root.joinpath(*parts)) as scanned:
            entries = [
                entry
                for entry in scanned
                if not entry.name.startswith(".") and entry.name.lower() not in _LITTER
            ]
    except OSError as error:
        raise CohortError(
            f"the folder {('/'.join(parts) or root.name)!r} cannot be read: {error.strerror}",
            remedy="give a folder that you may read",
        ) from None
    return sorted(entries, key=lambda entry: entry.name)


def _check_link(root: Path, path: str) -> None:
    if not is_inside(root, root / path):
        raise CohortError(
            f"{path!r} is a symbolic link that leads outside the cohort folder",
            remedy="copy its target into the folder",
        )
    if not (root / path).exists():
        raise CohortError(f"{path!r} is a broken symbolic link", remedy="restore its target")


def _level_name(level: int) -> str:
    return ("class", "center", "slide")[level]


def _too_deep(path: str, top: str) -> CohortError:
    remedy = f"use the layout {_LAYOUT}"
    if top.strip().upper() in _SIDES:
        remedy += f", or ID/{_LAYOUT} with both folders 'ID' and 'OOD', in upper case"
    return CohortError(f"{path!r} is a folder where a patch's image should be", remedy=remedy)


def _too_shallow(path: str) -> CohortError:
    suffix = PurePath(path).suffix.lower()
    remedy = f"write a manifest.csv of the images, or use the layout {_LAYOUT} without other files"
    if suffix == ".csv":
        remedy = f"rename a table of patches to manifest.csv, or move it out and use the layout {_LAYOUT}"
    elif suffix == ".parquet":
        remedy = "give the parquet file itself as the cohort"
    elif suffix == ".toml":
        remedy = f"call the cohort's settings {SETTINGS} and put them beside the class folders"
    return CohortError(f"{path!r} is a file where only folders should be", remedy=remedy)


def _no_image(path: str) -> CohortError:
    if PurePath(path).suffix.lower() in _WHOLE_SLIDES:
        return CohortError(f"{path!r} is a whole slide", remedy="cut it into patches")
    kinds = ", ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
    return CohortError(
        f"{path!r} is not an image file ({kinds})",
        remedy="convert it, or move it out of the cohort folder",
    )
