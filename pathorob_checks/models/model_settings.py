"""How to run a model, and which of these settings a kind of model has."""

from __future__ import annotations

from dataclasses import dataclass

from pathorob_checks.errors import ModelError
from pathorob_checks.models.spec import ModelSpec


@dataclass(frozen=True)
class ModelSettings:
    """How to run a model.

    Attributes
    ----------
    device : `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
    precision : `fp32`, `bf16` or `fp16`.
    pooling : None (the model's default), `clsmean`, `cls`, `mean`, `pooled`, or `pooling.SIDE_BY_SIDE`.
    batch_size : None (what suits the device) or patches per batch.
    trust_remote_code : whether the code in a repository may run; it must be pinned to a commit as well.
    checkpoint_key, checkpoint_prefixes : where the weights hold the network, see `checkpoints.StatedNames`;
        None and () take the recipe's.
    """

    device: str = "auto"
    precision: str = "fp32"
    pooling: str | None = None
    batch_size: int | None = None
    trust_remote_code: bool = False
    checkpoint_key: str | None = None
    checkpoint_prefixes: tuple[str, ...] = ()


def check_choices(settings: ModelSettings) -> None:
    """Refuse a pooling or a precision that does not exist.

    Raises
    ------
    ModelError : there is none of this name.
    """
    from pathorob_checks.models.pooling import POOLINGS, SIDE_BY_SIDE
    from pathorob_checks.models.precision import PRECISIONS

    for setting, value, choices in (
        ("pooling", settings.pooling, (*POOLINGS, SIDE_BY_SIDE)),
        ("precision", settings.precision, PRECISIONS),
    ):
        if value is not None and value not in choices:
            raise ModelError(f"there is no {setting} {value}", remedy=f"choose {' or '.join(choices)}")


def refuse_settings(spec: ModelSpec, settings: ModelSettings) -> None:
    """Refuse a setting that would be ignored: the values would not be those that the user requested.

    Raises
    ------
    ModelError : a setting of models that are loaded from files is given for another one.
    """
    if spec.kind not in ("embeddings", "python", "demo"):
        return
    for option, is_set, reason in (
        ("pooling", settings.pooling is not None, "has its own pooling"),
        ("precision", settings.precision != "fp32", "has its own precision"),
        ("checkpoint-key", settings.checkpoint_key is not None, "is not read from a checkpoint"),
        ("checkpoint-prefix", bool(settings.checkpoint_prefixes), "is not read from a checkpoint"),
    ):
        if is_set:
            raise ModelError(
                f"--fm-{option} cannot be applied to {spec.text}, which {reason}",
                remedy=f"leave --fm-{option} out, or run this model separately",
            )
