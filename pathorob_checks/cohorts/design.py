"""What must hold of any cohort of the user's own, in whatever form it is written down.

Everything here is checked before a model is loaded: a wrong table must not cost an hour of extraction, and
above all must not end in a number that looks right.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from pathorob_checks.cohorts.cohort import COLUMNS, IN_DOMAIN, OUT_OF_DOMAIN, Cohort, views_of_one_table
from pathorob_checks.cohorts.settings import Settings
from pathorob_checks.errors import CohortError

SUBSETS = (IN_DOMAIN, OUT_OF_DOMAIN)
OPTIONAL = ("subset",)

# Words for in-domain and out-of-domain, or for a split, without case and punctuation. None of them can name
# a paired subset: who writes 'train' means something else, and would get another design without a word.
_NO_PAIRED_SUBSET = {
    IN_DOMAIN: "id idd iid in indomain indistribution internal train training val valid validation dev",
    OUT_OF_DOMAIN: "ood odd o0d 00d od out outdomain outofdomain outdistribution outofdistribution external "
    "test testing holdout",
}
_MEANT = {word: subset for subset, words in _NO_PAIRED_SUBSET.items() for word in words.split()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One patch of the user's, with the place for messages: `'a.png' (manifest.csv line 3)`."""

    where: str
    slide_id: str
    patch_id: str
    biological_class: str
    medical_center: str
    subset: str = IN_DOMAIN

    @property
    def key(self) -> str:
        """What identifies it within the cohort."""
        return f"{self.slide_id}-{self.patch_id}"


def check_columns(what: str, header: Sequence[str], required: Sequence[str]) -> None:
    """Tell columns that are missing, misspelt or there twice.

    Parameters
    ----------
    what : the table's name, for messages.

    Raises
    ------
    CohortError : with the columns that were probably meant.
    """
    others = [name for name in header if name not in (*required, *OPTIONAL)]
    missing = [column for column in required if column not in header]
    if missing:
        near = [(found, column) for column in missing if (found := _nearest(column, others))]
        remedy = ", ".join(f"rename '{found}' to '{column}'" for found, column in near)
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            remedy = "separate the columns by commas"
        names = ", ".join(f"'{column}'" for column in missing)
        raise CohortError(f"{what} lacks the column(s) {names}", remedy=remedy or "add them")
    # A misspelt optional column would silently turn every row into 'ID'.
    for column in OPTIONAL:
        if column not in header and (found := _nearest(column, others)):
            raise CohortError(
                f"{what} has a column '{found}' that is probably meant as '{column}'",
                remedy=f"rename '{found}' to '{column}', or to something less alike if it is not meant so",
            )
    for column in (*required, *OPTIONAL):
        if header.count(column) > 1:
            raise CohortError(f"{what} has the column '{column}' twice", remedy="delete one of them")


def check_label(where: str, column: str, text: str) -> None:
    """Tell a cell or name that cannot be meant as it is.

    Raises
    ------
    CohortError : it is empty, has white space around it or a control character, or is no valid text.
    """
    if not text.strip():
        raise CohortError(f"{where} has an empty cell in column '{column}'", remedy="fill it")
    # 'RUMC ' would be a second medical center beside 'RUMC'.
    if text != text.strip() or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise CohortError(
            f"{where} has stray white space or a control character in its {column}: {text!r}",
            remedy="write it without",
        )
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):  # a file name that is not UTF-8
        raise CohortError(f"{where} has a {column} that is not UTF-8 text: {text!r}", remedy="rename it")


def check_table(what: str, patches: Sequence[Patch], settings: Settings) -> None:
    """Everything that can be said of the labels alone.

    Parameters
    ----------
    what : the cohort's table or folder, for messages.

    Raises
    ------
    CohortError : a patch is there twice, a slide or center is on two sides, the subsets make no sense, or
        there is too little to compare.
    """
    _check_keys(patches)
    _check_subsets(patches)
    _check_spellings(patches)
    _check_slides_and_centers(patches)
    _check_comparisons(what, patches)
    _check_k(patches, settings)


def check_images(patches: Sequence[Patch], digests: Sequence[str]) -> None:
    """One patch under two names would be its own nearest neighbor.

    Raises
    ------
    CohortError : two patches have the same image file, byte by byte.
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
    digests: Sequence[str],
    read_image: Callable[[int], Image.Image],
    settings: Settings,
    reading_order: Callable[[], npt.NDArray[np.int64]] | None = None,
) -> Cohort:
    """The cohort of patches that passed the checks.

    Its digest covers patch keys and image bytes, not labels. The order of the patches is part of it only
    where they are read in an order of their own: that decides which patches share a batch, and with it
    the last bits of their embeddings.

    Parameters
    ----------
    digests : SHA-256 of each patch's image file.
    """
    table = pd.DataFrame({column: [getattr(patch, column) for patch in patches] for column in COLUMNS})
    entries = [
        (patch.slide_id, patch.patch_id, digest) for patch, digest in zip(patches, digests, strict=True)
    ]
    if reading_order is None:
        entries, scheme = sorted(entries), "pathorob-checks/folder/1"
    else:
        scheme = "pathorob-checks/parquet/1"
    return Cohort(
        name=name,
        patches=table,
        read_image=read_image,
        digest=hashlib.sha256(json.dumps([scheme, entries]).encode()).hexdigest(),
        views=views_of_one_table(table, k=settings.k),
        license=settings.license,
        commercial=settings.commercial,
        source=source,
        reading_order=reading_order,
    )


def _nearest(column: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant as `column`: misspelt, or its last or first word ('center')."""
    plain = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in names}
    found = difflib.get_close_matches(column, plain, n=1, cutoff=0.8)
    found += [name for name in plain if "_" in column and name in column.split("_") and name != "id"]
    return plain[found[0]] if found else None


def _check_keys(patches: Sequence[Patch]) -> None:
    by_key: dict[str, Patch] = {}
    for patch in patches:
        first = by_key.setdefault(patch.key, patch)
        if first is patch:
            continue
        if (first.slide_id, first.patch_id) == (patch.slide_id, patch.patch_id):
            raise CohortError(
                f"{first.where} and {patch.where} both describe slide '{patch.slide_id}' "
                f"patch '{patch.patch_id}'",
                remedy="delete one of them, or give every patch of a slide a name of its own",
            )
        # 'a-b' + 'c' and 'a' + 'b-c' are told apart by the labels but not by the benchmark's keys.
        raise CohortError(
            f"{first.where} and {patch.where} both describe a patch with the key '{patch.key}'",
            remedy="rename so that slide-patch is unique",
        )


def _check_spellings(patches: Sequence[Patch]) -> None:
    """'Lyon' and 'lyon' would be two centers, and the comparison one of spellings."""
    columns = {
        "biological_class": "biological classes",
        "medical_center": "medical centers",
        "subset": "subsets",
    }
    for column, many in columns.items():
        first_with: dict[str, Patch] = {}
        known: set[str] = set()
        for patch in patches:
            name = getattr(patch, column)
            if name in known:
                continue
            known.add(name)
            first = first_with.setdefault(unicodedata.normalize("NFKC", name).casefold(), patch)
            if first is not patch:
                raise CohortError(
                    f"the {many} '{getattr(first, column)}' ({first.where}) and '{name}' ({patch.where}) "
                    "differ in nothing but upper and lower case or the encoding of letters",
                    remedy="write them alike, or name them more clearly",
                )


def _check_slides_and_centers(patches: Sequence[Patch]) -> None:
    """A slide is of one center, and slides and centers are in-domain or out-of-domain, never both."""
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
        first = by_center.setdefault(patch.medical_center, patch)
        if (first.subset == OUT_OF_DOMAIN) != (patch.subset == OUT_OF_DOMAIN):
            inside, outside = sorted((first, patch), key=lambda one: one.subset == OUT_OF_DOMAIN)
            raise CohortError(
                f"medical center '{patch.medical_center}' is in-domain ({inside.where}) and out-of-domain "
                f"({outside.where})",
                remedy="put all of a center's patches on one side; out-of-domain are those that never train",
            )


def _check_subsets(patches: Sequence[Patch]) -> None:
    """'ID' and 'OOD', or names of the user's own instead of 'ID': neighbors are sought inside each."""
    first_in: dict[str, Patch] = {}
    for patch in patches:
        first_in.setdefault(patch.subset, patch)
    own = [name for name in first_in if name not in SUBSETS]
    for name in own:
        word = "".join(character for character in name.casefold() if character.isalnum())
        meant = OUT_OF_DOMAIN if word.startswith(("ood", "outof")) else _MEANT.get(word)
        if meant is not None:
            raise CohortError(
                f"{first_in[name].where} has the subset '{name}', which is probably meant as '{meant}'",
                remedy="write 'ID' (in-domain) or 'OOD' (out-of-domain), or leave the column out for all "
                "'ID'; paired subsets need other names",
            )
    if own and IN_DOMAIN in first_in:
        raise CohortError(
            f"{first_in[own[0]].where} has the subset '{own[0]}' and {first_in[IN_DOMAIN].where} has 'ID', "
            "but either all in-domain patches are one set ('ID') or each is in a paired subset with a name",
            remedy="write 'ID' (in-domain) or 'OOD' (out-of-domain) in every row, or a paired subset's name "
            "instead of every 'ID'",
        )


def _check_comparisons(what: str, patches: Sequence[Patch]) -> None:
    """Robustness is a comparison: two centers at least, two classes at least, each class in two centers."""
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
            f"{what} has {_counted(centers, 'in-domain medical center')} where two are the least",
            remedy="add in-domain patches from another medical center",
        )
    if len(centers_of) < 2:
        raise CohortError(
            f"{what} has {_counted(centers_of, 'biological class')} where two are the least",
            remedy="add patches of another biological class",
        )
    for name, found in sorted(centers_of.items()):
        if len(found) < 2:
            raise CohortError(
                f"biological class '{name}' (first: {example[name].where}) has patches from "
                f"{_counted(found, 'in-domain medical center')} where two are the least",
                remedy=f"add in-domain patches of '{name}' from another center, or leave the class out",
            )
    for name, part in within.items():
        _check_paired_subset(name, part)


def _check_paired_subset(name: str, patches: Sequence[Patch]) -> None:
    """A paired subset is a comparison by itself."""
    centers_of: defaultdict[str, set[str]] = defaultdict(set)
    for patch in patches:
        centers_of[patch.biological_class].add(patch.medical_center)
    subset = f"the paired subset '{name}' (first: {patches[0].where})"
    centers = set().union(*centers_of.values())
    for found, noun in ((centers, "medical center"), (set(centers_of), "biological class")):
        if len(found) < 2:
            raise CohortError(
                f"{subset} has {_counted(found, noun)} where two are the least, since neighbors are sought "
                "inside each subset",
                remedy="put patches of two classes from two centers into every subset, or write 'ID' for all",
            )
    for label, found in sorted(centers_of.items()):
        if len(found) < 2:
            raise CohortError(
                f"{subset} has patches of the class '{label}' from {_counted(found, 'medical center')} where "
                "two are the least, since neighbors are sought inside each subset",
                remedy=f"add patches of '{label}' from another center to it, or write 'ID' for all",
            )


def _check_k(patches: Sequence[Patch], settings: Settings) -> None:
    """k neighbors of other slides must exist, also for the patches of the largest slide."""
    if settings.k is None:
        return
    slides: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for patch in patches:
        if patch.subset != OUT_OF_DOMAIN:
            slides[patch.subset][patch.slide_id] += 1
    for subset, sizes in slides.items():
        largest = max(sizes, key=lambda slide: sizes[slide])
        reach = sum(sizes.values()) - sizes[largest]
        if settings.k > reach:
            raise CohortError(
                f"{settings.file} has k = {settings.k}, but patches of slide '{largest}' have only {reach} "
                f"neighbors on other slides in subset '{subset}'",
                remedy="lower k, or leave it out",
            )


def _counted(names: Iterable[str], noun: str) -> str:
    """'only one medical center ('A')' or 'no medical center'."""
    shown = ", ".join(f"'{name}'" for name in sorted(names))
    return f"only one {noun} ({shown})" if shown else f"no {noun}"
