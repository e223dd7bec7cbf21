"""What was probably meant by a `--fm` value that is no foundation model, or a folder without one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pathorob_checks.errors import SpecError
from pathorob_checks.files import expanded, shown
from pathorob_checks.models.spec import DEMO_NAMES, KINDS, ModelSpec, parse_exactly, recipe_repositories
from pathorob_checks.nearby import folder_nearby, named_like
from pathorob_checks.wording import nearest

# Words that others use for the kinds.
_OTHER_WORDS = {
    "hf": "hf-hub",
    "hub": "hf-hub",
    "huggingface": "hf-hub",
    "timm": "hf-hub",
    "transformers": "hf-hub",
    "local": "local-dir",
    "dir": "local-dir",
    "folder": "local-dir",
    "path": "local-dir",
    "file": "local-dir",
    "npz": "embeddings",
    "npy": "embeddings",
    "features": "embeddings",
    "py": "python",
    "recipe": "",
    "fm": "",
}
_WEB_ADDRESS = re.compile(
    r"(?:hf-hub:)?(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>[^/\s]+/[^/\s?#]+?)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[^/\s?#]+))?(?:[/?#]\S*)?"
)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")  # of a path on Windows
_CONFIGS = ("config.json", "open_clip_config.json")
_EMBEDDINGS = (".npz", ".npy", ".safetensors", ".parquet")
_SNAPSHOTS = 2  # levels down to a model in the hub's own cache


def meant_spec(text: str) -> str | None:
    """The valid spec that is probably meant by one that is not valid; None where none is near enough."""
    return _first_valid(_candidates(text))


def meant_by_missing_folder(spec: ModelSpec) -> str | None:
    """What is probably meant by `local-dir:` or `embeddings:` and a folder that does not exist."""
    path = expanded(spec.target)
    if (like := named_like(path, lambda entry: entry.is_dir())) is not None:
        return f"{spec.kind}:{shown(like)}"
    if path.is_absolute() or (path.parent.is_dir() and path.parent != Path()):
        return None
    is_recipe = spec.target in recipe_repositories()
    return spec.target if is_recipe else _first_valid(_names(spec.target))


def meant_by_folder_without_model(spec: ModelSpec) -> str | None:
    """What is probably meant by `local-dir:` and a folder without a model's config."""
    folder = expanded(spec.target)
    if _holds_model(folder):
        return None
    near = folder_nearby(folder, _holds_model, below=_SNAPSHOTS)
    return None if near is None else f"local-dir:{shown(near)}"


def _first_valid(candidates: Iterator[str]) -> str | None:
    for candidate in candidates:
        try:
            return parse_exactly(candidate).text
        except SpecError:
            continue
    return None


def _candidates(text: str) -> Iterator[str]:
    if web := _WEB_ADDRESS.fullmatch(text):
        yield f"hf-hub:{web['repo']}" + (f"@{web['revision']}" if web["revision"] else "")
        return
    kind, colon, target = text.partition(":")
    if not colon or _DRIVE.match(text):
        yield from _of_path(text)
        yield from _names(text)
        return
    plain = kind.strip().casefold().replace("_", "-")
    known = plain if plain in KINDS else _OTHER_WORDS.get(plain)
    if known is None:
        known = nearest(plain, KINDS)
    target = target.strip().removeprefix("//")
    if known == "demo":
        yield from (f"demo:{one}" for one in _near(target, DEMO_NAMES, cutoff=0.5))
    elif known == "python":
        yield from _factories(target)
    elif known == "hf-hub":
        if target != text.partition(":")[2] or kind != known:
            yield f"hf-hub:{target}"
        yield from _of_path(target)
        yield from _names(target)
    elif known == "":
        yield target
        yield from _names(target)
    elif known is not None:
        yield f"{known}:{target}"


def _of_path(text: str) -> Iterator[str]:
    """A path where a kind or a name is expected: what the folder holds decides."""
    if not text.strip():
        return
    path = expanded(text)
    if os.path.isdir(path):  # noqa: PTH112 (`Path.is_dir` raises for a long name)
        if _holds_embeddings(path) and not _holds_model(path):
            yield f"embeddings:{text}"
        elif _holds_model(path) or _is_written_as_path(text):
            yield f"local-dir:{text}"
    elif _is_written_as_path(text):
        yield f"local-dir:{text}"


def _is_written_as_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~")) or _DRIVE.match(text) is not None


def _names(text: str) -> Iterator[str]:
    """A repository without its kind, then misspelled recipes and demo models."""
    name, at, revision = text.partition("@")
    if "/" in text:
        yield f"hf-hub:{text}"
    plain = name.replace("_", "-").replace(" ", "-")
    yield from (f"{one}{at}{revision}" for one in _near(plain, recipe_repositories(), cutoff=0.7))
    yield from (f"demo:{one}" for one in _near(plain, DEMO_NAMES))
    if plain.casefold() == "demo":
        yield f"demo:{DEMO_NAMES[0]}"


def _near(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    near = nearest(name, known, cutoff=cutoff)
    return [] if near is None else [near]


def _factories(target: str) -> Iterator[str]:
    """A module and a factory joined by something else than a colon, or a file in place of the module."""
    path, colon, factory = target.partition(":")
    module = path.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
    if colon:
        yield f"python:{module}:{factory}"
    elif path == target and not path.endswith(".py"):
        yield "python:" + ":".join(module.rsplit(".", 1))


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _CONFIGS)


def _holds_embeddings(folder: Path) -> bool:
    """Whether embeddings are in a folder, or one level down as a folder for each cohort."""
    try:
        inner = [folder, *(one for one in folder.iterdir() if one.is_dir())]
        return any(
            path.suffix == ".npz" or (path.stem == "embeddings" and path.suffix in _EMBEDDINGS)
            for one in inner
            for path in one.iterdir()
        )
    except OSError:
        return False
