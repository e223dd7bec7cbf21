"""Pictures: the words and the table of every figure, whatever the names and the values are."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import pytest
from drawn_results import (
    INDEX_CURVE,
    checks_of,
    map_of,
    neighborhood,
    results_of,
    run_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_checks import made
from matplotlib.figure import Figure

from pathorob_checks import figures
from pathorob_checks.figures.style import distinct, short
from pathorob_checks.metrics.pictured import Curve, Grid

HOSTILE = "$x^2$ \\frac{1}{2} <script>&\x1b[31m\u202e {0} %s _a_ 腫瘍"


def test_the_words_of_a_picture_tell_the_finding():
    words = {picture.kind: picture.alt for picture in figures.pictures_of(results_of())}
    assert "Robustness index of ours on camelyon is 0.310, below the bound 0.500" in words["index_over_k"]
    assert "0.950 at 0, 0.800 at 1" in words["accuracy_over_correlation"]
    assert "lowest for normal / tumor in RUMC / UMCU (-0.40)" in words["clustering_heatmap"]
    assert "1 of 3 values below the neutral 0" in words["clustering_heatmap"]
    assert "other class (OS): at most 50 % (RUMC / tumor)" in words["neighbor_shares"]
    assert "1 of the 4 nearest neighbors are of another class" in words["misled_patches"]
    assert "of 23 published FMs" in words["among_published"]
    assert words["intervals"].startswith("FAIL: ")


def test_the_map_says_how_much_classes_and_centers_differ_in_the_plane():
    shown = map_of(4).model_copy(
        update={
            "x": (0.0, 0.0, 1.0, 1.0), "y": (0.0, 0.0, 0.0, 0.0),
            "biological_class": (0, 1, 0, 1), "medical_center": (0, 0, 1, 1),
        }
    )  # fmt: skip
    results = results_of(runs=[run_of(map=shown)])
    alt = next(one.alt for one in figures.pictures_of(results) if one.kind == "embedding_map")
    assert "classes make up 0 % and differences between medical centers 100 %" in alt


def test_every_picture_has_a_table_as_wide_as_its_head_and_is_drawn():
    for picture in figures.pictures_of(results_of()):
        assert picture.title
        assert picture.caption.endswith(".")
        assert picture.alt.endswith(".")
        assert picture.rows
        assert {len(row) for row in picture.rows} == {len(picture.columns)}
        assert isinstance(picture.draw(), Figure)


def test_the_table_of_a_curve_has_its_numbers():
    pictures = {picture.kind: picture for picture in figures.pictures_of(results_of())}
    assert pictures["index_over_k"].rows == (("1", "0.200"), ("5", "-"), ("11", "0.310"))
    assert pictures["accuracy_over_correlation"].rows[0] == (
        "0", "0.950", "[0.850, 1.050]", "0.850", "[0.750, 0.950]",
    )  # fmt: skip
    assert pictures["clustering_heatmap"].rows == (
        ("normal / tumor", "-0.40", "0.25"), ("normal / stroma", "-", "1.00"),
    )  # fmt: skip


def test_subjects_with_failures_come_first_and_the_rest_can_be_left_out():
    good = [made(value=0.9, fm="good", interval=(0.8, 1.0), curves=(INDEX_CURVE,))]
    bad = [made(value=0.1, fm="bad", interval=(0.0, 0.2), curves=(INDEX_CURVE,))]
    results = results_of(good + bad, [])
    assert [picture.subjects for picture in figures.pictures_of(results)] == [
        (),
        ("bad-demo",),
        ("good-demo",),
    ]
    assert [one.subjects for one in figures.pictures_of(results, most_subjects=1)] == [(), ("bad-demo",)]


def test_empty_results_have_no_pictures():
    assert figures.pictures_of(results_of([], [])) == ()


def test_fifty_fms_have_pictures_and_a_drawable_overview():
    checks = [check for n in range(50) for check in checks_of(f"fm-{n}", index=round(0.01 + n / 60, 3))]
    pictures = figures.pictures_of(results_of(checks, []), most_subjects=2)
    assert len(pictures[0].rows) == 200
    assert "The figure shows 30 of 200 criteria; the table has all." in pictures[0].alt
    width, height = pictures[0].draw().get_size_inches()
    assert width < height < 25


def hostile_results():
    checks = [
        check.model_copy(
            update={
                "criterion": HOSTILE, "label": HOSTILE,
                "curves": tuple(replace(one, over=HOSTILE, level_name=HOSTILE) for one in check.curves),
                "grids": tuple(
                    replace(one, name=HOSTILE, row_name=HOSTILE, column_name=HOSTILE,
                            rows=tuple(f"{HOSTILE}{n}" for n in range(len(one.rows))))
                    for one in check.grids
                ),
            }
        )
        for check in checks_of(HOSTILE)
    ]  # fmt: skip
    shown = map_of(classes=[HOSTILE, "tumor"], centers=[HOSTILE, "UMCU"])
    one = neighborhood()
    patch = one.patch.model_copy(update={"biological_class": HOSTILE, "patch_id": HOSTILE})
    run = run_of(HOSTILE, map=shown, neighborhoods=(one.model_copy(update={"patch": patch}),))
    return results_of(checks, [run])


def test_names_are_drawn_as_they_are_and_nothing_in_them_acts():
    seen = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, picture in enumerate(figures.pictures_of(hostile_results())):
            svg = figures.svg_of(picture.draw(), f"f{number}")
            for text in (svg, picture.title, picture.alt, *picture.columns, *sum(picture.rows, ())):
                assert not any(character in text for character in "\x1b\u202e")
            assert "<script" not in svg
            seen += svg
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", seen)
    assert sum(text.startswith("$x^2$ \\f") for text in drawn) > 10


names = st.text(max_size=40)
values = st.one_of(st.none(), st.floats(-1, 1))


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=names, rows=st.lists(names, min_size=1, max_size=4), data=st.data())
def test_any_names_and_values_can_be_drawn(name, rows, data):
    numbers = st.lists(values, min_size=len(rows), max_size=len(rows)).map(tuple)
    grid = Grid(
        name=name, row_name=name, column_name=name, rows=tuple(rows), columns=tuple(rows), lowest=-1.0,
        values=tuple(data.draw(numbers) for _ in rows), neutral=data.draw(st.sampled_from([None, 0.0, -1.0])),
    )  # fmt: skip
    ys = data.draw(numbers)
    curve = Curve(
        name=name, over=name, x=tuple(range(len(rows))), y=ys, level_name=name,
        low=ys if data.draw(st.booleans()) else (), high=ys, marked=data.draw(st.sampled_from([None, 0, 7])),
    )  # fmt: skip
    check = made(value=0.4, curves=(curve,), grids=(grid,), fm=name, criterion=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for picture in figures.pictures_of(results_of([check], [])):
            figures.svg_of(picture.draw(), label=picture.alt)


@given(st.lists(st.text(max_size=60), max_size=8, unique=True))
def test_names_stay_apart_when_they_are_shortened(names):
    shown = distinct(names, 12)
    assert list(shown) == names
    assert all(len(short(name, 12)) <= 12 for name in names)
    assert len(set(shown.values())) == len(names)
