"""Which rows of the files become patches of the cohort."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathorob_checks.cohorts.design import Patch
from pathorob_checks.cohorts.names import Names
from pathorob_checks.errors import CohortError, EmbeddingError
from pathorob_checks.importing.bag import Bag, Rows
from pathorob_checks.importing.labels import Labels
from pathorob_checks.wording import counted, named

_Row = tuple[int, int, str]  # number of the bag, row in it, patch id


@dataclass(frozen=True)
class Selection:
    """Some rows of some bags.

    Attributes
    ----------
    parts : bags, and their rows in ascending order.
    patches : of all rows, in that order.
    unlabeled : how many rows of listed slides the manifest does not name.
    """

    parts: list[tuple[Bag, Rows]]
    patches: list[Patch]
    unlabeled: int


def selected(
    bags: Sequence[Bag], labels: Labels, names: Names, patches_per_slide: int | None, seed: int
) -> Selection:
    """The labeled rows, at most `patches_per_slide` of each slide.

    The draw depends on the seed and the ids of slide and patches only: features of another FM of the same
    patches give the same cohort, whatever the order in their files.

    Raises
    ------
    EmbeddingError : two files have the same patch, or embeddings of different lengths.
    CohortError : the manifest names patches without features.
    """
    _check_dimensions(bags)
    labeled: defaultdict[str, list[_Row]] = defaultdict(list)
    seen: dict[tuple[str, str], str] = {}
    unlabeled = 0
    for number, bag in enumerate(bags):
        for row, patch_id in enumerate(bag.patch_ids):
            first = seen.setdefault((bag.slide_id, patch_id), bag.where)
            if first != bag.where:
                raise EmbeddingError(
                    f"'{first}' and '{bag.where}' both have patch '{patch_id}' of slide '{bag.slide_id}'",
                    remedy="keep one of them",
                )
            if (bag.slide_id, patch_id) in labels:
                labeled[bag.slide_id].append((number, row, patch_id))
            else:
                unlabeled += 1
    if labels.of_patches:
        without = [f"{slide}-{patch}" for slide, patch in labels.rows if (slide, patch) not in seen]
        if without:
            raise CohortError(
                f"{labels.file} names {named(without)} without features",
                remedy="write patches as the files name them: by patch_id, or by x and y of their corner",
            )
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for slide, own in labeled.items():
        for number, row, _ in _drawn(slide, own, patches_per_slide, seed):
            rows[number].append(row)
    parts = [(bags[number], np.array(sorted(rows[number]))) for number in sorted(rows)]
    patches = [
        labels.patch(bag.slide_id, bag.patch_ids[row], names)
        for bag, chosen in parts
        for row in chosen.tolist()
    ]
    return Selection(parts, patches, unlabeled)


def _drawn(slide: str, rows: list[_Row], most: int | None, seed: int) -> list[_Row]:
    if most is None or len(rows) <= most:
        return rows
    return sorted(rows, key=lambda one: _lot(seed, slide, one[2]))[:most]


def _lot(seed: int, slide: str, patch: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{slide}\0{patch}".encode()).digest()


def _check_dimensions(bags: Sequence[Bag]) -> None:
    """Refuse features of several FMs."""
    first_with: dict[int, Bag] = {}
    for bag in bags:
        first_with.setdefault(bag.dimension, bag)
    if len(first_with) > 1:
        counts = Counter(bag.dimension for bag in bags)
        (one, _), (two, _) = counts.most_common(2)
        raise EmbeddingError(
            f"'{first_with[two].where}' has embeddings of {counted(two, 'number')} where "
            f"{counted(counts[one], 'slide')}, such as '{first_with[one].where}', "
            f"{'has' if counts[one] == 1 else 'have'} {one:,}",
            remedy="give the folder of one FM, or extract the features of these slides again",
        )
