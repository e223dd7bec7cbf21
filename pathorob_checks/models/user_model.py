"""The user's own encoder: the object that the factory of `python:module:factory` returns."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.errors import ModelError
from pathorob_checks.models.devices import batch_size_for
from pathorob_checks.models.failures import brief
from pathorob_checks.models.opened_files import opened_files
from pathorob_checks.models.user_identity import Traces

if TYPE_CHECKING:
    import torch
    from PIL import Image

_PROBE_SIZE = 256


def import_factory(target: str) -> Callable[..., Any]:
    """The callable `module:factory`; the working directory is importable, as under pytest.

    Raises
    ------
    ModelError : when the module cannot be imported or has no such callable.
    """
    module_name, _, factory_name = target.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        value: Any = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code
        raise ModelError(
            f"module {module_name} of python:{target} cannot be imported ({brief(error)})",
            remedy="add its folder to PYTHONPATH, or install it",
        ) from error
    for name in factory_name.split("."):
        try:
            value = getattr(value, name)
        except AttributeError as error:
            raise ModelError(
                f"module {module_name} has no {factory_name}",
                remedy="give a function of it that returns an object with preprocess and embed",
            ) from error
    if not callable(value):
        raise ModelError(
            f"{factory_name} of module {module_name} cannot be called",
            remedy="give a function that returns an object with preprocess and embed",
        )
    factory: Callable[..., Any] = value
    return factory


def build(target: str, device: str, traces: Traces) -> Any:
    """Call the factory, with `device=` if it takes one, and check what it returns.

    If the product is a `torch.nn.Module`, or has one as `.model`, that is moved to the device and put in
    evaluation mode.

    Parameters
    ----------
    traces : gets what the factory opens and imports.

    Raises
    ------
    ModelError : when the factory raises, or its product has no `preprocess` or `embed`.
    """
    before = set(sys.modules)
    try:
        with opened_files(traces.making):
            product = _made(target, device)
    finally:
        traces.imported |= set(sys.modules) - before
    missing = [name for name in ("preprocess", "embed") if not callable(getattr(product, name, None))]
    if missing:
        raise ModelError(
            f"python:{target} returned a {type(product).__name__} without {' and '.join(missing)}",
            remedy="return an object with preprocess(PIL image) -> tensor and embed(batch) -> (B, D)",
        )
    if (module := module_of(product)) is not None:
        module.to(device).eval()
    return product


def _made(target: str, device: str) -> Any:
    factory = import_factory(target)
    try:
        takes_device = "device" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # builtins have no signature
        takes_device = False
    try:
        return factory(device=device) if takes_device else factory()
    except Exception as error:  # the user's code may raise anything; chained, so that it can be debugged
        raise ModelError(
            f"python:{target} raised {brief(error)}", remedy="call it in a Python shell and fix it"
        ) from error


def module_of(product: Any) -> torch.nn.Module | None:
    """The network in a factory's product, or None."""
    import torch

    for candidate in (product, getattr(product, "model", None)):
        if isinstance(candidate, torch.nn.Module):
            return candidate
    return None


class UserModel:
    """A factory's product as a `FoundationModel`.

    Parameters
    ----------
    product : object with `preprocess(PIL image) -> tensor` and `embed(batch) -> (B, D)`.
    target : `module:factory`, for messages.
    traces : gets what `preprocess` and `embed` open and import for a blank image.
    device : where the product's network is, and gets its batches. A product without a network gets its
        batches on the CPU and may move them.
    batch_size : None takes the product's own `batch_size`, else a number that suits the device.

    Attributes
    ----------
    identity : see `FoundationModel.identity`; empty until it is known.

    Raises
    ------
    ModelError : when a blank image cannot be embedded.
    """

    def __init__(
        self,
        product: Any,
        *,
        target: str,
        traces: Traces,
        device: str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        import torch
        from PIL import Image

        self.identity: Mapping[str, object] = {}
        self._product = product
        self._target = target
        self.device = torch.device(device if module_of(product) is not None else "cpu")
        own = getattr(product, "batch_size", None)
        self.batch_size = int(batch_size or own or batch_size_for(self.device))
        blank = Image.new("RGB", (_PROBE_SIZE, _PROBE_SIZE), (200, 160, 190))
        before = set(sys.modules)
        try:
            with opened_files(traces.embedding):
                self.dimension = int(self.embed(self.preprocess(blank).unsqueeze(0)).shape[1])
        except ModelError:
            raise
        except Exception as error:  # the user's code; chained, so that it can be debugged
            raise ModelError(
                f"python:{target} cannot embed a blank RGB image ({brief(error)})",
                remedy="check that preprocess and embed work together",
            ) from error
        finally:
            traces.imported |= set(sys.modules) - before
        self.description: dict[str, object] = {
            "library": "python",
            "architecture": type(product).__name__,
            "dimension": self.dimension,
        }

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image of any size -> (C, H, W) float32 tensor on the CPU, by the user's `preprocess`.

        Raises
        ------
        ModelError : when that returns anything else.
        """
        import torch

        tensor = self._product.preprocess(image)
        if not isinstance(tensor, torch.Tensor) or tensor.ndim != 3:
            raise ModelError(
                f"preprocess of python:{self._target} returned {_kind(tensor)}",
                remedy="return a tensor of shape (C, H, W), without a batch dimension",
            )
        return tensor.detach().float().cpu()

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, `dimension`) float32 tensor on the CPU, by the user's `embed`.

        Raises
        ------
        ModelError : when that returns anything else.
        """
        import torch

        with torch.inference_mode():
            result = self._product.embed(batch.to(self.device))
        if not isinstance(result, torch.Tensor):
            with contextlib.suppress(TypeError, ValueError, RuntimeError):
                result = torch.as_tensor(result)
        if not isinstance(result, torch.Tensor) or result.ndim != 2 or len(result) != len(batch):
            raise ModelError(
                f"embed of python:{self._target} returned {_kind(result)} for a batch of {len(batch)}",
                remedy="return a tensor of shape (B, D), one row per image",
            )
        return result.detach().float().cpu()


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")
