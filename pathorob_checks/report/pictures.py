"""The figures of an HTML report: drawn, and sorted by the FM and cohort that they are about."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from pathorob_checks.report.sheets import Sheet
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.names import fm_and_method, subject_id
from pathorob_checks.results.subject_facts import Neighborhood, PatchFacts, Run
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.figures.picture import Picture
    from pathorob_checks.results.results import Results

MOST_SUBJECTS = 12  # with figures of their own
OWN_FORM = "misled_patches"  # the kind of figure that a page shows as images with words instead
RELATIONS = {
    "query": "the patch",
    "biology": "same class, other center",
    "center": "other class, same center",
    "both": "same class, same center",
    "neither": "other class, other center",
}
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure with what stands around it.

    Attributes
    ----------
    svg : an element for the page; empty where it could not be drawn.
    problem : why it could not be drawn; "" where it was.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    svg: Markup
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class SubjectPictures:
    """The figures of one FM on one cohort; without a run where it is a mean over cohorts."""

    number: int
    fm: str
    cohort: str
    run: Run | None
    pictures: tuple[Drawn, ...]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """All figures of a report.

    Attributes
    ----------
    of_all : those about the whole run.
    by_subject : in the order in which they are shown.
    left_out : a sentence about those that are not shown; "" where all are.
    """

    of_all: tuple[Drawn, ...] = ()
    by_subject: tuple[SubjectPictures, ...] = ()
    left_out: str = ""

    @property
    def any(self) -> bool:
        """Whether there is a figure."""
        return bool(self.of_all or self.by_subject)

    @property
    def numbers(self) -> dict[tuple[str, str], int]:
        """The number of each subject with figures, by the name of its FM and cohort."""
        return {(one.fm, one.cohort): one.number for one in self.by_subject}


def drawn_pictures(results: Results) -> Pictures:
    """Draw the figures of some results; where there are many subjects, of those with failures first."""
    from pathorob_checks.figures import pictures_of

    drawn_of: dict[str | None, list[Drawn]] = {None: []}
    for number, one in enumerate(pictures_of(results, most_subjects=MOST_SUBJECTS)):
        own = drawn_of.setdefault(one.subjects[0] if len(one.subjects) == 1 else None, [])
        if one.kind != OWN_FORM:
            own.append(_drawn(one, number))
    of_all = drawn_of.pop(None)
    subjects = _subjects(results)
    runs = {subject_id(run.fm.name, run.method, run.cohort.name): run for run in results.runs}
    by_subject = tuple(
        SubjectPictures(
            number=number,
            fm=subjects[key][0],
            cohort=subjects[key][1],
            run=_with_good_images(runs[key]) if key in runs else None,
            pictures=tuple(own),
        )
        for number, (key, own) in enumerate(drawn_of.items())
        if key is not None
    )
    return Pictures(
        of_all=tuple(of_all),
        by_subject=by_subject,
        left_out=_left_out(len(subjects)) if len(subjects) > MOST_SUBJECTS else "",
    )


def _subjects(results: ResultsDocument) -> dict[str, tuple[str, str]]:
    """The names of FM and cohort of each subject, by its id."""
    keys = [(check.fm, check.method, check.cohort) for check in results.checks]
    keys += [(run.fm.name, run.method, run.cohort.name) for run in results.runs]
    return {subject_id(*key): (fm_and_method(*key[:2]), key[2]) for key in keys}


def _left_out(subjects: int) -> str:
    everything = counted(subjects, "pair of FM and cohort", "pairs of FM and cohort")
    return (
        f"Only {MOST_SUBJECTS} of {everything} have figures of their own here, those with failures first. "
        "Those of the others were left out to keep the page small; `pathorob_checks.figures` draws them from "
        "the results in this page."
    )


def relation(neighbor: PatchFacts, patch: PatchFacts) -> str:
    """What a neighbor shares with its patch, as a name in `RELATIONS`."""
    same_class = neighbor.biological_class == patch.biological_class
    same_center = neighbor.medical_center == patch.medical_center
    if same_class:
        return "both" if same_center else "biology"
    return "center" if same_center else "neither"


def label_sheet(neighborhoods: Sequence[Neighborhood]) -> Sheet:
    """Misplaced patches and what their neighbors are, for a report without images."""
    return Sheet(
        title="Patches that the FM misplaces",
        columns=("patch", "class", "medical center", "nearest neighbors", "their slides, nearest first"),
        rows=tuple(
            (
                f"slide {one.patch.slide_id}, patch {one.patch.patch_id}",
                one.patch.biological_class,
                one.patch.medical_center,
                "; ".join(
                    f"{number}: {RELATIONS[kind]}"
                    for kind, number in Counter(relation(near, one.patch) for near in one.neighbors).items()
                ),
                ", ".join(near.slide_id for near in one.neighbors),
            )
            for one in neighborhoods
        ),
    )


def _drawn(picture: Picture, number: int) -> Drawn:
    """The figure as an element; one that cannot be drawn must not take the verdicts with it."""
    from pathorob_checks.figures import svg_of

    svg, problem = "", ""
    try:
        svg = svg_of(picture.draw(), f"figure-{number}", label=printable(picture.alt))
    except Exception as error:  # the page says so, and shows the figure's numbers
        problem = type(error).__name__
    return Drawn(
        title=picture.title,
        caption=picture.caption,
        columns=picture.columns,
        rows=picture.rows,
        svg=Markup(svg),  # noqa: S704 (its texts are escaped there)
        problem=problem,
    )


def _with_good_images(run: Run) -> Run:
    images = {key: image for key, image in run.images.items() if _is_jpeg(image)}
    return run.model_copy(update={"images": {key: Markup(image) for key, image in images.items()}})  # noqa: S704


def _is_jpeg(image: str) -> bool:
    try:
        return base64.b64decode(image, validate=True).startswith(_JPEG)
    except (binascii.Error, ValueError):
        return False
