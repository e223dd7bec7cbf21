"""The state of one gated run: what was asked, what it resolves to, what came out.

One `Gate` lives in each pytest process. The controller resolves models once and hands the result to the
workers; workers measure; records travel back on the test reports as JSON strings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pathorob_checks.errors import CohortError, PathorobChecksError
from pathorob_checks.models.last_model import LastModel
from pathorob_checks.plugin.outcome import Outcome
from pathorob_checks.plugin.pairs import Pair, plan_pairs

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.cohorts.registry import CohortSources
    from pathorob_checks.criteria.criterion import Criterion
    from pathorob_checks.embeddings.extraction import Embeddings, Engine
    from pathorob_checks.embeddings.integrity_record import Integrity
    from pathorob_checks.embeddings.store import EmbeddingStore
    from pathorob_checks.metrics.measurement import Measurement
    from pathorob_checks.models.loading import ModelSettings, PreparedModel, ResolvedModel
    from pathorob_checks.models.spec import ModelSpec
    from pathorob_checks.plugin.agreement import Agreement
    from pathorob_checks.plugin.bars import Bars
    from pathorob_checks.plugin.crew import Crew
    from pathorob_checks.plugin.options import Settings
    from pathorob_checks.plugin.quantities import Answer
    from pathorob_checks.report.coverage import Coverage, Key
    from pathorob_checks.report.record import CheckRecord


class Gate:
    """One run of `pytest --fm`; everything expensive is made on first use."""

    def __init__(self, settings: Settings, bars: Bars, crew: Crew) -> None:
        from pathorob_checks.models.spec import short_names

        self.settings = settings
        self.bars = bars
        self.crew = crew
        self.outcome = Outcome()
        self.last_model = LastModel()
        specs = settings.specs
        self.specs: dict[str, ModelSpec] = dict(zip(short_names(specs), specs, strict=True))
        plan = plan_pairs(self.specs, settings.fm_cohort, commercial=settings.fm_commercial)
        self.cohorts, self.pairs, self.left_out = plan.cohorts, plan.pairs, plan.left_out
        self._resolved: dict[str, ResolvedModel] = {}
        self._prepared: dict[str, PreparedModel] = {}
        self._commits: dict[str, str | None] = {}
        self._loaded: dict[str, Cohort] = {}
        self._embeddings: dict[Pair, Embeddings] = {}
        self._integrity: dict[Pair, Integrity | None] = {}
        self._measured: dict[tuple[Pair, str, str], Measurement] = {}
        self._answers: dict[Key, Answer] = {}
        self.agreement: Agreement

    def agree(self, told: str | None) -> None:
        """Fix what the run is held to: read on the controller (`told` is None), handed over to workers.

        Raises
        ------
        CriteriaError : the criteria cannot be used on these cohorts or differ from those demanded, or a
            worker would judge by others than the controller.
        """
        from pathorob_checks.criteria.files import load_profiles
        from pathorob_checks.plugin.agreement import Agreement, chosen_baseline

        digest = self.settings.fm_criteria_digest
        if told is None:
            profile = load_profiles(self.settings.fm_criteria)
        else:
            profile, digest = Agreement.handed_over(json.loads(told)["agreement"])
        baseline = chosen_baseline(self.settings, self.specs, self.pairs, profile)
        self.agreement = Agreement(profile, self.cohorts, self.pairs, baseline)
        self.agreement.demand(digest)
        self.agreement.check()
        self.left_out += self.agreement.not_compared

    def answer(self, fm: str, criterion: Criterion) -> Answer:
        """What was measured for a criterion of the profile; computed once per process."""
        from pathorob_checks.plugin.quantities import answer

        key = (fm, criterion.cohort, criterion.id)
        if key not in self._answers:
            self._answers[key] = answer(self, fm, criterion)
        return self._answers[key]

    # -- before any test, on the controller ------------------------------------------------------------

    def preflight(self) -> None:
        """Everything that can be known to be wrong before a model is loaded."""
        if self.settings.fm_json:
            self.write_results()
        self.store.check_writable()
        if self.settings.fm_engine == "ray":
            from pathorob_checks.embeddings.ray_cluster import check_usable

            check_usable(self.settings.fm_ray_address)
        for name in dict.fromkeys(pair.fm for pair in self.pairs):
            self.resolved(name)
        for name in self.cohorts:
            cohort = self.cohort(name)
            if self.settings.fm_commercial and cohort.commercial is False:
                raise CohortError(
                    f"--fm-commercial: cohort {name} forbids commercial use ({cohort.license})",
                    remedy="leave the cohort or --fm-commercial out",
                )
            if self.agreement.baseline is not None:
                from pathorob_checks.plugin.provenance import cohort_facts

                self.agreement.baseline.check_cohort(name, cohort_facts(name, cohort))

    def hand_over(self) -> str:
        """What workers need of the controller, as JSON."""
        models = {name: model.to_dict() for name, model in self._resolved.items()}
        return json.dumps({"models": models, "cohorts": self._commits, "agreement": self.agreement.to_json()})

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
            from pathorob_checks.models.loading import prepare

            self._prepared[name] = prepare(self.resolved(name), self._model_settings(self._device()))
        return self._prepared[name]

    def _model_settings(self, device: str) -> ModelSettings:
        from pathorob_checks.models.loading import ModelSettings

        return ModelSettings(
            device=device,
            precision=self.settings.fm_precision,
            pooling=self.settings.fm_pooling,
            batch_size=self.settings.fm_batch_size,
            trust_remote_code=self.settings.fm_trust_remote_code,
        )

    def _engine(self, name: str) -> Engine | None:
        """What embeds with a model; None: this process."""
        if self.settings.fm_engine == "local":
            return None
        from pathorob_checks.embeddings.ray_engine import RayEngine
        from pathorob_checks.models.loading import prepare

        kind = self.model(name).device.partition(":")[0]  # an actor sees no other GPU than its own
        rebuild = partial(prepare, self.resolved(name), self._model_settings(kind))
        return RayEngine(rebuild, self.settings.fm_ray_address)

    def _device(self) -> str:
        """Workers take one GPU after the other where there are several."""
        from pathorob_checks.models.devices import resolve_device, spread_over_gpus

        return spread_over_gpus(resolve_device(self.settings.fm_device), self.crew.index)

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

    def parts(self, joined: str) -> list[str]:
        """The cohorts of this run that a mean is over, from its name in test ids."""
        checks = self.agreement.of_quantity("mean")
        asked = next((one.criterion.cohorts for one in checks if one.criterion.cohort == joined), ())
        return [name for name in asked if name in self.cohorts]

    def embeddings(self, pair: Pair) -> Embeddings:
        """The cohort's embeddings: extracted now, found on disk, or given by the user."""
        if pair not in self._embeddings:
            from pathorob_checks.embeddings.extraction import given, obtain

            model, cohort = self.model(pair.fm), self.cohort(pair.cohort)
            if self.specs[pair.fm].kind == "embeddings":
                found = given(Path(self.resolved(pair.fm).spec.target), pair.cohort, cohort)
            else:
                found = obtain(
                    self.last_model.reusing(model),
                    cohort,
                    self.store,
                    engine=self._engine(pair.fm),
                    progress=self.extraction_progress,
                    waiting=self.wait,
                )
                self.crew.resume()
                self._make_room(found)
            self._embeddings[pair] = found
        return self._embeddings[pair]

    def extraction_progress(self, items: Iterable[Any], total: int, text: str) -> Iterable[Any]:
        """The items, with a bar, this worker's share of the cores following what the others do."""
        return self.crew.following(self.bars.progress(items, total, text))

    def wait(self, text: str) -> None:
        """Leave the cores to others, and say who waits for what; `crew.resume` ends it."""
        self.crew.rest()
        self.bars.wait(text)

    def integrity(self, pair: Pair) -> Integrity | None:
        """How the FM embeds a few patches; None where there are embeddings and no FM. Once per process."""
        if pair not in self._integrity:
            from pathorob_checks.plugin.soundness import integrity

            self._integrity[pair] = integrity(self, pair)
        return self._integrity[pair]

    def drift(self, pair: Pair) -> Mapping[str, float] | None:
        """How far the FM's precision moves each metric for which that is known; None in fp32."""
        if self.settings.fm_precision == "fp32":
            return None
        found = self.integrity(pair)
        return found.drift.by_metric() if found and found.drift else None

    def _make_room(self, found: Embeddings) -> None:
        if found.extracted and self.settings.fm_cache_limit is not None:
            from pathorob_checks.embeddings.upkeep import prune

            prune(self.store, self.settings.fm_cache_limit)

    def measure(self, pair: Pair, metric: str, **overrides: Any) -> Measurement:
        """One metric by the cohort's protocol; computed once per process."""
        from pathorob_checks.plugin.measuring import measure, not_measurable

        settings = repr(sorted(overrides.items()))
        if (pair, metric, settings) not in self._measured:
            cohort = self.cohort(pair.cohort)
            where = {
                "device": self.settings.fm_device,
                "confidence": self.agreement.profile.confidence,
                **overrides,
            }
            found = measure(metric, self.embeddings(pair), cohort, self.bars.progress, **where)
            if metric not in found:
                raise not_measurable(metric, cohort)
            self._measured |= {(pair, name, settings): value for name, value in found.items()}
        return self._measured[pair, metric, settings]

    # -- what goes out ---------------------------------------------------------------------------------

    def tell(self, record: CheckRecord) -> str:
        """A record and the runs behind it, as one JSON string for a test report."""
        places = [pair for pair in self.pairs if pair.fm == record.fm and self._concerns(record, pair.cohort)]
        runs = [run for pair in places if (run := self._run(pair))]
        return json.dumps({"check": record.to_dict(), "runs": runs})

    def _concerns(self, record: CheckRecord, cohort: str) -> bool:
        check = self.agreement.checks.get((record.fm, record.cohort, record.criterion))
        return cohort in (check.criterion.cohorts if check else (record.cohort,))

    def _run(self, pair: Pair) -> dict[str, Any] | None:
        if pair not in self._embeddings:
            return None
        from pathorob_checks.plugin.provenance import cohort_facts, fm_facts

        return {
            "fm": fm_facts(
                self.specs[pair.fm],
                self.resolved(pair.fm),
                self.model(pair.fm),
                self._embeddings[pair],
                self._integrity.get(pair),
            ),
            "cohort": cohort_facts(pair.cohort, self.cohort(pair.cohort)),
        }

    def coverage(self) -> Coverage:
        """How much of what was asked is measured so far."""
        return self.outcome.coverage(self.agreement.checks.values())

    @property
    def requires_complete(self) -> bool:
        """Whether a run that leaves out a required criterion fails."""
        return self.settings.fm_require_complete or self.agreement.profile.require_complete

    def must_fail(self) -> bool:
        """Whether the run must not end with 0, however its tests ended."""
        short = self.coverage().must_fail(require_complete=self.requires_complete)
        return short or bool(self.outcome.problem)

    def records(self) -> list[CheckRecord]:
        """Everything heard so far: by FM, cohort and metric, criteria in the order of the profile."""
        from pathorob_checks.metrics.measurement import METRICS

        pairs = {pair: n for n, pair in enumerate(self.pairs)}
        metrics = {metric: n for n, metric in enumerate(METRICS)}
        asked = {key: n for n, key in enumerate(self.agreement.checks)}

        def place(record: CheckRecord) -> tuple[int, int, int, str]:
            return (
                pairs.get(Pair(record.fm, record.cohort), len(pairs)),
                metrics.get(record.metric, len(metrics)),
                asked.get((record.fm, record.cohort, record.criterion), len(asked)),
                record.id,
            )

        return sorted(self.outcome.records.values(), key=place)

    def write_results(self) -> None:
        """Write `--fm-json` with what is known now; raises CacheError where that is impossible."""
        from pathorob_checks.report.results import environment, results_document, write_results

        if not self.settings.fm_json:
            return
        runs = [self.outcome.runs[pair] for pair in self.pairs if pair in self.outcome.runs]
        document = results_document(
            self.records(),
            runs,
            {**environment(), "criteria": self._registered(), "left_out": list(self.left_out)},
            self.coverage().complete,
            datetime.now(UTC),
        )
        write_results(self.settings.fm_json, document)

    def _registered(self) -> dict[str, Any]:
        """What was fixed before anything was measured, and how much of it was measured."""
        agreement = self.agreement
        baseline = agreement.baseline
        return {
            "name": agreement.profile.name,
            "files": list(self.settings.fm_criteria),
            "digest": agreement.digest,
            "profile": agreement.profile.content,
            "protocol": agreement.protocol,
            "baseline": baseline
            and {"fm": baseline.fm, "source": baseline.source, "digest": baseline.digest},
            "coverage": asdict(self.coverage()),
        }


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Turn errors that a user can act on into pytest's one-line usage error."""
    try:
        yield
    except PathorobChecksError as error:
        raise pytest.UsageError(str(error)) from None
