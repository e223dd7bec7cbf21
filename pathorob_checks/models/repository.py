"""The files of a model, from the hub or a folder: which library they belong to and which are needed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pathorob_checks import hub
from pathorob_checks.errors import ModelError
from pathorob_checks.models import pins
from pathorob_checks.models import weights as weight_files
from pathorob_checks.models.checkpoints import NOTHING_STATED, StatedNames
from pathorob_checks.models.recipes import Recipe
from pathorob_checks.models.whole_files import refuse_broken

CONFIG = "config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"
PREPROCESSOR = "preprocessor_config.json"
# The module of a library, and what pip installs it by.
OPTIONAL_LIBRARIES = {"transformers": "transformers>=5.23", "open_clip": "open-clip-torch>=3.0"}
_MOST_BYTES = 10_000_000
_MOST_FILES = 10_000  # of a model's folder; more are a home or a data folder, which takes long to list


class Source(Protocol):
    """A place that holds a model's files.

    Attributes
    ----------
    origin : the model as the user knows it (`org/model`, a folder), for messages.
    commit : of a repository; None for a folder.
    pinned : whether the user gave a full commit, so that code in it cannot change.
    """

    @property
    def origin(self) -> str:
        """See above."""
        ...

    @property
    def commit(self) -> str | None:
        """See above."""
        ...

    @property
    def pinned(self) -> bool:
        """See above."""
        ...

    def names(self) -> list[str]:
        """All files, as paths from the top with `/`."""
        ...

    def sha256_of(self, name: str, /) -> str | None:
        """Digest (hex) of a file as the place states it, without reading the file; None where it does not."""
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
        return list(self._files)

    def sha256_of(self, name: str, /) -> str | None:
        """See `Source`."""
        return self._files[name].sha256

    @cached_property
    def _files(self) -> dict[str, hub.RemoteFile]:
        return {file.name: file for file in hub.list_files(self.origin, self.commit)}

    def path(self, name: str) -> Path:
        """See `Source`."""
        return hub.fetch(self.origin, self.commit, name)


@dataclass(frozen=True)
class FolderSource:
    """A folder."""

    origin: str
    folder: Path
    commit: None = None
    pinned: bool = False

    def names(self) -> list[str]:
        """See `Source`."""
        names = []
        for place, _, inside in os.walk(self.folder):
            paths = (os.path.join(place, name) for name in inside)  # noqa: PTH118 (much faster than Path)
            names += [os.path.relpath(path, self.folder) for path in paths if os.path.isfile(path)]  # noqa: PTH113
            if len(names) > _MOST_FILES:
                raise ModelError(
                    f"{self.origin} holds more than {_MOST_FILES:,} files, so it is no model's folder",
                    remedy=f"name the folder with the model's {CONFIG} and weights",
                )
        return sorted(Path(name).as_posix() for name in names)

    def sha256_of(self, _name: str, /) -> str | None:
        """See `Source`."""
        return None

    def path(self, name: str) -> Path:
        """See `Source`."""
        return self.folder / name


@dataclass(frozen=True)
class ModelFiles:
    """The files that a model is built from.

    Attributes
    ----------
    origin : see `Source`.
    library : `timm`, `transformers` or `open_clip`.
    config : content of the library's config; None where a recipe replaces it.
    config_file : path of `config.json`, or `open_clip_config.json` for open_clip, where it exists.
    preprocessor : path of `preprocessor_config.json`, where it exists and is used.
    weights : paths of the weights.
    remote_code : whether the network is code of the repository, which the user allowed to run.
    notes : sentences for the user on files that are left out.
    stated : where the weights hold the network, as far as that is stated.
    """

    origin: str
    library: str
    config: Mapping[str, Any] | None
    config_file: Path | None
    weights: tuple[Path, ...]
    preprocessor: Path | None = None
    remote_code: bool = False
    notes: tuple[str, ...] = ()
    stated: StatedNames = NOTHING_STATED


def gather(
    source: Source,
    recipe: Recipe | None,
    *,
    trust_remote_code: bool,
    stated: StatedNames = NOTHING_STATED,
) -> ModelFiles:
    """Bring a model's files to disk.

    Raises
    ------
    ModelError : when they are not the files of a model, or the model is code that may not be run.
    HubError : when they cannot be downloaded.
    """
    config, library, remote, names = _examined(source, recipe, trust_remote_code=trust_remote_code)
    needed = _needed(source, names, library, recipe, remote=remote)
    paths = {name: source.path(name) for name in needed}
    chosen = _chosen_weights(source, names, library, recipe)
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
        config_file=paths.get(_config_of(library)),
        weights=tuple(paths[name] for name in shards),
        preprocessor=paths.get(PREPROCESSOR),
        remote_code=remote,
        notes=tuple(notes),
        stated=stated,
    )


def needed_files(source: Source, recipe: Recipe | None, *, trust_remote_code: bool) -> list[str]:
    """Names of the files that `gather` downloads; this downloads the config and an index of weights only.

    Raises
    ------
    ModelError, HubError : as `gather`; also when the library has no such network, or a folder's weights are
        broken.
    """
    config, library, remote, names = _examined(source, recipe, trust_remote_code=trust_remote_code)
    needed = _needed(source, names, library, recipe, remote=remote)
    if library == "timm":
        from pathorob_checks.models.timm_model import architecture_of

        architecture_of(config, recipe, source.origin)
    elif library == "transformers" and config is not None and recipe is None and not remote:
        from pathorob_checks.models.transformers_model import model_type_of

        model_type_of(config, source.origin)
    if source.commit is None:  # a hub's files are compared with its digests when they are fetched
        weights = [name for name in needed if weight_files.is_weights(name)]
        refuse_broken([source.path(name) for name in weights], source.origin)
    return needed


def _examined(
    source: Source, recipe: Recipe | None, *, trust_remote_code: bool
) -> tuple[dict[str, Any] | None, str, bool, set[str]]:
    """The content of `config.json`, the library, whether the network is the repository's code, all names."""
    names = set(source.names())
    library, config = _library(source, names, recipe)
    remote = library == "transformers" and _is_remote(config, recipe)
    if library in OPTIONAL_LIBRARIES:
        require_library(library, source.origin)
    if remote:
        refuse_remote_code(source.origin, trusted=trust_remote_code, pinned=source.pinned)
    return config, library, remote, names


def require_library(library: str, origin: str) -> None:
    """Raise ModelError where an optional library is not installed."""
    if importlib.util.find_spec(library) is None:
        raise ModelError(
            f"{origin} is a model of {library}, which is not installed",
            remedy=f"install it with pip install '{OPTIONAL_LIBRARIES[library]}'",
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
    """The content of a model's config.

    Raises
    ------
    ModelError : when it is not a JSON object.
    """
    try:
        if (size := config.stat().st_size) > _MOST_BYTES:
            raise ModelError(
                f"{config.name} of {origin} has {size / 1e6:,.0f} MB",
                remedy="download or save the model again",
            )
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        is_page = not isinstance(error, OSError) and config.read_bytes().lstrip()[:1] == b"<"
        problem = "is a web page" if is_page else f"cannot be read ({type(error).__name__})"
        raise ModelError(
            f"{config.name} of {origin} {problem}",
            remedy="check for a login page or a proxy, then download the model again"
            if is_page
            else "download or save the model again",
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{config.name} of {origin} is not a JSON object", remedy="download or save the model again"
        )
    return content


def _library(source: Source, names: set[str], recipe: Recipe | None) -> tuple[str, dict[str, Any] | None]:
    """Which library a model belongs to, and its config; None where the recipe replaces that.

    Where a repository has configs of several libraries, `config.json` decides, unless a recipe does.
    """

    def config_of(library: str) -> dict[str, Any] | None:
        name = _config_of(library)
        return read_config(source.path(name), source.origin) if name in names else None

    if recipe is not None and recipe.library == "open_clip":
        return recipe.library, config_of(recipe.library)
    config = config_of("timm")
    library = library_of(config or {})
    if library is not None:
        return library, config
    if recipe is not None:
        return recipe.library, None
    if OPEN_CLIP_CONFIG in names:
        return "open_clip", config_of("open_clip")
    if config is None:
        raise ModelError(
            f"{source.origin} has no {CONFIG}",
            remedy="give a model that timm, transformers or open_clip saved, or load it with your own "
            "python:module:factory",
        )
    raise ModelError(
        f"{CONFIG} of {source.origin} is neither timm's (no architecture) nor transformers' (no model_type)",
        remedy="load it with your own python:module:factory",
    )


def _config_of(library: str) -> str:
    """Name of the file with a library's config."""
    return OPEN_CLIP_CONFIG if library == "open_clip" else CONFIG


def library_of(config: Mapping[str, Any]) -> str | None:
    """`timm`, `transformers` or None, by the keys of a `config.json`."""
    if isinstance(config.get("architecture"), str):
        return "timm"
    return "transformers" if config.keys() & {"model_type", "architectures", "auto_map"} else None


def _is_remote(config: Mapping[str, Any] | None, recipe: Recipe | None) -> bool:
    if recipe is not None:
        return recipe.remote_code
    if not config or "auto_map" not in config:
        return False
    require_library("transformers", "a model with code of its own")
    transformers: Any = importlib.import_module("transformers")
    # Where transformers includes the model, the repository's code is not needed.
    return str(config.get("model_type")) not in transformers.CONFIG_MAPPING


def _chosen_weights(source: Source, names: set[str], library: str, recipe: Recipe | None) -> str:
    """The file of weights or its index; the one with the recipe's digest, where the hub states digests."""
    preferred = recipe.weights if recipe else None
    expected = pins.expected_sha256(recipe, source.commit)
    if recipe is None or expected is None:
        return weight_files.choose_weights(names, source.origin, preferred, library)
    same = [name for name in sorted(names) if source.sha256_of(name) == expected]
    preferred = same[0] if same else preferred
    chosen = weight_files.choose_weights(names, source.origin, preferred, library)
    if (stated := source.sha256_of(chosen)) is not None:
        # Before gigabytes are downloaded.
        pins.refuse_other_weights(recipe, chosen, stated, source.origin)
    return chosen


def _needed(
    source: Source, names: set[str], library: str, recipe: Recipe | None, *, remote: bool
) -> list[str]:
    chosen = _chosen_weights(source, names, library, recipe)
    weights = [chosen]
    if weight_files.is_index(chosen):
        shards = weight_files.shards_of(source.path(chosen), source.origin)
        if missing := sorted(set(shards) - names):
            raise ModelError(
                f"{source.origin} has no {missing[0]}, which is listed in {chosen}",
                remedy="download or save the model again",
            )
        weights += shards
    optional = [_config_of(library), *([PREPROCESSOR] if library == "transformers" else [])]
    code = sorted(name for name in names if remote and name.endswith(".py"))
    return [*(name for name in optional if name in names), *weights, *code]
