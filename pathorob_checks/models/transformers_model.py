"""Encoders of the transformers library, from files alone: the library itself sends no request."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from pathorob_checks.errors import ModelError
from pathorob_checks.models import preprocessing
from pathorob_checks.models.checkpoints import read_checkpoint
from pathorob_checks.models.encoder import Encoder
from pathorob_checks.models.failures import brief
from pathorob_checks.models.network_size import bounded_by
from pathorob_checks.models.pooling import TokenLayout
from pathorob_checks.models.processor_transform import ProcessorTransform
from pathorob_checks.models.repository import require_library
from pathorob_checks.models.tensor_names import of_network
from pathorob_checks.models.transformers_config import transformers_config, unstated
from pathorob_checks.models.weights import describe_misfits, is_left_over, of_other_types
from pathorob_checks.wording import shortened

if TYPE_CHECKING:
    from pathorob_checks.models.preprocessing import Transform
    from pathorob_checks.models.recipes import Recipe
    from pathorob_checks.models.repository import ModelFiles

_CLASS_TOKEN = re.compile(r"(?:.*\.)?(?:cls_token|class_token)")
_DISTILLATION_TOKEN = re.compile(r"(?:.*\.)?(?:distillation_token|dist_token)")
# Models such as CLIP normalize the class token alone: their other tokens are not finished.
_UNFINISHED_TOKENS = re.compile(r"(?:.*\.)?class_embedding")
_POSITIONS = re.compile(r"(?:.*\.)?position_embeddings?(?:\.weight)?")
_POOLER = re.compile(r"(?:.*\.)?pooler\..*")


class TransformersModel(Encoder):
    """A transformers encoder on its device; parameters and errors as in `Encoder`.

    Of models with an image and a text part (CLIP), `get_image_features` is the `pooled` output.

    Parameters
    ----------
    files : its config, weights and preprocessing.
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
        require_library("transformers", files.origin)
        with _quiet():
            model_class, config = _network_class(files, recipe)
            model, self._untrained_pooler, weight_notes = _loaded(model_class, config, files)
            transform, size, steps, notes = _preprocessing(files, recipe)
        self._image_features = getattr(model, "get_image_features", None)
        self._takes_pixel_values = "pixel_values" in inspect.signature(model.forward).parameters
        self._how, position_notes = _resampling(
            self._image_features or model.forward, model, size, files.origin
        )
        super().__init__(
            model,
            origin=files.origin,
            identity=identity,
            layout=TokenLayout(0, False, None) if self._image_features else layout_of(model, config, recipe),
            transform=transform,
            size=size,
            device=device,
            precision=precision,
            pooling=pooling,
            batch_size=batch_size,
            recipe=recipe,
            description={
                "library": "transformers",
                "architecture": type(model).__name__,
                "preprocessing": steps,
            },
            notes=[*weight_notes, *notes, *position_notes],
        )

    def _forward(self, images: torch.Tensor) -> Any:
        call = self._image_features or self._model
        return call(pixel_values=images, **self._how) if self._takes_pixel_values else call(images)

    def _tokens(self, output: Any) -> torch.Tensor:
        tokens: torch.Tensor = getattr(output, "last_hidden_state", output)
        return tokens

    def _own_pooling(self, output: Any) -> torch.Tensor:
        if isinstance(output, torch.Tensor):
            return output
        pooled: torch.Tensor | None = getattr(output, "pooler_output", None)
        if pooled is None or self._untrained_pooler:
            reason = ", as the weights of its pooler are missing" if self._untrained_pooler else ""
            raise ModelError(
                f"{self._origin} has no pooled output{reason}",
                remedy="choose --fm-pooling=clsmean, cls or mean if it has tokens",
            )
        # Convolutional networks keep the height and width of the image, both 1.
        return pooled.flatten(1) if pooled.ndim == 4 and pooled.shape[2:] == (1, 1) else pooled


def layout_of(model: Any, config: Any, recipe: Recipe | None = None) -> TokenLayout:
    """The layout of a transformers model's tokens; the recipe supplies what the model does not."""
    names = [name for name, _ in model.named_parameters()]
    class_token = any(_CLASS_TOKEN.fullmatch(name) for name in names)
    unfinished = any(_UNFINISHED_TOKENS.fullmatch(name) for name in names)
    registers = getattr(config, "num_register_tokens", None)
    if registers is None:
        registers = recipe.registers if recipe else 0
    if recipe is not None and recipe.remote_code:
        class_token = class_token or recipe.class_tokens > 0
    distillation = any(_DISTILLATION_TOKEN.fullmatch(name) for name in names)
    patch = getattr(config, "patch_size", None)
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch or ())
    prefix = int(class_token) + int(registers) + int(distillation)
    if unfinished or len(sides) != 2:
        return TokenLayout(prefix, class_token or unfinished, None)
    rows, columns = sides

    def grid(height: int, width: int) -> tuple[int, int]:
        return height // int(rows), width // int(columns)

    return TokenLayout(prefix, class_token, grid)


def _resampling(
    call: Any, model: Any, size: tuple[int, int], origin: str
) -> tuple[dict[str, bool], list[str]]:
    """How to call a network whose images have another size than its position embeddings, and a note on it."""
    config = model.config
    own = getattr(getattr(config, "vision_config", config), "image_size", None)
    has_positions = any(_POSITIONS.fullmatch(name) for name, _ in model.named_parameters())
    if not has_positions or not isinstance(own, int) or size == (own, own):
        return {}, []
    note = (
        f"{origin} has position embeddings for images of {own} px, which are resampled for {size[1]} px by "
        "transformers."
    )
    option = "interpolate_pos_encoding"
    return {option: True} if option in inspect.signature(call).parameters else {}, [note]


def build_config(model_type: str, config_args: Mapping[str, Any], origin: str) -> Any:
    """The library's config for a recipe.

    Raises
    ------
    ModelError : when the library does not know the type.
    """
    library = _library()

    if model_type not in library.CONFIG_MAPPING:
        raise _unknown(model_type, origin)
    return library.CONFIG_MAPPING[model_type](**config_args)


def _network_class(files: ModelFiles, recipe: Recipe | None) -> tuple[Any, Any]:
    """The network's class and its config."""
    library = _library()

    if files.config is None or files.config_file is None:
        if recipe is None or recipe.model_type is None:
            raise ModelError(f"{files.origin} has no config.json", remedy="download it again")
        config = build_config(recipe.model_type, recipe.config_args, files.origin)
        return library.MODEL_MAPPING[type(config)], config
    folder = files.config_file.parent
    if files.remote_code:
        return _remote_class(files, folder)
    model_type = model_type_of(files.config, files.origin)
    content = transformers_config(files.config, files.origin)
    try:
        config = library.CONFIG_MAPPING[model_type].from_dict(content)
        return library.MODEL_MAPPING[type(config)], config
    except Exception as error:  # the config class gets any values from the file, and may raise anything
        raise ModelError(
            f"transformers cannot build {model_type} from config.json of {files.origin} ({brief(error)})",
            remedy="use the transformers version that saved it, or save the model again",
        ) from error


def _remote_class(files: ModelFiles, folder: Path) -> tuple[Any, Any]:
    """Class and config from the repository's own code, which the user allowed to run."""
    import_class = _library("dynamic_module_utils").get_class_from_dynamic_module

    auto_map = (files.config or {}).get("auto_map")
    auto_map = auto_map if isinstance(auto_map, Mapping) else {}
    classes: dict[str, Any] = {}
    for role in ("AutoConfig", "AutoModel"):
        reference = auto_map.get(role)
        if not isinstance(reference, str):
            raise ModelError(
                f"config.json of {files.origin} has no {role} in its auto_map",
                remedy="load it with your own python:module:factory",
            )
        if "--" in reference:
            # The pinned commit, whose code the user has read, does not cover the other repository.
            raise ModelError(
                f"{files.origin} takes its code from another repository ({reference.partition('--')[0]})",
                remedy="load it with your own python:module:factory",
            )
        try:
            classes[role] = import_class(reference, str(folder), local_files_only=True)
        except Exception as error:  # importing runs the repository's code
            reason = f"{brief(error)}"
            raise ModelError(
                f"the code of {files.origin} cannot be imported ({reason})",
                remedy="install what it needs, or load it with your own python:module:factory",
            ) from error
    return classes["AutoModel"], classes["AutoConfig"].from_dict(dict(files.config or {}))


def _loaded(model_class: Any, config: Any, files: ModelFiles) -> tuple[Any, bool, tuple[str, ...]]:
    """The network with its weights, whether those of its pooler are missing, and notes for the user."""
    checkpoint = read_checkpoint(files.weights, files.origin, files.stated.key)
    try:
        with torch.device("meta"), bounded_by(files.weights, files.origin):
            expected: dict[str, torch.Tensor] = model_class(config).state_dict()
    except ModelError:
        raise
    except Exception:  # a network that cannot be built on the meta device: no names to compare with
        expected = dict(checkpoint.weights)
    # A prefix that the library strips itself is no news.
    base = f"{getattr(model_class, 'base_model_prefix', None)}."
    stripped_there = all(name.startswith(base) or is_left_over(name) for name in checkpoint.weights)
    if files.stated.prefixes or not stripped_there:
        checkpoint = of_network(checkpoint, expected.keys(), files.stated, files.origin)
    try:
        # The weights and not the folder, so that the library reads no other file there. It translates the
        # names of older versions.
        with bounded_by(files.weights, files.origin):
            model, report = model_class.from_pretrained(
                None,
                config=config,
                state_dict=dict(checkpoint.weights),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
            )
    except ModelError:
        raise
    except Exception as error:  # see `_network_class`
        raise ModelError(
            f"transformers cannot build {model_class.__name__} of {files.origin} ({brief(error)})",
            remedy="use the transformers version that saved it, or save the model again",
        ) from error
    missing = set(report["missing_keys"])
    pooler = {key for key in missing if _POOLER.fullmatch(key)}
    difference = describe_misfits(
        missing - pooler,
        [key for key in report["unexpected_keys"] if not is_left_over(key)],
        [key[0] if isinstance(key, tuple) else key for key in report["mismatched_keys"]],
        of_other_types(expected, checkpoint.weights),
    )
    if difference:
        raise ModelError(
            f"the weights of {files.origin} do not fit its config.json: the checkpoint {difference}",
            remedy="save weights and config.json from the same model",
        )
    return model, bool(pooler), checkpoint.notes


def _preprocessing(
    files: ModelFiles, recipe: Recipe | None
) -> tuple[Transform, tuple[int, int], dict[str, object], list[str]]:
    """Transform, size of its output, a description, and notes on disagreements."""
    processor = _processor(files, required=recipe is None)
    if recipe is not None:
        theirs = preprocessing.from_config(files.config or {})
        theirs |= preprocessing.from_processor(processor) if processor is not None else {}
        steps, notes = preprocessing.merge(recipe.preprocessing, theirs, files.origin)
        return steps.transform(), (steps.size, steps.size), steps.describe(), notes

    preprocessing.refuse_sizes(preprocessing.from_processor(processor), files.origin)

    transform = ProcessorTransform(processor)
    channels, height, width = transform(Image.new("RGB", (256, 256))).shape
    if channels != 3:
        raise ModelError(
            f"{files.origin} takes {channels}-channel images", remedy="choose a model for RGB images"
        )
    left = unstated(files.preprocessor) if files.preprocessor else []
    notes = [
        f"preprocessor_config.json of {files.origin} does not give its {', '.join(left)}: the defaults of "
        f"{type(processor).__name__} are used."
    ] * bool(left)
    description = {**preprocessing.from_processor(processor), "size": [height, width]}
    readable = {key: list(value) if isinstance(value, tuple) else value for key, value in description.items()}
    return transform, (height, width), {**readable, "processor": type(processor).__name__}, notes


def _processor(files: ModelFiles, *, required: bool) -> Any:
    """The repository's image processor; None where there is none and a recipe replaces it."""
    library = _library()

    if files.preprocessor is None:
        if required:
            raise ModelError(
                f"{files.origin} has no preprocessor_config.json, so its preprocessing is unknown",
                remedy="put it beside config.json and the weights in a folder and use local-dir:PATH, or "
                "load the model "
                "with your own python:module:factory",
            )
        return None
    try:
        # Pillow resizes, as for all other models; torchvision differs from it in the last bits.
        return library.AutoImageProcessor.from_pretrained(
            str(files.preprocessor.parent),
            backend="pil",
            local_files_only=True,
            trust_remote_code=files.remote_code,
        )
    except Exception as error:  # see `_network_class`
        if not required:
            return None
        raise ModelError(
            f"preprocessor_config.json of {files.origin} cannot be used ({brief(error)})",
            remedy="download it again, or load the model with your own python:module:factory",
        ) from error


def model_type_of(config: Mapping[str, Any], origin: str) -> str:
    """The type of network that a config names.

    Raises
    ------
    ModelError : transformers has none of this name.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in _library().CONFIG_MAPPING:
        raise _unknown(model_type, origin)
    return model_type


def _unknown(model_type: object, origin: str) -> ModelError:
    return ModelError(
        f"{origin} needs the model type {shortened(model_type)}, which is not in transformers "
        f"{_library().__version__}",
        remedy="upgrade transformers, or load the model with your own python:module:factory",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars and tables; a problem that they show is an error here."""
    logging = _library("utils").logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _library(part: str | None = None) -> Any:
    """The library, or a module of it; untyped, as it is optional and its types change with its version."""
    return importlib.import_module("transformers" + (f".{part}" if part else ""))
