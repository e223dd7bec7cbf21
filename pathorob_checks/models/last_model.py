"""The model that was loaded last, kept so that the next user of the same model need not load it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathorob_checks.models.foundation_model import FoundationModel
    from pathorob_checks.models.loading import PreparedModel


class LastModel:
    """Keeps one loaded model in memory.

    The extraction and the integrity checks of a foundation model follow each other in a process, so that
    one model is enough.
    """

    def __init__(self) -> None:
        self._identity: Mapping[str, object] | None = None
        self._model: FoundationModel | None = None

    def reusing(self, prepared: PreparedModel) -> PreparedModel:
        """The same model with a `load` that returns the kept model if it is the one wanted.

        Any other model is loaded, and kept instead.
        """
        return replace(prepared, load=partial(self._load, prepared))

    def _load(self, prepared: PreparedModel) -> FoundationModel:
        if self._model is None or self._identity != prepared.identity:
            self._model = None  # freed before the next is loaded: memory may not hold two models
            self._model = prepared.load()
            self._identity = prepared.identity
        return self._model
