"""The figures of an HTML report: drawn, and sorted by the FM and cohort that they are about."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pathorob_checks.results.document import NO_METHOD, PatchFacts, ResultsDocument, Run
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.wording import counted, printable

if TYPE_CHECKING:
    from pathorob_checks.figures.picture import Picture
    from pathorob_checks.report.page import Group
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
    """The figures of one FM on one cohort."""

    number: int
    fm: str
    cohort: str
    run: Run
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


def drawn_pictures(results: Results, groups: Sequence[Group]) -> Pictures:
    """Draw the figures of some results; where there are many subjects, of those that matter most.

    Parameters
    ----------
    groups : the checks of each subject, gravest first.
    """
    from pathorob_checks import figures

    pictures_of = getattr(figures, "pictures_of", lambda *_, **__: ())
    found = pictures_of(results, most_subjects=MOST_SUBJECTS)
    of_subjects: dict[str, list[Drawn]] = {}
    of_all: list[Drawn] = []
    for number, one in enumerate(found):
        if one.kind == OWN_FORM:
            continue
        where = of_subjects.setdefault(one.subjects[0], []) if len(one.subjects) == 1 else of_all
        where.append(_drawn(one, number))
    runs = {(_fm(run), run.cohort.name): run for run in results.runs}
    ordered = [runs[key] for group in groups if (key := (group.fm, group.cohort)) in runs]
    shown = [run for run in ordered if _id(run) in of_subjects or run.neighborhoods][:MOST_SUBJECTS]
    by_subject = tuple(
        SubjectPictures(
            number=number,
            fm=_fm(run),
            cohort=run.cohort.name,
            run=_with_good_images(run),
            pictures=tuple(of_subjects.get(_id(run), ())),
        )
        for number, run in enumerate(shown)
    )
    return Pictures(
        of_all=tuple(of_all),
        by_subject=by_subject,
        left_out=_left_out(results, len(by_subject)),
    )


def _left_out(results: ResultsDocument, shown: int) -> str:
    rest = len(results.runs) - shown
    if shown < MOST_SUBJECTS or rest <= 0:
        return ""
    subjects = counted(len(results.runs), "pair of FM and cohort", "pairs of FM and cohort")
    return (
        f"Of {subjects}, {shown} have figures of their own here, those with failures first; {rest} were left "
        "out, and their numbers are in this page's results."
    )


def relation(neighbor: PatchFacts, patch: PatchFacts) -> str:
    """What a neighbor shares with its patch, as a name in `RELATIONS`."""
    same_class = neighbor.biological_class == patch.biological_class
    same_center = neighbor.medical_center == patch.medical_center
    if same_class:
        return "both" if same_center else "biology"
    return "center" if same_center else "neither"


def _drawn(picture: Picture, number: int) -> Drawn:
    """The figure as an element; one that cannot be drawn must not take the verdicts with it."""
    from pathorob_checks import figures

    svg_of: Any = getattr(figures, "svg_of")  # noqa: B009
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


def _fm(run: Run) -> str:
    return fm_and_method(run.fm.name, run.method)


def _id(run: Run) -> str:
    method = () if run.method == NO_METHOD else (run.method,)
    return "-".join((run.fm.name, *method, run.cohort.name))
