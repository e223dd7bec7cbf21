"""How an embedding is taken from each public foundation model: the table `recipes.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pathorob_checks.errors import ModelError
from pathorob_checks.models.pooling import Pooling
from pathorob_checks.pretraining import UNSTATED, Pretraining

TABLE = Path(__file__).with_name("recipes.toml")

Triple = tuple[float, float, float]
Pixels = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]

Source = Literal["benchmark", "protocol", "card", "code", "repository", "harnesses"]
SOURCES: Mapping[Source, str] = {
    "benchmark": "what the benchmark measured",
    "protocol": "the benchmark's protocol, applied to a model that it has not measured",
    "card": "the authors' model card",
    "code": "the authors' code",
    "repository": "the files of the repository",
    "harnesses": "maintained programs that embed patches with many foundation models",
}
"""Where a value of a recipe can come from."""

NORMALIZATION = "normalization"
"""The table's word for `mean` and `std` together."""


def _valid_requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"{text} is no requirement ({error})") from error
    return text


InstalledRequirement = Annotated[str, AfterValidator(_valid_requirement)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipePreprocessing(_Row):
    """The preprocessing of a recipe; None takes the repository's value.

    Attributes
    ----------
    size : pixels, width and height of the network's input.
    resize : pixels to resize to before the crop; the shorter side, or both with `squash`.
    crop : `center` keeps the aspect ratio and crops, `squash` resizes both sides.
    interpolation : `bilinear`, `bicubic`, `lanczos` or `nearest`.
    mean, std : per channel, of values in 0..1.
    """

    size: Pixels | None = None
    resize: Pixels | None = None
    crop: Literal["center", "squash"] | None = None
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest"] | None = None
    mean: Triple | None = None
    std: Triple | None = None


class Sources(_Row):
    """Where the values of a recipe come from; each is a key of `SOURCES`.

    Attributes
    ----------
    network : library, architecture, arguments, tokens and widths.
    weights : revision and digest; None where they are not known.
    preprocessing, pooling : as named.
    license : license, commercial use and gate.
    """

    network: Source
    weights: Source | None = None
    preprocessing: Source
    pooling: Source
    license: Source


class Recipe(_Row):
    """One foundation model.

    Attributes
    ----------
    name : as in `--fm=NAME`.
    repo : `org/model` on the hub.
    mirrors : other repositories of the same model; for library `package` only, as a commit is of one.
    revision : commit that is used unless the user gives another; None where none is known.
    weights_sha256 : digest (hex) of the file of weights at that commit.
    library : `timm`, `transformers`, `open_clip`, or `package` for a package of its own that this project
        does not load.
    architecture : timm's or open_clip's name for it; used where the repository has no config of theirs.
    model_args : arguments for `timm.create_model`; layer classes by their names in `layers.LAYERS`. They
        override the repository's.
    model_type, config_args : transformers' config, used where the repository has none.
    preprocessing : overrides the repository's, value by value.
    pooling : one of `pooling.POOLINGS`.
    class_tokens, registers : tokens before the patch tokens.
    native_dimension : width of a token, or of the model's own pooled output with `pooled`.
    dimension : width of an embedding.
    license : of the weights.
    commercial : whether the license allows commercial use; None where that is uncertain.
    gated : whether terms must be accepted on the hub first.
    remote_code : whether the model is code in its repository.
    package : what to install for a model of library `package`.
    weights : name of the weights' file where it is not a standard one.
    sub_dictionary : key inside a checkpoint that holds the tensors, such as `teacher`.
    prefixes : to be removed from the names of the tensors, in this order.
    requirements : what must be installed beside this package (PEP 508), such as `transformers<5`.
    notes : sentences for the user.
    pretraining : what it was pretrained on, as far as that is certain.
    sources : of these values.
    choices : by field, why its value was chosen where the sources differ; `normalization` for `mean`
        and `std`.
    """

    name: str
    repo: str
    mirrors: tuple[str, ...] = ()
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    weights_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    library: Literal["timm", "transformers", "open_clip", "package"]
    architecture: str | None = None
    model_args: dict[str, Any] = {}
    model_type: str | None = None
    config_args: dict[str, Any] = {}
    preprocessing: RecipePreprocessing = RecipePreprocessing()
    pooling: Pooling
    class_tokens: Count
    registers: Count = 0
    native_dimension: Annotated[int, Field(gt=0)]
    dimension: Annotated[int, Field(gt=0)]
    license: str
    commercial: bool | None
    gated: bool
    remote_code: bool = False
    package: str | None = None
    weights: str | None = None
    sub_dictionary: str | None = None
    prefixes: tuple[str, ...] = ()
    requirements: tuple[InstalledRequirement, ...] = ()
    notes: tuple[str, ...] = ()
    pretraining: Pretraining = UNSTATED
    sources: Sources
    choices: dict[str, str] = {}

    @property
    def prefix_tokens(self) -> int:
        """Tokens before the patch tokens."""
        return self.class_tokens + self.registers

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if (self.library in ("timm", "open_clip")) != (self.architecture is not None):
            raise ValueError("a timm or open_clip model needs an architecture, and no other model has one")
        if self.mirrors and self.library != "package":
            raise ValueError("a model that is loaded here has one repository")
        if self.weights_sha256 is not None and self.revision is None:
            raise ValueError("a digest of weights needs the revision that has them")
        if (self.sources.weights is None) != (self.revision is None):
            raise ValueError("a revision needs a source, and no source is needed without one")
        fields = {*Recipe.model_fields, *RecipePreprocessing.model_fields, NORMALIZATION}
        if unknown := self.choices.keys() - fields:
            raise ValueError(f"there is no field {min(unknown)} to choose a value for")
        if (self.library == "package") != (self.package is not None):
            raise ValueError("a model of library package needs a package, and no other model has one")
        if self.library == "transformers" and (self.model_type is None) != self.remote_code:
            raise ValueError("a transformers model needs either a model_type or remote code")
        if self.pooling in ("cls", "clsmean") and self.class_tokens == 0:
            raise ValueError(f"pooling {self.pooling} needs a class token")
        if self.dimension != self.native_dimension * (2 if self.pooling == "clsmean" else 1):
            raise ValueError("dimension does not follow from native_dimension and pooling")
        return self

    def identity(self) -> dict[str, object]:
        """The part of the recipe that decides an embedding's bytes, JSON-like."""
        deciding = {
            "name",
            "library",
            "architecture",
            "model_args",
            "model_type",
            "config_args",
            "preprocessing",
            "pooling",
            "class_tokens",
            "registers",
            "sub_dictionary",
            "prefixes",
        }
        return self.model_dump(mode="json", include=deciding, exclude_none=True)


@cache
def recipes() -> dict[str, Recipe]:
    """All recipes by name, in the table's order.

    Raises
    ------
    ModelError : when the table cannot be read or a recipe is not valid.
    """
    try:
        table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
        return {
            name: _recipe(name, row, table.get("normalizations", {}))
            for name, row in table["recipes"].items()
        }
    except (OSError, KeyError, ValueError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ModelError(
            f"the table of recipes is not valid ({first})", remedy="install pathorob-checks again"
        ) from error


def recipe_for_repository(repo: str) -> Recipe | None:
    """The recipe of a hub repository, if there is one; the hub ignores case."""
    return next(
        (
            recipe
            for recipe in recipes().values()
            if repo.casefold() in {name.casefold() for name in (recipe.repo, *recipe.mirrors)}
        ),
        None,
    )


def _recipe(name: str, row: dict[str, Any], normalizations: dict[str, dict[str, Any]]) -> Recipe:
    values = {**row, "name": name}
    preprocessing = dict(values.get("preprocessing", {}))
    if (normalization := preprocessing.pop(NORMALIZATION, None)) is not None:
        preprocessing |= normalizations[normalization]
    values["preprocessing"] = preprocessing
    if values.get("commercial") == "uncertain":
        values["commercial"] = None
    return Recipe.model_validate(values)
