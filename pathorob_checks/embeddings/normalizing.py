"""Foundation models that see normalized images: an image method before the model's own preprocessing."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pathorob_checks.cpus import available_cpus
from pathorob_checks.embeddings.tally import Tally
from pathorob_checks.embeddings.threads import in_order
from pathorob_checks.errors import MethodError
from pathorob_checks.models.loading import PreparedModel
from pathorob_checks.subsets import OUT_OF_DOMAIN

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort
    from pathorob_checks.methods.image_method import ImageMethod, Uint8
    from pathorob_checks.models.foundation_model import FoundationModel

WITHOUT_TISSUE = "patches_without_tissue"  # among the details of an extraction
PATCHES = 200  # that a target is fitted to
_LOT = "pathorob-checks image method"  # another text draws other patches
_AT_A_TIME = 32  # images in memory beside those in work


@dataclass(frozen=True)
class NormalizedModel(PreparedModel):
    """A prepared model whose images are normalized before its own preprocessing.

    Attributes
    ----------
    image_method : fitted; not to be fitted again.
    """

    image_method: ImageMethod | None = None


def normalized(prepared: PreparedModel, method: ImageMethod) -> NormalizedModel:
    """The same model, which sees every image as `method` normalizes it.

    Parameters
    ----------
    prepared : as `models.loading.prepare` gives it.
    method : fitted, see `fit_target`. It is copied: fitting it again changes nothing here.

    Returns
    -------
    A prepared model with `{"image_method": {"name", "version", "target"}}` in its identity. Its embeddings
    are stored under a key of their own, and the details of their extraction say in `patches_without_tissue`
    how many patches the model saw as they are.

    Raises
    ------
    MethodError : the method has no target, or the model is given by its embeddings.

    Examples
    --------
    >>> from pathorob_checks.embeddings.normalizing import normalized
    >>> from pathorob_checks.methods.reinhard import Reinhard
    >>> from pathorob_checks.models.loading import prepare, resolve
    >>> from pathorob_checks.models.model_settings import ModelSettings
    >>> from pathorob_checks.models.spec import parse_spec
    >>> fm = prepare(resolve(parse_spec("demo:color-sensitive"), "fm"), ModelSettings(device="cpu"))
    >>> method = Reinhard(target={"mean": [60, 20, -10], "std": [10, 6, 4]})
    >>> normalized(fm, method).identity["image_method"]["name"]
    'reinhard'
    """
    if prepared.identity.get("kind") == "embeddings":
        raise MethodError(
            f"{method.name} normalizes images, but {prepared.name} is given by its embeddings",
            remedy="give the FM itself, or use a method that repairs embeddings",
        )
    kept = copy.deepcopy(method)
    stated = {"name": kept.name, "version": kept.version, "target": kept.target}
    identity = {**prepared.identity, "image_method": stated}

    def load() -> FoundationModel:
        return _normalizing(prepared.load(), kept, identity)

    given = {field.name: getattr(prepared, field.name) for field in fields(PreparedModel)}
    return NormalizedModel(**{**given, "identity": identity, "load": load}, image_method=kept)


def fit_target(method: ImageMethod, cohort: Cohort, *, patches: int = PATCHES) -> ImageMethod:
    """A copy of `method` that is fitted to in-domain patches of a cohort.

    The patches are those whose slide and patch id have the smallest SHA-256, with a fixed text before them:
    a random sample that is the same in every process, whatever the order of the rows, and that changes little
    when patches are added. No out-of-domain patch is read, and no label but the subset.

    Parameters
    ----------
    method : is not changed.
    patches : their number; where the cohort has fewer in-domain patches, all of them.

    Raises
    ------
    CohortError : an image cannot be decoded.
    MethodError : there is no in-domain patch, or none with enough tissue.
    ValueError : `patches` is below 1.

    Examples
    --------
    >>> from pathorob_checks.cohorts import demo
    >>> from pathorob_checks.embeddings.normalizing import fit_target
    >>> from pathorob_checks.methods.reinhard import Reinhard
    >>> sorted(fit_target(Reinhard(), demo.load(), patches=5).target)
    ['mean', 'std']
    """
    if patches < 1:
        raise ValueError(f"{patches} patches cannot be drawn")
    table = cohort.patches
    lots = sorted(
        (hashlib.sha256(repr((_LOT, slide, patch)).encode()).digest(), row)
        for row, (slide, patch, subset) in enumerate(
            zip(table.slide_id, table.patch_id, table.subset, strict=True)
        )
        if subset != OUT_OF_DOMAIN
    )
    if not lots:
        raise MethodError(
            f"{method.name} has no target, as the cohort {cohort.name} has no in-domain patches",
            remedy="mark some as ID, or give a target",
        )
    rows = [row for _, row in lots[:patches]]
    return copy.deepcopy(method).fit(_in_threads(lambda row: _pixels(cohort.read_image(row)), rows))


def image_method_of(prepared: object) -> ImageMethod | None:
    """The image method of a prepared model; None where it sees images as they are."""
    return getattr(prepared, "image_method", None)


def count_without_tissue(method: ImageMethod, cohort: Cohort, rows: Sequence[int]) -> int:
    """How many of these patches the method passes through unchanged; their images are read again."""
    return sum(_in_threads(lambda row: not method.transform(_pixels(cohort.read_image(row)))[1], rows))


@dataclass(frozen=True)
class Normalizing:
    """An image method, and what comes after it. It can be sent to another process if its parts can.

    Attributes
    ----------
    method : fitted.
    then : what the model does with the normalized RGB image.
    without_tissue : counts the images that were passed through unchanged.
    """

    method: ImageMethod
    then: Callable[[Image.Image], Any]
    without_tissue: Tally

    def __call__(self, image: Image.Image) -> Any:
        """What `then` makes of the normalized image; of the image itself where it has too little tissue."""
        pixels, enough = self.method.transform(_pixels(image))
        if not enough:
            self.without_tissue.add(1)
            return self.then(image)
        return self.then(Image.fromarray(pixels))


def _normalizing(model: FoundationModel, method: ImageMethod, identity: dict[str, object]) -> FoundationModel:
    """A copy of a loaded model with another first step; the network is shared.

    A copy has all that the model has, known here or not, and so has its own copy in another precision.
    """
    changed: Any = copy.copy(model)
    tally = Tally()
    changed.identity = identity
    changed.without_tissue = tally
    changed.preprocess = Normalizing(method, model.preprocess, tally)
    steps = getattr(model, "pixels", None)
    if steps is not None:
        geometry = Normalizing(method, steps.pixels.geometry, tally)
        changed.pixels = replace(steps, pixels=replace(steps.pixels, geometry=geometry))
    return changed  # type: ignore[no-any-return]


def _pixels(image: Image.Image) -> Uint8:
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _in_threads(function: Callable[[int], Any], rows: Sequence[int]) -> Iterable[Any]:
    threads = available_cpus()
    return in_order(function, rows, threads=threads, window=threads + _AT_A_TIME)
