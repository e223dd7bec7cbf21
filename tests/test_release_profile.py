"""Keys of a profile that are about a release: family, pass_confidence, worst_ood_center, repetitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from planted_slides import Design

from pathorob_checks import evaluate
from pathorob_checks.criteria.comparison import differences
from pathorob_checks.criteria.files import load_profile
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.criteria.protocol import protocol_of
from pathorob_checks.results.consistency import contradictions
from pathorob_checks.results.document import Outcome


def profile(**settings: Any) -> Profile:
    entry = {"id": "drop", "metric": "performance_drop_ood", "at_least": -0.1, "rationale": "agreed"}
    index = {"id": "index", "metric": "robustness_index", "at_least": 0.5, "rationale": "agreed"}
    return Profile(name="ours", criteria=(entry, index), **settings)  # type: ignore[arg-type]


def test_the_worst_medical_center_out_of_domain_is_held_to_the_same_bound() -> None:
    (drop, worst, index) = profile(worst_ood_center=True).criteria_for(["camelyon"])
    assert (drop.id, index.id, worst.id) == ("drop", "index", "drop-worst")
    assert (worst.quantity, worst.bound, worst.metric) == ("worst-center", -0.1, "performance_drop_ood")
    assert len(profile().criteria_for(["camelyon"])) == 2
    assert any(
        one.id == "performance-drop-ood-worst" for one in load_profile("release").criteria_for(["tcga"])
    )


def test_a_criterion_of_the_files_own_for_the_worst_center_stays_alone() -> None:
    own = {
        "id": "each",
        "metric": "performance_drop_ood",
        "group": "worst-center",
        "at_least": -0.2,
        "rationale": "agreed",
    }
    whole = profile(worst_ood_center=True)
    both = whole.model_copy(update={"criteria": Profile(name="x", criteria=(*whole.criteria, own)).criteria})  # type: ignore[arg-type]
    assert [one.id for one in both.criteria_for(["camelyon"])] == ["drop", "index", "each"]


def test_repetitions_are_part_of_the_protocol_and_the_digest() -> None:
    more = profile(repetitions=40)
    protocol = protocol_of(more, ["performance_drop_ood", "robustness_index"], {})["metrics"]
    assert protocol["performance_drop"]["repetitions"] == 40
    assert "repetitions" not in protocol["robustness_index"]
    assert more.digest != profile().digest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repetitions": 1}, "is 1; give a whole number from 2"),
        ({"repetitions": True}, "is True; give a whole number from 2"),
        ({"family": "bonferroni"}, "known choices are"),
        ({"pass_confidence": 0.3}, "give a share such as 0.95"),
    ],
)
def test_values_that_say_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile(**settings)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ({"family": "holm", "inconclusive": "warn"}, {"inconclusive": "warn"}, "tightened"),
        ({"inconclusive": "warn"}, {"family": "holm", "inconclusive": "warn"}, "loosened"),
        ({}, {"family": "holm"}, "reworded"),  # an inconclusive release fails as well
        ({}, {"pass_confidence": 0.95}, "loosened"),
        ({"pass_confidence": 0.95}, {"pass_confidence": 0.99}, "tightened"),
        ({}, {"worst_ood_center": True}, "tightened"),
        ({}, {"repetitions": 40}, "changed"),
    ],
)
def test_what_is_stricter(before: dict[str, Any], after: dict[str, Any], change: str) -> None:
    (one,) = differences(profile(**before), profile(**after))
    assert one.change == change


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Given embeddings whose index is certainly met, and whose drop misses its bound by little."""
    folder = tmp_path_factory.mktemp("release") / "ours"
    folder.mkdir()
    design = Design(slides=11, patches=4, biology=1.5, center=1.5, slide=0.6, outside_slides=6)
    table = design.table()
    table["patch_id"] = [f"p{number}" for number in range(len(table))]
    table["image_path"] = [f"{number}.png" for number in range(len(table))]
    for name in table.image_path:
        (folder / name).write_text(name)
    table.to_csv(folder / "manifest.csv", index=False)
    np.save(folder / "embeddings.npy", design.embeddings(table, 0))
    (folder / "cohort.toml").write_text("k = 11\n")
    return folder


def bounds(folder: Any, index: float, drop: float, **settings: Any) -> Any:
    entries = [
        {"id": "index", "metric": "robustness_index", "at_least": index, "rationale": "agreed"},
        {"id": "drop", "metric": "performance_drop_id", "at_least": drop, "rationale": "agreed"},
    ]
    return evaluate(
        f"embeddings:{folder}",
        cohorts=folder,
        criteria=Profile(name="ours", criteria=entries, **settings),  # type: ignore[arg-type]
        cache=folder / "cache",
        progress=False,
    )


def test_the_repetitions_of_a_run_are_those_that_were_given(cohort: Any) -> None:
    drop = {"id": "drop", "metric": "performance_drop_id", "at_least": -1.0, "rationale": "agreed"}
    results = evaluate(
        f"embeddings:{cohort}",
        cohorts=cohort,
        criteria=Profile(name="ours", criteria=(drop,)),  # type: ignore[arg-type]
        repetitions=4,
        cache=cohort / "cache",
        progress=False,
    )
    assert results.checks[0].protocol["repetitions"] == 4
    assert "the draw of 4 repetitions" in results.checks[0].interval_note
    protocol = results.environment.criteria.protocol["metrics"]["performance_drop"]
    assert protocol == {"version": 2, "repetitions": 4}


@pytest.mark.slow
def test_failures_that_chance_explains_make_a_release_inconclusive(cohort: Any) -> None:
    values = {check.metric: check for check in bounds(cohort, 0.0, -1.0).checks}
    drop = values["performance_drop_id"]
    assert drop.interval is not None
    just_missed = drop.interval[1] + 0.02 * (drop.interval[1] - drop.interval[0])
    alone = bounds(cohort, 0.0, just_missed)
    assert alone.outcome is Outcome.FAIL
    assert alone.releases[0].sentence.startswith("FAIL for these medical centers: not met: drop in-domain")
    corrected = bounds(cohort, 0.0, just_missed, family="holm")
    assert [check.verdict for check in corrected.checks] == [check.verdict for check in alone.checks]
    assert corrected.outcome is Outcome.INCONCLUSIVE
    (release,) = corrected.releases
    assert (release.verdict.value, release.planned) == ("inconclusive", 2)
    assert "after Holm's correction for 2 criteria" in release.sentence
    clear = drop.value + 3 * (drop.interval[1] - drop.interval[0])
    assert bounds(cohort, 0.0, clear, family="holm").outcome is Outcome.FAIL


@pytest.mark.slow
def test_a_release_passes_by_the_confidence_of_the_profile(cohort: Any) -> None:
    drop = next(c for c in bounds(cohort, 0.0, -1.0).checks if c.metric == "performance_drop_id")
    assert drop.interval is not None
    just_open = drop.interval[0] + 0.02 * (drop.interval[1] - drop.interval[0])
    assert bounds(cohort, 0.0, just_open).outcome is Outcome.INCONCLUSIVE
    passed = bounds(cohort, 0.0, just_open, pass_confidence=0.95)
    assert passed.outcome is Outcome.PASS
    assert passed.releases[0].sentence == "PASS for these medical centers: 2 of 2 criteria met"
    assert bounds(cohort, 0.0, -1.0, pass_confidence=0.9999).outcome is Outcome.PASS
    assert list(contradictions(passed)) == []


@pytest.mark.slow
def test_a_results_file_whose_release_was_changed_contradicts_itself(cohort: Any) -> None:
    results = bounds(cohort, 0.0, 0.5)
    assert results.outcome is Outcome.FAIL
    changed = results.releases[0].model_copy(update={"verdict": "pass", "decisive": ()})
    forged = results.model_copy(update={"releases": (changed,)})
    assert "its verdicts on the FMs do not follow from those on the criteria" in list(contradictions(forged))
    check = results.checks[0]
    better = results.model_copy(
        update={"checks": (check.model_copy(update={"p_value": 0.4}), *results.checks[1:])}
    )
    assert any("p-value" in problem for problem in contradictions(better))
