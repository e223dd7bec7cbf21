"""Without an attack: embeddings that follow biology pass, those that follow the center fail."""

from __future__ import annotations

from attack import Attack

NOT_APPLICABLE = "5 of 11 integrity checks made; 6 do not apply to given embeddings"


def test_embeddings_that_follow_biology_pass(attack: Attack) -> None:
    outcome = attack.run(fm="embeddings:good")
    assert (outcome.code, outcome.headline) == (
        0,
        f"PASS: 1 of 1 criterion met (1 FM, 1 cohort); {NOT_APPLICABLE}",
    )
    assert outcome.results is not None
    assert (outcome.results["outcome"], outcome.results["complete"]) == ("pass", True)


def test_embeddings_that_follow_the_center_fail(attack: Attack) -> None:
    outcome = attack.run(fm="embeddings:bad")
    assert outcome.code == 1
    assert outcome.headline.startswith("FAIL: 1 of 1 criterion not met")
    assert outcome.results is not None
    assert outcome.results["outcome"] == "fail"
