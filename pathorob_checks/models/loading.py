"""From a spec to a model, in three steps that happen at different times and places.

`resolve` once per run, on the pytest controller: what a floating revision means now. `prepare` in each
process: files on disk, and the identity under which embeddings are stored. `PreparedModel.load` only where
embeddings have to be computed: the network itself.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks import hub
from pathorob_checks.errors import ModelError
from pathorob_checks.models.spec import ModelSpec

if TYPE_CHECKING:
    from pathorob_checks.models.foundation_model import FoundationModel
    from pathorob_checks.models.timm_model import TimmFiles

_CONFIG = "config.json"
_WEIGHTS = "model.safetensors"
_COMPUTING_LIBRARIES = ("torch", "torchvision", "timm", "pillow")


@dataclass(frozen=True)
class ResolvedModel:
    """A spec whose revision is pinned; the same in every process of a run.

    Attributes
    ----------
    spec : what the user asked for; a relative folder has been made absolute.
    name : short name, unique in the run.
    revision : full commit for `hf-hub`, else None.
    run_id : random; stands in for the identity of a model that has none, so that embeddings of it are
        shared within a run and never by a later one.
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
class ModelSettings:
    """How to run a model.

    Attributes
    ----------
    device : `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
    precision : `fp32`, `bf16` or `fp16`.
    pooling : None (the model's default), `clsmean`, `cls`, `mean` or `pooled`.
    batch_size : None (what suits the device) or patches per batch.
    """

    device: str = "auto"
    precision: str = "fp32"
    pooling: str | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class PreparedModel:
    """A model that can be built, and what its embeddings are stored under.

    Attributes
    ----------
    name : short name, unique in the run.
    identity : JSON-like; everything that decides an embedding's bytes.
    load : builds the model on its device. Slow, so called only where an embedding is missing.
    """

    name: str
    identity: dict[str, object]
    load: Callable[[], FoundationModel]


def resolve(spec: ModelSpec, name: str) -> ResolvedModel:
    """Pin a spec. The only step that asks the hub what a branch or tag stands for.

    Raises
    ------
    ModelError : when the repository, folder or factory does not exist.
    """
    revision = None
    if spec.kind == "hf-hub":
        revision = hub.resolve_revision(spec.target, spec.revision)
    elif spec.kind == "local-dir":
        folder = Path(spec.target).expanduser().absolute()
        if not folder.is_dir():
            raise ModelError(
                f"{spec.text} names no folder", remedy=f"save the model there as {_CONFIG} and {_WEIGHTS}"
            )
        spec = replace(spec, target=str(folder))
    elif spec.kind == "python":
        from pathorob_checks.models.user_model import import_factory

        import_factory(spec.target)
    return ResolvedModel(spec, name, revision, run_id=uuid.uuid4().hex)


def prepare(resolved: ResolvedModel, settings: ModelSettings) -> PreparedModel:
    """Bring a model's files to disk and tell its identity, without building it.

    The exceptions are `demo:` (tiny) and `python:` (the identity is in the object that the factory
    makes), which are built here.

    Raises
    ------
    ModelError : when a file is missing or unreadable, or the settings cannot be had.
    """
    device = resolve_device(settings.device)
    if resolved.spec.kind == "hf-hub":
        return _prepare_timm(resolved, settings, device, _hub_files(resolved))
    if resolved.spec.kind == "local-dir":
        return _prepare_timm(resolved, settings, device, _local_files(resolved))
    _refuse_timm_settings(resolved, settings)
    if resolved.spec.kind == "python":
        return _prepare_user_model(resolved, settings, device)
    return _prepare_demo(resolved, settings, device)


def resolve_device(device: str) -> str:
    """`cpu`, `cuda` or `cuda:N`, present on this machine.

    Raises
    ------
    ModelError : when the device is not known or not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, index = device.partition(":")
    if device != "cpu" and (kind != "cuda" or (colon and not index.isdecimal())):
        raise ModelError(f"there is no device {device}", remedy="choose auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        built_for = "for CUDA, and finds no GPU" if torch.version.cuda else "without CUDA"
        raise ModelError(
            f"device {device} was asked for and torch {torch.__version__} is built {built_for}",
            remedy="choose --fm-device=cpu, or check the driver and torch's build",
        )
    if index and int(index) >= torch.cuda.device_count():
        raise ModelError(
            f"device {device} was asked for and there are {torch.cuda.device_count()} GPUs",
            remedy="count them from cuda:0",
        )
    return device


def _hub_files(resolved: ResolvedModel) -> TimmFiles:
    from pathorob_checks.models.timm_model import TimmFiles, read_config

    repo, commit = resolved.spec.target, resolved.revision
    if commit is None:
        raise ModelError(f"{resolved.spec.text} has no pinned revision", remedy="resolve it first")
    try:
        config = hub.fetch(repo, commit, _CONFIG)
    except hub.MissingFileError as error:
        raise _lacks(repo, _CONFIG) from error
    read_config(config, repo)  # before gigabytes of weights are downloaded for nothing
    try:
        weights = hub.fetch(repo, commit, _WEIGHTS)
    except hub.MissingFileError as error:
        raise _lacks(repo, _WEIGHTS) from error
    return TimmFiles(config, weights, origin=repo)


def _local_files(resolved: ResolvedModel) -> TimmFiles:
    from pathorob_checks.models.timm_model import TimmFiles, read_config

    folder, origin = Path(resolved.spec.target), resolved.spec.text
    for filename in (_CONFIG, _WEIGHTS):
        if not (folder / filename).is_file():
            raise _lacks(origin, filename)
    read_config(folder / _CONFIG, origin)
    return TimmFiles(folder / _CONFIG, folder / _WEIGHTS, origin=origin)


def _lacks(origin: str, filename: str) -> ModelError:
    if filename == _WEIGHTS:
        remedy = (
            "ask its authors for a safetensors file or convert the weights and use local-dir:PATH, "
            "as pickles are not loaded"
        )
    else:
        remedy = "name a model that timm saved, or load it by code of your own with python:module:factory"
    return ModelError(f"{origin} has no {filename}", remedy=remedy)


def _prepare_timm(
    resolved: ResolvedModel, settings: ModelSettings, device: str, files: TimmFiles
) -> PreparedModel:
    from pathorob_checks.models import timm_model

    if settings.pooling is not None and settings.pooling not in timm_model.POOLINGS:
        raise ModelError(
            f"there is no pooling {settings.pooling}", remedy=f"choose {' or '.join(timm_model.POOLINGS)}"
        )
    if settings.precision not in timm_model.PRECISIONS:
        raise ModelError(
            f"there is no precision {settings.precision}",
            remedy=f"choose {' or '.join(timm_model.PRECISIONS)}",
        )
    identity: dict[str, object] = {"kind": resolved.spec.kind, "library": "timm"}
    if resolved.spec.kind == "hf-hub":
        identity |= {"repository": resolved.spec.target, "revision": resolved.revision}
    identity |= {
        "weights_sha256": _sha256(files.weights),
        "config_sha256": _sha256(files.config),
        "pooling": settings.pooling or "default",
        "precision": settings.precision,
        "device": device.partition(":")[0],
        "versions": _versions(),
        "code_sha256": _sha256(Path(timm_model.__file__)),
    }

    def load() -> FoundationModel:
        return timm_model.TimmModel(
            files,
            identity=identity,
            device=device,
            precision=settings.precision,
            pooling=settings.pooling,
            batch_size=settings.batch_size,
        )

    return PreparedModel(resolved.name, identity, load)


def _prepare_user_model(resolved: ResolvedModel, settings: ModelSettings, device: str) -> PreparedModel:
    from pathorob_checks.models import user_model

    target = resolved.spec.target
    product = user_model.build(target, device)
    module = user_model.module_of(product)
    identity: dict[str, object] = {
        "kind": "python",
        "factory": target,
        "sources_sha256": user_model.digest_of_sources(target),
        "device": device.partition(":")[0],
        "versions": _versions(),
        "code_sha256": _sha256(Path(user_model.__file__)),
    }
    if module is not None:
        identity["weights_sha256"] = user_model.digest_of_weights(module)
    else:
        # Weights that cannot be seen may change without notice.
        identity["run_id"] = resolved.run_id or uuid.uuid4().hex

    def load() -> FoundationModel:
        return user_model.UserModel(
            product, target=target, identity=identity, device=device, batch_size=settings.batch_size
        )

    return PreparedModel(resolved.name, identity, load)


def _prepare_demo(resolved: ResolvedModel, settings: ModelSettings, device: str) -> PreparedModel:
    from pathorob_checks.models import demo

    model = demo.load(resolved.spec.target, device)
    if settings.batch_size is not None:
        model.batch_size = settings.batch_size
    identity: dict[str, object] = {
        "kind": "demo",
        "name": resolved.spec.target,
        "model": dict(model.identity),
        "device": device.partition(":")[0],
        "versions": _versions(),
        "code_sha256": _sha256(Path(demo.__file__)),
    }
    model.identity = identity
    return PreparedModel(resolved.name, identity, lambda: model)


def _refuse_timm_settings(resolved: ResolvedModel, settings: ModelSettings) -> None:
    """A setting that would be ignored is an error: the numbers would not be what was asked for."""
    for option, given in (
        ("pooling", settings.pooling is not None),
        ("precision", settings.precision != "fp32"),
    ):
        if given:
            raise ModelError(
                f"--fm-{option} cannot be applied to {resolved.spec.text}, which decides it by itself",
                remedy=f"leave --fm-{option} out, or run this model apart from the others",
            )


def _sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"{path.name} cannot be read ({error.strerror})", remedy="check its permissions and the disk"
        ) from error


def _versions() -> dict[str, str]:
    """Versions of the libraries that turn an image into numbers."""
    found: dict[str, str] = {}
    for library in _COMPUTING_LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "none"
    return found
