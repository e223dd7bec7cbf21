"""The FMs, cohorts and embeddings of a run, each made when it is first needed and once per process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pathorob_checks.canonical import digest_of
from pathorob_checks.errors import CohortError, MethodError, PathorobChecksError
from pathorob_checks.evaluation.observer import Observer
from pathorob_checks.files import expanded
from pathorob_checks.methods.chain import Chain, chain_of
from pathorob_checks.models.last_model import LastModel

if TYPE_CHECKING:
    import pandas as pd

    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.cohorts.registry import CohortSources
    from pathorob_checks.embeddings.extraction import Embeddings, Engine
    from pathorob_checks.embeddings.integrity import Integrity
    from pathorob_checks.embeddings.shards import Float32
    from pathorob_checks.embeddings.store import EmbeddingStore
    from pathorob_checks.evaluation.repairing import Repairing
    from pathorob_checks.evaluation.settings import Settings
    from pathorob_checks.evaluation.subjects import Subject, Subjects
    from pathorob_checks.methods.image_method import ImageMethod
    from pathorob_checks.models.loading import PreparedModel, ResolvedModel

Made = TypeVar("Made")


class Inputs:
    """What a run measures.

    Parameters
    ----------
    settings : the caller's choices.
    subjects : which FM is checked on which cohort.
    observer : follows long work.
    """

    def __init__(self, settings: Settings, subjects: Subjects, observer: Observer) -> None:
        self.settings, self.subjects, self.observer = settings, subjects, observer
        self._last_model = LastModel()
        self._resolved: dict[str, ResolvedModel] = {}
        self._prepared: dict[str, PreparedModel] = {}
        self._commits: dict[str, str | None] = {}
        self._cohorts: dict[str, Cohort] = {}
        self._contents: dict[str, str] = {}  # what the controller read, by cohort
        self._targets: dict[tuple[str, str], ImageMethod] = {}
        self._embeddings: dict[Subject, Embeddings] = {}
        self._repaired: dict[tuple[Subject, str | None], Float32] = {}
        self._integrity: dict[Subject, Integrity | None] = {}
        # What failed once fails again: an hour of extraction is not repeated for each test that needs it.
        self._failures: dict[tuple[str, Subject], PathorobChecksError] = {}

    # -- before anything is measured --------------------------------------------------------------------

    def preflight(self) -> None:
        """Everything that can be known to be wrong before a model is loaded.

        Raises
        ------
        PathorobChecksError : an FM, a cohort or the cache folder cannot be used.
        """
        self.store.check_usable()
        if self.settings.engine == "ray":
            from pathorob_checks.embeddings.ray_cluster import check_usable

            check_usable(self.settings.ray_address)
        elif self.settings.device not in ("auto", "cpu"):
            from pathorob_checks.models.devices import resolve_device

            resolve_device(self.settings.device)
        from pathorob_checks.models.loading import files_of
        from pathorob_checks.models.model_settings import refuse_settings

        for name in dict.fromkeys(subject.fm for subject in self.subjects.subjects):
            spec, settings = self.subjects.specs[name], self.settings.model_settings(self.settings.device)
            refuse_settings(spec, settings)
            resolved = self.resolved(name)
            if spec.kind == "local-dir":  # the files are at hand: each fault is told once, not by every test
                files_of(resolved, settings)
        for name in self.subjects.cohorts:
            self.cohort(name)

    def own_contents(self) -> dict[str, str]:
        """By name, the digest of each cohort of the user's own, or of the user's own tables of it."""
        from pathorob_checks.cohorts.registry import is_own

        contents = {}
        for name, text in self.subjects.cohorts.items():
            cohort = self.cohort(name)
            if is_own(text):
                contents[name] = cohort.digest
            elif cohort.own_tables:
                contents[name] = digest_of(dict(cohort.tables or {}))
        return contents

    def hand_over(self) -> dict[str, object]:
        """Pinned revisions and contents, of builtin types, so that another process measures the same."""
        models = {name: model.to_dict() for name, model in self._resolved.items()}
        contents = {name: cohort.digest for name, cohort in self._cohorts.items()}
        return {"models": models, "cohorts": dict(self._commits), "contents": contents}

    def take_over(self, content: Mapping[str, Mapping[str, object]]) -> None:
        """Undo `hand_over` in another process."""
        from pathorob_checks.models.loading import ResolvedModel

        self._resolved = {
            name: ResolvedModel.from_dict(model)  # type: ignore[arg-type]
            for name, model in content["models"].items()
        }
        self._commits = dict(content["cohorts"])  # type: ignore[arg-type]
        self._contents = dict(content["contents"])  # type: ignore[arg-type]

    # -- while measuring --------------------------------------------------------------------------------

    @cached_property
    def store(self) -> EmbeddingStore:
        """Where embeddings are kept."""
        return self.settings.store()

    @cached_property
    def sources(self) -> CohortSources:
        """Where the benchmark's tables come from."""
        return self.settings.sources()

    def resolved(self, fm: str) -> ResolvedModel:
        """The model with its revision pinned."""
        if fm not in self._resolved:
            from pathorob_checks.models.loading import resolve

            self._resolved[fm] = resolve(self.subjects.specs[fm], fm)
        return self._resolved[fm]

    def model(self, fm: str) -> PreparedModel:
        """The model's identity and how to load it."""
        if fm not in self._prepared:
            from pathorob_checks.models.devices import resolve_device, spread_over_gpus
            from pathorob_checks.models.loading import prepare

            device = spread_over_gpus(resolve_device(self.settings.device), self.observer.process)
            self._prepared[fm] = prepare(self.resolved(fm), self.settings.model_settings(device))
        return self._prepared[fm]

    def identity_ahead(self, subject: Subject, other: Mapping[str, object]) -> Mapping[str, object] | None:
        """The identity of a subject's embeddings where it may be `other`; None where it is another, or is
        not known before the model is loaded.

        Only a model whose repository and commit are those of `other` is fetched for this.
        """
        from pathorob_checks.models.loading import repository_of

        spec = self.subjects.specs[subject.fm]
        if spec.kind == "embeddings":
            return self.embeddings(subject).identity
        origin = (repository_of(spec), self.resolved(subject.fm).revision)
        is_known = spec.kind in ("local-dir", "demo") or None not in origin
        if not is_known or origin != (other.get("repository"), other.get("revision")):
            return None
        return self.model(subject.fm).identity

    def prepared(self, subject: Subject) -> PreparedModel:
        """The model of a subject: with its images normalized, where the subject's method does that.

        Raises
        ------
        CohortError, MethodError : the target of the normalization cannot be taken from the cohort's images.
        """
        chain, model = chain_of(subject.method), self.model(subject.fm)
        if chain.image is None:
            return model
        place = (chain.image.name, subject.cohort)
        if place not in self._targets:
            self._targets[place] = self._target(chain.image(), subject.cohort)
        from pathorob_checks.embeddings.normalizing import normalized

        return normalized(model, self._targets[place])

    def _target(self, method: ImageMethod, cohort: str) -> ImageMethod:
        """The method with its target: from the images that the user gave, or by the rule."""
        from pathorob_checks.embeddings.normalizing import fit_target
        from pathorob_checks.embeddings.target_images import target_images

        if self.settings.method_target is None:
            return fit_target(method, self.cohort(cohort))
        return method.fit(target_images(expanded(self.settings.method_target)))

    def cohort(self, name: str) -> Cohort:
        """The cohort's table and images; the images' revision is pinned where some FM embeds them."""
        if name not in self._cohorts:
            from pathorob_checks.cohorts.registry import load_cohort

            text, embedded = self.subjects.cohorts[name], self.subjects.needs_images(name)
            cohort = load_cohort(text, self.sources, self.commit(name), needs_images=embedded)
            if self._contents.get(name, cohort.digest) != cohort.digest:
                raise CohortError(
                    f"the cohort {name} changed since the run started",
                    remedy="start the run again when the cohort's files no longer change",
                )
            self._cohorts[name] = cohort
        return self._cohorts[name]

    def commit(self, cohort: str) -> str | None:
        """What a cohort's images are pinned to; None where they are not on the hub, or no FM embeds them."""
        if cohort not in self._commits:
            from pathorob_checks.cohorts.registry import resolve_cohort

            embedded = self.subjects.needs_images(cohort)
            self._commits[cohort] = resolve_cohort(self.subjects.cohorts[cohort]) if embedded else None
        return self._commits[cohort]

    def known_cohorts(self) -> Mapping[str, Cohort]:
        """The cohorts that this process has loaded already, by name."""
        return self._cohorts

    def embeddings(self, subject: Subject) -> Embeddings:
        """The cohort's embeddings: extracted now, read from the store, or given by the user; not repaired.

        Raises
        ------
        CacheError, CohortError, EmbeddingError, ModelError : see `extraction.obtain`.
        """
        subject = subject.embedded
        if subject not in self._embeddings:
            self._embeddings[subject] = self._once("embeddings", subject, self._obtain_embeddings)
        return self._embeddings[subject]

    def known_embeddings(self, subject: Subject) -> Embeddings | None:
        """The embeddings if this process has them already."""
        return self._embeddings.get(subject.embedded)

    def repairing(self, subject: Subject, view: str | None = None) -> Repairing:
        """The repairs of a subject on the patches of a view; None: on all of its cohort."""
        return self._repairing(chain_of(subject.method), subject.cohort, view)

    def head(self, subject: Subject, view: str) -> Repairing | None:
        """What of a subject's repairs is part of a classifier."""
        chain = chain_of(subject.method).head
        return None if chain is None else self._repairing(chain, subject.cohort, view)

    def _repairing(self, chain: Chain, cohort_name: str, view: str | None) -> Repairing:
        from pathorob_checks.evaluation.repairing import Repairing

        cohort = self.cohort(cohort_name)
        patches = cohort.patches if view is None else cohort.views[view].patches
        return Repairing(chain, patches, unlabeled=self.settings.method_ood == "unlabeled")

    def repaired(self, subject: Subject, view: str | None = None) -> Float32:
        """The embeddings as metrics without classifiers read them: (N, D) float32.

        Those of the subject that was asked for last are kept, as its metrics follow each other.

        Parameters
        ----------
        view : of the cohort; None for all of its patches.

        Raises
        ------
        MethodError : a repair cannot be fitted on the patches, or would remove biology.
        """
        values = self.embeddings(subject).values
        if view is not None:
            values = values[self.cohort(subject.cohort).views[view].rows]
        if not chain_of(subject.method).repairs:
            return values
        if any(one != subject for one, _ in self._repaired):
            self._repaired.clear()
        if (subject, view) not in self._repaired:
            repaired = self.repairing(subject, view).view(values)
            repaired.flags.writeable = False  # several metrics read them
            self._repaired[subject, view] = repaired
        return self._repaired[subject, view]

    def integrity(self, subject: Subject) -> Integrity | None:
        """How the FM embeds a few patches in several ways; None where there is no FM to run.

        Raises
        ------
        CacheError, CohortError, EmbeddingError, ModelError : see `embeddings.integrity`.
        """
        subject = subject.embedded
        if subject not in self._integrity:
            self._integrity[subject] = self._once("integrity", subject, self._measure_integrity)
        return self._integrity[subject]

    def known_integrity(self, subject: Subject) -> Integrity | None:
        """The integrity record if this process has it already."""
        return self._integrity.get(subject.embedded)

    def drift(self, subject: Subject) -> Mapping[str, float]:
        """How far the FM's precision moves each metric for which that is known; empty in fp32."""
        if self.settings.precision == "fp32":
            return {}
        integrity = self.integrity(subject)
        return integrity.drift.by_metric() if integrity and integrity.drift else {}

    def _once(self, what: str, subject: Subject, make: Callable[[Subject], Made]) -> Made:
        """What `make` gives for a subject; an error that a user can act on is raised again the next time."""
        if (what, subject) in self._failures:
            raise self._failures[what, subject]
        try:
            return make(subject)
        except PathorobChecksError as error:
            self._failures[what, subject] = error
            raise

    def _obtain_embeddings(self, subject: Subject) -> Embeddings:
        from pathorob_checks.embeddings.extraction import given, obtain

        model, cohort = self.prepared(subject), self.cohort(subject.cohort)
        if self.subjects.specs[subject.fm].kind == "embeddings":
            return given(Path(self.resolved(subject.fm).spec.target), subject.cohort, cohort)
        embeddings = obtain(
            self._last_model.reusing(model),
            cohort,
            self.store,
            engine=self._engine(subject),
            progress=self.observer.extraction_progress,
            waiting=self.observer.waits,
        )
        self.observer.works()
        self._prune(embeddings)
        return embeddings

    def _measure_integrity(self, subject: Subject) -> Integrity | None:
        if self.subjects.specs[subject.fm].kind == "embeddings":
            return None
        from pathorob_checks.embeddings.integrity import integrity_of

        text = f"{subject.fm} on {subject.cohort}: another process tests its integrity"
        integrity = integrity_of(
            self._last_model.reusing(self.prepared(subject)),
            self.cohort(subject.cohort),
            self.embeddings(subject),
            self.store,
            partial(_robustness_index, self.settings.device),
            progress=self.observer.extraction_progress,
            waiting=lambda: self.observer.waits(text),
        )
        self.observer.works()
        return integrity

    def _engine(self, subject: Subject) -> Engine:
        """What embeds with the model of a subject."""
        if self.settings.engine == "local":
            from pathorob_checks.embeddings.extraction import in_process

            return partial(in_process, readers=self.settings.readers)
        from pathorob_checks.embeddings.ray_engine import RayEngine
        from pathorob_checks.models.loading import prepare

        if chain_of(subject.method).image is not None:
            raise MethodError("images are not normalized on a Ray cluster", remedy="use --fm-engine=local")
        fm = subject.fm
        kind = self.model(fm).device.partition(":")[0]  # an actor sees no other GPU than its own
        rebuild = partial(prepare, self.resolved(fm), self.settings.model_settings(kind))
        return RayEngine(rebuild, self.settings.ray_address)

    def _prune(self, embeddings: Embeddings) -> None:
        if embeddings.extracted and self.settings.cache_limit is not None:
            from pathorob_checks.embeddings.upkeep import prune

            prune(self.store, self.settings.cache_limit)


def _robustness_index(
    device: str, values: Float32, patches: pd.DataFrame, k: int | None, paired: bool
) -> tuple[float, int]:
    """The index and its k, which the integrity of a low precision is judged by."""
    from pathorob_checks.metrics import robustness_index

    result = robustness_index(values, patches, k=k, paired=paired, device=device, draws=0)
    return result.value, result.k
