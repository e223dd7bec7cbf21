"""The metrics reproduce what the benchmark's reference implementation printed for the golden cohorts."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plain_protocol
import pytest

from pathorob_checks.evidence.qualification import golden_cohorts as golden
from pathorob_checks.metrics.clusters import Combination, clustering_score
from pathorob_checks.metrics.drop_result import PerformanceDrop
from pathorob_checks.metrics.neighborhoods import RobustnessIndex, robustness_index
from pathorob_checks.metrics.performance import performance_drop
from pathorob_checks.metrics.schedules import published_schedule

UPSTREAM: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "golden" / "upstream.json").read_text(encoding="utf-8")
)
COHORTS = sorted(golden.COHORTS)
Float32 = npt.NDArray[np.float32]
AT_K = {
    "ID_performance": "id_performance",
    "OOD_performance": "ood_performance",
    "prediction_performance": "prediction_performance",
    "generalization_index": "generalization_index",
    "bio_vs_confounding": "bio_vs_confounding",
    "confounder_insensitivity": "confounder_insensitivity",
}
TYPES = {"SS": "ss", "SO": "so", "OS": "os", "OO": "oo"}


@cache
def _by_patch(cohort: str) -> dict[str, Float32]:
    table_name, weights = golden.COHORTS[cohort]
    table = golden.TABLES[table_name]()
    seed = 100 + list(golden.COHORTS).index(cohort)
    return dict(zip(golden.patch_keys(table), golden.embeddings(table, seed=seed, **weights), strict=True))


def _view(cohort: str, table_name: str, *, in_domain: bool) -> tuple[Float32, pd.DataFrame]:
    table = golden.TABLES[table_name]()
    if in_domain:
        table = table[table.subset != "OOD"].reset_index(drop=True)
    features = _by_patch(cohort)
    return np.stack([features[key] for key in golden.patch_keys(table)]), table


# --- robustness index ---------------------------------------------------------------------------------


@cache
def _index(cohort: str) -> RobustnessIndex:
    upstream = UPSTREAM["robustness_index"][cohort]
    embeddings, table = _view(cohort, upstream["table"], in_domain=True)
    return robustness_index(
        embeddings,
        table,
        k=upstream["summary"]["k_opt"],
        paired=cohort == "tcga",
        largest_k=len(upstream["by_k"]["robustness_index"]),
    )


@pytest.mark.parametrize("cohort", COHORTS)
def test_the_robustness_index_agrees_at_every_k(cohort: str) -> None:
    by_k = UPSTREAM["robustness_index"][cohort]["by_k"]["robustness_index"]
    np.testing.assert_allclose(_index(cohort).by_k, by_k, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cohort", COHORTS)
def test_the_four_types_of_neighbors_agree_at_every_k(cohort: str) -> None:
    by_k = UPSTREAM["robustness_index"][cohort]["by_k"]
    for name, ours in TYPES.items():
        share = getattr(_index(cohort).neighborhoods, ours)
        np.testing.assert_allclose(share, by_k[f"fraction_{name}-cum-norm"], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("cohort", COHORTS)
def test_the_index_and_the_vote_of_the_neighbors_agree_at_k(cohort: str) -> None:
    summary, ours = UPSTREAM["robustness_index"][cohort]["summary"], _index(cohort)
    assert ours.value == pytest.approx(summary["robustness_index"], abs=1e-6)
    assert ours.balanced_accuracy == pytest.approx(summary["balanced_accuracy"], abs=1e-6)


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("figure", sorted(AT_K))
def test_the_figures_derived_from_the_neighborhoods_agree_at_k(cohort: str, figure: str) -> None:
    ours = _index(cohort)
    value = getattr(ours.neighborhoods, AT_K[figure])[ours.k - 1]
    assert value == pytest.approx(UPSTREAM["robustness_index"][cohort]["summary"][figure], abs=2e-6)


@pytest.mark.parametrize("cohort", ["camelyon", "tcga"])  # tolkach_esca's list does not reach its largest k
def test_the_normalised_confounder_insensitivity_agrees_at_k(cohort: str) -> None:
    ours = _index(cohort)
    name = "normalized_confounder_insensitivity"
    expected = UPSTREAM["robustness_index"][cohort]["summary"][name]
    assert getattr(ours.neighborhoods, name)[ours.k - 1] == pytest.approx(expected, abs=2e-6)


# --- clustering score ---------------------------------------------------------------------------------


def _assert_same_clusters(
    ours: Combination, upstream: dict[str, Any], embeddings: Float32, table: pd.DataFrame
) -> None:
    """Every silhouette is the reference's, or scikit-learn's on this processor.

    A point that is equally near to two centers up to rounding may fall to either: scikit-learn itself has
    another labeling where products are rounded otherwise (OpenBLAS's Haswell kernels on
    an EPYC). It is run only where a silhouette differs.
    """
    assert upstream["K"] == ours.K
    silhouettes = np.array([ours.silhouettes[K] for K in sorted(ours.silhouettes)])
    equal = np.abs(silhouettes - upstream["silhouette_by_K"]) <= 1e-5
    if not equal.all():
        here = plain_protocol.clustering(embeddings, table, trials=1, clusters=sorted(ours.silhouettes))
        assert here.K == ours.K
        equal |= np.abs(silhouettes - here.silhouettes) <= 1e-5
    assert equal.all(), silhouettes[~equal]
    np.testing.assert_allclose(ours.ari_class, upstream["ari_bio"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.ari_center, upstream["ari_center"], rtol=0, atol=1e-6)


def test_the_clustering_score_of_camelyon_agrees_in_every_trial() -> None:
    upstream = UPSTREAM["clustering_score"]["camelyon"]
    embeddings, table = _view("camelyon", upstream["table"], in_domain=True)
    ours = clustering_score(embeddings, table)
    assert len(ours.combinations) == upstream["summary"]["num_combinations"]
    assert ours.trials == upstream["summary"]["num_trials"]
    _assert_same_clusters(
        ours.combinations[0], upstream["by_combination"]["normal-tumor-RUMC-UMCU"], embeddings, table
    )
    assert ours.value == pytest.approx(upstream["summary"]["clustering_score_mean"], abs=1e-6)
    assert ours.deviation == pytest.approx(upstream["summary"]["clustering_score_mean_std"], abs=1e-6)


@pytest.mark.parametrize("case", sorted(golden.EXTRA))
def test_the_clustering_score_agrees_with_four_and_with_thirty_clusters(case: str) -> None:
    upstream = UPSTREAM["clustering_score_extra"][case]["camelyon"]
    full = golden.camelyon()
    everywhere = golden.embeddings(full, seed=7, **golden.EXTRA[case])
    features = dict(zip(golden.patch_keys(full), everywhere, strict=True))
    table = golden.TABLES[upstream["table"]]()
    embeddings = np.stack([features[key] for key in golden.patch_keys(table)])
    ours = clustering_score(embeddings, table)
    _assert_same_clusters(
        ours.combinations[0], upstream["by_combination"]["normal-tumor-RUMC-UMCU"], embeddings, table
    )
    assert ours.value == pytest.approx(upstream["summary"]["clustering_score_mean"], abs=1e-6)
    assert ours.deviation == pytest.approx(upstream["summary"]["clustering_score_mean_std"], abs=1e-6)


@pytest.mark.parametrize(
    ("cohort", "classes", "centers"),
    [
        (
            "tcga",
            ("Breast_invasive_carcinoma", "Colon_adenocarcinoma"),
            ("Asterand", "Christiana Healthcare"),
        ),
        (
            "tcga",
            ("Lung_adenocarcinoma", "Lung_squamous_cell_carcinoma"),
            ("Roswell Park", "University of Pittsburgh"),
        ),
        ("tolkach_esca", ("TUMOR", "MUSC_PROP"), ("VALSET1_UKK", "VALSET2_WNS")),
        ("tolkach_esca", ("SH_MAG", "REGR_TU"), ("VALSET2_WNS", "VALSET4_CHA_FULL")),
    ],
)
def test_the_clustering_of_two_classes_in_two_centers_agrees_in_every_trial(
    cohort: str, classes: tuple[str, str], centers: tuple[str, str]
) -> None:
    upstream = UPSTREAM["clustering_score"][cohort]
    embeddings, table = _view(cohort, upstream["table"], in_domain=True)
    kept = (table.biological_class.isin(classes) & table.medical_center.isin(centers)).to_numpy()
    ours = clustering_score(embeddings[kept], table[kept].reset_index(drop=True))
    (combination,) = ours.combinations
    assert (combination.classes, combination.centers) == (classes, centers)
    name = "-".join(classes + centers)
    of_pair = table[kept].reset_index(drop=True)
    _assert_same_clusters(combination, upstream["by_combination"][name], embeddings[kept], of_pair)


# --- performance drop ---------------------------------------------------------------------------------


# From the second repetition on the reference's order of Tolkach's slides depends on the order of a set of
# strings that differs from process to process (docs/metrics.md): no implementation can reproduce one run.
# Twenty repetitions take a minute: camelyon's are compared on every change, the others with the slow tests.
TCGA, TOLKACH = (pytest.param(name, marks=pytest.mark.slow) for name in ("tcga", "tolkach_esca"))
REPEATABLE = ["camelyon", TCGA]
# What nine processes of the reference gave for this cohort: PYTHONHASHSEED 0 to 7, and the one of UPSTREAM.
TOLKACH_DRAWS = {
    "id": [-0.0748, -0.0755, -0.0777, -0.0775, -0.0744, -0.0759, -0.0769, -0.0750],
    "ood": [-0.0150, -0.0184, -0.0172, -0.0179, -0.0187, -0.0173, -0.0178, -0.0164],
}


@cache
def _drop(cohort: str) -> PerformanceDrop:
    embeddings, table = _view(cohort, UPSTREAM["performance_drop"][cohort]["table"], in_domain=False)
    return performance_drop(embeddings, table, schedule=cohort)


def _accuracies(cohort: str) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    ours, upstream = _drop(cohort), UPSTREAM["performance_drop"][cohort]
    assert ours.ood_accuracies is not None
    return [
        (ours.id_accuracies, np.array(upstream["ID_test_accuracies"])),
        (ours.ood_accuracies, np.array(upstream["OOD_test_accuracies"])),
    ]


@pytest.mark.parametrize("cohort", ["camelyon", TCGA, TOLKACH])
def test_the_accuracy_of_the_first_repetition_agrees_in_every_split(cohort: str) -> None:
    """Within 0.001 of the reference; where the processor rounds otherwise, within a wider tolerance.

    A fit that stops after 100 iterations without having converged carries its rounding along, so that
    scikit-learn's own accuracy depends on the order of additions in a product. A split that differs is fitted
    again by the protocol with the columns in other orders, and 0.001 and three standard deviations from
    its mean are allowed: 0.0032 on an EPYC with OpenBLAS's Haswell kernels, where one split is 0.0027 away.
    """
    domains = [(ours[:, 0], upstream[:, 0]) for ours, upstream in _accuracies(cohort)]
    equal = [np.abs(ours - upstream) <= 0.001 for ours, upstream in domains]
    differing = np.flatnonzero(~np.logical_and(*equal))
    if not len(differing):
        return
    embeddings, table = _view(cohort, UPSTREAM["performance_drop"][cohort]["table"], in_domain=False)
    [first, *_] = published_schedule(cohort).repetitions(table, 20)
    first = replace(
        first,
        training=tuple(first.training[split] for split in differing),
        validation=tuple(first.validation[split] for split in differing),
    )
    orders = [np.random.default_rng(seed).permutation(embeddings.shape[1]) for seed in range(8)]
    fits = [plain_protocol.performance_drop(embeddings[:, order], table, [first]) for order in orders]
    for domain, (ours, _) in enumerate(domains):
        accuracies = np.array([fit[domain][:, 0] for fit in fits])
        allowed = 0.001 + 3 * accuracies.std(axis=0, ddof=1)
        away = np.abs(ours[differing] - accuracies.mean(axis=0))
        assert (equal[domain][differing] | (away <= allowed)).all(), (away, allowed)


@pytest.mark.parametrize("cohort", REPEATABLE)
def test_the_accuracy_agrees_in_every_split_and_repetition(cohort: str) -> None:
    for ours, upstream in _accuracies(cohort):
        np.testing.assert_allclose(ours, upstream, rtol=0, atol=0.01)


@pytest.mark.parametrize("cohort", REPEATABLE)
def test_the_mean_accuracy_of_twenty_repetitions_agrees_in_every_split(cohort: str) -> None:
    for ours, upstream in _accuracies(cohort):
        assert upstream.shape[1] == 20
        np.testing.assert_allclose(ours.mean(axis=1), upstream.mean(axis=1), rtol=0, atol=0.002)


@pytest.mark.parametrize("cohort", REPEATABLE)
def test_the_performance_drops_agree(cohort: str) -> None:
    ours, summary = _drop(cohort), UPSTREAM["performance_drop"][cohort]["summary"]
    assert ours.id_drop == pytest.approx(summary["apd_id"], abs=0.002)
    assert ours.ood_drop == pytest.approx(summary["apd_ood"], abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("domain", sorted(TOLKACH_DRAWS))
def test_the_drop_of_tolkach_lies_within_the_spread_of_the_references_own_runs(domain: str) -> None:
    ours, summary = _drop("tolkach_esca"), UPSTREAM["performance_drop"]["tolkach_esca"]["summary"]
    draws = np.array([*TOLKACH_DRAWS[domain], summary[f"apd_{domain}"]])
    drop = ours.id_drop if domain == "id" else ours.ood_drop
    assert drop == pytest.approx(draws.mean(), abs=3 * draws.std(ddof=1))
    assert 0.0005 < draws.std(ddof=1) < 0.002


@pytest.mark.slow
def test_the_mean_accuracy_of_tolkach_lies_within_the_spread_of_the_repetitions() -> None:
    """Later repetitions draw other slides than the reference's run, from the same distribution."""
    for ours, upstream in _accuracies("tolkach_esca"):
        assert ours.shape == upstream.shape == (4, 20)
        spread = upstream.std(axis=1, ddof=1) / 20**0.5
        np.testing.assert_array_less(np.abs(ours.mean(axis=1) - upstream.mean(axis=1)), 4 * spread)
