"""Results as a run ends with them, for the tests of what is made from them."""

from datetime import datetime, timedelta, timezone

from made_checks import CELLS, completeness_of, made, unmeasured

from pathorob_checks import Results
from pathorob_checks.evaluation.facts import machine_facts
from pathorob_checks.results.environment import Environment, Terms
from pathorob_checks.results.outcome import summarize
from pathorob_checks.results.subject_facts import CohortFacts, FMFacts, Run

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
RUN = Run(
    fm=FMFacts(
        name="old", spec="demo:color-sensitive", revision=None, license="MIT", commercial=True,
        identity={"b": 1, "a": [1, 2]}, dimension=3, embeddings="k", extraction={},
    ),
    cohort=CohortFacts(
        name="demo", source="", digest="d", tables={}, license="MIT", commercial=None, patches=4, slides=2,
        biological_classes=("x", "y"), in_domain_centers=("A",), out_of_domain_centers=(),
    ),
)  # fmt: skip


def document(checks=None, **changes):
    checks = [made(interval=(0.3, 0.4), cells=CELLS), unmeasured()] if checks is None else checks
    completeness = completeness_of(checks)
    summary = summarize(checks, completeness)
    terms = Terms(
        name="floor", files=("floor",), digest="0" * 64, profile={}, protocol={}, completeness=completeness
    )
    content = {
        "created": NOON,
        "complete": completeness.complete,
        "outcome": summary.outcome,
        "summary": summary.sentence,
        "environment": Environment(**machine_facts(), criteria=terms),
        "metrics": {},
        "runs": (RUN,),
        "checks": tuple(checks),
    }
    return Results(**{**content, **changes})
