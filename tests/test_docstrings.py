"""The public names are documented as scientists expect it: numpydoc, with examples that run."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import inspect
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import Validator, validate
from pydantic import BaseModel

import pathorob_checks
from pathorob_checks import metrics

PACKAGE = Path(pathorob_checks.__file__).parent
NAMES = (
    *(f"pathorob_checks.metrics.{name}" for name in metrics.__all__),
    *(f"pathorob_checks.{name}" for name in pathorob_checks.__all__ if not name.startswith("__")),
    "pathorob_checks.results.check.Check",
    "pathorob_checks.results.explanation.Explanation",
    "pathorob_checks.report.save_report",
)
# Checks of numpydoc that are left out, each with the reason. All others hold.
IGNORED = {
    "ES01": "a summary that says all needs no second paragraph",
    "SA01": "a section See Also stands where another name helps, not everywhere",
}
IGNORED_IN_CLASSES = {
    "PR01": "fields are documented under Attributes, which the test of the fields holds",
}
IGNORED_IN_METHODS = {
    "EX01": "the example of the class uses its methods, which the test of the methods holds",
}


def public_object(name: str) -> Any:
    return Validator._load_obj(name)


def public_members(cls: type) -> Iterator[str]:
    """Public methods and properties that classes of this package define."""
    for base in cls.__mro__:
        if base.__module__.startswith("pathorob_checks."):
            for name, member in vars(base).items():
                kinds = property | classmethod | staticmethod
                if not name.startswith("_") and (isinstance(member, kinds) or inspect.isfunction(member)):
                    yield name


CLASSES = tuple(name for name in NAMES if inspect.isclass(public_object(name)))
MEMBERS = tuple(f"{name}.{member}" for name in CLASSES for member in public_members(public_object(name)))


def problems(name: str, ignored: dict[str, str]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpydoc warns of sections that it cannot read
        errors = validate(name)["errors"]
    return [f"{code}: {text}" for code, text in errors if code not in {*IGNORED, *ignored}]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_valid_docstring(name: str) -> None:
    fields = dataclasses.is_dataclass(public_object(name)) or (
        name in CLASSES and issubclass(public_object(name), BaseModel)
    )
    assert problems(name, IGNORED_IN_CLASSES if fields else {}) == []


@pytest.mark.parametrize("name", MEMBERS)
def test_a_public_method_has_a_valid_docstring(name: str) -> None:
    assert problems(name, IGNORED_IN_METHODS) == []


def attributes(cls: type) -> dict[str, tuple[str, str]]:
    """Type and description of every documented attribute."""
    documented = {}
    for names, kind, description in NumpyDocString(inspect.getdoc(cls))["Attributes"]:
        documented |= dict.fromkeys(names.split(", "), (kind, " ".join(description)))
    return documented


def fields_of(cls: Any) -> set[str]:
    if dataclasses.is_dataclass(cls):
        return {field.name for field in dataclasses.fields(cls)}
    return set(cls.model_fields) if issubclass(cls, BaseModel) else set()


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_is_documented_with_its_type(name: str) -> None:
    cls = public_object(name)
    documented = attributes(cls)
    assert fields_of(cls) - set(documented) == set()
    if fields_of(cls):
        own = {
            each for each in public_members(cls) if isinstance(inspect.getattr_static(cls, each), property)
        }
        assert set(documented) - fields_of(cls) - own == set()
    for kind, description in documented.values():
        assert kind
        assert description[0] in "`0123456789'\"" or description[0].isupper()
        assert description.endswith(".")


# Made by a function: the example calls it and need not import the class.
MADE_BY = {
    "CenterPrediction": "center_prediction",
    "CaseRetrieval": "case_retrieval",
    "ClassPrediction": "class_prediction",
    "ClusteringScore": "clustering_score",
    "Computation": "metric",
    "DiagnosticErrors": "performance_drop",
    "ErrorAsymmetry": "performance_drop",
    "DomainPrediction": "slide_prediction",
    "Explanation": "explain",
    "MarginAwareIndex": "margin_aware_index",
    "PerformanceDrop": "performance_drop",
    "ProbeAccuracy": "center_prediction",
    "PublishedScore": "published_scores",
    "RobustnessIndex": "robustness_index",
    "SlidePrediction": "slide_prediction",
    "RobustnessMargin": "robustness_margin",
}


def that_run(docstring: str) -> list[doctest.Example]:
    skip = doctest.OPTIONFLAGS_BY_NAME["SKIP"]
    return [one for one in doctest.DocTestParser().get_examples(docstring) if not one.options.get(skip)]


def examples_of(name: str) -> str:
    lines = NumpyDocString(inspect.getdoc(inspect.unwrap(public_object(name))))["Examples"]
    return "".join(example.source for example in that_run("\n".join(lines)))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_an_example_that_runs(name: str) -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(examples_of(name)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    short = name.rpartition(".")[2]
    assert MADE_BY.get(short, short) in imported


@pytest.mark.parametrize("name", MEMBERS)
def test_a_public_method_occurs_in_the_example_of_its_class(name: str) -> None:
    cls, _, member = name.rpartition(".")
    assert f".{member}" in examples_of(cls)


MODULES = tuple(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
)


def examples_in(module: ModuleType) -> int:
    """How many examples the source has that are to run, wherever doctest finds them."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, documented)]
    return sum(len(that_run(ast.get_docstring(node) or "")) for node in nodes)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = import_module(name)
    failed, attempted = doctest.testmod(module)
    assert failed == 0
    assert attempted == examples_in(module) > 0
    assert list(tmp_path.iterdir()) == []  # an example leaves nothing where it runs
