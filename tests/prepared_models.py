"""Models prepared and loaded on the CPU, by the functions that a run uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec
from pathorob_checks.models.timm_model import TimmModel

if TYPE_CHECKING:
    from pathorob_checks.models.transformers_model import TransformersModel


def prepare_spec(text: str, **settings: Any) -> PreparedModel:
    return prepare(resolve(parse_spec(text), "fm"), ModelSettings(**{"device": "cpu", **settings}))


def prepare_folder(folder: Path, **settings: Any) -> PreparedModel:
    return prepare_spec(f"local-dir:{folder}", **settings)


def load_timm(folder: Path, **settings: Any) -> TimmModel:
    model = prepare_folder(folder, **settings).load()
    assert isinstance(model, TimmModel)
    return model


def load_transformers(folder: Path, **settings: Any) -> TransformersModel:
    from pathorob_checks.models.transformers_model import TransformersModel

    model = prepare_folder(folder, **settings).load()
    assert isinstance(model, TransformersModel)
    return model
