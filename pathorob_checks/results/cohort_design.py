"""Which slides a cohort has, in lines for people: swapped or misspelt labels are seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from pathorob_checks.results.subject_facts import CellFacts, CohortFacts
from pathorob_checks.wording import counted, printable

MOST_CLASSES = 8
MOST_CENTERS = 6
_SIDES = ("ID", "OOD")
_PLURALS = {"class": "classes", "row": "rows"}


def design_lines(cohort: CohortFacts) -> list[str]:
    """The slides of each biological class by medical center, each line printable.

    At most `MOST_CLASSES` classes and `MOST_CENTERS` centers of each are named, the rest is counted. Files
    without cells, of older versions, give the first line alone.

    Parameters
    ----------
    cohort : as the results have it.

    Returns
    -------
    A line about the whole cohort, then an indented one for each class (and paired subset).
    """
    inside, outside = cohort.in_domain_centers, cohort.out_of_domain_centers
    centers = counted(len(inside), "in-domain medical center")
    if outside:
        centers += f", {len(outside):,} out-of-domain"
    first = (
        f"cohort {cohort.name}: {counted(cohort.patches, 'patch', 'patches')}, "
        f"{counted(cohort.slides, 'slide')}, "
        f"{counted(len(cohort.biological_classes), 'biological class', 'biological classes')}, {centers}"
    )
    rows: dict[tuple[str, str], list[CellFacts]] = {}
    for cell in cohort.cells:
        paired = "" if cell.subset in _SIDES else cell.subset
        rows.setdefault((cell.biological_class, paired), []).append(cell)
    shown = [_line(*row, cells) for row, cells in sorted(rows.items())[:MOST_CLASSES]]
    if len(rows) > MOST_CLASSES:
        unit = "class" if len(rows) == len(cohort.biological_classes) else "row"
        shown.append(f"  and {counted(len(rows) - MOST_CLASSES, f'more {unit}', f'more {_PLURALS[unit]}')}")
    return [printable(line) for line in (first, *shown)]


def _line(name: str, paired: str, cells: Sequence[CellFacts]) -> str:
    sides = [[cell for cell in cells if (cell.subset == "OOD") is outside] for outside in (False, True)]
    parts = [
        f"{lead}{_centers(side)}" for lead, side in zip(("", "out-of-domain "), sides, strict=True) if side
    ]
    where = f" in the paired subset {paired}" if paired else ""
    return f"  class {name}{where}: {'; '.join(parts)}"


def _centers(cells: Sequence[CellFacts]) -> str:
    named = [f"{cell.slides:,} from {cell.medical_center}" for cell in cells[:MOST_CENTERS]]
    named[0] = f"{counted(cells[0].slides, 'slide')} from {cells[0].medical_center}"
    rest = cells[MOST_CENTERS:]
    if rest:
        slides = sum(cell.slides for cell in rest)
        named.append(f"{slides:,} from {counted(len(rest), 'more medical center')}")
    return ", ".join(named)
