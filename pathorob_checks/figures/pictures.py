"""Every figure that results have data for, with its title, caption, words and table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from pathorob_checks.criteria.verdict import GRAVEST_FIRST
from pathorob_checks.figures.choosing import cohort_of, fm_of, metric_label
from pathorob_checks.figures.curves import DROPS, INDEX, Curves, curves_of, draw_curves
from pathorob_checks.figures.forest import MOST, intervals, shown_checks
from pathorob_checks.figures.grids import CLUSTERING, NEIGHBORS, ShownGrid, draw_grid, grids_of, value_text
from pathorob_checks.figures.maps import draw_map
from pathorob_checks.figures.methods import changes_by_method
from pathorob_checks.figures.patches import draw_patches, relation
from pathorob_checks.figures.picture import Picture
from pathorob_checks.figures.published import draw_ranked, rank_sentence, ranked
from pathorob_checks.metrics.pictured import Curve
from pathorob_checks.results.check import Check
from pathorob_checks.results.document import ResultsDocument
from pathorob_checks.results.explanation import explain
from pathorob_checks.results.method_changes import change_in_words, effect_sentences, method_changes
from pathorob_checks.results.names import subject_id
from pathorob_checks.results.numbers import change_and_interval, check_interval, interval_text
from pathorob_checks.results.outcome import value_and_bound
from pathorob_checks.results.subject_facts import EmbeddingMap, Run
from pathorob_checks.wording import counted, printable, rounded_percent

# Figures of this package's metrics by the metrics that they show; others have the kind `curve` or `grid`.
_CURVES: Mapping[tuple[str, ...], str] = {INDEX: "index_over_k", DROPS: "accuracy_over_correlation"}
_GRIDS: Mapping[str, str] = {CLUSTERING[0]: "clustering_heatmap", NEIGHBORS[0]: "neighbor_shares"}

# Titles where the names in the data would make a clumsy one; `{where}` is the FM and the cohort.
_TITLES: Mapping[str, str] = {
    "index_over_k": "Robustness index over the number of neighbors: {where}",
    "accuracy_over_correlation": "Accuracy when class and center are confounded in training: {where}",
    "clustering_heatmap": "Clustering score by pairs of classes and centers: {where}",
    "neighbor_shares": "Whose neighbors are nearest, by center and class: {where}",
}
_CAPTIONS: Mapping[str, str] = {
    "intervals": (
        "Every criterion, failures first, on the scale of its metric. The shape is the value and the thin "
        "line its interval; the thick line is the bound, and the shaded side of it meets the bound. A "
        "criterion is clear where the whole interval is on one side."
    ),
    "changes_by_method": (
        "What each method changes in a metric, measured on the same slides as without a method, with paired "
        "intervals. To the right of 0 is better. A mark is filled where the whole interval is on one side of "
        "0: a hollow one has not been shown to help or to harm. The rows of biology tell what is left of the "
        "biological class."
    ),
    "index_over_k": (
        "The robustness index for each number k of nearest neighbors. The diamond is the value that the "
        "criterion judges, at the k of the run. Above 0.5 a patch's informative neighbors share its "
        "biological class more often than its medical center. A curve that crosses the bound says that the "
        "verdict depends on k. Marks at the right edge are published FMs at the benchmark's own k."
    ),
    "accuracy_over_correlation": (
        "A classifier is trained on slides in which class and medical center are more and more confounded "
        "(Cramér's V from 0 to 1), and tested on the same balanced slides each time. A robust FM has a flat "
        "curve; one that falls has let the classifier learn the center. A curve near the level of chance "
        "has nothing to lose."
    ),
    "clustering_heatmap": (
        "Each cell clusters the embeddings of two biological classes from two medical centers. Above 0 the "
        "clusters follow the class, below 0 the center. Cells without a value were not clustered."
    ),
    "neighbor_shares": (
        "Which patches are nearest, by center and class of the patch itself. Neighbors of the same class "
        "from another center (SO) show that biology decides, those of another class from the same center "
        "(OS) that the center does; the other two kinds do not tell them apart."
    ),
    "curve": "What the metric shows over its setting, with the level to compare with.",
    "grid": "What the metric shows by two labels; a cell without a value has a dash in the table.",
    "embedding_map": (
        "Patches in the plane of the first two principal components of their embeddings, twice: colored by "
        "biological class and by medical center. Groups that lie apart on the right and mix on the left show "
        "a center effect. Hollow marks: out-of-domain centers. Two components show only a part of the "
        "variance, which the axes name."
    ),
    "among_published": (
        "The FM beside the published FMs of the same metric. Filled circles were validated by the "
        "benchmark's authors. Pooling, precision and settings of published values may differ from this run."
    ),
    "misled_patches": (
        "Patches that pull the metric down, each from another slide, with their nearest neighbors from left "
        "to right. A dashed frame is a neighbor of another class from the same center, a thick plain one a "
        "neighbor of the same class from another center."
    ),
}


def pictures_of(results: ResultsDocument, *, most_subjects: int | None = None) -> tuple[Picture, ...]:
    """Return every figure that results have data for, ready to be drawn.

    Parameters
    ----------
    results : Results
        Of a run.
    most_subjects : int, optional
        Only so many FMs on cohorts, those with failures first; all when left out.

    Returns
    -------
    tuple of Picture
        First what is about the whole run, then the figures of each FM on each cohort.

    Examples
    --------
    >>> from pathorob_checks import Results
    >>> from pathorob_checks.figures import pictures_of
    >>> results = Results.read("results.json")  # doctest: +SKIP
    >>> for picture in pictures_of(results):  # doctest: +SKIP
    ...     picture.draw().savefig(f"{picture.kind}.png")
    """
    pictures = list(_of_run(results))
    for part in _subjects(results)[:most_subjects]:
        pictures += _of_subject(results, part)
    return tuple(pictures)


def _subjects(results: ResultsDocument) -> list[Check | Run]:
    """One part of the results for each FM on each cohort, those with the gravest verdict first."""
    shown_subjects: dict[tuple[str, str, str], Check | Run] = {}
    gravest: dict[tuple[str, str, str], int] = {}
    for check in results.checks:
        key = (check.fm, check.method, check.cohort)
        shown_subjects.setdefault(key, check)
        gravest[key] = min(gravest.get(key, len(GRAVEST_FIRST)), GRAVEST_FIRST.index(check.verdict))
    for run in results.runs:
        shown_subjects.setdefault((run.fm.name, run.method, run.cohort.name), run)
    return [
        shown_subjects[key]
        for key in sorted(shown_subjects, key=lambda key: gravest.get(key, len(GRAVEST_FIRST)))
    ]


def _picture(
    kind: str,
    subject: str | None,
    title: str,
    alt: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    draw: Callable[[], Figure],
    *,
    more: str = "",
) -> Picture:
    """A picture of a kind; `more` follows the caption that all of the kind have."""
    return Picture(
        kind=kind,
        subjects=() if subject is None else (subject,),
        title=printable(title),
        caption=printable(f"{_CAPTIONS[kind]} {more}".rstrip()),
        alt=printable(alt),
        columns=tuple(map(printable, columns)),
        rows=tuple(tuple(map(printable, row)) for row in rows),
        draw=draw,
    )


def _of_run(results: ResultsDocument) -> Iterator[Picture]:
    checks = shown_checks(results)
    if not checks:
        return
    left = len(checks) - MOST
    more = f" The figure shows {MOST} of {len(checks):,} criteria; the table has all." if left > 0 else ""
    rows = [
        (
            check.verdict.upper(),
            check.label + (f" ({check.group})" if check.group else ""),
            fm_of(check),
            check.cohort,
            value_and_bound(check)[0],
            check_interval(check) or "-",
            f"{check.direction} {value_and_bound(check)[1]}",
            check.criterion,
        )
        for check in checks
    ]
    columns = ("verdict", "metric", "FM", "cohort", "value", "interval", "bound", "criterion")
    alt = f"{results.summary.rstrip('.')}. {_sentence(explain(checks[0]).headline)}{more}"
    yield _picture(
        "intervals", None, "All criteria with intervals and bounds", alt, columns, rows,
        partial(intervals, results),
    )  # fmt: skip
    if changes := method_changes(results):
        yield _picture(
            "changes_by_method", None, "What each method changes", _changed(results),
            ("FM", "cohort", "metric", "method", "without", "change", "interval", "it is"),
            [
                (
                    one.fm,
                    one.cohort,
                    one.label,
                    one.method,
                    _number(one.before),
                    *(text or "-" for text in change_and_interval(one.change, one.interval)),
                    change_in_words(one),
                )
                for one in changes
            ],
            partial(changes_by_method, results),
            more=_changed(results),
        )  # fmt: skip


def _changed(results: ResultsDocument) -> str:
    """What the methods change, as sentences."""
    return f"Shown by their intervals: {'. '.join(effect_sentences(results))}."


def _of_subject(results: ResultsDocument, part: Check | Run) -> Iterator[Picture]:
    key = (fm_of(part), cohort_of(part))
    checks = [check for check in results.checks if (fm_of(check), check.cohort) == key]
    runs = [run for run in results.runs if (fm_of(run), run.cohort.name) == key]
    fm = part.fm if isinstance(part, Check) else part.fm.name
    subject = subject_id(fm, part.method, key[1])
    where = f"{key[0]} on {key[1]}"
    for curves in curves_of(checks, results.metrics):
        yield _curves_picture(curves, subject, where)
    for shown in grids_of(checks):
        yield _grid_picture(shown, subject, where)
    for run in runs:
        if run.map is not None:
            yield _map_picture(run.map, subject, where, run.cohort.out_of_domain_centers)
        for metric in dict.fromkeys(one.metric for one in run.neighborhoods):
            if _misled_neighbors(run, metric):
                yield _patches_picture(run, metric, checks, subject, where)
    if known := ranked(checks):
        yield _picture(
            "among_published", subject, f"{key[0]} among published FMs",
            " ".join(
                _sentence(f"{metric_label(check)} of {where}: {rank_sentence(check, published)}")
                for check, published in known
            ),
            ("metric", "FM", "value", "validated"),
            [
                row
                for check, published in known
                for row in (
                    (check.label, key[0], value_and_bound(check)[0], "-"),
                    *(
                        (check.label, fm, f"{value:.3f}", "yes" if fm in published.validated else "no")
                        for fm, value in published.values.items()
                    ),
                )
            ],
            partial(draw_ranked, known),
        )  # fmt: skip


def _curves_picture(curves: Curves, subject: str, where: str) -> Picture:
    kind = next((kind for names, kind in _CURVES.items() if set(curves.metrics) <= set(names)), "curve")
    settings = sorted({x for one in curves.curves for x in one.x})
    columns = [curves.over]
    for one in curves.curves:
        columns += [one.name, *([f"{one.name}, {one.band or 'band'}"] if one.low else [])]
    rows = []
    for x in settings:
        row = [f"{x:.4g}"]
        for one in curves.curves:
            row += _cells(one, x)
        rows.append(row)
    heads = [_sentence(explain(check).headline) for check in curves.criteria[:1]]
    return _picture(
        kind, subject, _titled(kind, f"{curves.name} over {curves.over}", where),
        " ".join([*heads, *(_course(one) for one in curves.curves)]), columns, rows,
        partial(draw_curves, curves),
    )  # fmt: skip


def _cells(curve: Curve, x: float) -> list[str]:
    if x not in curve.x:
        return ["-"] * (2 if curve.low else 1)
    place = curve.x.index(x)
    cells = [_number(curve.y[place])]
    if curve.low:
        low, high = curve.low[place], curve.high[place]
        cells.append("-" if low is None or high is None else interval_text((low, high)))
    return cells


def _course(curve: Curve) -> str:
    """From where to where a curve goes, in a sentence."""
    known = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
    if not known:
        return _sentence(f"{curve.name} has no value at any {curve.over}")
    (first, start), (last, end) = known[0], known[-1]
    values = [y for _, y in known]
    text = f"{curve.name} over {curve.over}: {start:.3f} at {first:.4g}, {end:.3f} at {last:.4g}"
    text += f", lowest {min(values):.3f}, highest {max(values):.3f}"
    if curve.level is not None:
        text += f"; the dotted line at {curve.level:.3g}: {curve.level_name or 'to compare with'}"
    return _sentence(text)


def _grid_picture(shown: ShownGrid, subject: str, where: str) -> Picture:
    grid = shown.grid
    kind = _GRIDS.get(shown.check.metric, "grid")
    rows = [
        [name, *(value_text(value, grid) for value in values)]
        for name, values in zip(grid.rows, grid.values, strict=True)
    ]
    what = f"{metric_label(shown.check)}: {grid.name} by {grid.row_name} and {grid.column_name}"
    return _picture(
        kind, subject, _titled(kind, what, where),
        _extremes(shown), (grid.row_name, *grid.columns), rows, partial(draw_grid, shown),
    )  # fmt: skip


def _extremes(shown: ShownGrid) -> str:
    """Where the values are highest and lowest, in a sentence."""
    grid = shown.grid
    known = [
        (value, name, column)
        for name, row in zip(grid.rows, grid.values, strict=True)
        for column, value in zip(grid.columns, row, strict=True)
        if value is not None
    ]
    if shown.adds_up:
        most = [max(one for one in known if one[2] == column) for column in grid.columns]
        parts = [
            f"{column}: at most {value_text(value, grid)} ({name})" if value else f"{column}: none"
            for value, name, column in most
        ]
        return _sentence(f"{grid.name}; {'; '.join(parts)}")
    if not known:
        return _sentence(f"{grid.name} has no value in any cell")
    low, high = min(known), max(known)
    texts = [value_text(value, grid) for value, _, _ in (low, high)]
    if texts[0] == texts[1]:
        text = f"{grid.name} is {texts[0]} in {counted(len(known), 'cell')} with a value"
    else:
        text = f"{grid.name} is lowest for {low[1]} in {low[2]} ({texts[0]})"
        text += f" and highest for {high[1]} in {high[2]} ({texts[1]})"
    if grid.neutral is not None:
        below = sum(value < grid.neutral for value, _, _ in known)
        text += f"; {below} of {counted(len(known), 'value')} below the neutral {grid.neutral:g}"
    return _sentence(text)


def _map_picture(shown: EmbeddingMap, subject: str, where: str, outside: tuple[str, ...]) -> Picture:
    places = np.array([shown.x, shown.y])
    classes, centers = np.array(shown.biological_class), np.array(shown.medical_center)
    rows = []
    for number, name in enumerate(shown.classes):
        for other, center in enumerate(shown.centers):
            chosen = (classes == number) & (centers == other)
            if chosen.any():
                mean = places[:, chosen].mean(axis=1)
                rows.append((name, center, f"{int(chosen.sum()):,}", f"{mean[0]:.3f}", f"{mean[1]:.3f}"))
    shares = [rounded_percent(_between(places, groups)) for groups in (classes, centers)]
    alt = (
        f"Of the spread of {where} in this plane, differences between biological classes make up {shares[0]} "
        f"and differences between medical centers {shares[1]}. The plane shows "
        f"{rounded_percent(sum(shown.explained))} of the variance."
    )
    columns = (
        "biological class",
        "medical center",
        "patches drawn",
        "mean of component 1",
        "mean of component 2",
    )
    return _picture(
        "embedding_map", subject, f"Map of the embeddings: {where}", alt, columns, rows,
        partial(draw_map, shown, where, outside),
    )  # fmt: skip


def _between(places: np.ndarray, groups: np.ndarray) -> float:
    """Share (0 to 1) of the sum of squares in the plane that lies between the groups' means."""
    centered = places - places.mean(axis=1, keepdims=True)
    whole = float((centered**2).sum())
    if whole == 0:
        return 0.0
    within = 0.0
    for group in np.unique(groups):
        own = centered[:, groups == group]
        within += float(((own - own.mean(axis=1, keepdims=True)) ** 2).sum())
    return 1 - within / whole


def _patches_picture(run: Run, metric: str, checks: Sequence[Check], subject: str, where: str) -> Picture:
    shown = [one for one in run.neighborhoods if one.metric == metric]
    owner = next((check for check in checks if check.metric == metric), None)
    name = metric if owner is None else metric_label(owner)
    rows = [
        (
            one.patch.key,
            f"{one.patch.biological_class}, {one.patch.medical_center}",
            str(rank),
            neighbor.key,
            f"{neighbor.biological_class}, {neighbor.medical_center}",
            relation(one.patch, neighbor),
        )
        for one in shown
        for rank, neighbor in enumerate(one.neighbors, 1)
    ]
    misled = _misled_neighbors(run, metric)
    alt = (
        f"{counted(len(shown), 'patch', 'patches')} of {run.cohort.name} that the {name} misses: {misled} of "
        f"the {counted(len(rows), 'nearest neighbor')} are of another class from the same center."
    )
    columns = ("patch", "its class and center", "rank", "neighbor", "its class and center", "relation")
    return _picture(
        "misled_patches", subject, f"Misled patches: {where}", alt, columns, rows,
        partial(draw_patches, run, metric),
    )  # fmt: skip


def _misled_neighbors(run: Run, metric: str) -> int:
    """How many shown neighbors are of another class from the same center; with none, no patch is misled."""
    return sum(
        relation(one.patch, neighbor) == "other class, same center"
        for one in run.neighborhoods
        if one.metric == metric
        for neighbor in one.neighbors
    )


def _titled(kind: str, otherwise: str, where: str) -> str:
    return _TITLES[kind].format(where=where) if kind in _TITLES else _sentence(f"{otherwise}: {where}")[:-1]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _sentence(text: str) -> str:
    clean = text.rstrip(".")
    return f"{clean[:1].upper()}{clean[1:]}."
