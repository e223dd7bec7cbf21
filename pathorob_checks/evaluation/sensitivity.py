"""How the values of an FM depend on pooling, precision, batch size and k, with as few passes as possible.

A pass over the images keeps class token and mean of the patch tokens side by side, so that every pooling is
cut from it. Precision and batch size change what the network computes and take a pass each. All k and all
metrics of one matrix of embeddings share one neighbor search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pathorob_checks.errors import EmbeddingError, MetricError, ModelError
from pathorob_checks.metrics.differences import difference
from pathorob_checks.metrics.intervals import CONFIDENCE
from pathorob_checks.metrics.measurement import Measurement, measurements_of
from pathorob_checks.metrics.neighbor_search import NeighborSearch
from pathorob_checks.metrics.neighborhood_size import USUAL_K
from pathorob_checks.metrics.registry import metric
from pathorob_checks.models.pooling import SIDE_BY_SIDE, SideBySide
from pathorob_checks.models.precision import PRECISIONS
from pathorob_checks.progress import Item, Progress
from pathorob_checks.results.sensitivity import Change, Extraction, LeftOut, Own, Sensitivity, Setting

if TYPE_CHECKING:
    from pathorob_checks.embeddings.extraction import Embeddings
    from pathorob_checks.embeddings.shards import Float32
    from pathorob_checks.evaluation.inputs import Inputs
    from pathorob_checks.evaluation.subjects import Subject
    from pathorob_checks.metrics.resampling import Resampling
    from pathorob_checks.models.loading import PreparedModel
    from pathorob_checks.models.model_settings import ModelSettings

METRICS = ("robustness_index", "mari", "croma_median", "croma_f0", "croma_ltm10")
POOLED_BY = ("cls", "mean", "clsmean")
OWN_PRECISION = "fp32"

Values = Mapping[str, Measurement]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What each setting is changed to; the FM's own choice among them is left out.

    Attributes
    ----------
    poolings, precisions : as for `--fm-pooling` and `--fm-precision`.
    batch_sizes : patches per batch.
    ks : numbers of neighbors.
    """

    poolings: tuple[str, ...] = POOLED_BY
    precisions: tuple[str, ...] = tuple(one for one in PRECISIONS if one != OWN_PRECISION)
    batch_sizes: tuple[int, ...] = (1,)
    ks: tuple[int, ...] = (5, 11, 21, 46, 61)


@dataclass(frozen=True)
class _Base:
    """What others are compared with: (N, D) embeddings at the FM's own settings, and their values."""

    embeddings: Float32
    values: Values


@dataclass
class _Seen:
    """What was measured so far."""

    changes: list[Change] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    extractions: list[Extraction] = field(default_factory=list)


def sensitivity(inputs: Inputs, subject: Subject, choices: Choices) -> Sensitivity:
    """Measure an FM on a cohort at its own settings, and with one setting changed at a time.

    Raises
    ------
    PathorobChecksError : the FM or the cohort cannot be used, or a metric has no value at the FM's own
        settings. What fails with a setting changed is left out with its reason instead.
    """
    return _OneSubject(inputs, subject).measured(choices)


class _OneSubject:
    def __init__(self, inputs: Inputs, subject: Subject) -> None:
        self._inputs, self._subject = inputs, subject
        self._spec = inputs.subjects.specs[subject.fm]
        self._cohort = inputs.cohort(subject.cohort)
        self._view = self._cohort.views[metric(METRICS[0]).computation.view]
        self._seen = _Seen()

    def measured(self, choices: Choices) -> Sensitivity:
        wide = self._extracted()
        pooled = self._side_by_side(wide, choices.poolings)
        settings: dict[Setting, str] = {}
        if pooled:
            settings["pooling"] = pooled.own
        if self._kind_takes("precision"):
            settings["precision"] = OWN_PRECISION
        if (batch_size := _batch_size(wide)) is not None:
            settings["batch size"] = str(batch_size)
        values = _cut(wide.values, pooled, pooled.own if pooled else "")
        neighbors = NeighborSearch(ahead=max((*choices.ks, self._view.k or USUAL_K)))
        own = self._values(values, neighbors, "at its own settings")
        settings["k"] = str(own[METRICS[0]].protocol["k"])
        base = _Base(values, own)
        for pooling in choices.poolings:
            if pooled and pooling in pooled.columns and pooling != pooled.own:
                self._try("pooling", pooling, base, partial(_cut, wide.values, pooled, pooling))
        ways: list[tuple[Setting, str, Mapping[str, Any]]] = [
            *(("precision", one, {"precision": one}) for one in choices.precisions if one != OWN_PRECISION),
            *(
                ("batch size", str(one), {"batch_size": one})
                for one in choices.batch_sizes
                if one != batch_size
            ),
        ]
        for setting, choice, changed in ways:
            self._try(setting, choice, base, partial(self._re_embedded, pooled, changed))
        for k in choices.ks:
            if str(k) != settings["k"]:
                self._try_k(k, base, neighbors)
        return Sensitivity(
            fm=self._subject.fm,
            cohort=self._subject.cohort,
            cohort_digest=self._cohort.digest,
            settings=settings,
            own=tuple(Own(metric=name, value=one.value, interval=one.interval) for name, one in own.items()),
            changes=tuple(sorted(self._seen.changes, key=lambda one: METRICS.index(one.metric))),
            left_out=tuple(self._seen.left_out),
            extractions=tuple(self._seen.extractions),
        )

    # -- embeddings -------------------------------------------------------------------------------------

    def _extracted(self, **changed: Any) -> Embeddings:
        """The cohort embedded with these settings changed, from the store or now."""
        from pathorob_checks.embeddings.extraction import given, obtain
        from pathorob_checks.models.loading import prepare

        fm, inputs = self._subject.fm, self._inputs
        if self._spec.kind == "embeddings":
            if changed:
                raise ModelError(f"{fm} is given by its embeddings", remedy="give the model itself")
            embeddings = given(Path(inputs.resolved(fm).spec.target), self._subject.cohort, self._cohort)
        else:
            settings = self._model_settings(changed)
            embeddings = obtain(
                _kept_apart(prepare(inputs.resolved(fm), settings), settings.pooling, changed),
                self._cohort,
                inputs.store,
                progress=inputs.observer.extraction_progress,
                waiting=inputs.observer.waits,
            )
            inputs.observer.works()
        stated = embeddings.identity.get("precision")
        self._seen.extractions.append(
            Extraction(
                precision=None if stated is None else str(stated),
                batch_size=_batch_size(embeddings),
                key=embeddings.key,
                identity=embeddings.identity,
            )
        )
        return embeddings

    def _model_settings(self, changed: Mapping[str, Any]) -> ModelSettings:
        from pathorob_checks.models.devices import resolve_device

        settings = self._inputs.settings.model_settings(resolve_device(self._inputs.settings.device))
        pooling = SIDE_BY_SIDE if self._kind_takes("pooling") else None
        return replace(settings, pooling=pooling, **changed)

    def _kind_takes(self, setting: str) -> bool:
        return not self._why_not(setting)

    def _why_not(self, setting: str) -> str:
        """Why models of this kind do not take a setting; "" where they do."""
        from pathorob_checks.models.model_settings import ModelSettings, refuse_settings

        other = {"pooling": ModelSettings(pooling="mean"), "precision": ModelSettings(precision="bf16")}
        try:
            refuse_settings(self._spec, other[setting])
        except ModelError as error:
            return error.problem
        return ""

    def _side_by_side(self, wide: Embeddings, poolings: Iterable[str]) -> SideBySide | None:
        """Where each pooling is in the embeddings; what the model does not support is left out."""
        reason = self._why_not("pooling")
        described = wide.details.get("model")
        content = described.get("side_by_side") if isinstance(described, Mapping) else None
        pooled = None if reason else SideBySide.from_dict(content or {})
        for pooling in poolings:
            why = reason or (pooled.left_out.get(pooling, "") if pooled else "")
            if why:
                self._leave_out("pooling", pooling, why)
        return pooled

    def _re_embedded(self, pooled: SideBySide | None, changed: Mapping[str, Any]) -> Float32:
        embeddings = self._extracted(**changed)
        wanted, got = changed.get("batch_size"), _batch_size(embeddings)
        if wanted is not None and got != wanted:
            raise ModelError(f"the device has memory for batches of {got}", remedy="free the device")
        return _cut(embeddings.values, pooled, pooled.own if pooled else "")

    # -- values -----------------------------------------------------------------------------------------

    def _values(self, embeddings: Float32, neighbors: NeighborSearch, text: str, **changed: Any) -> Values:
        """All metrics, or with `k` those that have one."""
        from pathorob_checks.embeddings.checks import check_embeddings

        check_embeddings(embeddings, self._cohort.keys)
        rows = embeddings[self._view.rows]
        computations = {metric(name).computation.name: metric(name).computation for name in METRICS}
        values: dict[str, Measurement] = {}
        for computation in computations.values():
            if changed.keys() <= set(computation.design):
                result = computation.function(
                    rows,
                    self._view.patches,
                    neighbors=neighbors,
                    device=self._inputs.settings.device,
                    progress=self._progress(text),
                    **computation.settings,
                    **{name: getattr(self._view, name) for name in computation.design} | changed,
                )
                values |= measurements_of(result)
        return {name: values[name] for name in METRICS if name in values}

    def _progress(self, text: str) -> Progress:
        def progress(items: Iterable[Item], total: int, step: str, /) -> Iterable[Item]:
            subject = f"{self._subject.fm} on {self._subject.cohort} {text}"
            return self._inputs.observer.progress(items, total, f"{subject}: {step}")

        return progress

    def _try(self, setting: Setting, choice: str, base: _Base, embed: Callable[[], Float32]) -> None:
        """Measure other embeddings, or say why that cannot be done."""
        try:
            embeddings = embed()
            if np.array_equal(embeddings, base.embeddings):
                self._seen.changes += _no_changes(setting, choice, base.values)
                return
            changed = self._values(embeddings, NeighborSearch(), f"with {setting} {choice}")
        except (EmbeddingError, MetricError, ModelError) as error:
            self._leave_out(setting, choice, error.problem)
        else:
            self._seen.changes += _changes(setting, choice, changed, base.values)

    def _try_k(self, k: int, base: _Base, neighbors: NeighborSearch) -> None:
        """Measure the same embeddings with another k, or say why that cannot be done."""
        try:
            changed = self._values(base.embeddings, neighbors, f"with k {k}", k=k)
        except MetricError as error:
            self._leave_out("k", str(k), error.problem)
        else:
            self._seen.changes += _changes("k", str(k), changed, base.values)

    def _leave_out(self, setting: Setting, choice: str, reason: str) -> None:
        self._seen.left_out.append(LeftOut(setting=setting, choice=choice, reason=reason))


def _kept_apart(prepared: PreparedModel, pooling: str | None, changed: Mapping[str, Any]) -> PreparedModel:
    """The same model by a name that says what is changed, stored apart from batches of another size."""
    ways = [*filter(None, [pooling]), *(f"{name.replace('_', ' ')} {one}" for name, one in changed.items())]
    name = f"{prepared.name} ({', '.join(ways)})" if ways else prepared.name
    batch_size = {key: one for key, one in changed.items() if key == "batch_size"}  # else no part of it
    return replace(prepared, name=name, identity={**prepared.identity, **batch_size})


def _batch_size(embeddings: Embeddings) -> int | None:
    size = embeddings.details.get("batch_size")
    return size if isinstance(size, int) else None


def _cut(values: Float32, pooled: SideBySide | None, pooling: str) -> Float32:
    """The columns of a pooling; all of them where nothing stands side by side."""
    if pooled is None:
        return values
    first, end = pooled.columns[pooling]
    return np.ascontiguousarray(values[:, first:end])


def _changes(setting: Setting, choice: str, changed: Values, own: Values) -> Iterator[Change]:
    for name, new in changed.items():
        base = own[name]
        here, there = _without_k((new.resampling, base.resampling))
        interval, note = None, "no slides to draw from"
        if here is not None and there is not None:
            try:
                paired = difference(here, there, confidence=CONFIDENCE)
                interval, note = paired.interval, paired.note
            except MetricError as error:
                note = error.problem
        yield Change(
            metric=name,
            setting=setting,
            choice=choice,
            value=new.value,
            difference=new.value - base.value,
            interval=interval,
            note=note,
        )


def _no_changes(setting: Setting, choice: str, own: Values) -> Iterator[Change]:
    """Of embeddings that are equal to the bit: whatever the slides, there is no difference."""
    for name, base in own.items():
        yield Change(
            metric=name,
            setting=setting,
            choice=choice,
            value=base.value,
            difference=0.0,
            interval=None,
            same_embeddings=True,
            note="The embeddings are equal to the bit.",
        )


def _without_k(sides: Sequence[Resampling | None]) -> list[Resampling | None]:
    """Slides are the same at every k: k is here what is compared, not what must be equal."""
    return [
        side
        and side.model_copy(
            update={"protocol": {name: value for name, value in side.protocol.items() if name != "k"}}
        )
        for side in sides
    ]
