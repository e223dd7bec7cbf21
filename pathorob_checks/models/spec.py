"""The value of `--fm`: which foundation model a run is about.

Imported while pytest parses its options, so this module imports nothing heavy and sends no request. The
model itself is looked up later, by `loading.resolve`.
"""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pathorob_checks.errors import SpecError
from pathorob_checks.files import expanded
from pathorob_checks.wording import counted, shortened

DEMO_NAMES = ("stain-invariant", "color-sensitive")
"""Names after `demo:`. Repeated here because `models.demo` imports torch; a test keeps the two equal."""

FORMS = (
    "a recipe's name such as virchow2[@revision]",
    "hf-hub:org/model[@revision]",
    "local-dir:PATH",
    "embeddings:PATH",
    "python:module:factory",
    *(f"demo:{name}" for name in DEMO_NAMES),
)
KINDS = ("hf-hub", "local-dir", "embeddings", "python", "demo")
_FOLDERS = {"local-dir": "the model's folder", "embeddings": "the folder of the precomputed embeddings"}
_HUB_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,254}")


@dataclass(frozen=True)
class ModelSpec:
    """A parsed `--fm` value.

    Attributes
    ----------
    text : the value as the user wrote it.
    kind : `recipe`, `hf-hub`, `local-dir`, `embeddings`, `python` or `demo`.
    target : what the kind's loader takes: a recipe's name, `org/model`, a folder, `module:factory`, a
        demo's name.
    revision : branch, tag or commit after `@`, for `recipe` and `hf-hub` only.
    """

    text: str
    kind: str
    target: str
    revision: str | None = None


def parse_spec(text: str) -> ModelSpec:
    """Parse a `--fm` value.

    Raises
    ------
    SpecError : when it is no foundation model; the message suggests the nearest one, or says what is needed.
    """
    try:
        return parse_exactly(text)
    except SpecError as error:
        from pathorob_checks.models.meant_spec import meant_spec

        meant = meant_spec(text.strip())
        if meant is None:
            raise
        raise SpecError(error.problem, remedy=f"did you mean {meant}?") from None


def parse_exactly(text: str) -> ModelSpec:
    """Parse a `--fm` value; the SpecError of one that is no foundation model suggests no other."""
    text = text.strip()
    kind, colon, target = text.partition(":")
    if not colon:
        return _parse_recipe(text)
    if kind not in KINDS:
        raise _unknown(text)
    if kind == "hf-hub":
        return _parse_hub(text, target)
    if kind == "demo":
        return _parse_demo(text, target)
    if kind == "python":
        return _parse_python(text, target)
    if not target.strip():
        raise SpecError(f"--fm={text} has no path", remedy=f"write {kind}:PATH with {_FOLDERS[kind]}")
    return ModelSpec(text, kind, target)


@cache
def recipe_repositories() -> Mapping[str, tuple[str, str | None]]:
    """Repository and pinned revision of each recipe, by its name; read from the table without checking it."""
    table = tomllib.loads(Path(__file__).with_name("recipes.toml").read_text(encoding="utf-8"))
    return {name: (row["repo"], row.get("revision")) for name, row in table["recipes"].items()}


def names_of(specs: Sequence[ModelSpec], given: Sequence[str] = ()) -> list[str]:
    """The name of each FM in tables and files: those given, in the same order, else short ones.

    Raises
    ------
    SpecError : two specs name the same model, there is not one name for each FM, or a name cannot be used.
    """
    short = short_names(specs)
    if not given:
        return short
    if len(given) != len(specs):
        raise SpecError(
            f"there {'is' if len(specs) == 1 else 'are'} {counted(len(specs), 'FM')} and "
            f"{counted(len(given), '--fm-name')}",
            remedy="give each FM one name, in the order of --fm, or leave all names out",
        )
    first: dict[str, str] = {}
    for name in given:
        if not name or name != name.strip() or not name.isprintable():
            raise SpecError(
                f"--fm-name={shortened(name)} is empty, begins or ends with a blank, or has a character that "
                "cannot be shown",
                remedy="give a name that can be read in a table",
            )
        key = unicodedata.normalize("NFKC", name).casefold()
        if key in first:
            both = " and ".join(dict.fromkeys([first[key], name]))
            raise SpecError(f"--fm-name gives two FMs one name ({both})", remedy="give each its own")
        first[key] = name
    return list(given)


def short_names(specs: Sequence[ModelSpec]) -> list[str]:
    """Readable names for test ids, one per spec, in the same order and all different.

    A name is as short as the others allow: `vit_tiny`, else `org/vit_tiny`, else `org/vit_tiny@v2`.

    Raises
    ------
    SpecError : when two specs name the same model.
    """
    first: dict[tuple[str, str, str | None], ModelSpec] = {}
    for spec in specs:
        twin = first.setdefault(_model_key(spec), spec)
        if twin is not spec:
            both = spec.text if spec.text == twin.text else f"{twin.text} and {spec.text}"
            raise SpecError(f"--fm has the same foundation model twice ({both})", remedy="give it once")
    forms = [_name_forms(spec) for spec in specs]
    lengths = [0] * len(forms)
    while True:
        names = [form[length] for form, length in zip(forms, lengths, strict=True)]
        counts = Counter(names)
        # This ends, since the last form is the whole spec, which is unique by the check above.
        longer = [i for i, name in enumerate(names) if counts[name] > 1 and lengths[i] + 1 < len(forms[i])]
        if not longer:
            return names
        for i in longer:
            lengths[i] += 1


def _model_key(spec: ModelSpec) -> tuple[str, str, str | None]:
    """Equal for specs that name the same model: a recipe and its repository, two paths to a folder."""
    if spec.kind in _FOLDERS:
        return spec.kind, str(expanded(spec.target).resolve()), None
    recipes = recipe_repositories()
    if spec.kind == "recipe":
        repo, pinned = recipes[spec.target]
        return "hf-hub", repo.casefold(), spec.revision or pinned
    if spec.kind == "hf-hub":
        pinned = next(
            (rev for repo, rev in recipes.values() if repo.casefold() == spec.target.casefold()), None
        )
        return "hf-hub", spec.target.casefold(), spec.revision or pinned
    return spec.kind, spec.target, None


def _name_forms(spec: ModelSpec) -> list[str]:
    """Names of a spec from shortest to fullest; the last one is the spec itself."""
    if spec.kind == "hf-hub":
        # Without a revision the third form is the second, so that only the spec with a revision gets longer.
        full = spec.target if spec.revision is None else f"{spec.target}@{spec.revision}"
        return [spec.target.partition("/")[2], spec.target, full, f"hf-hub:{full}"]
    if spec.kind == "recipe":
        return [spec.target, spec.target if spec.revision is None else f"{spec.target}@{spec.revision}"]
    if spec.kind in _FOLDERS:
        # A link is not resolved: the user knows its own name.
        path = Path(os.path.normpath(expanded(spec.target).absolute())).as_posix()
        parts = [part for part in path.split("/") if part]
        forms = ["/".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        return [*forms, path, f"{spec.kind}:{path}"]
    if spec.kind == "python":
        return [spec.target.partition(":")[2], spec.target, f"python:{spec.target}"]
    return [spec.target, f"{spec.kind}:{spec.target}"]


def _parse_hub(text: str, target: str) -> ModelSpec:
    repo, at, revision = target.partition("@")
    parts = repo.split("/")
    # The hub refuses these too: `..` leads to a parent folder, and `--` is the separator in its cache.
    legal = len(parts) == 2 and all(_HUB_PART.fullmatch(part) for part in parts)
    if not legal or ".." in repo or "--" in repo:
        raise SpecError(
            f"--fm={text} has no repository of the form org/model",
            remedy="write hf-hub:org/model or hf-hub:org/model@revision with the id from the model's page",
        )
    return ModelSpec(text, "hf-hub", repo, _revision(text, at, revision))


def _parse_recipe(text: str) -> ModelSpec:
    name, at, revision = text.partition("@")
    if name not in recipe_repositories():
        raise _unknown(text)
    return ModelSpec(text, "recipe", name, _revision(text, at, revision))


def _revision(text: str, at: str, revision: str) -> str | None:
    """The text after the @, if there is one."""
    if at and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise SpecError(
            f"--fm={text} has no valid revision after the @",
            remedy="give a branch, a tag or a commit, or leave the @ out",
        )
    return revision if at else None


def _parse_demo(text: str, name: str) -> ModelSpec:
    if name not in DEMO_NAMES:
        raise SpecError(
            f"--fm={text} is not a built-in demo model",
            remedy=f"choose {' or '.join(f'demo:{one}' for one in DEMO_NAMES)}",
        )
    return ModelSpec(text, "demo", name)


def _parse_python(text: str, target: str) -> ModelSpec:
    module, colon, factory = target.partition(":")
    names = [*module.split("."), *factory.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise SpecError(
            f"--fm={text} is not a Python factory",
            remedy="write python:module:factory, for example python:my_project.encoders:build",
        )
    return ModelSpec(text, "python", target)


def _unknown(text: str) -> SpecError:
    return SpecError(
        f"--fm={text or repr(text)} is not a foundation model", remedy=f"the forms are {', '.join(FORMS)}"
    )
