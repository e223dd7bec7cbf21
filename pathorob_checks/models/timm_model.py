"""Encoders that timm saved: a `config.json` and a `model.safetensors`, run as PathoROB runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pathorob_checks.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

POOLINGS = ("clsmean", "cls", "mean", "pooled")
PRECISIONS = ("fp32", "bf16", "fp16")
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_DEFAULT_BATCH_SIZE = {"cpu": 32, "cuda": 128}
_KEYS_SHOWN = 3


@dataclass(frozen=True)
class TimmFiles:
    """What timm saves of a model, and what an error may call it.

    Attributes
    ----------
    config : timm's `config.json`.
    weights : `model.safetensors`.
    origin : the model as the user knows it (`org/model`, a folder), for messages.
    """

    config: Path
    weights: Path
    origin: str


def read_config(config: Path, origin: str) -> dict[str, Any]:
    """A timm repository's `config.json`.

    Raises
    ------
    ModelError : when it is unreadable or not timm's.
    """
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"config.json of {origin} cannot be read ({type(error).__name__})",
            remedy="download or save the model again",
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("architecture"), str):
        raise ModelError(
            f"{origin} is not a timm model, as its config.json names no architecture",
            remedy="load it by code of your own with python:module:factory",
        )
    return content


class TimmModel:
    """A timm encoder on its device, with the preprocessing of its own config.

    Parameters
    ----------
    files : where its config and weights are.
    identity : see `FoundationModel.identity`; kept as given.
    device : `cpu`, `cuda` or `cuda:N`.
    precision : `fp32` (with TF32 off), `bf16` or `fp16` (by autocast, the weights stay float32).
    pooling : one of `POOLINGS`; None is `clsmean` for a model with a class token, else `pooled`.

        - `cls`: class token after the last norm.
        - `mean`: mean of the patch tokens; class, distillation and register tokens stay out.
        - `clsmean`: both, concatenated in this order, so twice as wide.
        - `pooled`: the model's own features before its classifier.

        Where the model normalises after pooling (timm's `fc_norm`), so do `cls`, `mean` and `clsmean`.
    batch_size : None is 32 on the CPU and 128 on a GPU.
    model_args : arguments for `timm.create_model` on top of the config's, for what JSON cannot say
        (layer classes).

    Attributes
    ----------
    description : architecture, pooling in force, prefix tokens, preprocessing and dimension, readable.

    Raises
    ------
    ModelError : when the files do not make a model, or the model has no such pooling.
    """

    def __init__(
        self,
        files: TimmFiles,
        *,
        identity: Mapping[str, object],
        device: str = "cpu",
        precision: str = "fp32",
        pooling: str | None = None,
        batch_size: int | None = None,
        model_args: Mapping[str, Any] | None = None,
    ) -> None:
        from timm.data.config import resolve_model_data_config
        from timm.data.transforms_factory import create_transform

        self.identity = identity
        self._origin = files.origin
        self._device = torch.device(device)
        self._autocast = _AUTOCAST.get(precision)
        model = _build(files, model_args or {})
        _load_weights(model, files)
        model.reset_classifier(0)
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._prefix_tokens = int(getattr(model, "num_prefix_tokens", 0) or 0)
        self._pooling = self._choose_pooling(pooling)
        self.batch_size = batch_size or _DEFAULT_BATCH_SIZE.get(self._device.type, 32)

        data_config: dict[str, Any] = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
        channels, height, width = data_config["input_size"]
        if channels != 3:
            raise ModelError(
                f"{files.origin} takes images of {channels} channels", remedy="choose a model for RGB images"
            )
        self._transform = create_transform(**data_config, is_training=False)
        # One blank image tells the real width and finds an impossible pooling before any patch is read.
        self.dimension = int(self.embed(torch.zeros(1, channels, height, width)).shape[1])
        self.description: dict[str, object] = {
            "library": "timm",
            "architecture": model.pretrained_cfg.get("architecture") or type(model).__name__,
            "pooling": self._pooling,
            "prefix_tokens": self._prefix_tokens,
            "preprocessing": {
                "size": [height, width],
                "interpolation": data_config["interpolation"],
                "crop_pct": data_config["crop_pct"],
                "crop_mode": data_config["crop_mode"],
                "mean": list(data_config["mean"]),
                "std": list(data_config["std"]),
                "steps": [str(step) for step in getattr(self._transform, "transforms", [])],
            },
            "precision": precision,
            "dimension": self.dimension,
        }

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image of any size -> (3, H, W) float32 tensor on the CPU, by timm's evaluation transform."""
        tensor: torch.Tensor = self._transform(image if image.mode == "RGB" else image.convert("RGB"))
        return tensor

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) float32 -> (B, `dimension`) float32 tensor on the CPU.

        Raises
        ------
        ModelError : when the device's memory is too small for the batch, or the tokens are not what the
            pooling takes them for.
        """
        kind = self._device.type
        try:
            with (
                torch.inference_mode(),
                _without_tf32(),
                torch.autocast(kind, dtype=self._autocast, enabled=self._autocast is not None),
            ):
                images = batch.to(self._device)
                features = self._model.forward_features(images)
                if self._pooling == "pooled":
                    embeddings = self._own_pooling(features)
                else:
                    embeddings = self._pool_tokens(features, (int(images.shape[-2]), int(images.shape[-1])))
            return embeddings.float().cpu()
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self._origin} needs more memory than {self._device} has for {len(batch)} patches at once",
                remedy="give a smaller --fm-batch-size",
            ) from error

    def _choose_pooling(self, requested: str | None) -> str:
        model = self._model
        patches = getattr(model, "patch_embed", None)
        # Without a countable grid nothing would tell a register from a patch.
        countable = hasattr(patches, "dynamic_feat_size") or hasattr(patches, "grid_size")
        tokens = hasattr(model, "num_prefix_tokens") and countable
        class_token = tokens and self._prefix_tokens > 0 and getattr(model, "cls_token", None) is not None
        if requested is None:
            return "clsmean" if class_token else "pooled"
        possible = [
            *(["clsmean", "cls"] if class_token else []),
            *(["mean"] if tokens else []),
            "pooled",
        ]
        if requested not in possible:
            lack = "class token" if tokens else "class or patch tokens"
            problem = (
                f"{self._origin} has no {lack} for pooling {requested}"
                if requested in POOLINGS
                else f"there is no pooling {requested}"
            )
            raise ModelError(problem, remedy=f"for this model choose {' or '.join(possible)}")
        return requested

    def _own_pooling(self, features: torch.Tensor) -> torch.Tensor:
        """The model's features before its classifier, (B, D)."""
        pooled: torch.Tensor = self._model.forward_head(features, pre_logits=True)
        if pooled.ndim != 2:
            raise ModelError(
                f"{self._origin} does not pool its features, of shape {tuple(pooled.shape[1:])} per image",
                remedy="ask for --fm-pooling=clsmean, cls or mean if it has tokens",
            )
        return pooled

    def _pool_tokens(self, tokens: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(B, prefix + patches, D) tokens of images of `size` -> (B, D) or (B, 2 D)."""
        rows, columns = self._patch_grid(size)
        expected = self._prefix_tokens + rows * columns
        if tokens.ndim != 3 or tokens.shape[1] != expected:
            raise ModelError(
                f"{self._origin} yields features of shape {tuple(tokens.shape[1:])} per image where "
                f"{self._prefix_tokens} prefix tokens and {rows} x {columns} patches were expected",
                remedy="ask for --fm-pooling=pooled",
            )
        norm = getattr(self._model, "fc_norm", None) or torch.nn.Identity()
        parts: list[torch.Tensor] = []
        if self._pooling != "mean":
            parts.append(norm(tokens[:, 0]).float())
        if self._pooling != "cls":
            # Summed in float32: half-precision tokens would lose digits over some hundred patches.
            parts.append(norm(tokens[:, self._prefix_tokens :].float().mean(dim=1)).float())
        return torch.cat(parts, dim=1)

    def _patch_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches in an image of `size`, from the patch embedding, not the tokens."""
        patches = self._model.patch_embed
        if hasattr(patches, "dynamic_feat_size"):
            rows, columns = patches.dynamic_feat_size(size)
        else:
            rows, columns = patches.grid_size
        return int(rows), int(columns)


def _build(files: TimmFiles, model_args: Mapping[str, Any]) -> Any:
    """The architecture of the config, with random weights."""
    import timm

    config = read_config(files.config, files.origin)
    architecture = config["architecture"]
    if not timm.is_model(architecture):
        raise ModelError(
            f"{files.origin} needs the architecture {architecture}, unknown to timm {timm.__version__}",
            remedy="upgrade timm, or load the model by code of your own with python:module:factory",
        )
    try:
        pretrained_cfg, arguments = _timm_arguments(config)
        return timm.create_model(
            architecture, pretrained=False, pretrained_cfg=pretrained_cfg, **{**arguments, **model_args}
        )
    except Exception as error:  # arguments from a file reach any timm constructor: it may raise anything
        raise ModelError(
            f"timm {timm.__version__} cannot build {architecture} from config.json of {files.origin} "
            f"({type(error).__name__}: {_first_line(error)})",
            remedy="use the timm version that saved it, or save the model again",
        ) from error


def _timm_arguments(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config's `pretrained_cfg` and the arguments of its model, read by the rules of timm itself."""
    arguments = dict(config.get("model_args") or {})
    # Before `pretrained_cfg` had a key of its own, its content was the whole file.
    flat = {
        key: value for key, value in config.items() if key not in ("num_features", "labels", "model_args")
    }
    pretrained_cfg = dict(config.get("pretrained_cfg") or flat)
    if "num_classes" in config:
        pretrained_cfg["num_classes"] = config["num_classes"]
    if "num_classes" in pretrained_cfg:
        arguments.setdefault("num_classes", pretrained_cfg["num_classes"])
    # Older timm saved the size that the architecture was published with, not that of the saved weights.
    size = arguments.get("img_size")
    if size is not None and pretrained_cfg.get("fixed_input_size") and not arguments.get("dynamic_img_size"):
        channels = (pretrained_cfg.get("input_size") or (3,))[0]
        height, width = (size, size) if isinstance(size, int) else size
        pretrained_cfg["input_size"] = (channels, height, width)
    return pretrained_cfg, arguments


def _load_weights(model: Any, files: TimmFiles) -> None:
    """Copy every tensor of the weights file into the model; any difference in names or shapes is an error."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(files.weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{files.weights.name} of {files.origin} is damaged or no safetensors file",
            remedy="delete it and download or save the model again",
        ) from error
    expected = model.state_dict()
    differences = {
        "lacks": sorted(expected.keys() - weights.keys()),
        "has unexpected": sorted(weights.keys() - expected.keys()),
        "has other shapes for": sorted(
            key for key in expected.keys() & weights.keys() if expected[key].shape != weights[key].shape
        ),
    }
    found = [f"{verb} {_some(keys)}" for verb, keys in differences.items() if keys]
    if found:
        raise ModelError(
            f"{files.weights.name} of {files.origin} does not fit its config.json: it {' and '.join(found)}",
            remedy="save weights and config.json from the same model",
        )
    model.load_state_dict(weights, strict=True)


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Full float32 products on GPUs that would round to 10 bits; the process's choice comes back after."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    switches: list[tuple[Any, str, Any]] = [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
    # Newer torch has a finer setting as well, which the older one does not override where it was used.
    finer = [matmul, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None)]
    switches += [(owner, "fp32_precision", "ieee") for owner in finer if hasattr(owner, "fp32_precision")]
    before: list[tuple[Any, str, Any]] = []
    for owner, name, _ in switches:
        # torch refuses to read the older setting where the newer one disagrees; that one is restored then.
        with suppress(RuntimeError):
            before.append((owner, name, getattr(owner, name)))
    try:
        for owner, name, value in switches:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _some(keys: list[str]) -> str:
    """The first few keys and how many more."""
    shown = ", ".join(keys[:_KEYS_SHOWN])
    return shown if len(keys) <= _KEYS_SHOWN else f"{shown} and {len(keys) - _KEYS_SHOWN} more"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
