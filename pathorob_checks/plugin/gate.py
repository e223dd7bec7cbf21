"""The state of one gated run: what was asked, what it resolves to, what came out.

One `Gate` lives in each pytest process. The controller resolves models once and hands the result to the
workers; workers measure; records travel back on the test reports as JSON strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import CohortError, PathorobChecksError
from pathorob_checks.plugin.pairs import Pair, plan_pairs

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.cohorts.registry import CohortSources
    from pathorob_checks.criteria.profile import Criterion, Profile
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.embeddings.store import EmbeddingStore
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.models.loading import PreparedModel, ResolvedModel
    from pathorob_checks.models.spec import ModelSpec
    from pathorob_checks.plugin.options import Settings
    from pathorob_checks.report.record import CheckRecord

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


@dataclass
class Outcome:
    """What the controller has heard: records by test id, the runs behind them, and what was collected."""

    records: dict[str, CheckRecord] = field(default_factory=dict)
    runs: dict[Pair, dict[str, Any]] = field(default_factory=dict)
    planned: int | None = None
    crashed: bool = False
    problem: str = ""  # why the results file could not be written

    def hear(self, text: str) -> None:
        """Take in what `Gate.tell` wrote on a report."""
        from pathorob_checks.report.record import CheckRecord

        message = json.loads(text)
        record = CheckRecord.from_json(json.dumps(message["check"]))
        self.records[record.id] = record
        if message["run"]:
            self.runs[Pair(record.fm, record.cohort)] = message["run"]

    @property
    def complete(self) -> bool:
        """Every planned criterion was measured."""
        measured = sum(record.verdict.is_measured for record in self.records.values())
        return not self.crashed and self.planned is not None and 0 < self.planned == measured


class Gate:
    """One run of `pytest --fm`; everything expensive is made on first use."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        from pathorob_checks.criteria.profile import load_profile
        from pathorob_checks.models.spec import short_names

        self.settings = settings
        self.progress = progress
        self.outcome = Outcome()
        specs = settings.specs
        self.specs: dict[str, ModelSpec] = dict(zip(short_names(specs), specs, strict=True))
        self.profile: Profile = load_profile(settings.fm_criteria)
        plan = plan_pairs(self.specs, settings.fm_cohort, commercial=settings.fm_commercial)
        self.cohorts, self.pairs, self.left_out = plan.cohorts, plan.pairs, plan.left_out
        self._resolved: dict[str, ResolvedModel] = {}
        self._prepared: dict[str, PreparedModel] = {}
        self._commits: dict[str, str | None] = {}
        self._loaded: dict[str, Cohort] = {}
        self._embeddings: dict[Pair, Embeddings] = {}
        self._measured: dict[tuple[Pair, str, str], Measurement] = {}

    def criteria(self, cohort: str, metric: str) -> tuple[Criterion, ...]:
        """The profile's criteria for a metric on a cohort."""
        return self.profile.criteria_for(cohort, metric)

    def check_criteria(self) -> None:
        """Raise CriteriaError if the profile cannot be applied to a cohort, or says nothing about it."""
        from pathorob_checks.errors import CriteriaError

        for cohort in self.cohorts:
            if not self.profile.criteria_for(cohort):
                raise CriteriaError(
                    f"profile {self.profile.name} has no criterion for cohort {cohort}",
                    remedy="give another profile with --fm-criteria, or add one to the file",
                )

    # -- before any test, on the controller ------------------------------------------------------------

    def preflight(self) -> None:
        """Everything that can be known to be wrong before a model is loaded."""
        if self.settings.fm_json:
            self.write_results()
        self.store.check_writable()
        for name in dict.fromkeys(pair.fm for pair in self.pairs):
            self.resolved(name)
        for name in self.cohorts:
            cohort = self.cohort(name)
            if self.settings.fm_commercial and cohort.commercial is False:
                raise CohortError(
                    f"--fm-commercial: cohort {name} forbids commercial use ({cohort.license})",
                    remedy="leave the cohort or --fm-commercial out",
                )

    def hand_over(self) -> str:
        """What workers need of the controller, as JSON."""
        models = {name: model.to_dict() for name, model in self._resolved.items()}
        return json.dumps({"models": models, "cohorts": self._commits})

    def take_over(self, text: str) -> None:
        """Undo `hand_over` in a worker."""
        from pathorob_checks.models.loading import ResolvedModel

        told = json.loads(text)
        self._resolved = {name: ResolvedModel.from_dict(data) for name, data in told["models"].items()}
        self._commits = told["cohorts"]

    # -- what tests ask for ----------------------------------------------------------------------------

    @cached_property
    def store(self) -> EmbeddingStore:
        """Where embeddings are kept."""
        from pathorob_checks.embeddings.store import EmbeddingStore, default_root

        root = Path(self.settings.fm_cache).expanduser() if self.settings.fm_cache else default_root()
        return EmbeddingStore(root)

    @cached_property
    def sources(self) -> CohortSources:
        """Where the benchmark's tables come from."""
        from pathorob_checks.cohorts.registry import CohortSources

        folder = self.settings.fm_metadata
        return CohortSources(metadata=Path(folder).expanduser() if folder else None, cache=self.store.root)

    def resolved(self, name: str) -> ResolvedModel:
        """The model with its revision pinned."""
        if name not in self._resolved:
            from pathorob_checks.models.loading import resolve

            self._resolved[name] = resolve(self.specs[name], name)
        return self._resolved[name]

    def model(self, name: str) -> PreparedModel:
        """The model's identity and how to load it."""
        if name not in self._prepared:
            from pathorob_checks.models.loading import ModelSettings, prepare

            settings = ModelSettings(
                device=self.settings.fm_device,
                precision=self.settings.fm_precision,
                pooling=self.settings.fm_pooling,
                batch_size=self.settings.fm_batch_size,
                trust_remote_code=self.settings.fm_trust_remote_code,
            )
            self._prepared[name] = prepare(self.resolved(name), settings)
        return self._prepared[name]

    def cohort(self, name: str) -> Cohort:
        """The cohort's table and images; the images' revision is pinned where some FM has to see them."""
        if name not in self._loaded:
            from pathorob_checks.cohorts.registry import load_cohort, resolve_cohort

            text = self.cohorts[name]
            if name not in self._commits:
                seen = any(self.specs[fm].kind != "embeddings" for fm, cohort in self.pairs if cohort == name)
                self._commits[name] = resolve_cohort(text) if seen else None
            self._loaded[name] = load_cohort(text, self.sources, self._commits[name])
        return self._loaded[name]

    def embeddings(self, pair: Pair) -> Embeddings:
        """The cohort's embeddings: extracted now, found on disk, or given by the user."""
        if pair not in self._embeddings:
            from pathorob_checks.embeddings.extraction import given, obtain

            model, cohort = self.model(pair.fm), self.cohort(pair.cohort)
            if self.specs[pair.fm].kind == "embeddings":
                found = given(Path(self.resolved(pair.fm).spec.target), pair.cohort, cohort)
            else:
                found = obtain(model, cohort, self.store, progress=self.progress)
            self._embeddings[pair] = found
        return self._embeddings[pair]

    def measure(self, pair: Pair, metric: str, **overrides: Any) -> Measurement:
        """One metric by the cohort's protocol; computed once per process."""
        from pathorob_checks.plugin.measuring import measure, not_measurable

        settings = repr(sorted(overrides.items()))
        if (pair, metric, settings) not in self._measured:
            cohort = self.cohort(pair.cohort)
            where = {"device": self.settings.fm_device, **overrides}
            found = measure(metric, self.embeddings(pair), cohort, self.progress, **where)
            if metric not in found:
                raise not_measurable(metric, cohort)
            self._measured |= {(pair, name, settings): value for name, value in found.items()}
        return self._measured[pair, metric, settings]

    # -- what goes out ---------------------------------------------------------------------------------

    def tell(self, record: CheckRecord) -> str:
        """A record and the run behind it, as one JSON string for a test report."""
        return json.dumps({"check": record.to_dict(), "run": self._run(Pair(record.fm, record.cohort))})

    def _run(self, pair: Pair) -> dict[str, Any] | None:
        if pair not in self._embeddings:
            return None
        from pathorob_checks.plugin.provenance import cohort_facts, fm_facts

        return {
            "fm": fm_facts(
                self.specs[pair.fm], self.resolved(pair.fm), self.model(pair.fm), self._embeddings[pair]
            ),
            "cohort": cohort_facts(pair.cohort, self.cohort(pair.cohort)),
        }

    def records(self) -> list[CheckRecord]:
        """Everything heard so far, in the order of FM, cohort and metric."""
        from pathorob_checks.metrics.measurement import METRICS

        order = {pair: n for n, pair in enumerate(self.pairs)}
        metrics = {metric: n for n, metric in enumerate(METRICS)}
        return sorted(
            self.outcome.records.values(),
            key=lambda record: (
                order.get(Pair(record.fm, record.cohort), len(order)),
                metrics.get(record.metric, len(metrics)),
            ),
        )

    def write_results(self) -> None:
        """Write `--fm-json` with what is known now; raises CacheError where that is impossible."""
        from pathorob_checks.report.results import environment, results_document, write_results

        if not self.settings.fm_json:
            return
        runs = [self.outcome.runs[pair] for pair in self.pairs if pair in self.outcome.runs]
        profile = {"name": self.profile.name, "digest": self.profile.digest}
        document = results_document(
            self.records(),
            runs,
            {**environment(), "criteria": profile, "left_out": list(self.left_out)},
            self.outcome.complete,
            datetime.now(UTC),
        )
        write_results(self.settings.fm_json, document)


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Turn errors that a user can act on into pytest's one-line usage error."""
    try:
        yield
    except PathorobChecksError as error:
        raise pytest.UsageError(str(error)) from None
