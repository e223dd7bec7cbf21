"""Figures: which subject, in which form, whatever the settings of matplotlib are."""

from __future__ import annotations

import doctest
import io
import sys
import threading
import warnings
from dataclasses import replace

import matplotlib
import pytest
from drawn_results import (
    INDEX_CURVE,
    checks_of,
    lines,
    results_of,
    run_of,
)
from made_checks import made
from matplotlib.figure import Figure
from numpydoc.validate import validate

from pathorob_checks import figures
from pathorob_checks.errors import FigureError
from pathorob_checks.figures import maps, patches, style

KINDS = (
    "intervals", "index_over_k", "accuracy_over_correlation", "neighbor_shares", "clustering_heatmap",
    "embedding_map", "misled_patches", "among_published",
)  # fmt: skip
OF_ONE = tuple(getattr(figures, kind) for kind in KINDS if kind != "intervals")


def test_every_kind_of_figure_is_made_from_results_that_have_it_all():
    assert tuple(picture.kind for picture in figures.pictures_of(results_of())) == KINDS


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
@pytest.mark.parametrize("function", [figures.intervals, *OF_ONE])
def test_every_figure_is_saved_in_every_form(function, form):
    content = io.BytesIO()
    function(results_of()).savefig(content, format=form, dpi=50)
    assert len(content.getvalue()) > 1000


@pytest.mark.parametrize("function", OF_ONE)
def test_a_figure_of_one_subject_asks_which_where_there_are_several(function):
    checks = [check for fm in "ab" for cohort in ("camelyon", "tcga") for check in checks_of(fm, cohort)]
    runs = [run_of(fm, cohort) for fm in "ab" for cohort in ("camelyon", "tcga")]
    results = results_of(checks, runs)
    with pytest.raises(FigureError, match="of 2 FMs; pass fm= with one of 'a', 'b'"):
        function(results)
    with pytest.raises(FigureError, match="of 2 cohorts; pass cohort= with one of 'camelyon', 'tcga'"):
        function(results, fm="a")
    with pytest.raises(FigureError, match="of the FM 'c'; "):
        function(results, fm="c")
    assert isinstance(function(results, fm="b", cohort="tcga"), Figure)


@pytest.mark.parametrize("function", [figures.intervals, figures.curve, figures.grid, *OF_ONE])
def test_results_without_the_data_are_refused_in_one_sentence(function):
    with pytest.raises(FigureError) as caught:
        function(results_of([], []))
    assert str(caught.value).count(". ") == 0
    assert "; " in str(caught.value)


def test_a_cohort_of_which_nothing_is_published_is_said_to_be_none_of_the_benchmark():
    results = results_of(checks_of(cohort="demo"), [run_of(cohort="demo")])
    with pytest.raises(FigureError, match="nothing is published to compare with; use a cohort of the bench"):
        figures.among_published(results)


@pytest.mark.parametrize("function", [figures.curve, figures.grid])
def test_several_curves_or_grids_are_asked_for_by_name_or_metric(function):
    with pytest.raises(FigureError, match=r"have 2 such (curves|grids); pass name= with one of "):
        function(results_of())
    with pytest.raises(FigureError, match=r"no such (curve|grid)"):
        function(results_of(), metric="other")
    assert isinstance(function(results_of(), metric="robustness_index"), Figure)


def test_the_value_is_preferred_to_its_worst_group():
    other = replace(INDEX_CURVE, x=(1, 2, 11))
    worst = made(
        value=0.1, fm="ours", cohort="camelyon", quantity="worst-center", group="RUMC", curves=(other,)
    )  # fmt: skip
    figure = figures.index_over_k(results_of([worst, *checks_of()]))
    assert lines(figure, "robustness index")[0][0] == [1, 5, 11]


def test_an_fm_with_a_method_is_another_subject():
    checks = [*checks_of(), *(check.model_copy(update={"method": "combat"}) for check in checks_of())]
    runs = [run_of(), run_of(method="combat")]
    results = results_of(checks, runs)
    figure = figures.index_over_k(results, fm="ours + combat")
    assert figure.axes[0].get_title(loc="left") == "ours + combat on camelyon"
    subjects = {picture.subjects for picture in figures.pictures_of(results)}
    assert subjects == {(), ("ours-camelyon",), ("ours-combat-camelyon",)}


def test_the_fm_without_a_method_is_chosen_by_its_name_beside_its_repaired_forms():
    checks = [
        *checks_of(index=0.31),
        *(check.model_copy(update={"method": "combat"}) for check in checks_of(index=0.4)),
    ]
    results = results_of(checks, [run_of(), run_of(method="combat")])
    for function in OF_ONE:
        title = function(results, fm="ours").axes[0].get_title(loc="left")
        assert "combat" not in title
    only = results_of(checks[len(checks) // 2 :], [run_of(method="combat")])
    assert figures.index_over_k(only, fm="ours").axes[0].get_title(loc="left") == "ours + combat on camelyon"
    with pytest.raises(FigureError, match=r"of 2 FMs; pass fm= with one of 'ours', 'ours \+ combat'"):
        figures.index_over_k(results)


def test_a_figure_ignores_and_keeps_the_settings_of_its_user():
    plain = io.BytesIO()
    figures.intervals(results_of()).savefig(plain, dpi=50)
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        figure = figures.intervals(results_of())
        assert dict(matplotlib.rcParams) == before
    mine = io.BytesIO()
    figure.savefig(mine, dpi=50)
    assert mine.getvalue() == plain.getvalue()


def test_figures_can_be_drawn_in_several_threads():
    drawn: list[str] = []
    results = results_of()

    def draw():
        drawn.append(figures.svg_of(figures.index_over_k(results)))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 4
    assert len(set(drawn)) == 1


def test_figures_do_not_need_pyplot():
    import subprocess

    program = "import sys, pathorob_checks.figures; print('matplotlib.pyplot' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("name", figures.__all__)
def test_every_public_name_is_documented(name):
    left_out = {"ES01", "SA01", "PR01"} if name == "Picture" else {"ES01", "SA01"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        errors = validate(f"pathorob_checks.figures.{name}")["errors"]
    assert [text for code, text in errors if code not in left_out] == []


def test_the_examples_run():
    for module in (maps, style, patches):
        outcome = doctest.testmod(module)
        assert outcome.attempted
        assert not outcome.failed
