"""The manifest of an import: which medical center and biological class a slide, or a patch, is of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathorob_checks.cohorts.csv_tables import MOST_BYTES, parse_csv
from pathorob_checks.cohorts.design import OPTIONAL, Patch, check_columns, made_patch
from pathorob_checks.cohorts.names import Names
from pathorob_checks.cohorts.reading import read_file
from pathorob_checks.errors import CohortError
from pathorob_checks.files import shown
from pathorob_checks.wording import named, nearest

SLIDE, PATCH, PLACE = "slide_id", "patch_id", ("x", "y")
LABELS = ("biological_class", "medical_center")


@dataclass(frozen=True)
class Labels:
    """What the manifest says.

    Attributes
    ----------
    file : its name, for messages.
    rows : cells and line by slide and patch; the patch is "" where a row is of a whole slide.
    of_patches : whether rows are of patches.
    columns : which of `LABELS` and of the optional columns it has.
    """

    file: str
    rows: Mapping[tuple[str, str], tuple[int, Mapping[str, str]]]
    of_patches: bool
    columns: tuple[str, ...]

    @property
    def slides(self) -> dict[str, int]:
        """Each slide, and the line that names it first."""
        slides: dict[str, int] = {}
        for (slide, _), (line, _) in self.rows.items():
            slides.setdefault(slide, line)
        return slides

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether it names this patch of a slide, or the slide."""
        return self._of(*key) in self.rows

    def patch(self, slide: str, patch: str, names: Names) -> Patch:
        """The labels of a patch that it names."""
        line, cells = self.rows[self._of(slide, patch)]
        return made_patch(f"{self.file} line {line}", {SLIDE: slide, PATCH: patch, **cells}, names)

    def _of(self, slide: str, patch: str) -> tuple[str, str]:
        return slide, patch if self.of_patches else ""

    def check_slides(self, present: Iterable[str], *, skip_unlisted: bool) -> list[str]:
        """Hold the slides that have features against the manifest; returns those that it does not name.

        Raises
        ------
        CohortError : slides of the manifest have no features, or slides with features are not in the manifest
            and `skip_unlisted` is false.
        """
        have, listed = dict.fromkeys(present), self.slides
        without = [slide for slide in listed if slide not in have]
        unlisted = [slide for slide in have if slide not in listed]
        if without:
            raise CohortError(
                f"{self.file} names {named(without, 'slide', 'slides')} without features",
                remedy=_remedy_without(without, unlisted),
            )
        if unlisted and not skip_unlisted:
            raise CohortError(
                f"{named(unlisted, 'slide', 'slides')} with features "
                f"{'is' if len(unlisted) == 1 else 'are'} not in {self.file}",
                remedy="add a row for each, or leave them out with --skip-unlisted",
            )
        return unlisted


def _remedy_without(without: Sequence[str], unlisted: Sequence[str]) -> str:
    # `S1.svs` in the manifest for `S1.h5`, and the other way round.
    stems = {slide.rpartition(".")[0] or slide: slide for slide in without}
    meant = next((slide for slide in unlisted if slide in stems), None)
    if meant is None and (near := nearest(without[0], unlisted, cutoff=0.8)) is not None:
        meant, stems = near, {near: without[0]}
    if meant is not None:
        return f"write '{meant}' for '{stems[meant]}', as the features name the slide"
    return "extract their features, or delete their rows"


def read_labels(path: Path) -> Labels:
    """Read the manifest of an import.

    Parameters
    ----------
    path : a CSV with the columns slide_id, medical_center and biological_class, and optionally subset and
        case_id. With patch_id, or x and y, its rows are of patches.

    Raises
    ------
    CohortError : it is missing or no such table, or two rows are of the same slide or patch.
    """
    file = shown(path)
    try:
        table = parse_csv(file, read_file(path, file, MOST_BYTES))
    except FileNotFoundError:
        raise CohortError(
            f"the manifest '{file}' does not exist",
            remedy=f"write a CSV with the columns {', '.join((SLIDE, *LABELS))}, a row per slide",
        ) from None
    header = table.header
    check_columns(file, header, (SLIDE, *LABELS))
    by_place, by_id = set(PLACE) <= set(header), PATCH in header
    if by_place and by_id:
        raise CohortError(
            f"{file} names patches by '{PATCH}' and by 'x' and 'y'", remedy="keep one of the two"
        )
    if not table.rows:
        raise CohortError(f"{file} has no rows", remedy="write a row per slide")
    columns = tuple(name for name in (*LABELS, *OPTIONAL) if name in header)
    rows: dict[tuple[str, str], tuple[int, Mapping[str, str]]] = {}
    for line, cells in table.rows:
        row = dict(zip(header, cells, strict=True))
        patch = row[PATCH] if by_id else "_".join(_place(row[axis]) for axis in PLACE) if by_place else ""
        first = rows.setdefault((row[SLIDE], patch), (line, {name: row[name] for name in columns}))
        if first[0] != line:
            what = f"patch '{patch}' of slide '{row[SLIDE]}'" if patch else f"slide '{row[SLIDE]}'"
            raise CohortError(
                f"{file} lines {first[0]} and {line} are both of {what}", remedy="keep one of them"
            )
    return Labels(file, rows, by_place or by_id, columns)


def _place(text: str) -> str:
    """A coordinate as patch ids have it: 256 for 256.0."""
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() else repr(value)
