"""From a criterion to what is held against its bound: a value, a worst group, a mean, or a difference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import MetricError
from pathorob_checks.evaluation.integrity import INTEGRITY_CHECKS, integrity_check
from pathorob_checks.evaluation.subjects import Subject
from pathorob_checks.methods.chain import chain_of
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.definition import Metric
from pathorob_checks.metrics.measurement import Measurement, measurements_of, worst_group
from pathorob_checks.metrics.neighbor_search import NeighborSearch
from pathorob_checks.metrics.neighborhood_size import USUAL_K
from pathorob_checks.metrics.p_values import IntervalAt
from pathorob_checks.metrics.registry import added_metrics, metric, metrics
from pathorob_checks.progress import Item, Progress
from pathorob_checks.results.check import ComparedWith
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.wording import hint

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.evaluation.baseline import Baseline
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.plan import Key, PlannedCheck
    from pathorob_checks.evaluation.terms import Terms
    from pathorob_checks.metrics.resampling import Resampling

_GROUPED_BY = {"worst-center": "medical_center", "worst-class": "biological_class"}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured for a planned check.

    Attributes
    ----------
    measurement : of the quantity that the criterion is about.
    group : the name of the worst medical center or biological class.
    baseline : the FM compared with.
    drawn : what the interval is drawn from, as in `Resampling`; None where that is not known.
    interval_at : the interval at any confidence; None where only the measurement's own is known.
    """

    measurement: Measurement
    group: str | None = None
    baseline: ComparedWith | None = None
    drawn: str | None = None
    interval_at: IntervalAt | None = None


class Measuring:
    """Measures the subjects of a run; every value is computed once per process."""

    def __init__(self, inputs: Inputs, terms: Terms) -> None:
        self._inputs, self._terms = inputs, terms
        self._values: dict[tuple[Subject, str, str], Measurement] = {}
        self._measured: dict[Key, Measured] = {}
        self._sound: set[Subject] = set()  # of those that others are compared with
        self._neighbors: dict[tuple[Subject, str, bool | None], NeighborSearch] = {}

    def check(self, planned: PlannedCheck) -> Measured:
        """Measure what a planned check is about, by the protocol that the digest covers.

        Raises
        ------
        MetricError : it has no value.
        """
        if planned.key not in self._measured:
            measured = _QUANTITIES[planned.criterion.quantity](self, planned)
            values = [self.value(subject, planned.criterion.metric) for subject in planned.subjects]
            self._measured[planned.key] = replace(measured, drawn=drawn_of(values))
        return self._measured[planned.key]

    def value(self, subject: Subject, name: str, **settings: Any) -> Measurement:
        """One metric by the cohort's protocol; `settings` replace some of the protocol's.

        Raises
        ------
        MetricError : there is no such metric, or it has no value on the cohort.
        """
        definition = self._definition(name)
        others = repr(sorted(settings.items()))
        if (subject, name, others) not in self._values:
            cohort = self._inputs.cohort(subject.cohort)
            measured = self._compute(definition, subject, cohort, settings)
            if name not in measured:
                raise self._no_value(definition, cohort, measured)
            self._values |= {(subject, each, others): value for each, value in measured.items()}
        return self._values[subject, name, others]

    def by_protocol(self, subject: Subject) -> list[Measurement]:
        """What was measured of a subject so far by the cohort's protocol."""
        return [
            value for (one, _, others), value in self._values.items() if one == subject and others == "[]"
        ]

    @staticmethod
    def _no_value(definition: Metric, cohort: Cohort, measured: Mapping[str, Measurement]) -> MetricError:
        foreign = sorted(set(measured) - set(metrics()))
        if foreign:
            return MetricError(
                f"{definition.name}: its function measured {', '.join(foreign)}, which is no metric",
                remedy=f"let its Measurement have metric={definition.name!r}",
            )
        return value_is_missing(definition, cohort.name)

    def _definition(self, name: str) -> Metric:
        """As `registry.metric`; the name of a computation gives the names of its metrics."""
        computed = [one.name for one in metrics().values() if one.computation.name == name]
        if name not in metrics() and computed:
            raise MetricError(
                f"{name!r} is not one metric but several", remedy=f"name one of {', '.join(computed)}"
            )
        return metric(name)

    def _progress(self, subject: Subject) -> Progress:
        """How a computation about a subject reports its progress."""

        def progress(items: Iterable[Item], total: int, text: str, /) -> Iterable[Item]:
            text = f"{fm_and_method(subject.fm, subject.method)} on {subject.cohort}: {text}"
            return self._inputs.observer.progress(items, total, text)

        return progress

    def _compute(
        self, definition: Metric, subject: Subject, cohort: Cohort, settings: Mapping[str, Any]
    ) -> Mapping[str, Measurement]:
        computation = definition.computation
        view = cohort.views.get(computation.view)
        if view is None:
            raise MetricError(
                f"{definition.name} reads the view {computation.view!r}, which cohort {cohort.name!r} lacks",
                remedy=hint(computation.view, cohort.views, "its views are {known}"),
            )
        arguments = {
            **self._terms.profile.settings_of(computation),
            **{name: getattr(view, name) for name in computation.design},
            **({"device": self._inputs.settings.device} if computation.takes_device else {}),
            **({"confidence": self._terms.profile.confidence} if computation.takes_confidence else {}),
            **({"progress": self._progress(subject)} if computation.takes_progress else {}),
            **(self._provenance(subject, cohort) if computation.takes_pretraining else {}),
            **settings,
        }
        if computation.takes_neighbors:
            design = (subject, computation.view, arguments.get("paired"))
            shared = self._neighbors.setdefault(design, NeighborSearch(ahead=view.k or USUAL_K))
            arguments = {"neighbors": shared, **arguments}
        try:
            inspect.signature(computation.function).bind(None, view.patches, **arguments)
        except TypeError as error:
            raise MetricError(
                f"{definition.name} cannot be measured with the settings {', '.join(arguments)} ({error})",
                remedy="use the parameters of its function",
            ) from None
        if definition.needs is not None:
            definition.needs(view.patches, arguments, interval=False)
        if computation.trains_classifiers and (repair := self._inputs.embeddings(subject).repair) is not None:
            repair.refuse_classifiers(definition.name)
        if chain_of(subject.method).repairs and computation.takes_repair:
            embeddings = self._inputs.embeddings(subject).values[view.rows]
            arguments = {"repair": self._inputs.repairing(subject, computation.view), **arguments}
        else:
            embeddings = self._inputs.repaired(subject, computation.view)
            if computation.takes_head and (head := self._inputs.head(subject, computation.view)):
                arguments = {"head": head, **arguments}
        return measurements_of(computation.function(embeddings, view.patches, **arguments))

    def _provenance(self, subject: Subject, cohort: Cohort) -> Mapping[str, Any]:
        """What is stated of the FM's pretraining data and of the cohort's sources."""
        return {
            "pretraining": self._inputs.subjects.pretraining_of(subject.fm),
            "sources": cohort.sources,
        }

    # -- one function per quantity ----------------------------------------------------------------------

    def _value_of(self, planned: PlannedCheck) -> Measured:
        from pathorob_checks.metrics.ends import own_interval
        from pathorob_checks.metrics.intervals import DRAWS, SEED

        (subject,) = planned.subjects
        measurement = self.value(subject, planned.criterion.metric)
        resampling = measurement.resampling
        if resampling is None or planned.criterion.metric in added_metrics():
            return Measured(measurement=measurement)
        return Measured(
            measurement=measurement,
            interval_at=lambda confidence: own_interval(resampling, confidence, DRAWS, SEED),
        )

    def _worst_of(self, planned: PlannedCheck) -> Measured:
        (subject,) = planned.subjects
        name, by = planned.criterion.metric, _GROUPED_BY[planned.criterion.quantity]
        whole = self.value(subject, name)
        groups = whole.groups.get(by, ())
        if not groups:
            raise MetricError(
                f"{name}: there is no value by {by.replace('_', ' ')}",
                remedy="use a criterion for the whole cohort's value",
            )
        view = self._inputs.cohort(subject.cohort).views[metric(name).computation.view]
        unmeasured = sorted(set(view.patches[by]) - {group.name for group in groups})
        if unmeasured and metric(name).groups_cover_view:
            raise MetricError(
                f"{name}: the worst {by.replace('_', ' ')} is unknown, because there is no value for "
                f"{', '.join(unmeasured)}",
                remedy="use a criterion for the whole cohort's value, or a cohort with more slides there",
            )
        worst = worst_group(groups, higher_is_better=metric(name).higher_is_better)
        measurement = replace(
            whole,
            value=worst.value,
            interval=worst.interval,
            support=worst.support,
            rows=worst.rows,
            resampling=None,
        )
        return Measured(measurement=measurement, group=worst.name)

    def _mean_of(self, planned: PlannedCheck) -> Measured:
        criterion = planned.criterion
        missing = [one.cohort for one in planned.subjects if one not in self._inputs.subjects.subjects]
        if missing:
            raise MetricError(
                f"{criterion.metric}: the mean needs {', '.join(missing)}, where this run does not check "
                f"{planned.fm}",
                remedy=f"add {' '.join(f'--fm-cohort={name}' for name in missing)}",
            )
        parts = {one.cohort: self.value(one, criterion.metric) for one in planned.subjects}
        return mean_of(criterion.metric, parts, self._terms.profile.confidence)

    def _difference_of(self, planned: PlannedCheck) -> Measured:
        from pathorob_checks.metrics.differences import difference

        (subject,), name = planned.subjects, planned.criterion.metric
        new = self.value(subject, name)
        if planned.beside_unrepaired:
            fm, source = fm_and_method(subject.fm, NO_METHOD), "this run, without a method"
            old = self._compared(subject._replace(method=NO_METHOD), name).resampling
        else:
            baseline = self._terms.baseline
            assert baseline is not None  # noqa: S101 (differences are planned only where there is one)
            fm, source, old = baseline.fm, baseline.source, self._old(baseline, subject, name)
        if new.resampling is None or old is None:
            raise MetricError(
                f"{name}: one of the two values has no slides or repetitions from which an interval of the "
                "difference could be drawn",
                remedy="leave the baseline out for this cohort",
            )
        here, there = new.resampling, old
        change = difference(here, there, confidence=self._terms.profile.confidence)
        measurement = replace(
            new,
            value=change.value,
            interval=change.interval,
            interval_note=change.note,
            resampling=None,
            # Those of the new FM's own value say nothing of the change.
            cells=(),
            slides=(),
            groups={},
            curves=(),
            grids=(),
            nearest=(),
            unstable=new.unstable or (old.unstable and f"of the baseline {old.unstable}"),
        )
        compared = ComparedWith(fm=fm, source=source, value=old.value)
        return Measured(
            measurement=measurement,
            baseline=compared,
            interval_at=lambda confidence: difference(here, there, confidence=confidence).interval,
        )

    def _old(self, baseline: Baseline, subject: Subject, name: str) -> Resampling | None:
        """What a baseline has of a metric."""
        old = baseline.measured[subject.cohort, name]
        embeddings = self._inputs.embeddings(subject)
        if subject.method == NO_METHOD:
            baseline.check_subject(subject.cohort, embeddings.key, embeddings.identity)
        if old is None:
            other = Subject(baseline.fm, NO_METHOD, subject.cohort)
            if subject.method == NO_METHOD and self._inputs.embeddings(other).key == embeddings.key:
                raise baseline.same_subject(subject.cohort)
            old = self._compared(other, name).resampling
        return old

    def _compared(self, subject: Subject, name: str) -> Measurement:
        """A value that another is compared with; its embeddings are tested where the plan does not do so.

        Raises
        ------
        MetricError : they are no sound measurement.
        """
        if subject not in self._sound:
            tested = {one.embedded for one in self._inputs.subjects.subjects}
            for check in () if subject.embedded in tested else INTEGRITY_CHECKS:
                record = integrity_check(self._inputs, subject, check)
                if record.verdict in (Verdict.FAIL, Verdict.ERROR):
                    raise MetricError(
                        f"{name}: the embeddings of {fm_and_method(subject.fm, subject.method)}, with which "
                        f"it is compared, are not sound ({check}: {record.reason.rstrip('.')})",
                        remedy="correct what the integrity checks of a run without --fm-method-only find",
                    )
            self._sound.add(subject)
        return self.value(subject, name)


def mean_of(name: str, parts: Mapping[str, Measurement], confidence: float) -> Measured:
    """The mean of a metric over cohorts.

    Parameters
    ----------
    parts : by cohort, its value.

    Raises
    ------
    MetricError : as `mean_over_cohorts`.
    """
    from pathorob_checks.metrics.aggregate import mean_over_cohorts

    values = list(parts.values())
    mean = mean_over_cohorts(values, confidence=confidence)
    supports = [part.support for part in values if part.support is not None]
    cells, badness = [cell for part in values for cell in part.cells], metric(name).badness
    measurement = Measurement(
        metric=name,
        value=mean.value,
        interval=mean.interval,
        interval_note=mean.note,
        confidence=mean.confidence,
        support=min(supports, default=None),  # a mean is no better founded than its poorest part
        rows=sum(part.rows for part in values),
        protocol={cohort: {"value": part.value, **part.protocol} for cohort, part in parts.items()},
        cells=tuple(sorted(cells, key=lambda cell: badness(cell.value))),
        unstable="; ".join(f"on {cohort} {part.unstable}" for cohort, part in parts.items() if part.unstable),
    )
    return Measured(
        measurement=measurement,
        interval_at=lambda level: mean_over_cohorts(values, confidence=level).interval,
    )


def mean_drift(drifts: Iterable[float | None]) -> float | None:
    """How far the precision moves a mean: the mean over its parts; None where unknown of all of them."""
    known = list(drifts)
    moved = [drift for drift in known if drift is not None]
    return sum(moved) / len(known) if moved else None


def value_is_missing(definition: Metric, cohort: str) -> MetricError:
    """The error for a metric that is none of those its function measures on a cohort."""
    problem, remedy = definition.missing or ("gives no value", "leave the criterion out")
    return MetricError(f"{definition.name}: cohort {cohort!r} {problem}", remedy=remedy)


def drawn_of(values: Iterable[Measurement]) -> str | None:
    """What intervals that are made of these values are about; None where it is not known."""
    return next((value.resampling.drawn for value in values if value.resampling is not None), None)


_QUANTITIES: Mapping[str, Callable[[Measuring, PlannedCheck], Measured]] = {
    "value": Measuring._value_of,
    "worst-center": Measuring._worst_of,
    "worst-class": Measuring._worst_of,
    "mean": Measuring._mean_of,
    "difference": Measuring._difference_of,
}
