"""The image part of open_clip's models, from `open_clip_config.json` or from a recipe, and from weights."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from pathorob_checks.errors import ModelError
from pathorob_checks.models import open_clip_config, preprocessing
from pathorob_checks.models.checkpoints import read_checkpoint
from pathorob_checks.models.encoder import Encoder
from pathorob_checks.models.failures import brief
from pathorob_checks.models.network_size import bounded_by
from pathorob_checks.models.pooling import TokenLayout
from pathorob_checks.models.repository import require_library
from pathorob_checks.models.tensor_names import of_network
from pathorob_checks.models.weights import misfits

if TYPE_CHECKING:
    from pathorob_checks.models.preprocessing import Transform
    from pathorob_checks.models.recipes import Recipe
    from pathorob_checks.models.repository import ModelFiles

_IMAGE_PART = "visual."
# The text part and what compares both: no embedding of an image needs them.
_TEXT_PART = re.compile(
    r"(?:text|text_decoder|transformer|token_embedding|ln_final)\..*"
    r"|positional_embedding|text_projection|logit_scale|logit_bias|attn_mask"
    r"|input_resolution|context_length|vocab_size"
)


class OpenClipModel(Encoder):
    """The image part of an open_clip model on its device; parameters and errors as in `Encoder`.

    Its embedding is what `encode_image` returns without normalization: a vector of the space that images and
    texts share, which is `pooled`, the only pooling.

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
        require_library("open_clip", files.origin)
        architecture = recipe.architecture if recipe else None
        arguments = open_clip_config.model_config(files.config, architecture, files.origin)
        network = _built(arguments, files)
        weight_notes = _load_weights(network, files)
        transform, size, steps, notes = _preprocessing(files, arguments["vision_cfg"], recipe)
        super().__init__(
            network,
            origin=files.origin,
            identity=identity,
            layout=TokenLayout(0, False, None),
            transform=transform,
            size=size,
            device=device,
            precision=precision,
            pooling=pooling,
            batch_size=batch_size,
            recipe=recipe,
            description={
                "library": "open_clip",
                "architecture": arguments["vision_cfg"].get("timm_model_name") or type(network).__name__,
                "preprocessing": steps,
            },
            notes=[*weight_notes, *notes],
        )

    def _forward(self, images: torch.Tensor) -> Any:
        return self._model(images)

    def _tokens(self, output: Any) -> torch.Tensor:
        raise AssertionError(f"choose_pooling accepts no pooling of {type(output).__name__} without a grid")

    def _own_pooling(self, output: Any) -> torch.Tensor:
        # Some networks return their tokens too, after the pooled output.
        pooled: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return pooled


def _built(arguments: Mapping[str, Any], files: ModelFiles) -> Any:
    """The network with random weights, after its size was compared with that of the weights."""
    build = importlib.import_module("open_clip.model")._build_vision_tower
    try:
        with torch.device("meta"), bounded_by(files.weights, files.origin):
            build(**arguments)
    except ModelError:
        raise
    except Exception:  # noqa: S110 - some networks cannot be built without memory
        pass
    try:
        with bounded_by(files.weights, files.origin):
            return build(**arguments)
    except ModelError:
        raise
    except Exception as error:  # the library gets any values from the file, and may raise anything
        raise ModelError(
            f"open_clip cannot build the image part of {files.origin} ({brief(error)})",
            remedy="use the open_clip version that saved it, or save the model again",
        ) from error


def _load_weights(network: Any, files: ModelFiles) -> tuple[str, ...]:
    """Copy every tensor of the image part into the network; any difference is an error.

    Returns notes for the user.
    """
    expected = {_IMAGE_PART + name: tensor for name, tensor in network.state_dict().items()}
    checkpoint = read_checkpoint(files.weights, files.origin, files.stated.key)
    checkpoint = of_network(checkpoint, expected.keys(), files.stated, files.origin)
    weights = {name: held for name, held in checkpoint.weights.items() if not _TEXT_PART.fullmatch(name)}
    if difference := misfits(expected, weights):
        source = "open_clip_config.json" if files.config else "recipe"
        raise ModelError(
            f"the weights of {files.origin} do not fit its {source}: the checkpoint {difference}",
            remedy="save weights and config from the same model",
        )
    network.load_state_dict({name.removeprefix(_IMAGE_PART): weights[name] for name in expected}, strict=True)
    return checkpoint.notes


def _preprocessing(
    files: ModelFiles, vision: Mapping[str, Any], recipe: Recipe | None
) -> tuple[Transform, tuple[int, int], dict[str, object], list[str]]:
    """Transform, size of its output, a description, and notes on disagreements and defaults."""
    stated = open_clip_config.preprocessing(files.config, vision, files.origin)
    left = open_clip_config.unstated(files.config) if files.config else []
    fields = open_clip_config.as_fields(stated)
    if recipe is not None:
        # Without a config, the values are the library's defaults and not this model's.
        theirs = {key: value for key, value in fields.items() if files.config and key not in left}
        steps, notes = preprocessing.merge(recipe.preprocessing, theirs, files.origin)
        return steps.transform(), (steps.size, steps.size), steps.describe(), notes
    transform: Transform = importlib.import_module("open_clip.transform").image_transform_v2(
        stated, is_train=False
    )
    notes = [
        f"open_clip_config.json of {files.origin} does not give its {', '.join(left)}: the defaults of "
        "open_clip are used."
    ] * bool(left)
    height, width = (stated.size, stated.size) if isinstance(stated.size, int) else stated.size
    description = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    described = {**description, "size": [height, width], "resize_mode": stated.resize_mode}
    return transform, (int(height), int(width)), described, notes
