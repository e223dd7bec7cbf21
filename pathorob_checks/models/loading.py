"""From a spec to a model, in three steps that happen at different times and places.

`resolve` runs once, on the pytest controller: it pins a branch or tag to a commit. `prepare` runs in each
process: it brings the files to disk and computes the identity under which embeddings are stored.
`PreparedModel.load` runs only where embeddings have to be computed: it builds the network.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks import hub
from pathorob_checks.errors import ModelError
from pathorob_checks.files import expanded
from pathorob_checks.models.devices import resolve_device
from pathorob_checks.models.failures import in_a_sentence
from pathorob_checks.models.meant_spec import meant_by_folder_without_model, meant_by_missing_folder
from pathorob_checks.models.model_settings import ModelSettings, check_choices, refuse_settings
from pathorob_checks.models.precision import tf32_settings
from pathorob_checks.models.provenance import ENCODER_CODE, versions
from pathorob_checks.models.spec import ModelSpec

if TYPE_CHECKING:
    from pathorob_checks.models.foundation_model import FoundationModel
    from pathorob_checks.models.open_clip_model import OpenClipModel
    from pathorob_checks.models.recipes import Recipe
    from pathorob_checks.models.repository import FolderSource, HubSource, Source
    from pathorob_checks.models.timm_model import TimmModel
    from pathorob_checks.models.transformers_model import TransformersModel
    from pathorob_checks.models.user_identity import Traces
    from pathorob_checks.pretraining import Pretraining

# By factory: what is opened and imported by its first call only belongs to every call in this process.
_TRACES: dict[str, Traces] = {}


@dataclass(frozen=True)
class ResolvedModel:
    """A spec whose revision is pinned; the same in every process of a run.

    Attributes
    ----------
    spec : the user's, with an absolute path where it has a folder.
    name : short name, unique in the run.
    revision : full commit for `recipe` and `hf-hub`, else None.
    run_id : random; part of the identity of a model whose weights cannot be read, so that its embeddings
        are shared within a run but never with another run.
    """

    spec: ModelSpec
    name: str
    revision: str | None
    run_id: str = ""

    def to_dict(self) -> dict[str, object]:
        """Builtin types only, for xdist's `workerinput`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> ResolvedModel:
        """Undo `to_dict`."""
        spec, revision = data["spec"], data["revision"]
        if not isinstance(spec, Mapping):
            raise TypeError("spec must be a mapping")
        return cls(
            spec=ModelSpec(**{str(key): value for key, value in spec.items()}),
            name=str(data["name"]),
            revision=None if revision is None else str(revision),
            run_id=str(data["run_id"]),
        )


@dataclass(frozen=True)
class PreparedModel:
    """A model that is ready to be built, and the identity of its embeddings.

    Attributes
    ----------
    name : short name, unique in the run.
    identity : JSON-like; everything that decides an embedding's bytes.
    load : builds the model on its device. Slow, so called only where an embedding is missing.
    license : of the weights.
    commercial : whether the license allows commercial use; None where that is unknown or uncertain.
    notes : sentences for the user. Those that need the loaded model are in its `description["notes"]`.
    device : the device that the model will run on.
    """

    name: str
    identity: dict[str, object]
    load: Callable[[], FoundationModel]
    license: str = "unknown"
    commercial: bool | None = None
    notes: tuple[str, ...] = ()
    device: str = "cpu"


def resolve(spec: ModelSpec, name: str) -> ResolvedModel:
    """Pin a spec to a commit: the only step that looks up a branch or tag on the hub.

    Raises
    ------
    ModelError : when the folder or factory does not exist, or the model is one that cannot be loaded here.
    HubError : when the repository cannot be reached or read.
    """
    revision = None
    if spec.kind in ("recipe", "hf-hub"):
        revision = _resolve_on_hub(spec)
    elif spec.kind in ("local-dir", "embeddings"):
        folder = expanded(spec.target).absolute()
        if not folder.is_dir():
            what = "embeddings" if spec.kind == "embeddings" else "config.json and model.safetensors"
            meant = meant_by_missing_folder(spec)
            remedy = f"did you mean {meant}?" if meant else f"check the path, or save {what} there"
            raise ModelError(f"{spec.text} is not a folder", remedy=remedy)
        if spec.kind == "local-dir" and (meant := meant_by_folder_without_model(spec)) is not None:
            raise ModelError(f"{spec.text} has no config.json", remedy=f"did you mean {meant}?")
        spec = replace(spec, target=str(folder))
    elif spec.kind == "python":
        from pathorob_checks.models.user_model import import_factory

        import_factory(spec.target)
    return ResolvedModel(spec, name, revision, run_id=uuid.uuid4().hex)


def prepare(resolved: ResolvedModel, settings: ModelSettings) -> PreparedModel:
    """Bring a model's files to disk and compute its identity, without building the model.

    The exceptions are `demo:` (tiny) and `python:` (the identity is in the object that the factory
    makes), which are built here. A `python:` model also embeds a blank image: some read their weights then.

    Raises
    ------
    ModelError : when a file is missing or unreadable, or the model does not support the settings.
    HubError : when a file cannot be downloaded.
    """
    refuse_settings(resolved.spec, settings)
    if resolved.spec.kind == "embeddings":
        return _prepare_embeddings(resolved)
    device = resolve_device(settings.device)
    if (source := _source(resolved)) is not None:
        with in_a_sentence(resolved.spec.text):
            return _prepare_files(resolved, settings, device, source)
    if resolved.spec.kind == "python":
        return _prepare_user_model(resolved, settings, device)
    return _prepare_demo(resolved, settings, device)


def license_of(spec: ModelSpec) -> tuple[str, bool | None]:
    """License and whether it allows commercial use (None: unknown), from the spec and the recipes alone."""
    recipe = _recipe(spec)
    if spec.kind == "demo":
        return "Apache-2.0", True
    return (recipe.license, recipe.commercial) if recipe else ("unknown", None)


def pretraining_of(spec: ModelSpec) -> Pretraining:
    """What the recipes state of a model's pretraining data; the demo's models have seen no data at all."""
    from pathorob_checks.pretraining import UNSTATED, Pretraining

    recipe = _recipe(spec)
    if spec.kind == "demo":
        return Pretraining(is_complete=True)
    return recipe.pretraining if recipe else UNSTATED


def files_of(resolved: ResolvedModel, settings: ModelSettings) -> list[str]:
    """Names of the files that `prepare` will read; none for a model without files of a known form.

    Requests the list of files, and downloads `config.json` and an index of weights at most.

    Raises
    ------
    ModelError, HubError : as `prepare`, as far as these and the names of the files show.
    """
    from pathorob_checks.models.repository import needed_files

    recipe, source = _recipe(resolved.spec), _source(resolved)
    if source is None:
        refuse_settings(resolved.spec, settings)
        return []
    with in_a_sentence(resolved.spec.text):
        check_choices(settings)
        _refuse_unmet(recipe, resolved.spec)
        return needed_files(source, recipe, trust_remote_code=settings.trust_remote_code)


def _resolve_on_hub(spec: ModelSpec) -> str:
    recipe, repo = _recipe(spec), repository_of(spec)
    _refuse_unmet(recipe, spec)
    if recipe is not None and recipe.remote_code and not _is_commit(spec.revision):
        from pathorob_checks.models.repository import refuse_remote_code

        # Whether the code is trusted is known later; a missing commit is an error before any test runs.
        refuse_remote_code(recipe.repo, trusted=False, pinned=False)
    if repo is None:
        raise ModelError(f"{spec.text} is not on the hub", remedy="check the name")
    revision = spec.revision or (recipe.revision if recipe else None)
    commit = hub.resolve_revision(repo, revision)
    if revision == commit:
        # A commit needs no looking up, but what cannot be had must stop a run before it measures.
        hub.list_files(repo, commit)
    return commit


def _source(resolved: ResolvedModel) -> HubSource | FolderSource | None:
    """Where a model's files are; None for a model without files of a known form."""
    from pathorob_checks.models.repository import FolderSource, HubSource

    spec = resolved.spec
    if spec.kind == "local-dir":
        return FolderSource(spec.text, Path(spec.target))
    repo = repository_of(spec)
    if repo is None:
        return None
    if resolved.revision is None:
        raise ModelError(f"{spec.text} has no pinned revision", remedy="resolve it first")
    return HubSource(repo, resolved.revision, pinned=_is_commit(spec.revision))


def is_pinned(spec: ModelSpec) -> bool:
    """Whether a spec means one commit of a repository in every run: the user's own, or its recipe's."""
    recipe = _recipe(spec)
    return _is_commit(spec.revision or (recipe.revision if recipe else None))


def repository_of(spec: ModelSpec) -> str | None:
    """The hub repository of a spec; None for a model that is not on the hub."""
    if spec.kind == "hf-hub":
        return spec.target
    recipe = _recipe(spec)
    return recipe.repo if recipe else None


def _recipe(spec: ModelSpec) -> Recipe | None:
    """The recipe that a spec names, by its name or by the repository that it is for."""
    if spec.kind not in ("recipe", "hf-hub"):
        return None
    from pathorob_checks.models.recipes import recipe_for_repository, recipes

    return recipes()[spec.target] if spec.kind == "recipe" else recipe_for_repository(spec.target)


def _is_commit(revision: str | None) -> bool:
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def _refuse_unmet(recipe: Recipe | None, spec: ModelSpec) -> None:
    if recipe is not None:
        from pathorob_checks.models.requirements import refuse_unmet

        refuse_unmet(recipe, spec.text)


def _prepare_files(
    resolved: ResolvedModel, settings: ModelSettings, device: str, source: Source
) -> PreparedModel:
    from pathorob_checks.models import pins
    from pathorob_checks.models.checkpoints import StatedNames
    from pathorob_checks.models.repository import gather
    from pathorob_checks.models.weights import digest_of_files, named_files

    check_choices(settings)
    recipe = _recipe(resolved.spec)
    _refuse_unmet(recipe, resolved.spec)
    stated = StatedNames(
        key=settings.checkpoint_key or (recipe.sub_dictionary if recipe else None),
        prefixes=settings.checkpoint_prefixes or (recipe.prefixes if recipe else ()),
    )
    files = gather(source, recipe, trust_remote_code=settings.trust_remote_code, stated=stated)
    # A recipe and its repository are the same model, and share their embeddings.
    kind = "local-dir" if resolved.spec.kind == "local-dir" else "hf-hub"
    identity: dict[str, object] = {"kind": kind, "library": files.library}
    if kind == "hf-hub":
        identity |= {"repository": source.origin, "revision": resolved.revision}
    for key, path in (("config_sha256", files.config_file), ("preprocessor_sha256", files.preprocessor)):
        if path is not None:
            identity[key] = digest_of_files([path])
    weights_sha256 = digest_of_files(files.weights)
    if recipe is not None and pins.expected_sha256(recipe, resolved.revision) is not None:
        pins.refuse_other_weights(recipe, named_files(files.weights), weights_sha256, source.origin)
    identity |= {
        "weights_sha256": weights_sha256,
        "checkpoint": stated.to_dict(),
        "recipe": recipe.identity() if recipe else None,
        "pooling": settings.pooling or "default",
        "precision": settings.precision,
        "device": device.partition(":")[0],
        "versions": versions(files.library),
        "code_sha256": digest_of_files(Path(__file__).with_name(name) for name in ENCODER_CODE),
    }

    def load() -> FoundationModel:
        with in_a_sentence(files.origin):
            return _encoder_of(files.library)(
                files,
                identity=identity,
                device=device,
                precision=settings.precision,
                pooling=settings.pooling,
                batch_size=settings.batch_size,
                recipe=recipe,
            )

    license_text, commercial = license_of(resolved.spec)
    revision_note = pins.note_on_revision(recipe, resolved.revision)
    notes = (*(recipe.notes if recipe else ()), *files.notes, *([revision_note] if revision_note else []))
    return PreparedModel(resolved.name, identity, load, license_text, commercial, notes, device)


def _encoder_of(library: str) -> type[TimmModel | TransformersModel | OpenClipModel]:
    """The class of a library's models; the other libraries are not imported."""
    if library == "open_clip":
        from pathorob_checks.models.open_clip_model import OpenClipModel

        return OpenClipModel
    if library == "transformers":
        from pathorob_checks.models.transformers_model import TransformersModel

        return TransformersModel
    from pathorob_checks.models.timm_model import TimmModel

    return TimmModel


def _prepare_embeddings(resolved: ResolvedModel) -> PreparedModel:
    def load() -> FoundationModel:
        raise ModelError(
            f"{resolved.spec.text}: precomputed embeddings cannot embed images",
            remedy="give the model itself, or embeddings of every patch of the cohort",
        )

    return PreparedModel(
        resolved.name, {"kind": "embeddings", "folder": Path(resolved.spec.target).name}, load
    )


def _prepare_user_model(resolved: ResolvedModel, settings: ModelSettings, device: str) -> PreparedModel:
    from pathorob_checks.models import python_objects, reachable, user_identity, user_model
    from pathorob_checks.models.weights import digest_of_files

    target = resolved.spec.target
    traces = _TRACES.setdefault(resolved.spec.text, user_identity.Traces())
    product = user_model.build(target, device, traces)
    model = user_model.UserModel(
        product, target=target, traces=traces, device=device, batch_size=settings.batch_size
    )
    theirs, notes = user_identity.identity_of(product, target, traces, resolved.run_id)
    model.identity = identity = {
        "kind": "python",
        "factory": target,
        **theirs,
        "device": device.partition(":")[0],
        # The user's code chooses, and torch's own choice rounds what convolutions multiply.
        **({} if device == "cpu" else {"tf32": tf32_settings()}),
        "versions": versions(),
        "code_sha256": digest_of_files(
            Path(str(part.__file__)) for part in (user_model, reachable, python_objects)
        ),
    }
    return PreparedModel(resolved.name, identity, lambda: model, notes=notes, device=device)


def _prepare_demo(resolved: ResolvedModel, settings: ModelSettings, device: str) -> PreparedModel:
    from pathorob_checks.models import demo
    from pathorob_checks.models.weights import digest_of_files

    model = demo.load(resolved.spec.target, device)
    if settings.batch_size is not None:
        model.batch_size = settings.batch_size
    identity: dict[str, object] = {
        "kind": "demo",
        "name": resolved.spec.target,
        "model": dict(model.identity),
        "device": device.partition(":")[0],
        "versions": versions(),
        "code_sha256": digest_of_files(demo.SOURCES),
    }
    model.identity = identity
    license_text, commercial = license_of(resolved.spec)
    return PreparedModel(resolved.name, identity, lambda: model, license_text, commercial, device=device)
