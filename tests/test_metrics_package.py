"""The names of `pathorob_checks.metrics` are what they say, whatever was imported before."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from pathorob_checks import metrics


@pytest.mark.parametrize("name", metrics.__all__)
def test_a_public_name_is_a_function_or_a_class(name: str) -> None:
    import_module("pathorob_checks.metrics.performance")  # brings most other modules along
    public = getattr(metrics, name)
    assert inspect.isfunction(inspect.unwrap(public)) or inspect.isclass(public)
    assert public.__name__ == name


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_metric'"):
        _ = metrics.no_such_metric
