"""The checks on a user's own cohort, whatever its form.

They run before a model is loaded: a mistake in a table must not cost an hour of extraction, and must not
lead to a value that only looks right.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from pathorob_checks.cohorts.cohort import CASE, COLUMNS, Cohort, views_of_one_table
from pathorob_checks.cohorts.image_files import NoImages
from pathorob_checks.cohorts.lookalikes import skeleton
from pathorob_checks.cohorts.names import LABELS, Names, check_characters, check_ids, quoted_name
from pathorob_checks.cohorts.settings import Settings
from pathorob_checks.errors import CohortError
from pathorob_checks.subsets import IN_DOMAIN, OUT_OF_DOMAIN, probably_meant
from pathorob_checks.wording import nearest, quoted

SUBSETS = (IN_DOMAIN, OUT_OF_DOMAIN)
OPTIONAL = ("subset", CASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One patch, and where it is described, for messages: `'a.png' (manifest.csv line 3)`.

    `case_id` is that of the patient; "" where the cohort has none.
    """

    where: str
    slide_id: str
    patch_id: str
    biological_class: str
    medical_center: str
    subset: str = IN_DOMAIN
    case_id: str = ""

    @property
    def key(self) -> str:
        """Its identifier within the cohort."""
        return f"{self.slide_id}-{self.patch_id}"


class StoredImages(Protocol):
    """Row number -> RGB image, of files whose SHA-256 are `digests`."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Of each patch's image file."""
        ...

    def __call__(self, row: int) -> Image.Image:
        """Decode the image of a row."""
        ...


def without_images(reason: CohortError) -> str:
    """The note of a cohort whose images are not there, for a run that embeds none of them."""
    return f"The cohort was read without its images, and its digest does not cover them: {reason.problem}."


def check_columns(what: str, header: Sequence[str], required: Sequence[str], known: str = "") -> None:
    """Refuse missing, misspelt and repeated columns.

    Parameters
    ----------
    what : the table's name, for messages.
    known : a column that may be there and is not meant as another one.

    Raises
    ------
    CohortError : the message suggests what to rename where a similar column exists.
    """
    others = [name for name in header if name not in (*required, *OPTIONAL, known)]
    missing = [column for column in required if column not in header]
    if missing:
        similar = [(name, column) for column in missing if (name := _nearest(column, others))]
        remedy = ", ".join(f"rename {quoted_name(name)} to '{column}'" for name, column in similar)
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            remedy = "separate the columns by commas"
        names = ", ".join(f"'{column}'" for column in missing)
        noun, pronoun = ("column", "it") if len(missing) == 1 else ("columns", "them")
        raise CohortError(f"{what} lacks the {noun} {names}", remedy=remedy or f"add {pronoun}")
    # A misspelt optional column would silently turn every row into 'ID'.
    for column in OPTIONAL:
        if column not in header and (name := _nearest(column, others)):
            raise CohortError(
                f"{what} has a column {quoted_name(name)} that is probably meant as '{column}'",
                remedy=f"rename it to '{column}', or to a less similar name if it is another column",
            )
    for column in (*required, *OPTIONAL):
        if header.count(column) > 1:
            raise CohortError(f"{what} has the column '{column}' twice", remedy="delete one of them")


def made_patch(where: str, cells: Mapping[str, str], names: Names) -> Patch:
    """A patch from the cells or folder names that describe it.

    Its ids stay as they are written, because embeddings that exist already name them so; its other names are
    normalized.

    Raises
    ------
    CohortError : a name is empty, or has characters that cannot be seen or that are not of one script.
    """
    labels = {}
    for column, text in cells.items():
        if column in LABELS:
            labels[column] = names.label(where, column, text)
        else:
            check_characters(where, column, text)
            labels[column] = text
    return Patch(where=where, **labels)


def check_table(what: str, patches: Sequence[Patch], settings: Settings, names: Names) -> None:
    """Check all that depends on the labels alone.

    Parameters
    ----------
    what : the cohort's table or folder, for messages.
    names : that the patches were made with.

    Raises
    ------
    CohortError : a patch occurs twice, two names may be one, a slide is in two centers or of two cases, a
        center is both in-domain and out-of-domain, the subsets do not fit together, or there is too little to
        compare.
    """
    _check_keys(patches)
    _check_subsets(patches)
    names.check()
    for noun, id_of in (("slides", _slide), ("cases", _case)):
        first_of = {id_of(patch): patch for patch in reversed(patches) if id_of(patch)}
        check_ids(noun, ((name, patch.medical_center, patch.where) for name, patch in first_of.items()))
    _check_slides_and_centers(patches)
    _check_comparisons(what, patches)
    _check_k(patches, settings)


def check_images(patches: Sequence[Patch], digests: Sequence[str]) -> None:
    """Refuse one image under two names: its patch would be its own nearest neighbor.

    Raises
    ------
    CohortError : two patches have the same image file, byte for byte.
    """
    first_with: dict[str, Patch] = {}
    for patch, digest in zip(patches, digests, strict=True):
        first = first_with.setdefault(digest, patch)
        if first is not patch:
            raise CohortError(
                f"the images of {first.where} and {patch.where} are identical",
                remedy="keep one of the two, so that no patch is its own neighbor",
            )


def own_cohort(
    *,
    name: str,
    source: str,
    patches: Sequence[Patch],
    images: StoredImages | None,
    settings: Settings,
    reading_order: Callable[[], npt.NDArray[np.int64]] | None = None,
    notes: tuple[str, ...] = (),
) -> Cohort:
    """The cohort of patches that passed the checks.

    The digest of its images covers patch keys and image bytes, not labels. It covers the order of the patches
    only where the cohort has its own reading order: that decides which patches share a batch, and so the last
    bits of their embeddings.

    Parameters
    ----------
    images : None where they are not there and no FM embeds them.
    """
    columns = (*COLUMNS, CASE) if any(patch.case_id for patch in patches) else COLUMNS
    table = pd.DataFrame({column: [getattr(patch, column) for patch in patches] for column in columns})
    digests = images.digests if images is not None else ("",) * len(patches)
    entries = [
        (patch.slide_id, patch.patch_id, digest) for patch, digest in zip(patches, digests, strict=True)
    ]
    if images is None:
        entries, scheme = sorted(entries), "pathorob-checks/no images/1"
    elif reading_order is None:
        entries, scheme = sorted(entries), "pathorob-checks/folder/1"
    else:
        scheme = "pathorob-checks/parquet/1"
    return Cohort(
        name=name,
        patches=table,
        read_image=images or NoImages(tuple(patch.where for patch in patches)),
        images=hashlib.sha256(json.dumps([scheme, entries]).encode()).hexdigest(),
        views=views_of_one_table(table, k=settings.k),
        license=settings.license,
        commercial=settings.commercial,
        source=source,
        sources=settings.sources,
        reading_order=reading_order,
        notes=(*notes, *_one_sided(patches)),
    )


def _one_sided(patches: Sequence[Patch]) -> Iterator[str]:
    """A sentence for the reader, where labels alone move the robustness index."""
    inside = {(one.medical_center, one.biological_class) for one in patches if one.subset != OUT_OF_DOMAIN}
    classes = Counter(center for center, _ in inside)
    if one_class := sorted(center for center, count in classes.items() if count == 1):
        yield (
            f"From {quoted(one_class)} there are in-domain patches of one biological class only: they can "
            "have no neighbor of another class from the same center, which raises the robustness index."
        )


def _nearest(column: str, names: Iterable[str]) -> str | None:
    """The name that is probably meant as `column`: a misspelling, or one of its words ('center')."""
    names = list(names)
    alike = next((name for name in names if skeleton(name) == skeleton(column)), None)
    if alike is not None:
        return alike
    plain = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in names}
    words = [name for name in plain if "_" in column and name in column.split("_") and name != "id"]
    near = nearest(column, plain, cutoff=0.8) or next(iter(words), None)
    return plain[near] if near else None


def _check_keys(patches: Sequence[Patch]) -> None:
    by_key: dict[str, Patch] = {}
    for patch in patches:
        first = by_key.setdefault(unicodedata.normalize("NFKC", patch.key), patch)
        if first is patch or _are_two_slides_of_one_name(first, patch):
            continue
        if (first.slide_id, first.patch_id) == (patch.slide_id, patch.patch_id):
            raise CohortError(
                f"{first.where} and {patch.where} both describe slide '{patch.slide_id}' "
                f"patch '{patch.patch_id}'",
                remedy="delete one of them, or give every patch of a slide its own name",
            )
        # 'a-b' + 'c' and 'a' + 'b-c' have different labels but the same key in the benchmark.
        raise CohortError(
            f"{first.where} and {patch.where} both describe a patch with the key '{patch.key}'",
            remedy="rename one of them so that slide-patch is unique",
        )


def _are_two_slides_of_one_name(first: Patch, patch: Patch) -> bool:
    """Whether two patches are of two slides with one name, which `_check_slides_and_centers` refuses.

    Centers and cases often number their slides and patches from 1. Then no patch is there twice, and to
    delete one of the two would be the wrong advice.
    """
    return first.slide_id == patch.slide_id and (
        (first.medical_center, first.case_id) != (patch.medical_center, patch.case_id)
    )


def _slide(patch: Patch) -> str:
    return patch.slide_id


def _case(patch: Patch) -> str:
    return patch.case_id


def _check_slides_and_centers(patches: Sequence[Patch]) -> None:
    """Require that a slide is of one center and case, and a center either in-domain or out-of-domain."""
    by_slide: dict[str, Patch] = {}
    by_center: dict[str, Patch] = {}
    for patch in patches:
        first = by_slide.setdefault(patch.slide_id, patch)
        if first.medical_center != patch.medical_center:
            raise CohortError(
                f"slide '{patch.slide_id}' is in two medical centers: '{first.medical_center}' "
                f"({first.where}) and '{patch.medical_center}' ({patch.where})",
                remedy="correct the center, or give slides of different centers different names",
            )
        if first.case_id != patch.case_id:
            raise CohortError(
                f"slide '{patch.slide_id}' is of two cases: '{first.case_id}' ({first.where}) and "
                f"'{patch.case_id}' ({patch.where})",
                remedy="correct the case, or give slides of different cases different names",
            )
        first = by_center.setdefault(patch.medical_center, patch)
        if (first.subset == OUT_OF_DOMAIN) != (patch.subset == OUT_OF_DOMAIN):
            inside, outside = sorted((first, patch), key=lambda patch: patch.subset == OUT_OF_DOMAIN)
            raise CohortError(
                f"medical center '{patch.medical_center}' is in-domain ({inside.where}) and out-of-domain "
                f"({outside.where})",
                remedy="put all patches of a center on one side: out-of-domain if they never train",
            )


def _check_subsets(patches: Sequence[Patch]) -> None:
    """Require 'ID' and 'OOD', or 'OOD' and names of paired subsets."""
    first_in: dict[str, Patch] = {}
    for patch in patches:
        first_in.setdefault(patch.subset, patch)
    own = [name for name in first_in if name not in SUBSETS]
    for name in own:
        if (meant := probably_meant(name)) is not None:
            raise CohortError(
                f"{first_in[name].where} has the subset '{name}', which is probably meant as '{meant}'",
                remedy="write 'ID' (in-domain) or 'OOD' (out-of-domain), or leave the column out if all "
                "are 'ID'; paired subsets need other names",
            )
    if own and IN_DOMAIN in first_in:
        raise CohortError(
            f"{first_in[own[0]].where} has the subset '{own[0]}' and {first_in[IN_DOMAIN].where} has 'ID', "
            "but in-domain patches are either all 'ID' or all in paired subsets",
            remedy="write 'ID' (in-domain) or 'OOD' (out-of-domain) in every row, or a paired subset's name "
            "instead of every 'ID'",
        )


def _check_comparisons(what: str, patches: Sequence[Patch]) -> None:
    """Require at least two centers, two classes, and two centers for each class."""
    centers_of: defaultdict[str, set[str]] = defaultdict(set)
    within: defaultdict[str, list[Patch]] = defaultdict(list)
    example: dict[str, Patch] = {}
    for patch in patches:
        example.setdefault(patch.biological_class, patch)
        centers = centers_of[patch.biological_class]
        if patch.subset != OUT_OF_DOMAIN:
            centers.add(patch.medical_center)
            if patch.subset != IN_DOMAIN:
                within[patch.subset].append(patch)
    centers = set().union(*centers_of.values())
    if len(centers) < 2:
        raise CohortError(
            f"{what} has {_counted(centers, 'in-domain medical center')} but needs at least two",
            remedy="add in-domain patches from another medical center",
        )
    if len(centers_of) < 2:
        raise CohortError(
            f"{what} has {_counted(centers_of, 'biological class')} but needs at least two",
            remedy="add patches of another biological class",
        )
    for name, class_centers in sorted(centers_of.items()):
        if len(class_centers) < 2:
            raise CohortError(
                f"biological class '{name}' (first: {example[name].where}) has patches from "
                f"{_counted(class_centers, 'in-domain medical center')} but needs at least two",
                remedy=f"add in-domain patches of '{name}' from another center, or leave the class out",
            )
    for name, part in within.items():
        _check_paired_subset(name, part)


def _check_paired_subset(name: str, patches: Sequence[Patch]) -> None:
    """Require the same of a paired subset."""
    centers_of: defaultdict[str, set[str]] = defaultdict(set)
    for patch in patches:
        centers_of[patch.biological_class].add(patch.medical_center)
    subset = f"the paired subset '{name}' (first: {patches[0].where})"
    centers = set().union(*centers_of.values())
    for names, noun in ((centers, "medical center"), (set(centers_of), "biological class")):
        if len(names) < 2:
            raise CohortError(
                f"{subset} has {_counted(names, noun)} but needs at least two, since neighbors are sought "
                "inside each subset",
                remedy="put patches of two classes from two centers into every subset, or write 'ID' for all",
            )
    for label, class_centers in sorted(centers_of.items()):
        if len(class_centers) < 2:
            raise CohortError(
                f"{subset} has patches of the class '{label}' from "
                f"{_counted(class_centers, 'medical center')} but needs at least two, since neighbors are "
                "sought inside each subset",
                remedy=f"add patches of '{label}' from another center to it, or write 'ID' for all",
            )


def _check_k(patches: Sequence[Patch], settings: Settings) -> None:
    """Require k neighbors on other slides, even for the patches of the largest slide."""
    if settings.k is None:
        return
    slides: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for patch in patches:
        if patch.subset != OUT_OF_DOMAIN:
            slides[patch.subset][patch.slide_id] += 1
    for subset, sizes in slides.items():
        largest = max(sizes, key=lambda slide: sizes[slide])
        neighbors = sum(sizes.values()) - sizes[largest]
        if settings.k > neighbors:
            raise CohortError(
                f"{settings.file} has k = {settings.k}, but patches of slide '{largest}' have only "
                f"{neighbors} {'neighbor' if neighbors == 1 else 'neighbors'} on other slides in subset "
                f"'{subset}'",
                remedy="lower k, or leave it out",
            )


def _counted(names: Iterable[str], noun: str) -> str:
    """'only one medical center ('A')' or 'no medical center'."""
    shown = ", ".join(f"'{name}'" for name in sorted(names))
    return f"only one {noun} ({shown})" if shown else f"no {noun}"
