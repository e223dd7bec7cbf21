"""A part of the results: frozen, without unknown keys, its numbers finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import to_jsonable_python

from pathorob_checks.wording import shortened

Finite = Annotated[float, Field(allow_inf_nan=False)]


def builtin(value: object) -> Any:
    """`value` as JSON knows it: numbers and arrays of numpy and torch become Python's, NaN becomes None."""
    return to_jsonable_python(value, fallback=lambda array: array.tolist(), inf_nan_mode="null")


def _sorted(value: Any) -> Any:
    """Builtin types with sorted keys: whether embeddings were computed or read must not change the order."""
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


Json = Annotated[dict[str, JsonValue], BeforeValidator(lambda value: _sorted(builtin(value)))]


class Document(BaseModel):
    """A part of the results."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def __repr__(self) -> str:
        given = (name for name in type(self).model_fields if name in self.model_fields_set)
        fields = ", ".join(f"{name}={shortened(getattr(self, name))}" for name in given)
        return f"{type(self).__name__}({fields})"

    def __str__(self) -> str:
        return repr(self)
