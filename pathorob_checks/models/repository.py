"""The files of a model, from the hub or a folder: which library they belong to and which are needed."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pathorob_checks import hub
from pathorob_checks.errors import ModelError
from pathorob_checks.models import weights as weight_files
from pathorob_checks.models.recipes import Recipe

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
_MOST_BYTES = 10_000_000


class Source(Protocol):
    """A place that holds a model's files.

    Attributes
    ----------
    origin : the model as the user knows it (`org/model`, a folder), for messages.
    pinned : whether the user gave a full commit, so that code in it cannot change.
    """

    @property
    def origin(self) -> str:
        """See above."""
        ...

    @property
    def pinned(self) -> bool:
        """See above."""
        ...

    def names(self) -> list[str]:
        """All files, as paths from the top with `/`."""
        ...

    def path(self, name: str) -> Path:
        """Path of a file on this machine; downloads it where needed."""
        ...


@dataclass(frozen=True)
class HubSource:
    """A repository at a commit."""

    origin: str
    commit: str
    pinned: bool = False

    def names(self) -> list[str]:
        """See `Source`."""
        return [file.name for file in hub.list_files(self.origin, self.commit)]

    def path(self, name: str) -> Path:
        """See `Source`."""
        return hub.fetch(self.origin, self.commit, name)


@dataclass(frozen=True)
class FolderSource:
    """A folder."""

    origin: str
    folder: Path
    pinned: bool = False

    def names(self) -> list[str]:
        """See `Source`."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return sorted(path.relative_to(self.folder).as_posix() for path in files)

    def path(self, name: str) -> Path:
        """See `Source`."""
        return self.folder / name


@dataclass(frozen=True)
class ModelFiles:
    """The files that a model is built from.

    Attributes
    ----------
    origin : see `Source`.
    library : `timm` or `transformers`.
    config : content of `config.json`; None where a recipe replaces it.
    config_file, preprocessor : paths of `config.json` and `preprocessor_config.json`, where they exist.
    weights : paths of the weights.
    remote_code : whether the network is code of the repository, which the user allowed to run.
    notes : sentences for the user on files that are left out.
    """

    origin: str
    library: str
    config: Mapping[str, Any] | None
    config_file: Path | None
    weights: tuple[Path, ...]
    preprocessor: Path | None = None
    remote_code: bool = False
    notes: tuple[str, ...] = ()


def gather(source: Source, recipe: Recipe | None, *, trust_remote_code: bool) -> ModelFiles:
    """Bring a model's files to disk.

    Raises
    ------
    ModelError : when they are not the files of a model, or the model is code that may not be run.
    HubError : when they cannot be downloaded.
    """
    names = set(source.names())
    config = _config(source, names, recipe)
    library = _library(config, source.origin, recipe)
    remote = library == "transformers" and _is_remote(config, recipe)
    if library == "transformers":
        require_transformers(source.origin)
    if remote:
        refuse_remote_code(source.origin, trusted=trust_remote_code, pinned=source.pinned)
    needed = _needed(source, names, library, recipe, remote=remote)
    paths = {name: source.path(name) for name in needed}
    chosen = weight_files.choose_weights(names, source.origin, recipe.weights if recipe else None)
    shards = (
        weight_files.shards_of(paths[chosen], source.origin) if weight_files.is_index(chosen) else [chosen]
    )
    others = weight_files.left_out(names, [chosen, *shards])
    notes = (
        [f"{source.origin}: {chosen} is used, and not {weight_files.first_few(others)}."] if others else []
    )
    return ModelFiles(
        origin=source.origin,
        library=library,
        config=config,
        config_file=paths.get(CONFIG),
        weights=tuple(paths[name] for name in shards),
        preprocessor=paths.get(PREPROCESSOR),
        remote_code=remote,
        notes=tuple(notes),
    )


def needed_files(source: Source, recipe: Recipe | None) -> list[str]:
    """Names of the files that `gather` downloads; this downloads `config.json` and an index of weights only.

    Raises
    ------
    ModelError, HubError : as `gather`, except that code in the repository is not refused.
    """
    names = set(source.names())
    config = _config(source, names, recipe)
    library = _library(config, source.origin, recipe)
    remote = library == "transformers" and _is_remote(config, recipe)
    return _needed(source, names, library, recipe, remote=remote)


def require_transformers(origin: str) -> None:
    """Raise ModelError where the optional library is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise ModelError(
            f"{origin} is a transformers model and transformers is not installed",
            remedy="install it with pip install 'transformers>=5.23'",
        )


def refuse_remote_code(origin: str, *, trusted: bool, pinned: bool) -> None:
    """Raise ModelError unless the user trusts the repository's code and has pinned it to a commit."""
    if trusted and pinned:
        return
    reasons = [*([] if trusted else ["not trusted"]), *([] if pinned else ["not pinned to a commit"])]
    raise ModelError(
        f"{origin} is Python code in its repository that is {' and '.join(reasons)}",
        remedy="read that code, then give both --fm-trust-remote-code and the full commit of 40 digits after "
        "the @, or load the model with your own python:module:factory",
    )


def read_config(config: Path, origin: str) -> dict[str, Any]:
    """A model's `config.json`.

    Raises
    ------
    ModelError : when it is not a JSON object.
    """
    try:
        if (size := config.stat().st_size) > _MOST_BYTES:
            raise ModelError(
                f"{CONFIG} of {origin} has {size / 1e6:,.0f} MB", remedy="download or save the model again"
            )
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        is_page = not isinstance(error, OSError) and config.read_bytes().lstrip()[:1] == b"<"
        problem = "is a web page" if is_page else f"cannot be read ({type(error).__name__})"
        raise ModelError(
            f"{CONFIG} of {origin} {problem}",
            remedy="check for a login page or a proxy, then download the model again"
            if is_page
            else "download or save the model again",
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{CONFIG} of {origin} is not a JSON object", remedy="download or save the model again"
        )
    return content


def _config(source: Source, names: set[str], recipe: Recipe | None) -> dict[str, Any] | None:
    if CONFIG in names:
        config = read_config(source.path(CONFIG), source.origin)
        if library_of(config) is not None or recipe is None:
            return config
    if recipe is None:
        raise ModelError(
            f"{source.origin} has no {CONFIG}",
            remedy="give a model that timm or transformers saved, or load it with your own "
            "python:module:factory",
        )
    return None


def library_of(config: Mapping[str, Any]) -> str | None:
    """`timm`, `transformers` or None, by the keys of a `config.json`."""
    if isinstance(config.get("architecture"), str):
        return "timm"
    return "transformers" if config.keys() & {"model_type", "architectures", "auto_map"} else None


def _library(config: Mapping[str, Any] | None, origin: str, recipe: Recipe | None) -> str:
    if config is None and recipe is not None:
        return recipe.library
    library = library_of(config or {})
    if library is None:
        raise ModelError(
            f"{CONFIG} of {origin} is neither timm's (no architecture) nor transformers' (no model_type)",
            remedy="load it with your own python:module:factory",
        )
    return library


def _is_remote(config: Mapping[str, Any] | None, recipe: Recipe | None) -> bool:
    if recipe is not None:
        return recipe.remote_code
    if not config or "auto_map" not in config:
        return False
    require_transformers("a model with code of its own")
    transformers: Any = importlib.import_module("transformers")
    # Where transformers includes the model, the repository's code is not needed.
    return str(config.get("model_type")) not in transformers.CONFIG_MAPPING


def _needed(
    source: Source, names: set[str], library: str, recipe: Recipe | None, *, remote: bool
) -> list[str]:
    chosen = weight_files.choose_weights(names, source.origin, recipe.weights if recipe else None)
    weights = [chosen]
    if weight_files.is_index(chosen):
        shards = weight_files.shards_of(source.path(chosen), source.origin)
        if missing := sorted(set(shards) - names):
            raise ModelError(
                f"{source.origin} has no {missing[0]}, which is listed in {chosen}",
                remedy="download or save the model again",
            )
        weights += shards
    optional = [CONFIG, *([PREPROCESSOR] if library == "transformers" else [])]
    code = sorted(name for name in names if remote and name.endswith(".py"))
    return [*(name for name in optional if name in names), *weights, *code]
