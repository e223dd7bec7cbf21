"""Cases (patients) with several slides: what intervals draw anew where a table has the column `case_id`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_slides import DESIGN, measured

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics import difference, robustness_index
from pathorob_checks.metrics.inputs import resampling_units

SLIDES = pd.DataFrame({"slide_id": ["b", "a", "b", "c"]})


def test_slides_are_drawn_where_no_cases_are_known() -> None:
    units = resampling_units(SLIDES, "index")
    assert (units.names, units.codes.tolist()) == (("a", "b", "c"), [1, 0, 1, 2])


def test_cases_are_drawn_where_they_are_known() -> None:
    units = resampling_units(SLIDES.assign(case_id=["p", "q", "p", "p"]), "index")
    assert (units.names, units.codes.tolist()) == (("p", "q"), [0, 1, 0, 0])


def test_a_slide_of_two_cases_is_refused() -> None:
    with pytest.raises(MetricError) as refusal:
        resampling_units(SLIDES.assign(case_id=["p", "q", "r", "p"]), "index")
    assert str(refusal.value) == (
        "index: slide 'b' has patches of the cases 'p' and 'r'; write the one case of every slide into the "
        "column 'case_id'."
    )


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_patch_without_a_case_beside_others_with_one_is_refused(missing: object) -> None:
    with pytest.raises(MetricError, match="column 'case_id' is empty in row 3; fill it"):
        resampling_units(SLIDES.assign(case_id=["p", "q", "p", missing]), "index")


# --- robustness index ---------------------------------------------------------------------------------


def test_cases_of_one_slide_each_have_the_intervals_of_the_slides() -> None:
    x, table, by_slide = measured(0)
    by_case = robustness_index(x, table.assign(case_id="case of " + table.slide_id), k=5)
    assert (by_case.value, by_case.interval) == (by_slide.value, pytest.approx(by_slide.interval))
    assert by_case.groups == by_slide.groups
    assert "16 cases are drawn" in by_case.interval_note
    assert "16 slides are drawn" in by_slide.interval_note


def test_slides_of_a_case_change_no_value_but_the_interval() -> None:
    """Four slides of a cell that are alike within two cases show less than four slides of four patients."""
    design = replace(DESIGN, patches=6, slide=1.0)
    cases = replace(design, slides=2, patches=12).embeddings(replace(design, slides=2, patches=12).table(), 1)
    table = design.table()
    table["case_id"] = table.slide_id.replace({"/1$": "/0", "/3$": "/2"}, regex=True)
    by_slide = robustness_index(cases, table.drop(columns="case_id"), k=5)
    by_case = robustness_index(cases, table, k=5)
    assert by_case.value == by_slide.value
    assert by_case.slides == by_slide.slides
    assert by_case.interval is not None
    assert by_slide.interval is not None
    assert by_case.interval[0] < by_slide.interval[0] < by_slide.interval[1] < by_case.interval[1]
    assert by_case.resampling is not None
    assert len(by_case.resampling.units) == 8


def test_values_by_case_and_by_slide_have_no_paired_difference() -> None:
    x, table, by_slide = measured(0)
    by_case = robustness_index(x, table.assign(case_id=table.slide_id), k=5)
    with pytest.raises(MetricError, match="different protocols \\(drawn None and 'cases'\\)"):
        difference(by_case.measurement(), by_slide.measurement())
