"""A function on a whole table gives what a run gives on the cohort of that table."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from planted import Float32, embed

from pathorob_checks import evaluate
from pathorob_checks.errors import CohortError, MetricError
from pathorob_checks.metrics import clustering_score, general_schedule, performance_drop, robustness_index

METRICS = ("robustness_index", "performance_drop_id", "performance_drop_ood", "clustering_score")
FUNCTIONS = (robustness_index, performance_drop, clustering_score)
QUICK = (
    robustness_index,
    partial(performance_drop, repetitions=2),
    partial(clustering_score, trials=2, clusters=range(2, 5)),
)
CRITERIA = 'schema = "pathorob-checks/criteria/1"\nname = "all"\n' + "".join(
    f'[[criteria]]\nid = "{metric}"\nmetric = "{metric}"\nat_least = 0.0\nrule = "point"\n'
    'rationale = "A test."\n'
    for metric in METRICS
)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Two classes, two or three in-domain centers and an out-of-domain one, in any order of rows."""
    centers = draw(st.permutations(["Aachen", "Bonn", "Cologne"]))[: draw(st.integers(2, 3))]
    inside = draw(st.sampled_from([("ID",), ("left", "right")]))
    rows = []
    for center, cls in product(centers, ("normal", "tumor")):
        for slide in range(10 + draw(st.integers(0, 1))):
            for subset, patch in product(inside, range(2)):
                rows.append((subset, f"{center}/{cls}/{slide}", f"{subset}.{patch}", center, cls))
    for cls, slide, patch in product(("normal", "tumor"), range(2), range(3)):
        rows.append(("OOD", f"West/{cls}/{slide}", f"{patch}", "West", cls))
    columns = ["subset", "slide_id", "patch_id", "medical_center", "biological_class"]
    order = draw(st.randoms(use_true_random=False)).sample(range(len(rows)), len(rows))
    return pd.DataFrame([rows[row] for row in order], columns=columns)


def of_a_run(folder: Path, patches: pd.DataFrame, x: Float32, settings: str = "") -> dict[str, Any]:
    """The checks of a run with the embeddings and labels in a folder, by metric."""
    folder.mkdir(parents=True, exist_ok=True)
    patches.to_csv(folder / "manifest.csv", index=False)
    np.save(folder / "embeddings.npy", x)
    (folder / "cohort.toml").write_text(settings)
    (folder.parent / "all.toml").write_text(CRITERIA)
    results = evaluate(
        f"embeddings:{folder}",
        cohorts=folder,
        criteria=folder.parent / "all.toml",
        cache=folder.parent / "cache",
        progress=False,
    )
    return {check.metric: check for check in results.checks}


def of_the_functions(x: Float32, patches: pd.DataFrame, **design: Any) -> dict[str, Any]:
    """The measurements of the functions with their defaults, by metric."""
    measured = robustness_index(x, patches, **design).measurements()
    for function in FUNCTIONS[1:]:
        measured |= function(x, patches).measurements()
    return measured


@pytest.mark.slow
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(patches=tables(), k=st.sampled_from([None, 5]), seed=st.integers(0, 9))
def test_functions_and_run_agree_on_any_table(
    tmp_path: Path, patches: pd.DataFrame, k: int | None, seed: int
) -> None:
    agree(tmp_path / "ours", patches, k, seed)


@pytest.mark.slow
def test_functions_and_run_agree_on_a_table(tmp_path: Path) -> None:
    patches = with_ood()
    agree(tmp_path / "ours", patches, None, 0)


def agree(folder: Path, patches: pd.DataFrame, k: int | None, seed: int) -> None:
    x = embed(patches, biology=0.5, center=0.8, noise=0.4, seed=seed)
    checks = of_a_run(folder, patches, x, f"k = {k}" if k else "")
    ours = of_the_functions(x, patches, **({"k": k} if k else {}))
    assert set(checks) == set(METRICS) <= set(ours)
    for metric, check in checks.items():
        assert (check.value, check.interval, check.support) == (
            ours[metric].value,
            ours[metric].interval,
            ours[metric].support,
        ), metric


def with_ood() -> pd.DataFrame:
    rows = [
        (subset, f"{center}/{cls}/{slide}", str(patch), center, cls)
        for subset, center in (("ID", "Aachen"), ("ID", "Bonn"), ("OOD", "West"))
        for cls, slide, patch in product(("normal", "tumor"), range(10), range(2))
    ]
    columns = ["subset", "slide_id", "patch_id", "medical_center", "biological_class"]
    return pd.DataFrame(rows, columns=columns)


def test_out_of_domain_rows_change_neither_index_nor_clusters() -> None:
    patches = with_ood()
    x = embed(patches, biology=0.5, center=0.8, noise=0.4)
    inside = (patches.subset == "ID").to_numpy()
    for function in (robustness_index, clustering_score):
        whole, part = function(x, patches), function(x[inside], patches[inside])
        assert whole.measurement() == part.measurement()
        assert (whole.rows, whole.left_out) == (80, 40)
        assert (part.rows, part.left_out) == (80, 0)


def test_a_table_without_subset_is_all_in_domain() -> None:
    patches = with_ood().query("subset == 'ID'").reset_index(drop=True)
    x = embed(patches, biology=0.5, center=0.8, noise=0.4)
    for function in QUICK:
        assert (
            function(x, patches).measurements() == function(x, patches.drop(columns="subset")).measurements()
        )
    assert general_schedule(patches) == general_schedule(patches.drop(columns="subset"))


@pytest.mark.parametrize("kind", ["category", "string", object])
def test_the_type_of_the_labels_does_not_matter(kind: Any) -> None:
    patches = with_ood()
    x = embed(patches, biology=0.5, center=0.8, noise=0.4)
    for function in QUICK:
        assert function(x, patches.astype(kind)).measurements() == function(x, patches).measurements()


def test_numbers_are_labels_too() -> None:
    patches = with_ood()
    x = embed(patches, biology=0.5, center=0.8, noise=0.4)
    numbers = {"Aachen": 1, "Bonn": 2, "West": 3, "normal": 0, "tumor": 1}
    numbered = patches.assign(
        slide_id=patches.slide_id.factorize()[0],
        medical_center=patches.medical_center.map(numbers),
        biological_class=patches.biological_class.map(numbers),
    )
    for function in QUICK:
        texts = function(x, numbered.astype(str)).measurements()
        assert function(x, numbered).measurements() == texts


def change(column: str, value: object, rows: slice | int = 0) -> Any:
    def apply(patches: pd.DataFrame) -> None:
        patches[column] = patches[column].astype(object)
        patches.loc[rows, column] = value

    return apply


def repeat(patches: pd.DataFrame) -> None:
    patches.loc[1, "patch_id"] = "0"


def move(patches: pd.DataFrame) -> None:
    patches.loc[0, "medical_center"] = "Bonn"


SPOILT = [
    (change("subset", "Ood"), "row 0 has the subset 'Ood', which is probably meant as 'OOD'"),
    (change("subset", "test"), "row 0 has the subset 'test', which is probably meant as 'OOD'"),
    (change("subset", "id"), "row 0 has the subset 'id', which is probably meant as 'ID'"),
    (change("subset", "left"), "row 0 has the subset 'left' and row 1 has 'ID'"),
    (change("subset", None), "column 'subset' is empty in row 0"),
    (change("subset", ""), "column 'subset' has no visible text in row 0"),
    (change("subset", "OOD"), "medical center 'Aachen' has in-domain and out-of-domain patches"),
    (change("subset", "OOD", slice(None)), "all 120 patches are out-of-domain"),
    (change("subset", "OOD", slice(40, 80)), "has only the value 'Aachen' in in-domain rows"),
    (change("medical_center", "Aachen ", 5), "'medical_center' has white space around its text in row 5"),
    (change("biological_class", " ", 5), "column 'biological_class' has no visible text in row 5"),
    (move, "slide 'Aachen/normal/0' has patches from Aachen and Bonn"),
    (repeat, "rows 0 and 1 both describe slide 'Aachen/normal/0' patch '0'"),
    (change("medical_center", "\uff21achen", 0), "has the name 'Aachen' in two encodings, in rows 0 and 1"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
def test_what_a_run_refuses_the_functions_refuse(tmp_path: Path, spoil: Any, message: str) -> None:
    patches = with_ood()
    x = embed(patches, biology=0.5, center=0.8, noise=0.4)
    spoil(patches)
    for function in QUICK:
        with pytest.raises(MetricError, match=message):
            function(x, patches)
    with pytest.raises(CohortError):
        of_a_run(tmp_path / "ours", patches.fillna(""), x)


def test_rows_in_messages_are_those_of_the_whole_table() -> None:
    patches = with_ood()[::-1].reset_index(drop=True)  # out-of-domain rows first
    x = embed(patches, biology=0.5, center=0.8, noise=0.4)
    x[77] = 0
    for function in (robustness_index, clustering_score):
        with pytest.raises(MetricError, match="1 embeddings are all zero, the first in row 77"):
            function(x, patches)
