"""Where biological class and medical center go together, a repair is refused or warned of."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathorob_checks.errors import MethodError
from pathorob_checks.methods import registry
from pathorob_checks.methods.centering import Center
from pathorob_checks.methods.combat import Combat
from pathorob_checks.methods.confounding import Confounding, confounding_of
from pathorob_checks.methods.repair import Repair

KINDS = ("normal", "tumor")


class Blind(Center):
    """A repair that looks at no center."""

    name = "blind"
    removes_centers: ClassVar[bool] = False


def of_counts(*counts: tuple[int, ...]) -> Confounding:
    """Row i has the counts of center i's patches of each class."""
    centers, classes = [], []
    for number, row in enumerate(counts):
        for kind, count in zip("abcdef", row, strict=False):
            centers += [f"center {number}"] * count
            classes += [kind] * count
    return confounding_of(centers, classes)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (((50, 50), (50, 50)), 0),
        (((75, 25), (25, 75)), 0.5),
        (((60, 40), (40, 60)), 0.2),
        (((8, 6), (6, 8)), 1 / 7),  # split 1 of Camelyon's training schedule
        (((14, 0), (0, 14)), 1),
        (((10, 20), (30, 60), (5, 10)), 0),
        (((5, 1, 1), (1, 5, 1), (1, 1, 5)), 4 / 7),
        (((30, 10),), 0),
        (((30,), (10,)), 0),
    ],
)
def test_cramers_v(counts: tuple[tuple[int, ...], ...], expected: float) -> None:
    assert of_counts(*counts).cramers_v == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1, max_size=60))
def test_cramers_v_is_between_0_and_1_and_symmetric(pairs: list[tuple[str, str]]) -> None:
    centers, classes = zip(*pairs, strict=True)
    association = confounding_of(centers, classes)
    assert 0 <= association.cramers_v <= 1
    swapped = confounding_of(classes, centers)
    assert association.cramers_v == swapped.cramers_v
    assert association.empty_cells == tuple(sorted((a, b) for b, a in swapped.empty_cells))
    assert len(association.empty_cells) == len(set(centers)) * len(set(classes)) - len(set(pairs))


def test_patches_of_unknown_class_do_not_count_but_their_centers_do() -> None:
    known = confounding_of(["A", "A", "B", "B"], [*KINDS, *KINDS])
    assert confounding_of(["A", "A", "B", "B", "B"], [*KINDS, *KINDS, None]) == known
    association = confounding_of(["A", "A", "B", "B", "C"], [*KINDS, *KINDS, None])
    assert association == Confounding(0.0, (("C", "normal"), ("C", "tumor")))


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        (((50, 50), (50, 50)), "fine"),
        (((599, 401), (401, 599)), "fine"),
        (((60, 40), (40, 60)), "warned"),
        (((749, 251), (251, 749)), "warned"),
        (((75, 25), (25, 75)), "refused"),
        (((100, 100), (100, 0)), "refused"),
        (((1000, 1000, 1), (1000, 1000, 0)), "refused"),  # V is small, a cell is empty
    ],
)
def test_bounds_and_empty_cells_decide(counts: tuple[tuple[int, ...], ...], verdict: str) -> None:
    association = of_counts(*counts)
    assert association.refuses(Combat) == (verdict == "refused")
    assert association.warns(Combat) == (verdict == "warned")
    assert (association.warning(Combat) is not None) == (verdict == "warned")
    if verdict == "refused":
        with pytest.raises(MethodError):
            association.check(Combat)
    else:
        association.check(Combat)


def test_a_repair_that_removes_no_centers_is_never_refused() -> None:
    association = of_counts((14, 0), (0, 14))
    assert not association.refuses(Blind)
    assert not association.warns(Blind)
    assert association.warning(Blind) is None
    association.check(Blind)


def test_every_repair_of_the_package_removes_centers() -> None:
    repairs = [one for one in registry.methods().values() if issubclass(one, Repair)]
    assert {one.name for one in repairs if one.removes_centers} >= {"center", "combat", "leace", "whiten"}


def test_the_sentences() -> None:
    with pytest.raises(MethodError) as caught:
        of_counts((75, 25), (25, 75)).check(Combat)
    assert str(caught.value) == (
        "method 'combat' would remove biology: class and medical center go together in its patches "
        "(Cramér's V 0.5, limit 0.5); fit it on patches in which every medical center has every class."
    )
    with pytest.raises(MethodError) as caught:
        of_counts((10, 5), (10, 0)).check(Combat)
    assert str(caught.value) == (
        "method 'combat' would remove biology: no patch is known of 1 pair ('center 1, b') of a medical "
        "center and a class; fit it on patches in which every medical center has every class."
    )
    assert of_counts((60, 40), (40, 60)).warning(Combat) == (
        "Method 'combat' may remove biology: class and medical center go together in its patches "
        "(Cramér's V 0.2, limit 0.2)."
    )


@pytest.mark.parametrize(
    ("centers", "classes", "sentence"),
    [
        (["A"], [None], "no patch has a known biological class;"),
        ([], [], "no patch has a known biological class;"),
        (["A", "B"], ["tumor"], "the patches have 2 medical centers and 1 class;"),
    ],
)
def test_labels_that_say_nothing_are_refused(
    centers: list[str], classes: list[str | None], sentence: str
) -> None:
    with pytest.raises(MethodError) as caught:
        confounding_of(centers, classes)
    assert sentence in str(caught.value)


def test_in_two_balanced_centers_v_is_the_share_of_biology_in_the_difference_of_their_means() -> None:
    """The reason that the bounds state."""
    kinds = np.array([1] * 70 + [0] * 30 + [1] * 30 + [0] * 70)
    centers = np.array(["A"] * 100 + ["B"] * 100)
    values = 5.0 * kinds
    association = confounding_of(list(centers), [KINDS[kind] for kind in kinds])
    between_centers = values[centers == "A"].mean() - values[centers == "B"].mean()
    assert association.cramers_v == pytest.approx(between_centers / 5)
