"""What a run is about and how it is computed, as its caller chose it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.errors import SettingsError
from pathorob_checks.files import expanded
from pathorob_checks.models.pooling import POOLINGS
from pathorob_checks.models.precision import PRECISIONS
from pathorob_checks.wording import hint

if TYPE_CHECKING:
    from pathorob_checks.cohorts.registry import CohortSources
    from pathorob_checks.criteria.profile import Profile
    from pathorob_checks.embeddings.store import EmbeddingStore
    from pathorob_checks.models.model_settings import ModelSettings

ENGINES = ("local", "ray")
METHODS_OOD = ("unseen", "unlabeled")
READERS = ("auto", "threads", "processes")
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
DEVICES = "auto, cpu, cuda or cuda:N"
_CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "engine": ENGINES,
    "readers": READERS,
    "method_ood": METHODS_OOD,
    "precision": PRECISIONS,
    "pooling": (*POOLINGS, None),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices behind a run; each is an option of the gate (`--fm-...`) and an argument of `evaluate`.

    Attributes
    ----------
    fms : a SPEC for each FM.
    names : what each FM is called, in the same order; empty for names from the SPECs.
    cohorts : names or paths; empty for those that suit each FM.
    criteria : names of profiles and paths of criteria files, merged in this order, or a profile.
    criteria_digest : refuse to run by terms with another digest.
    require_complete : a required criterion that is not measured is an error, even if it was deselected.
    baseline : a results file, or the name of an FM of this run.
    baseline_fm : which FM of the baseline's file.
    repetitions : draws of slides of the performance drop; None: the criteria's, or the protocol's 20.
    device : `auto`, `cpu`, `cuda` or `cuda:N`.
    batch_size : patches per batch; None for what suits the device.
    precision : `fp32`, `bf16` or `fp16`.
    pooling : how tokens become one embedding; None for the model's own.
    cache : folder for embeddings; None for the user's cache folder.
    cache_limit : bytes that the folder may take after an extraction; None for no limit.
    engine : `local` or `ray`.
    ray_address : of a Ray cluster.
    readers : `auto`, `threads` or `processes`, which read the images for the engine `local`.
    metadata : folder with the benchmark's tables; None downloads them.
    accepted_names : a file with reviewed names of classes, centers and subsets that may look alike.
    commercial : leave out what is not known to allow commercial use.
    licensed : FMs and cohorts, by name or as given, that the user may use commercially all the same.
    pretraining : all that the one FM without a complete statement was pretrained on, by name.
    methods : names of methods that repair images or embeddings, joined by `+`.
    method_only : judge the FMs with a method only; otherwise they are judged without one too.
    method_ood : what methods may see of out-of-domain medical centers: nothing (`unseen`), or their patches
        without biological classes (`unlabeled`).
    method_target : an image, or a folder of images, that stain normalizations take their target from; None
        for in-domain patches of each cohort.
    trust_remote_code : let a model's repository run code of its own.
    checkpoint_key, checkpoint_prefixes : where checkpoints hold the network: the key of a dictionary in them,
        and what is removed from the names of tensors; None and () for the recipe's, or what is found.
    images : keep small images of the patches that a metric misses, for a report that shows them.
    origins : for each setting that the caller of the run did not give, a sentence that says where it is from.

    Raises
    ------
    SettingsError : a value that its setting does not take.
    """

    fms: tuple[str, ...]
    names: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    criteria: tuple[str | Path, ...] | Profile = ("floor",)
    criteria_digest: str | None = None
    require_complete: bool = False
    baseline: str | None = None
    baseline_fm: str | None = None
    repetitions: int | None = None
    device: str = "auto"
    batch_size: int | None = None
    precision: str = "fp32"
    pooling: str | None = None
    cache: str | Path | None = None
    cache_limit: int | None = None
    engine: str = "local"
    ray_address: str | None = None
    readers: str = "auto"
    metadata: str | Path | None = None
    accepted_names: str | Path | None = None
    commercial: bool = False
    licensed: tuple[str, ...] = ()
    pretraining: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    method_only: bool = False
    method_ood: str = "unseen"
    method_target: str | Path | None = None
    trust_remote_code: bool = False
    checkpoint_key: str | None = None
    checkpoint_prefixes: tuple[str, ...] = ()
    images: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                known = [str(choice) for choice in choices]
                raise SettingsError(
                    f"{name} is {value!r}", remedy=hint(value, known, "choose one of {known}")
                )
        if not DEVICE.fullmatch(self.device):
            raise SettingsError(f"device is {self.device!r}", remedy=f"choose {DEVICES}")
        if self.batch_size is not None and self.batch_size < 1:
            raise SettingsError(f"batch_size is {self.batch_size}", remedy="give a positive whole number")
        if self.repetitions is not None and self.repetitions < 2:
            raise SettingsError(f"repetitions is {self.repetitions}", remedy="give a whole number from 2")
        if not self.criteria:
            raise SettingsError("there are no criteria", remedy="name a profile, such as floor, or a file")
        if "" in (self.baseline, *(self.criteria if isinstance(self.criteria, tuple) else ())):
            raise SettingsError(
                "the name of a criteria file or of the baseline is empty",
                remedy="give the name, or leave the option out",
            )
        if "" in (self.checkpoint_key, *self.checkpoint_prefixes):
            raise SettingsError(
                "the key or a prefix of the checkpoint is empty",
                remedy="give what is in the file, or leave the option out",
            )
        if any(not name.strip() for name in self.pretraining):
            raise SettingsError(
                "the name of a source of pretraining data is empty",
                remedy="give its name, or leave the option out",
            )
        if self.licensed and not self.commercial:
            raise SettingsError(
                f"{self.licensed[0]!r} is licensed, but nothing is left out for its license",
                remedy="give --fm-commercial (commercial=True) too, or leave it out",
            )
        if self.method_only and "method_only" in self.origins:
            raise SettingsError(
                f"{self.origins['method_only']} would leave out FMs that the command line does not leave out",
                remedy="type --fm-method-only on the command line",
            )
        if self.baseline_fm is not None and self.baseline is None:
            raise SettingsError(
                f"{self.baseline_fm!r} is to be the baseline's FM, but there is no baseline",
                remedy="name its results file as the baseline",
            )

    def chose(self, name: str) -> bool:
        """Whether the caller of the run gave a setting a value."""
        return bool(getattr(self, name)) and name not in self.origins

    def store(self) -> EmbeddingStore:
        """Where embeddings are kept."""
        from pathorob_checks.embeddings.store import EmbeddingStore

        return EmbeddingStore(expanded(self.cache) if self.cache else None)

    def sources(self) -> CohortSources:
        """Where the benchmark's tables come from, and the names that were reviewed.

        Raises
        ------
        CohortError : the list of accepted names cannot be used.
        """
        from pathorob_checks.cohorts.names import NONE_ACCEPTED, read_accepted_names
        from pathorob_checks.cohorts.registry import CohortSources

        folder = expanded(self.metadata) if self.metadata else None
        names = self.accepted_names
        accepted = read_accepted_names(expanded(names)) if names else NONE_ACCEPTED
        return CohortSources(metadata=folder, cache=self.store().root, accepted_names=accepted)

    def model_settings(self, device: str) -> ModelSettings:
        """How models are run on a device."""
        from pathorob_checks.models.model_settings import ModelSettings

        return ModelSettings(
            device=device,
            precision=self.precision,
            pooling=self.pooling,
            batch_size=self.batch_size,
            trust_remote_code=self.trust_remote_code,
            checkpoint_key=self.checkpoint_key,
            checkpoint_prefixes=self.checkpoint_prefixes,
        )
