"""Results of runs as the gate makes them, from given checks, for the tests of what is made of results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from made_checks import completeness_of, made

from pathorob_checks.metrics.definition import Metric
from pathorob_checks.metrics.intervals import interval_of
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.metrics.resampling import Resampling
from pathorob_checks.results.check import Check, IntegrityCheck
from pathorob_checks.results.document import MetricFacts
from pathorob_checks.results.environment import Environment, Terms
from pathorob_checks.results.outcome import summarize
from pathorob_checks.results.results import Results
from pathorob_checks.results.subject_facts import CohortFacts, FMFacts, Run

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


def results_of(
    checks: list[Check],
    *,
    day: int = 0,
    integrity: tuple[IntegrityCheck, ...] = (),
    problems: tuple[str, ...] = (),
    planned: int | None = None,
    deselected: int = 0,
    revision: str | None = None,
    crashed: bool = False,
) -> Results:
    counts = completeness_of(checks, planned, crashed, deselected)
    summary = summarize(checks, counts, integrity=integrity, problems=problems)
    known: dict[str, Metric] = dict(metrics())
    subjects = dict.fromkeys((check.fm, check.method, check.cohort) for check in checks)
    return Results(
        created=START + timedelta(days=day),
        complete=counts.complete and not problems,
        outcome=summary.outcome,
        summary=summary.sentence,
        environment=Environment(
            python="3.12",
            implementation="CPython",
            platform="Linux",
            machine="x86_64",
            packages={"pathorob-checks": "0.1.0"},
            criteria=Terms(
                name="floor", files=("floor",), digest="d" * 64, profile={}, protocol={}, completeness=counts
            ),
        ),
        metrics={name: MetricFacts.of(known[name]) for name in {check.metric for check in checks}},
        runs=tuple(_run(*subject, revision) for subject in subjects),
        checks=tuple(checks),
        integrity=integrity,
        problems=problems,
    )


def _run(fm: str, method: str, cohort: str, revision: str | None) -> Run:
    facts = FMFacts(
        name=fm, spec=f"hf-hub:ours/{fm}", revision=revision, license="unknown", commercial=None,
        identity={}, dimension=8, embeddings="e" * 64, extraction={},
    )  # fmt: skip
    about = CohortFacts(
        name=cohort, source="a test", digest="c" * 64, tables={}, license="unknown", commercial=None,
        patches=100, slides=20, biological_classes=("normal", "tumor"),
        in_domain_centers=("Aachen", "Bonn"), out_of_domain_centers=(),
    )  # fmt: skip
    return Run(fm=facts, method=method, cohort=about)


def drawn(
    value: float, *, fm: str = "our-fm", slides: int = 20, shift: float = 0.0, prefix: str = "s", **options
) -> Check:
    """A check of the robustness index with the slides that its interval was drawn from."""
    side = Resampling(
        metric="robustness_index",
        value=value,
        scale="logit",
        drawn="slides",
        units=tuple(f"{prefix}{number}" for number in range(slides)),
        cells=(("Aachen / tumor",),) * slides,
        effects=tuple(0.05 * (-1) ** number * (1 + number % 5) + shift * number for number in range(slides)),
        protocol={"k": 11},
    )
    check = made(value=value, fm=fm, interval=interval_of(side), **options)
    return check.model_copy(update={"resampling": side})


def without_slides(check: Check) -> Check:
    """The same check as a metric without resampling has it."""
    return check.model_copy(update={"resampling": None})
