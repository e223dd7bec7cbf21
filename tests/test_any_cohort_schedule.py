"""The general training schedule: balanced to fully confounded for any table of slides."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from pathorob_checks.errors import MetricError
from pathorob_checks.metrics.any_cohort_design import FEWEST_STEPS
from pathorob_checks.metrics.any_cohort_remedies import out_of_domain_remedy
from pathorob_checks.metrics.any_cohort_schedule import GeneralSchedule, general_schedule
from pathorob_checks.metrics.schedules import Repetition, cramers_v
from pathorob_checks.wording import counted

Cell = tuple[str, str]  # center, class
REPETITIONS = 2
LACKS = re.compile(r"(class \d) in (center \d) has (\d+) slides?, (\d+) are needed")


def named(what: str, count: int) -> list[str]:
    return [f"{what} {i}" for i in range(count)]


def table(slides: Iterable[tuple[str, str, str, str, int]]) -> pd.DataFrame:
    """One row per patch of (subset, slide, center, class, patches)."""
    rows = [
        (subset, slide, center, cls) for subset, slide, center, cls, count in slides for _ in range(count)
    ]
    return pd.DataFrame(rows, columns=["subset", "slide_id", "medical_center", "biological_class"])


def cell_slides(
    cell: Cell, count: int, patches: int = 2, prefix: str = ""
) -> list[tuple[str, str, str, str, int]]:
    center, cls = cell
    return [("ID", f"{prefix}{center}/{cls}/{n}", center, cls, patches) for n in range(count)]


def even(centers: int, classes: int, slides: int) -> pd.DataFrame:
    cells = product(named("center", centers), named("class", classes))
    return table(slide for cell in cells for slide in cell_slides(cell, slides))


shapes = st.tuples(st.integers(2, 4), st.integers(2, 5))  # centers, classes


@st.composite
def cohorts(draw: st.DrawFn) -> pd.DataFrame:
    """Enough slides for a schedule: uneven slides and cells, out-of-domain rows, rows in any order."""
    centers, classes = draw(shapes)
    most_patches = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 10_000))
    few, many = draw(st.sampled_from([(11, 11), (11, 14), (13, 20)]))
    rng = np.random.default_rng(seed)
    slides = []
    for center, cls in product(named("center", centers), named("class", classes)):
        for n in range(int(rng.integers(few, many + 1))):
            count = int(rng.integers(1, most_patches + 1))
            slides.append(("ID", f"{center}/{cls}/{n}", center, cls, count))
    slides += [
        ("OOD", f"far/{cls}", "far away", cls, 3) for cls in named("class", draw(st.integers(0, classes)))
    ]
    return table(slides).sample(frac=1, random_state=seed).reset_index(drop=True)


@st.composite
def cohorts_of_shared_slides(draw: st.DrawFn) -> pd.DataFrame:
    """Slides (cases) which give patches to several classes."""
    centers, classes = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    share = draw(st.sampled_from([0.3, 0.6, 0.9]))
    slides = []
    for center in named("center", centers):
        for case in range(int(40 / share)):
            mine = [cls for cls in named("class", classes) if rng.random() < share]
            slides += [("ID", f"{center}/case {case}", center, cls, 2) for cls in mine]
    return table(slides)


any_cohort = st.one_of(cohorts(), cohorts_of_shared_slides())


def draws(schedule: GeneralSchedule, patches: pd.DataFrame, count: int = REPETITIONS) -> list[Repetition]:
    return list(schedule.repetitions(patches, count))


def slides_of(patches: pd.DataFrame, rows: Iterable[int]) -> set[str]:
    return set(patches.slide_id.iloc[list(rows)])


@settings(max_examples=20)
@given(patches=any_cohort)
def test_cramers_v_rises_strictly_from_zero_to_one(patches: pd.DataFrame) -> None:
    schedule = general_schedule(patches, repetitions=REPETITIONS)
    v = [cramers_v(counts) for counts in schedule.training_slides]
    assert len(v) >= FEWEST_STEPS == 5
    assert v[0] == pytest.approx(0, abs=1e-9)
    assert v[-1] == pytest.approx(1, abs=1e-9)
    assert (np.diff(v) > 0).all(), v


@settings(max_examples=20)
@given(patches=any_cohort)
def test_the_home_center_gives_one_slide_in_c_first_and_all_at_last(patches: pd.DataFrame) -> None:
    schedule = general_schedule(patches, repetitions=REPETITIONS)
    counts = np.array(schedule.training_slides)
    shares = counts / counts.sum(axis=1, keepdims=True)
    for j, cls in enumerate(schedule.classes):
        home = shares[:, schedule.centers.index(schedule.home[cls]), j]
        assert home[0] == pytest.approx(1 / len(schedule.centers))
        assert home[-1] == 1
        assert (np.diff(home) > 0).all()


@settings(max_examples=30)
@given(patches=any_cohort)
def test_every_class_trains_on_the_same_number_of_slides_in_every_split(patches: pd.DataFrame) -> None:
    counts = np.array(general_schedule(patches, repetitions=REPETITIONS).training_slides)
    assert (counts >= 0).all()
    assert len(set(counts.sum(axis=1).ravel().tolist())) == 1


@settings(max_examples=20)
@given(patches=any_cohort)
def test_the_rows_are_those_of_as_many_slides_as_the_schedule_says(patches: pd.DataFrame) -> None:
    schedule = general_schedule(patches, repetitions=REPETITIONS)
    for draw in draws(schedule, patches):
        for rows, counts in zip(draw.training, schedule.training_slides, strict=True):
            assert len(rows) == len(set(rows.tolist())) == schedule.patches_per_slide * np.sum(counts)
            cells = patches.iloc[rows].groupby(["medical_center", "biological_class"]).slide_id.nunique()
            for (i, center), (j, cls) in product(enumerate(schedule.centers), enumerate(schedule.classes)):
                assert cells.get((center, cls), 0) == counts[i][j]


@settings(max_examples=20)
@given(patches=any_cohort)
def test_no_slide_stands_on_two_sides(patches: pd.DataFrame) -> None:
    schedule = general_schedule(patches, repetitions=REPETITIONS)
    for draw in draws(schedule, patches):
        training = slides_of(patches, np.concatenate(draw.training))
        validation = slides_of(patches, np.concatenate(draw.validation))
        test = slides_of(patches, np.concatenate([draw.id_test, draw.ood_test]))
        assert training
        assert validation
        assert test
        assert not training & validation
        assert not training & test
        assert not validation & test


@settings(max_examples=20)
@given(patches=any_cohort)
def test_every_class_of_every_center_is_tested_and_validated(patches: pd.DataFrame) -> None:
    schedule = general_schedule(patches, repetitions=REPETITIONS)
    cells = set(product(schedule.centers, schedule.classes))
    for draw in draws(schedule, patches):
        for rows in (draw.id_test, *draw.validation):
            held = patches.iloc[rows]
            assert set(zip(held.medical_center, held.biological_class, strict=True)) == cells


@settings(max_examples=20)
@given(patches=any_cohort)
def test_rows_out_of_domain_stand_in_the_out_of_domain_test_only(patches: pd.DataFrame) -> None:
    outside = set(np.flatnonzero(patches.subset == "OOD").tolist())
    for draw in draws(general_schedule(patches, repetitions=REPETITIONS), patches):
        assert set(draw.ood_test.tolist()) == outside
        assert not outside & set(np.concatenate([*draw.training, *draw.validation, draw.id_test]).tolist())


@settings(max_examples=10)
@given(patches=any_cohort)
def test_the_same_table_gives_the_same_draws(patches: pd.DataFrame) -> None:
    first, second = (draws(general_schedule(patches, repetitions=REPETITIONS), patches) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for a, b in zip(
            (*one.training, *one.validation, one.id_test),
            (*other.training, *other.validation, other.id_test),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_repetitions_draw_different_slides() -> None:
    patches = even(2, 2, 12)
    first, second = draws(general_schedule(patches, repetitions=REPETITIONS), patches)
    assert set(first.id_test.tolist()) != set(second.id_test.tolist())


def test_more_repetitions_than_were_prepared_are_refused() -> None:
    patches = even(2, 2, 12)
    with pytest.raises(MetricError, match="has 2 repetitions, 3 were requested"):
        draws(general_schedule(patches, repetitions=REPETITIONS), patches, 3)


def test_large_slides_train_where_small_ones_would_make_the_training_set_smaller() -> None:
    cells = list(product(named("center", 2), named("class", 2)))
    large = [slide for cell in cells for slide in cell_slides(cell, 14, patches=50)]
    small = [slide for cell in cells for slide in cell_slides(cell, 3, patches=1, prefix="small ")]
    assert general_schedule(table(large + small), repetitions=REPETITIONS).patches_per_slide == 50


# --- as many slides as the cohort allows --------------------------------------------------------------


def training_patches(patches: pd.DataFrame) -> int:
    schedule = general_schedule(patches, repetitions=REPETITIONS)
    return schedule.patches_per_slide * int(np.sum(schedule.training_slides[0]))


@settings(max_examples=20)
@given(shape=shapes, data=st.data())
def test_one_slide_more_in_every_cell_never_gives_a_smaller_training_set(
    shape: tuple[int, int], data: st.DataObject
) -> None:
    cells = list(product(named("center", shape[0]), named("class", shape[1])))
    counts = {cell: data.draw(st.integers(10, 18), label=str(cell)) for cell in cells}
    before = table(slide for cell in cells for slide in cell_slides(cell, counts[cell]))
    after = table(slide for cell in cells for slide in cell_slides(cell, counts[cell] + 1))
    assert 0 < training_patches(before) <= training_patches(after)


@pytest.mark.parametrize(("slides", "m"), [(10, 4), (11, 4), (12, 4), (13, 5), (19, 8), (103, 50)])
def test_all_slides_that_do_not_test_or_validate_train_in_the_home_center(slides: int, m: int) -> None:
    counts = np.array(general_schedule(even(2, 2, slides), repetitions=REPETITIONS).training_slides)
    assert counts[0].tolist() == [[m, m], [m, m]]
    assert counts[-1].max() == 2 * m


# --- too few slides -----------------------------------------------------------------------------------


@st.composite
def too_small(draw: st.DrawFn) -> dict[Cell, int]:
    centers, classes = draw(shapes)
    cells = list(product(named("center", centers), named("class", classes)))
    return {cell: draw(st.integers(0, 9)) for cell in cells}


def filled(counts: dict[Cell, int], prefix: str = "") -> pd.DataFrame:
    # A row out of domain keeps a class in the table of which no center has a slide.
    far = [("OOD", f"far/{cls}", "far away", cls, 1) for cls in sorted({cls for _, cls in counts})]
    return table([s for cell, count in counts.items() for s in cell_slides(cell, count, prefix=prefix)] + far)


def lacking(error: MetricError) -> dict[Cell, int]:
    matches = LACKS.findall(str(error))
    return {(center, cls): int(needed) - int(has) for cls, center, has, needed in matches}


@settings(max_examples=25)
@given(counts=too_small())
def test_adding_exactly_the_slides_that_the_error_names_is_enough(counts: dict[Cell, int]) -> None:
    assume(all(any(counts[cell] for cell in counts if cell[0] == center) for center, _ in counts))
    try:
        general_schedule(filled(counts), repetitions=REPETITIONS)
    except MetricError as error:
        message, missing = str(error), lacking(error)
    else:
        reject()  # a few of these counts are enough
    assert "too few slides for 5 training splits" in message
    assert missing
    assert all(
        f"{cls} in {center} has {counted(counts[center, cls], 'slide')}, " in message
        for center, cls in missing
    )
    enough = {cell: count + missing.get(cell, 0) for cell, count in counts.items()}
    assert general_schedule(filled(enough), repetitions=REPETITIONS).training_slides
    for cell in sorted(missing)[:2]:  # and one slide less is not enough
        with pytest.raises(MetricError):
            general_schedule(filled({**enough, cell: enough[cell] - 1}), repetitions=REPETITIONS)


def test_a_class_missing_from_one_center_is_named_with_what_it_lacks() -> None:
    patches = even(2, 2, 12)
    patches = patches[(patches.medical_center != "center 1") | (patches.biological_class != "class 0")]
    with pytest.raises(MetricError, match="class 0 in center 1 has 0 slides, 6 are needed"):
        general_schedule(patches.reset_index(drop=True))


def test_too_few_slides_shared_by_classes_are_named_with_what_they_lack() -> None:
    cases = [
        ("ID", f"{center}/case {n}", center, cls, 2)
        for center, cls, n in product(named("center", 2), named("class", 3), range(8))
    ]
    with pytest.raises(MetricError, match="class 0 in center 0 has 8 slides, 10 are needed"):
        general_schedule(table(cases))


def test_one_class_is_refused() -> None:
    with pytest.raises(MetricError, match="1 class and 2 in-domain medical centers"):
        general_schedule(even(2, 1, 12))


def test_one_center_is_refused_also_when_others_are_out_of_domain() -> None:
    patches = even(2, 2, 12)
    patches.loc[patches.medical_center == "center 1", "subset"] = "OOD"
    with pytest.raises(MetricError, match="2 classes and 1 in-domain medical center"):
        general_schedule(patches)


def test_a_slide_of_two_centers_is_refused() -> None:
    patches = even(2, 2, 12).replace({"slide_id": {"center 1/class 0/3": "center 0/class 0/3"}})
    with pytest.raises(
        MetricError, match="slide 'center 0/class 0/3' has patches from center 0 and center 1"
    ):
        general_schedule(patches)


def test_a_slide_in_and_out_of_domain_is_refused() -> None:
    patches = even(2, 2, 12)
    patches.loc[0, "subset"] = "OOD"
    with pytest.raises(MetricError, match="'center 0' has in-domain and out-of-domain patches"):
        general_schedule(patches)


# --- what to do about too few slides ------------------------------------------------------------------


def refusal(patches: pd.DataFrame) -> MetricError:
    with pytest.raises(MetricError) as refused:
        general_schedule(patches, repetitions=REPETITIONS)
    return refused.value


def out_of_domain(patches: pd.DataFrame, centers: Iterable[str]) -> pd.DataFrame:
    return patches.assign(subset=np.where(patches.medical_center.isin(list(centers)), "OOD", patches.subset))


def test_leaving_a_center_out_is_no_remedy_where_the_others_then_need_more() -> None:
    remedy = refusal(even(3, 2, 4)).remedy
    assert "OOD" not in remedy
    assert remedy == (
        "add slides: with 3 in-domain medical centers and 2 classes the smallest cohort has 8 slides of each "
        "class at one center, its home, and 4 at each other, 32 in all"
    )


def test_the_remedy_names_the_center_without_which_there_is_a_schedule() -> None:
    patches = filled(
        {cell: 1 if cell[0] == "center 1" else 10 for cell in product(named("center", 3), named("class", 2))}
    )
    assert "subset to OOD for all patches of 'center 1'," in refusal(patches).remedy
    assert general_schedule(out_of_domain(patches, ["center 1"])).centers == ("center 0", "center 2")


# --- out-of-domain patches ------------------------------------------------------------------------------


def test_a_center_that_training_can_spare_is_named() -> None:
    patches = even(3, 2, 10)
    remedy = out_of_domain_remedy(patches, repetitions=REPETITIONS)
    (spared,) = re.findall(r"'(center \d)'", remedy)
    assert remedy.startswith(f"set subset to OOD for all patches of '{spared}', which then only test")
    assert general_schedule(out_of_domain(patches, [spared]), repetitions=REPETITIONS)


def test_where_no_center_can_be_spared_the_remedy_is_a_further_one_and_has_the_cost() -> None:
    patches = even(3, 2, 8)  # enough with three in-domain centers, too few with two
    assert general_schedule(patches, repetitions=REPETITIONS)
    assert out_of_domain_remedy(patches, repetitions=REPETITIONS) == (
        "add slides of a further medical center, with subset OOD; none of the 3 in-domain ones can be "
        "spared, as classifiers then have too few slides: with 2 in-domain medical centers and 2 "
        "classes the smallest cohort has 10 slides of each class at one center, its home, and 6 "
        "at the other, 32 in all"
    )
    for center in named("center", 3):
        refusal(out_of_domain(patches, [center]))


def test_of_two_centers_none_can_be_spared() -> None:
    remedy = out_of_domain_remedy(even(2, 2, 30), repetitions=REPETITIONS)
    assert remedy.endswith("none of the 2 in-domain ones can be spared, as classifiers train on two at least")


@settings(max_examples=40)
@given(counts=too_small())
def test_the_remedy_leads_to_a_schedule(counts: dict[Cell, int]) -> None:
    patches = filled(counts)
    try:
        general_schedule(patches, repetitions=REPETITIONS)
    except MetricError as error:
        remedy = error.remedy
    else:
        reject()
    left_out = re.findall(r"'(center \d)'", remedy)
    assert bool(left_out) == ("OOD" in remedy)
    if left_out:
        assert general_schedule(out_of_domain(patches, left_out), repetitions=REPETITIONS)
    else:
        every = {center for center, _ in counts}
        for kept in (set(some) for n in range(2, len(every)) for some in combinations(sorted(every), n)):
            with pytest.raises(MetricError):
                general_schedule(out_of_domain(patches, every - kept), repetitions=REPETITIONS)


@pytest.mark.parametrize("centers", [2, 3, 4, 5, 6])
def test_the_smallest_cohort_of_the_remedy_has_a_schedule_and_one_slide_less_has_none(centers: int) -> None:
    numbers = re.search(r"has (\d+) slides of each .* and (\d+) at", refusal(even(centers, 2, 2)).remedy)
    assert numbers
    at_home, elsewhere = map(int, numbers.groups())
    counts = {
        (f"center {i}", f"class {j}"): at_home if i == j else elsewhere
        for i in range(centers)
        for j in range(2)
    }
    assert general_schedule(filled(counts), repetitions=REPETITIONS)
    for cell in counts:
        refusal(filled({**counts, cell: counts[cell] - 1}))
