"""The place of a value among the published FMs, and what keeps it from being comparable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from pathorob_checks.criteria.published import (
    BENCHMARK_COHORTS,
    is_average_over_cohorts,
    published_by_fm,
    scores,
)
from pathorob_checks.metrics.definition import Metric
from pathorob_checks.metrics.measurement import Interval
from pathorob_checks.results.environment import Terms
from pathorob_checks.results.part import Document
from pathorob_checks.results.subject_facts import Run
from pathorob_checks.wording import counted

_POOLING = "clsmean"  # the benchmark's, but for FMs with a pooled output of their own
_PRECISION = "fp32"


class Place(Document):
    """Where a value would stand among the published FMs.

    Attributes
    ----------
    rank : 1 for the most robust; FMs with an equal value share the better place.
    best, worst : the ranks of the ends of the interval; those of the value where there is none.
    of : number of the published FMs, and this one.
    caveats : why the value is not quite comparable with the published ones, as clauses.
    """

    rank: int = Field(ge=1)
    best: int = Field(ge=1)
    worst: int = Field(ge=1)
    of: int
    caveats: tuple[str, ...] = ()


def place_of(
    metric: Metric,
    value: float,
    interval: Interval | None,
    runs: Sequence[Run],
    terms: Terms,
    *,
    neighbors: int | None = None,
) -> Place | None:
    """The place of a value, or of a mean over cohorts; None where nothing comparable is published.

    Parameters
    ----------
    runs : the FM on each cohort that the value is of.
    terms : by which it was measured.
    neighbors : the k that it was measured with.
    """
    cohorts = [run.cohort for run in runs]
    names = [cohort.name for cohort in cohorts]
    # A folder of the user's own can have the name of a benchmark cohort, but not its tables.
    if not all(one.name in BENCHMARK_COHORTS and one.tables and not one.own_tables for one in cohorts):
        return None
    if is_average_over_cohorts(metric.name) and set(names) != set(BENCHMARK_COHORTS):
        return None
    known = list(published_by_fm(metric.name, names).values()) if names else []
    if not known:
        return None
    ends = sorted((value, *(interval or ())), key=metric.badness)

    def rank(one: float) -> int:
        return 1 + sum(metric.sign * (other - one) > 0 for other in known)

    return Place(
        rank=rank(value),
        best=rank(ends[-1]),
        worst=rank(ends[0]),
        of=len(known) + 1,
        caveats=tuple(dict.fromkeys(_caveats(metric, runs, terms, neighbors))),
    )


def not_validated(names: Sequence[str]) -> int:
    """Of how many published FMs the benchmark's authors did not validate the values of these metrics."""
    return len({score.fm for name in names for score in scores(name) if not score.validated})


def _caveats(metric: Metric, runs: Sequence[Run], terms: Terms, neighbors: int | None) -> Iterator[str]:
    for run in runs:
        yield from _of_embeddings(run)
    said = _mapping(_mapping(terms.protocol.get("metrics")).get(metric.computation.name))
    version = said.get("version")
    if version != metric.computation.version:
        yield f"measured by version {version or 'unknown'} of the metric, not {metric.computation.version}"
    repetitions = metric.computation.settings.get("repetitions")
    if repetitions is not None and said.get("repetitions") != repetitions:
        yield f"{counted(int(said.get('repetitions') or 0), 'repetition')} instead of {repetitions}"
    has_k = neighbors is not None and "k" in metric.computation.design
    for run in runs if has_k and len(runs) == 1 else ():
        read = _mapping(_mapping(terms.protocol.get("cohorts")).get(run.cohort.name))
        k = _mapping(read.get(metric.computation.view)).get("k")
        if k != neighbors:
            yield f"{neighbors} neighbors instead of {k}"


def _of_embeddings(run: Run) -> Iterator[str]:
    """How the embeddings were made in another way than the published ones."""
    identity = run.fm.identity
    if identity.get("kind") == "embeddings":
        yield "given embeddings, of which neither pooling nor precision is known"
        return
    pooling = _mapping(run.fm.extraction.get("model")).get("pooling")
    recipe = _mapping(identity.get("recipe")).get("pooling")
    by_recipe = recipe is not None and identity.get("pooling") == "default"
    if pooling != _POOLING and not by_recipe:
        yield f"pooled by {pooling or 'a way of its own'}, where the benchmark has {_POOLING}"
    precision = identity.get("precision") or _mapping(identity.get("model")).get("precision")
    if precision != _PRECISION:
        yield f"computed in {precision or 'unknown precision'}, not in {_PRECISION}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
