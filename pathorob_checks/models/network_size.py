"""A network that a config describes must not be larger than the weights that are to fill it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.nn.modules.module import register_module_parameter_registration_hook

from pathorob_checks.errors import ModelError

_FEW_TENSORS = 10_000
_SPARE_NUMBERS = 10_000_000  # such as a classifier that the weights lack
_BYTES_PER_TENSOR = 64  # its name, type and place in a file


@contextmanager
def bounded_by(weights: Iterable[Path], origin: str) -> Iterator[None]:
    """Refuse, in this block, to build a network of more numbers than the files have bytes.

    A config of a few bytes may describe a network that fills any memory, or takes hours to build.

    Raises
    ------
    ModelError : when a network grows beyond that.
    """
    size = sum(path.stat().st_size for path in weights)
    numbers = tensors = 0

    def count(_module: Any, _name: str, parameter: Any) -> None:
        nonlocal numbers, tensors
        if parameter is None:
            return
        tensors += 1
        numbers += parameter.numel()
        if numbers > size + _SPARE_NUMBERS or tensors > max(_FEW_TENSORS, size // _BYTES_PER_TENSOR):
            raise ModelError(
                f"config.json of {origin} describes a larger network than its weights of "
                f"{size / 1e6:,.1f} MB can fill",
                remedy="save weights and config.json from the same model",
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
