"""What a prompt shows of a result: the value with its interval in a line or two, never arrays."""

import dataclasses

import numpy as np
import pytest
from made_checks import CELLS, made

from pathorob_checks.metrics import (
    Curve,
    Grid,
    clustering_score,
    performance_drop,
    robustness_index,
)
from pathorob_checks.results.subject_facts import EmbeddingMap

UNITS = {
    "index": "40 units (slides)",
    "drop": "42 units (slides and repetitions)",
    "clusters": "63 units (slides)",
}
TWO_LINES = 160
EVIL = "demo\x1b[31m\nPASS"


@pytest.fixture(scope="module")
def results(labelled):
    embeddings, patches = labelled
    return {
        "index": robustness_index(embeddings, patches, k=5),
        "drop": performance_drop(embeddings, patches, repetitions=2),
        "clusters": clustering_score(embeddings, patches, trials=3, clusters=range(2, 5)),
    }


@pytest.fixture(scope="module")
def labelled():
    import pandas as pd

    patches = pd.MultiIndex.from_product(
        [["Aachen", "Bonn"], ["normal", "tumor"], range(10), range(3)],
        names=["medical_center", "biological_class", "slide", "patch"],
    ).to_frame(index=False)
    patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    embeddings = np.random.default_rng(0).normal(size=(len(patches), 8))
    embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    embeddings[:, 1] += 2 * (patches.medical_center == "Bonn")
    return embeddings, patches


def interval_of(value, interval):
    low, high = interval
    return f"{value:.3f} (95 % interval [{low:.3f}, {high:.3f}])"


def test_a_result_is_its_value_with_interval_and_what_it_rests_on(results):
    index, drop, clusters = results["index"], results["drop"], results["clusters"]
    assert repr(index) == (
        f"<RobustnessIndex: {interval_of(index.value, index.interval)}; k = 5, support "
        f"{100 * index.support:.0f} %, 120 patches>"
    )
    assert repr(drop) == (
        f"<PerformanceDrop: in-domain {interval_of(drop.id_drop, drop.id_interval)}; "
        "5 training splits, 2 repetitions, 120 patches>"
    )
    assert repr(clusters) == (
        f"<ClusteringScore: {interval_of(clusters.value, clusters.interval)}; 1 combination, 3 trials, "
        "120 patches>"
    )


def test_a_drop_names_both_domains(results):
    drop = dataclasses.replace(results["drop"], ood_drop=-0.25, ood_interval=None)
    assert ", out-of-domain -0.250; 5 training splits" in repr(drop)


@pytest.mark.parametrize("name", ["index", "drop", "clusters"])
def test_measurement_and_resampling_are_as_short(results, name):
    measurement = next(iter(results[name].measurements().values()))
    shown = repr(measurement)
    assert shown.startswith(f"<Measurement of {measurement.metric}: {measurement.value:.3f} (95 % interval [")
    assert shown.endswith("120 patches>")
    assert len(shown) <= TWO_LINES
    assert (
        repr(measurement.resampling)
        == str(measurement.resampling)
        == (f"<Resampling of {measurement.metric}: {measurement.value:.3f}; effects of {UNITS[name]}>")
    )


def test_without_an_interval_there_is_no_word_of_one(results):
    index = dataclasses.replace(results["index"], interval=None)
    assert "interval" not in repr(index)
    assert repr(index).startswith(f"<RobustnessIndex: {index.value:.3f}; ")


def test_curves_and_grids_are_described_and_not_listed():
    curve = Curve(name="robustness index", over="neighbors k", x=tuple(range(500)), y=(0.5,) * 500)
    assert repr(curve) == "<Curve: robustness index over neighbors k, 500 values>"
    grid = Grid(
        name="share",
        row_name="patches",
        column_name="types",
        rows=("a", "b"),
        columns=("c",),
        values=((1,), (0,)),
    )
    assert repr(grid) == "<Grid: share, 2 rows x 1 column>"


def test_a_check_is_its_sentence():
    check = made(cells=CELLS, interval=(0.3, 0.32))
    assert (
        repr(check)
        == "<Check FAIL: robustness index of demo:color-sensitive on demo: 0.310 (bound >= 0.500)>"
    )
    assert "\x1b" not in repr(made(fm=EVIL))
    assert "\n" not in repr(made(fm=EVIL))


def test_other_parts_of_the_document_leave_long_fields_short():
    many = tuple(range(540))
    places = EmbeddingMap(
        x=many, y=many, biological_class=many, medical_center=many,
        classes=("normal",), centers=("Bonn",), explained=(0.5, 0.2), patches=540,
    )  # fmt: skip
    assert len(repr(places)) <= 3 * TWO_LINES
    assert repr(places).startswith("EmbeddingMap(x=(0.0, 1.0, 2.0, ")
    assert repr(places).endswith("patches=540)")
    assert str(places) == repr(places)
