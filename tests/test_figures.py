"""Figures: what is drawn equals the document's numbers."""

from __future__ import annotations

import io
import itertools
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from drawn_results import (
    CENTERS,
    CLASSES,
    INDEX_CURVE,
    PAIRS,
    SHARES,
    checks_of,
    lines,
    map_of,
    results_of,
    run_of,
    texts,
    titled,
)
from made_checks import made, unmeasured
from matplotlib.collections import QuadMesh
from sklearn.decomposition import PCA

from pathorob_checks import figures
from pathorob_checks.criteria.published import published_by_fm
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import FigureError
from pathorob_checks.figures.style import VERDICT_MARKS
from pathorob_checks.metrics.pictured import Curve, Grid


def test_intervals_draw_value_interval_and_bound_of_every_criterion():
    checks = [*checks_of("a"), *checks_of("b", index=0.7)]
    figure = figures.intervals(results_of(checks))
    for title in ("robustness index", "drop in-domain", "drop out-of-domain", "clustering score"):
        axes = titled(figure, title)
        panel = figure.axes.index(axes)
        own = [check for check in checks if check.label == title]
        drawn = [xs[0] for xs, _ in lines(figure, "_value", panel)]
        assert sorted(drawn) == sorted(check.value for check in own)
        assert sorted(xs for xs, _ in lines(figure, "_interval", panel)) == sorted(
            list(c.interval) for c in own
        )
        assert {xs[0] for xs, _ in lines(figure, "_bound", panel)} == {check.bound for check in own}


def test_the_side_that_meets_the_bound_is_shaded():
    lower = made("robustness_index", 0.3, direction="<=", bound=0.4)
    for check, side in ((made("robustness_index", 0.3), 1), (lower, 0)):
        axes = figures.intervals(results_of([check])).axes[0]
        shaded = next(one for one in axes.collections if one.get_label() == "_meets the bound")
        ends = shaded.get_paths()[0].get_extents().intervalx
        assert min(ends) == pytest.approx(check.bound if side else axes.get_xlim()[0])
        assert max(ends) == pytest.approx(axes.get_xlim()[1] if side else check.bound)


def test_one_fm_with_methods_is_in_the_title_and_its_criteria_of_biology_are_in_words():
    kept = made(value=0.01, fm="ours", interval=(-0.01, 0.03)).model_copy(
        update={
            "metric": "class_prediction_within",
            "method": "combat",
            "criterion": "keeps-class-prediction-within",
            "quantity": "difference",
            "label": "class in a center, change",
        }
    )
    figure = figures.intervals(results_of([made(fm="ours"), made(fm="ours", method="combat"), kept]))
    assert figure.get_suptitle() == "ours"
    rows = [text.get_text() for axes in figure.axes for text in axes.get_yticklabels()]
    assert "combat on demo\nkeeps class in a center" in rows
    assert sum(row.startswith("no method on demo\n") for row in rows) == 1
    assert not any("keeps-" in row for row in rows)
    assert figures.intervals(results_of([made(fm="ours")])).get_suptitle() == ""


def test_failures_come_first_and_every_verdict_is_a_word_and_a_shape_of_its_own():
    checks = [
        made(value=0.52, fm="good", interval=(0.51, 0.53)),
        unmeasured(),
        made(value=0.7, fm="unclear", interval=(0.4, 1.0)),
        unmeasured(Verdict.SKIPPED),
        made(value=0.1, fm="bad", interval=(0.0, 0.2)),
    ]
    figure = figures.intervals(results_of(checks))
    words = [text.get_text().split("\n")[0] for text in figure.axes[1].get_yticklabels()]
    assert words == ["FAIL", "ERROR", "INCONCLUSIVE", "SKIPPED", "PASS"]
    assert len({(marker, filled) for marker, _, filled in VERDICT_MARKS.values()}) == len(Verdict)


def test_a_criterion_without_a_value_has_no_mark_and_says_so():
    figure = figures.intervals(results_of([unmeasured()]))
    assert lines(figure, "_value") == []
    assert "not measured" in texts(figure)


def test_a_value_without_an_interval_is_drawn_alone():
    figure = figures.intervals(results_of([made(value=0.3)]))
    assert lines(figure, "_value")[0][0] == [0.3]
    assert lines(figure, "_interval") == []


def test_the_axis_shows_the_whole_scale_or_a_part_that_holds_everything():
    whole = figures.intervals(results_of([made(value=0.05)])).axes[0].get_xlim()
    assert whole[0] < 0
    assert whole[1] > 1
    part = figures.intervals(results_of([made("performance_drop_id", -0.12, interval=(-0.2, -0.08))]))
    low, high = part.axes[0].get_xlim()
    assert -0.3 < low < -0.2
    assert 0 < high < 0.1


def test_a_change_against_a_baseline_has_a_panel_of_its_own():
    change = made(value=-0.01, quantity="difference", bound=-0.02, label="robustness index, change")
    figure = figures.intervals(results_of([made(value=0.9), change]))
    assert titled(figure, "robustness index, change against the baseline")
    assert titled(figure, "robustness index")


def test_of_very_many_criteria_the_gravest_are_drawn_and_the_rest_is_counted():
    checks = [made(value=0.9, fm=f"fm{n}") for n in range(50)] + [made(value=0.1, fm="bad")]
    figure = figures.intervals(results_of(checks), most=10)
    assert lines(figure, "_value")[0][0] == [0.1]
    assert len(lines(figure, "_value")) == 10
    assert "41 more criteria not drawn, none with a graver verdict" in texts(figure)


def test_the_curve_is_that_of_the_document_with_its_gaps():
    figure = figures.index_over_k(results_of())
    ((xs, ys),) = lines(figure, "robustness index")
    assert xs == list(INDEX_CURVE.x)
    assert ys[0] == 0.2
    assert math.isnan(ys[1])
    ((at, value),) = lines(figure, "the metric's value: 0.310 at 11")
    assert (at, value) == ([11], [0.31])
    assert lines(figure, "_interval")[0][1] == pytest.approx([0.26, 0.36])
    assert lines(figure, "bound >= 0.500")[0][1] == [0.5, 0.5]
    assert lines(figure, "0.5: biology and center weigh the same")[0][1] == [0.5, 0.5]


def test_the_curve_has_the_published_values_of_its_cohort_and_says_at_what_settings():
    published = published_by_fm("robustness_index", "camelyon")
    drawn = lines(figures.index_over_k(results_of()), "published FMs, at the benchmark's own settings")
    assert drawn[0][1] == sorted(published.values())
    elsewhere = figures.index_over_k(results_of(checks_of(cohort="demo"), [run_of(cohort="demo")]))
    assert not any("published" in text for text in texts(elsewhere))


def test_the_worst_group_has_no_interval_on_the_curve_of_all():
    worst = made(value=0.1, interval=(0.0, 0.2), quantity="worst-center", group="RUMC", curves=(INDEX_CURVE,))
    figure = figures.index_over_k(results_of([worst]))
    assert lines(figure, "_interval") == []
    assert lines(figure, "the metric's value: 0.310 at 11")


def test_accuracies_in_domain_and_out_of_domain_are_in_one_figure_with_bands_and_chance():
    figure = figures.accuracy_over_correlation(results_of())
    axes = figure.axes[0]
    for domain, values in (("in-domain", [0.95, 0.9, 0.8]), ("out-of-domain", [0.85, 0.8, 0.75])):
        assert lines(figure, f"balanced accuracy, {domain} (band: 95 % interval)")[0][1] == values
    ends = [ys for _, ys in lines(figure, "_end of the band")]
    assert ends[0] == pytest.approx([0.85, 0.8, 0.7])
    assert ends[3] == pytest.approx([0.95, 0.9, 0.85])
    assert len([one for one in axes.collections if one.get_label() == "_band"]) == 2
    assert lines(figure, "0.5: chance")
    assert not any("bound" in label for label in axes.get_legend_handles_labels()[1])


def test_the_heatmap_has_the_values_of_the_grid_and_writes_them():
    figure = figures.clustering_heatmap(results_of())
    axes = figure.axes[0]
    mesh = next(one for one in axes.collections if isinstance(one, QuadMesh))
    drawn = mesh.get_array()
    assert np.ma.getmaskarray(drawn).tolist() == [[False, False], [True, False]]
    assert drawn.compressed().tolist() == [-0.4, 0.25, 1.003]
    assert [text.get_text() for text in axes.texts] == ["-0.40", "0.25", "-", "1.00"]
    assert mesh.norm.vcenter == 0
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-1, 1)


def test_where_values_do_not_fit_cells_below_neutral_are_hatched():
    columns = tuple(f"A / {n}" for n in range(40))
    values = tuple(float(value) for value in np.linspace(-1, 1, 40))
    grid = replace(PAIRS, rows=("a / b",), columns=columns, values=(values,))
    axes = figures.grid(results_of([made(grids=(grid,))])).axes[0]
    assert list(axes.texts) == []
    (hatched,) = axes.patches
    assert len(hatched.get_path().vertices) == 5 * sum(value < 0 for value in values)


def test_cells_without_a_value_are_gray_and_in_the_legend():
    figure = figures.clustering_heatmap(results_of())
    (gray,) = figure.axes[0].patches
    assert gray.get_path().get_extents().bounds == (-0.5, 0.5, 1.0, 1.0)
    assert figure.legends[0].get_texts()[0].get_text() == "no value"
    neutral = figure.axes[0].collections[0].cmap(0.5)
    assert abs(gray.get_facecolor()[0] - neutral[0]) > 0.2


def test_hatching_and_labels_that_are_left_out_are_explained():
    columns = tuple(f"A / {n}" for n in range(70))
    values = (None, *(float(value) for value in np.linspace(-1, 1, 69)))
    figure = figures.grid(
        results_of([made(grids=(replace(PAIRS, rows=("a / b",), columns=columns, values=(values,)),))])
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no value", "below 0"]
    assert len({patch.get_hatch() for patch in figure.legends[0].get_patches()}) == 2
    assert figure.axes[0].get_xlabel() == "two medical centers (1 of 3 labels shown)"


def test_labels_of_long_pairs_have_a_line_for_each_name():
    names = [f"University Hospital {town}" for town in ("Aachen", "Bonn")]
    rows = tuple(f"{name} / {other}" for name in names for other in ("tumor", "stroma"))
    grid = replace(PAIRS, rows=rows, values=((0.1, 0.2),) * 4)
    labels = figures.grid(results_of([made(grids=(grid,))])).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == [row.replace(" / ", " /\n") for row in rows]


@pytest.mark.parametrize("name", ["W" * 50, "腫瘍" * 30])
def test_no_title_goes_beyond_the_figure(name):
    results = results_of(checks_of(fm=name), [run_of(name)])
    for picture in figures.pictures_of(results):
        figure = picture.draw()
        titles = [axes._left_title for axes in figure.axes] + [figure._suptitle]
        for title in titles:
            if title is not None and title.get_text():
                assert title.get_window_extent().x1 <= figure.bbox.x1, (picture.kind, title.get_text())


def test_labels_of_an_axis_do_not_run_into_each_other():
    checks = [made("performance_drop_ood", -0.1, fm="f" * 40, cohort="c" * 40, interval=(-0.2, -0.031))]
    axes = figures.intervals(results_of(checks)).axes[0]
    axes.figure.draw_without_rendering()
    ends = [label.get_window_extent() for label in axes.get_xticklabels()]
    shown = [box for box in ends if axes.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1 + 1]
    assert len(shown) > 2
    assert all(right.x0 - left.x1 > 4 for left, right in itertools.pairwise(shown))


def test_a_number_stays_behind_a_name_that_is_read_from_right_to_left():
    name = "مستشفى القاهرة"
    figure = figures.embedding_map(results_of(runs=[run_of(map=map_of(60, centers=[name, "Bonn"]))]))
    entries = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert entries[0].startswith(f"\N{LEFT-TO-RIGHT MARK}{name}\N{LEFT-TO-RIGHT MARK} (")
    assert "\N{LEFT-TO-RIGHT MARK}" not in entries[1]


def test_a_grid_of_many_cells_has_their_values_too():
    values = np.random.default_rng(0).uniform(-1, 1, (30, 30))
    names = tuple(f"n{n}" for n in range(30))
    grid = replace(PAIRS, rows=names, columns=names, values=tuple(map(tuple, values.tolist())))
    axes = figures.grid(results_of([made(grids=(grid,))])).axes[0]
    assert np.allclose(axes.images[0].get_array(), values)


def test_bars_are_the_shares_of_the_grid_and_tell_kinds_apart_by_hatching():
    axes = figures.neighbor_shares(results_of()).axes[0]
    assert [[bar.get_width() for bar in kind] for kind in axes.containers] == [[0.75, 0.5], [0.25, 0.5]]
    assert [[bar.get_x() for bar in kind] for kind in axes.containers] == [[0, 0], [0.75, 0.5]]
    assert len({kind[0].get_hatch() for kind in axes.containers}) == 2
    assert "75 %" in [text.get_text() for text in axes.texts]


def test_shares_that_make_no_whole_are_a_heatmap():
    grid = replace(SHARES, values=((0.75, 0.1), (0.5, None)))
    axes = figures.grid(results_of([made(grids=(grid,))])).axes[0]
    assert not axes.containers
    assert [text.get_text() for text in axes.texts] == ["75 %", "10 %", "50 %", "-"]


def test_the_map_has_every_patch_on_both_sides_and_names_the_variance():
    shown = map_of(60)
    figure = figures.embedding_map(results_of(runs=[run_of(map=shown)]))
    for axes, groups, names in (
        (figure.axes[0], shown.biological_class, CLASSES),
        (figure.axes[1], shown.medical_center, CENTERS),
    ):
        places = {
            (round(x, 4), round(y, 4), one.get_label())
            for one in axes.collections
            for x, y in one.get_offsets()
        }
        expected = {(x, y, "_" + names[g]) for x, y, g in zip(shown.x, shown.y, groups, strict=True)}
        assert places == expected
    assert figure.axes[1].get_xlabel() == "component 1 (40 % of the variance)"
    assert "ours on camelyon, 60 of 600 patches" in texts(figure)


def test_of_very_many_centers_the_largest_are_told_apart_and_the_rest_is_counted():
    shown = map_of(500, centers=[f"center {n}" for n in range(30)])
    figure = figures.embedding_map(results_of(runs=[run_of(map=shown)]))
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert len(labels) == 13
    assert labels[-1].startswith("18 more groups (")
    drawn = sum(len(one.get_offsets()) for one in figure.axes[1].collections)
    assert drawn == 500


def test_out_of_domain_centers_are_hollow_and_the_legend_says_so():
    run = run_of(map=map_of(60))
    cohort = run.cohort.model_copy(
        update={"in_domain_centers": ("RUMC",), "out_of_domain_centers": ("UMCU",)}
    )
    axes = figures.embedding_map(results_of(runs=[run.model_copy(update={"cohort": cohort})])).axes[1]
    hollow = {one.get_label(): len(one.get_facecolor()) == 0 for one in axes.collections}
    assert hollow == {"_RUMC": False, "_UMCU": True}
    faces = [line.get_markerfacecolor() for line in axes.get_legend().get_lines()]
    assert [face == "none" for face in faces] == [False, True, True]
    assert axes.get_legend().get_texts()[-1].get_text() == "hollow: out-of-domain"


def test_twelve_centers_look_different_and_have_a_legend_of_two_columns():
    shown = map_of(200, centers=[f"center {n}" for n in range(12)])
    figure = figures.embedding_map(results_of(runs=[run_of(map=shown)]))
    handles = figure.axes[1].get_legend().get_lines()
    assert len({(one.get_markerfacecolor(), one.get_markeredgecolor()) for one in handles}) == 12
    legend = figure.axes[1].get_legend()
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert len({round(box.x0) for box in boxes}) == 2
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert figure.get_figheight() < 5


PLANE = pd.DataFrame({"biological_class": ["tumor", "normal", "tumor"], "medical_center": ["A", "B", "B"]})


def test_embeddings_that_the_user_has_are_drawn_by_their_principal_components():
    embeddings = np.array([[1.0, 0, 0], [-1, 0, 0], [0.8, 0.6, 0]])
    figure = figures.embeddings_in_plane(embeddings, PLANE, title="mine")
    drawn = [place for one in figure.axes[0].collections for place in one.get_offsets().tolist()]
    expected = PCA(2).fit_transform(embeddings)
    assert sorted(np.abs(drawn).round(6).tolist()) == sorted(np.abs(expected).round(6).tolist())
    assert "% of the variance" in figure.axes[0].get_xlabel()
    assert "mine, 3 patches" in texts(figure)


def test_umap_places_the_patches_where_it_is_installed(monkeypatch):
    class Umap:
        def __init__(self, **settings):
            self.settings = settings

        def fit_transform(self, matrix):
            assert self.settings["random_state"] == 7
            assert np.allclose(np.linalg.norm(matrix, axis=1), 1)
            return matrix[:, :2] * 10

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    embeddings = np.array([[3.0, 4.0, 0], [1, 0, 0], [0, 1, 0]])
    figure = figures.embeddings_in_plane(embeddings, PLANE, projection="umap", seed=7)
    drawn = [place for one in figure.axes[0].collections for place in one.get_offsets().tolist()]
    assert sorted(drawn) == [[0, 10], [6, 8], [10, 0]]
    assert figure.axes[0].get_xlabel() == "UMAP 1"
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(FigureError, match="needs the package umap-learn"):
        figures.embeddings_in_plane(embeddings, PLANE, projection="umap")


@pytest.mark.slow
def test_umap_itself_keeps_groups_apart():
    draw = np.random.default_rng(0)
    kinds = np.arange(60) % 2
    embeddings = draw.normal(scale=0.1, size=(60, 8))
    embeddings[np.arange(60), kinds] += 1
    table = pd.DataFrame({"biological_class": kinds, "medical_center": "A"})
    figure = figures.embeddings_in_plane(embeddings, table, projection="umap")
    drawn = figure.axes[0].collections
    first, second = (
        np.vstack([one.get_offsets() for one in drawn if one.get_label() == label]) for label in ("_0", "_1")
    )
    between = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    within = np.linalg.norm(first - first.mean(axis=0), axis=1).max()
    assert between > within


@pytest.mark.parametrize(
    ("embeddings", "patches", "projection", "problem"),
    [
        (np.ones((2, 4)), PLANE, "pca", "shape"),
        (np.ones(3), PLANE, "pca", "shape"),
        (np.ones((2, 4)), PLANE[:2], "pca", "3 patches at least"),
        (np.array([[1, 2], [0, 0], [1, 1]]), PLANE, "pca", "all 0"),
        (np.array([[1, 2], [np.nan, 0], [1, 1]]), PLANE, "pca", "not finite"),
        (np.ones((3, 4)), PLANE.drop(columns="medical_center"), "pca", "no column medical_center"),
        (np.ones((3, 4)), PLANE.replace("A", None), "pca", "without a value in medical_center"),
        (np.ones((3, 4)), PLANE, "tsne", "no projection 'tsne'"),
    ],
)
def test_embeddings_that_cannot_be_placed_are_refused(embeddings, patches, projection, problem):
    with pytest.raises(FigureError, match=problem):
        figures.embeddings_in_plane(embeddings, patches, projection=projection)


def test_among_published_draws_every_published_value_and_the_rank():
    figure = figures.among_published(results_of(), metric="robustness_index")
    published = published_by_fm("robustness_index", "camelyon")
    drawn = [x for label in ("_published", "_not validated") for x in lines(figure, label)[0][0]]
    assert sorted(drawn) == sorted(published.values())
    assert lines(figure, "_value")[0][0] == [0.31]
    better = sum(value > 0.31 for value in published.values())
    assert (
        f"{better} of {len(published)} published FMs have a more robust value" in figure.axes[0].get_xlabel()
    )
    assert lines(figure, "_not validated")[0][0] == sorted(
        (value for fm, value in published.items()
         if fm not in published_by_fm("robustness_index", "camelyon", validated_only=True)), reverse=True,
    )  # fmt: skip


def test_drops_are_published_as_means_over_cohorts_and_the_figure_says_so():
    figure = figures.among_published(results_of(), metric="performance_drop_id")
    assert "means over the benchmark's cohorts" in figure.axes[0].get_title(loc="left")


def test_misled_patches_say_of_each_neighbor_what_it_shares():
    figure = figures.misled_patches(results_of())
    assert len(figure.axes) == 5
    below = [text.get_text() for text in figure.texts]
    assert "the patch" in below
    for words in ("same class\nsame center", "same class\nother center", "other class\nsame center"):
        assert below.count(words) == 1
    frames = [axes.spines["left"] for axes in figure.axes[1:]]
    assert len({(frame.get_linestyle(), frame.get_linewidth()) for frame in frames}) == 4


def jpeg(side=8) -> str:
    import base64

    from PIL import Image

    content = io.BytesIO()
    Image.new("RGB", (side, side), "purple").save(content, "JPEG")
    return base64.b64encode(content.getvalue()).decode()


@pytest.mark.parametrize("bad", ["", "no base64", "aGVsbG8=", jpeg(600)])
def test_an_image_is_shown_and_what_is_none_is_left_out(bad):
    run = run_of(images={"s1-p1": jpeg(), "s2-p2": bad})
    figure = figures.misled_patches(results_of(runs=[run]))
    assert [len(axes.images) for axes in figure.axes] == [1, 0, 0, 0, 0]


def test_curves_and_grids_of_any_metric_are_drawn():
    curve = Curve(name="leak", over="layer", x=(1, 2), y=(0.1, 0.2), low=(None, 0.1), high=(0.2, 0.3))
    grid = Grid(
        name="leak by scanner", row_name="scanner", column_name="class", rows=("x",), columns=("y", "z"),
        values=((0.2, None),),
    )  # fmt: skip
    check = made(metric="robustness_index").model_copy(
        update={"metric": "center_leak", "label": "center leak", "curves": (curve,), "grids": (grid,)}
    )
    results = results_of([check], runs=[], metrics={})
    assert lines(figures.curve(results), "leak")[0] == ([1, 2], [0.1, 0.2])
    assert [text.get_text() for text in figures.grid(results).axes[0].texts] == ["0.20", "-"]
    assert [picture.kind for picture in figures.pictures_of(results)] == ["intervals", "curve", "grid"]
