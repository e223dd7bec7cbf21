"""Encoders that timm builds from its own `config.json` or from a recipe, and from weights."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from pathorob_checks.errors import ModelError
from pathorob_checks.models import preprocessing
from pathorob_checks.models.checkpoints import read_checkpoint
from pathorob_checks.models.encoder import Encoder
from pathorob_checks.models.failures import brief
from pathorob_checks.models.layers import known_layers, with_layers
from pathorob_checks.models.network_size import bounded_by
from pathorob_checks.models.pooling import TokenLayout
from pathorob_checks.models.tensor_names import of_network
from pathorob_checks.models.timm_config import checked_preprocessing, timm_arguments, unstated
from pathorob_checks.models.weights import misfits, named_files
from pathorob_checks.wording import shortened

if TYPE_CHECKING:
    from pathorob_checks.models.pooling import Norm
    from pathorob_checks.models.preprocessing import Transform
    from pathorob_checks.models.recipes import Recipe
    from pathorob_checks.models.repository import ModelFiles


_POSITIONS = "pos_embed"


class TimmModel(Encoder):
    """A timm encoder on its device; parameters and errors as in `Encoder`.

    Where the model normalizes after pooling (timm's `fc_norm`), so do `cls`, `mean` and `clsmean`.

    Parameters
    ----------
    files : its config and weights.
    """

    def __init__(
        self,
        files: ModelFiles,
        *,
        identity: Mapping[str, object],
        device: str = "cpu",
        precision: str = "fp32",
        pooling: str | None = None,
        batch_size: int | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        from timm.data.config import resolve_model_data_config

        model = _built(files, recipe)
        weight_notes = _load_weights(model, files)
        model.reset_classifier(0)
        data_config: dict[str, Any] = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
        checked_preprocessing(data_config, files.origin)
        if data_config["input_size"][0] != 3:
            raise ModelError(
                f"{files.origin} takes {data_config['input_size'][0]}-channel images",
                remedy="choose a model for RGB images",
            )
        transform, size, steps, notes = _preprocessing(data_config, recipe, files)
        super().__init__(
            model,
            origin=files.origin,
            identity=identity,
            layout=layout_of(model),
            transform=transform,
            size=size,
            device=device,
            precision=precision,
            pooling=pooling,
            batch_size=batch_size,
            recipe=recipe,
            description={
                "library": "timm",
                "architecture": model.pretrained_cfg.get("architecture") or type(model).__name__,
                "preprocessing": steps,
            },
            notes=[*weight_notes, *notes],
        )

    def _forward(self, images: torch.Tensor) -> Any:
        return self._model.forward_features(images)

    def _tokens(self, output: Any) -> torch.Tensor:
        tokens: torch.Tensor = output
        return tokens

    def _own_pooling(self, output: Any) -> torch.Tensor:
        pooled: torch.Tensor = self._model.forward_head(output, pre_logits=True)
        return pooled

    def _norm_after_pooling(self) -> Norm | None:
        norm: Norm | None = getattr(self._model, "fc_norm", None)
        return norm


def build(config: Mapping[str, Any] | None, recipe: Recipe | None, origin: str) -> Any:
    """The network that a config describes, or a recipe where there is no config, with random weights.

    The recipe's arguments override the config's: they are those that the model's authors recommend.

    Raises
    ------
    ModelError : when timm cannot build it.
    """
    import timm

    architecture = architecture_of(config, recipe, origin)
    ours = recipe if recipe is not None and recipe.library == "timm" else None
    pretrained_cfg, arguments = timm_arguments(config or {}, architecture, origin)
    arguments = {**known_layers(arguments), **with_layers(ours.model_args if ours else {})}
    try:
        return timm.create_model(architecture, pretrained=False, pretrained_cfg=pretrained_cfg, **arguments)
    except ModelError:
        raise
    except Exception as error:  # timm's constructors get any arguments from the file, and may raise anything
        raise ModelError(
            f"timm {timm.__version__} cannot build {architecture} from config.json of {origin} "
            f"({brief(error)})",
            remedy="use the timm version that saved it, or save the model again",
        ) from error


def architecture_of(config: Mapping[str, Any] | None, recipe: Recipe | None, origin: str) -> str:
    """timm's name of the network, by its config, or by a recipe where there is no config.

    Raises
    ------
    ModelError : timm has no such architecture.
    """
    import timm

    ours = recipe if recipe is not None and recipe.library == "timm" else None
    architecture = config["architecture"] if config else ours.architecture if ours else None
    # A name with a source (hf-hub:, local-dir:) would make timm load another model.
    is_name = isinstance(architecture, str) and re.fullmatch(r"[\w.-]+", architecture) is not None
    if not isinstance(architecture, str) or not is_name or not timm.is_model(architecture):
        raise ModelError(
            f"{origin} needs the architecture {shortened(architecture)}, which is not in timm "
            f"{timm.__version__}",
            remedy="upgrade timm, or load the model with your own python:module:factory",
        )
    return architecture


def _built(files: ModelFiles, recipe: Recipe | None) -> Any:
    """The network, after its size was compared with that of the weights without taking memory for it."""
    with bounded_by(files.weights, files.origin):
        try:
            with torch.device("meta"):
                build(files.config, recipe, files.origin)
        except ModelError as error:
            # Some architectures of older versions cannot be built without memory.
            if error.__cause__ is None:
                raise
    with bounded_by(files.weights, files.origin):
        return build(files.config, recipe, files.origin)


def layout_of(model: Any) -> TokenLayout:
    """The layout of a timm model's tokens."""
    prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
    class_token = getattr(model, "cls_token", None) is not None
    patches: Any = getattr(model, "patch_embed", None)
    # Without a countable grid, registers could not be distinguished from patches.
    countable = hasattr(patches, "dynamic_feat_size") or hasattr(patches, "grid_size")
    if not countable or not hasattr(model, "num_prefix_tokens"):
        return TokenLayout(prefix, class_token, None)

    def grid(height: int, width: int) -> tuple[int, int]:
        # From the patch embedding: the number of tokens is checked against it.
        if hasattr(patches, "dynamic_feat_size"):
            rows, columns = patches.dynamic_feat_size((height, width))
        else:
            rows, columns = patches.grid_size
        return int(rows), int(columns)

    return TokenLayout(prefix, class_token and prefix > 0, grid)


def _preprocessing(
    data_config: Mapping[str, Any], recipe: Recipe | None, files: ModelFiles
) -> tuple[Transform, tuple[int, int], dict[str, object], list[str]]:
    """Transform, size of its output, a description, and notes on disagreements."""
    from timm.data.transforms_factory import create_transform

    defaults = unstated(files.config) if files.config else ()
    if recipe is not None:
        # Without a config, the values are timm's defaults and not this model's.
        theirs = preprocessing.from_timm(data_config) if files.config else {}
        # A default of timm's is no value of the repository's to disagree with.
        decided = [key for key in defaults if getattr(recipe.preprocessing, key, None) is not None]
        theirs = {key: value for key, value in theirs.items() if key not in decided}
        steps, notes = preprocessing.merge(recipe.preprocessing, theirs, files.origin)
        open_ = [key for key in defaults if key in preprocessing.FIELDS and key not in decided]
        notes += _note(open_, data_config, files)
        return steps.transform(), (steps.size, steps.size), steps.describe(), notes
    transform: Transform = create_transform(**data_config, is_training=False)
    _, height, width = data_config["input_size"]
    description: dict[str, object] = {
        "size": [height, width],
        "interpolation": data_config["interpolation"],
        "crop_pct": data_config["crop_pct"],
        "crop_mode": data_config["crop_mode"],
        "mean": list(data_config["mean"]),
        "std": list(data_config["std"]),
        "steps": [str(step) for step in getattr(transform, "transforms", [])],
    }
    return transform, (int(height), int(width)), description, _note(defaults, data_config, files)


def _note(defaults: Sequence[str], data_config: Mapping[str, Any], files: ModelFiles) -> list[str]:
    """What timm takes where the config has no value; timm's users get the same."""
    if not defaults:
        return []
    values = ", ".join(f"{key} {shortened(data_config[key])}" for key in defaults)
    return [f"config.json of {files.origin} does not give all of its preprocessing: timm's {values} is used."]


def _load_weights(model: Any, files: ModelFiles) -> tuple[str, ...]:
    """Copy every tensor of the weights into the model; any difference in names or shapes is an error.

    Returns notes for the user.
    """
    expected: dict[str, torch.Tensor] = model.state_dict()
    headless = getattr(model, "num_classes", None) == 0
    checkpoint = read_checkpoint(files.weights, files.origin, files.stated.key)
    checkpoint = of_network(checkpoint, expected.keys(), files.stated, files.origin)
    raw = dict(checkpoint.weights)
    weights, difference = raw, misfits(expected, raw, headless=headless)
    if difference:
        # The names may be those of an older timm or of the original code, which timm can translate.
        translated = _translated(model, raw)
        if translated is not None and misfits(expected, translated, headless=headless) is None:
            weights, difference = translated, None
    if difference:
        where = named_files(files.weights)
        source = "config.json" if files.config else "recipe"
        remedy = "save weights and config.json from the same model"
        positions = {name: held for name, held in expected.items() if name == _POSITIONS and name in weights}
        if positions and misfits(expected, {**weights, **positions}, headless=headless) is None:
            # Resampled ones would be those of another network, unless the config says so.
            remedy = (
                "give model_args the img_size of the weights, and dynamic_img_size for images of another size"
            )
        raise ModelError(
            f"{where} of {files.origin} does not fit its {source}: it {difference}",
            remedy=remedy,
        )
    model.load_state_dict({key: weights[key] for key in expected}, strict=True)
    return checkpoint.notes


def _translated(model: Any, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """Weights under timm's present names; None where they would be resampled to other shapes."""
    translate = getattr(sys.modules.get(type(model).__module__), "checkpoint_filter_fn", None)
    if translate is None:
        return None
    try:
        translated: dict[str, torch.Tensor] = dict(translate(dict(weights), model))
    except Exception:  # timm's translation is for other checkpoints than this one
        return None
    resampled = any(_is_resampled(weights.get(key), tensor) for key, tensor in translated.items())
    return None if resampled else translated


def _is_resampled(before: torch.Tensor | None, after: torch.Tensor) -> bool:
    """Whether a translation changed the values of a tensor, other than by removing the class token's row."""
    if before is None or before.shape == after.shape:
        return False
    if before.ndim != 3 or after.ndim != 3 or after.shape[1] >= before.shape[1]:
        return True
    return not torch.equal(before[:, -after.shape[1] :], after)
