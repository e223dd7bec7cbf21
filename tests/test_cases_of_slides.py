"""Cases (patients) with several slides: what intervals draw anew where a table has the column `case_id`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pathorob_checks.errors import MetricError
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
