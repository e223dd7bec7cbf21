"""Published scores worked out again from embeddings of a published FM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from pathorob_checks.cohorts.registry import BENCHMARK
from pathorob_checks.errors import SettingsError
from pathorob_checks.evaluation.evaluate import evaluate
from pathorob_checks.evidence.qualification.record import Finding, failure
from pathorob_checks.metrics.published import OVER_ALL_COHORTS, PublishedScore, published_scores
from pathorob_checks.metrics.registry import metrics
from pathorob_checks.wording import hint

# Published values have three decimals, and the precision of a forward pass moves them by a little more.
_ROUNDED = 0.005
_NOT_DONE = "no embeddings were given; give them with --embeddings=DIR --fm-name=NAME"


def refuse_unknown(fm: str) -> None:
    """Refuse a name under which nothing is published; raises SettingsError."""
    known = sorted({score.fm for name in metrics() for score in published_scores(name)})
    if fm not in known:
        raise SettingsError(
            f"no scores of an FM {fm!r} are published", remedy=hint(fm, known, "use one of {known}")
        )


def published(
    folder: Path | None, fm: str | None, cohorts: Sequence[str] = (), metadata: Path | None = None
) -> Iterator[Finding]:
    """A record for each published score of the FM on these cohorts.

    Parameters
    ----------
    folder : its embeddings, as for `--fm=embeddings:DIR`; None: nothing is compared, and the record says so.
    fm : its published name.
    cohorts : of the benchmark, default all.
    metadata : folder with the benchmark's tables; None downloads them.
    """
    scores: list[PublishedScore] = []
    if folder is not None and fm is not None:
        wanted = {*(cohorts or BENCHMARK)}
        scores = [
            score
            for name in metrics()
            for score in published_scores(name)
            if score.fm == fm and (score.cohort in wanted or wanted == set(BENCHMARK))
        ]
    if not scores:
        yield Finding(id="performance/published/none", what="published scores of an FM", note=_NOT_DONE)
        return
    values: dict[tuple[str, str], float] = {}
    note = ""
    try:
        results = evaluate(
            f"embeddings:{folder}", cohorts=tuple(cohorts) or BENCHMARK, metadata=metadata, progress=False
        )
        values = {
            (one.metric, one.cohort): one.value
            for one in results.checks
            if one.quantity == "value" and one.value is not None
        }
    except Exception as error:  # nothing could be measured, and the records say so
        note = failure(error)
    for score in scores:
        score_here = _score_here(score, values)
        yield Finding(
            id=f"performance/published/{score.metric}-{score.cohort}",
            what=f"{score.metric} of {score.fm} on {_where(score)}",
            expected=score.value,
            actual=score_here,
            tolerance=_ROUNDED + (score.uncertainty or 0.0),
            origin=score.source,
            note=note or ("" if score_here is not None else "it was not measured"),
        )


def _score_here(score: PublishedScore, values: dict[tuple[str, str], float]) -> float | None:
    if score.cohort != OVER_ALL_COHORTS:
        return values.get((score.metric, score.cohort))
    parts = [values.get((score.metric, cohort)) for cohort in BENCHMARK]
    return fmean(part for part in parts if part is not None) if None not in parts else None


def _where(score: PublishedScore) -> str:
    return "average over the benchmark's cohorts" if score.cohort == OVER_ALL_COHORTS else score.cohort
