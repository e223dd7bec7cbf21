"""The model that was loaded last, kept for whoever asks for it next."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathorob_checks.models.foundation_model import FoundationModel
    from pathorob_checks.models.loading import PreparedModel


class ModelAtHand:
    """Keeps one loaded model: extractions and integrity tests of one FM follow each other in a process."""

    def __init__(self) -> None:
        self._name = ""
        self._model: FoundationModel | None = None

    def sharing(self, prepared: PreparedModel) -> PreparedModel:
        """The same model, loaded only if it was not the last one that was loaded in this way."""
        return replace(prepared, load=partial(self._load, prepared))

    def _load(self, prepared: PreparedModel) -> FoundationModel:
        if self._model is None or self._name != prepared.name:
            self._model = None  # first: there may be no room for two
            self._model = prepared.load()
            self._name = prepared.name
        return self._model
