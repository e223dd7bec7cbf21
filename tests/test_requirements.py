"""Recipes that need other versions of libraries than this package has."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from tiny_recipes import make_recipe

from pathorob_checks import hub
from pathorob_checks.errors import ModelError
from pathorob_checks.models import requirements
from pathorob_checks.models.loading import ResolvedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec

COMMIT = "a" * 40


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions of the libraries, to be changed."""
    versions: dict[str, str] = {}

    def version(distribution: str) -> str:
        if distribution not in versions:
            raise PackageNotFoundError(distribution)
        return versions[distribution]

    monkeypatch.setattr(requirements, "version", version)
    return versions


@pytest.mark.parametrize(
    ("needed", "versions", "unmet"),
    [
        (["transformers<5"], {"transformers": "4.57.1"}, []),
        (["transformers<5"], {"transformers": "5.0.0"}, ["transformers<5 (5.0.0 is installed)"]),
        (["transformers<5"], {"transformers": "5.0.0rc1"}, ["transformers<5 (5.0.0rc1 is installed)"]),
        (["transformers<5"], {}, ["transformers<5 (it is not installed)"]),
        (
            ["timm>=1.0,<1.0.20", "ftfy"],
            {"timm": "1.0.31"},
            [
                "timm>=1.0,<1.0.20 (1.0.31 is installed)",
                "ftfy (it is not installed)",
            ],
        ),
        ([], {}, []),
    ],
)
def test_what_is_not_met_is_told_with_what_is_installed(
    installed: dict[str, str], needed: list[str], versions: dict[str, str], unmet: list[str]
) -> None:
    installed |= versions
    assert requirements.unmet(make_recipe(requirements=needed)) == unmet


@pytest.mark.parametrize("name", ["hibou-b", "hibou-l"])
def test_a_model_whose_code_is_too_old_is_refused_before_anything_is_asked_of_the_hub(
    installed: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed["transformers"] = "5.24.0"
    spec = parse_spec(f"{name}@{COMMIT}")
    expected = (
        f"{name}@{COMMIT} needs transformers<5 (5.24.0 is installed); install pathorob-checks and "
        "'transformers<5' in an environment of its own, or load the model with your own "
        "python:module:factory."
    )
    calls: list[Any] = [
        lambda: resolve(spec, name),
        lambda: prepare(ResolvedModel(spec, name, COMMIT), ModelSettings(device="cpu")),
    ]
    for call in calls:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "huggingface_hub", None)
            with pytest.raises(ModelError) as caught:
                call()
        assert str(caught.value) == expected
    installed["transformers"] = "4.57.1"
    monkeypatch.setattr(hub, "list_files", lambda repo, commit: [])
    assert resolve(spec, name).revision == COMMIT


def test_the_error_for_a_package_names_the_versions_that_it_needs() -> None:
    with pytest.raises(ModelError, match=r"install it, with transformers<5, and use python:module:factory"):
        resolve(parse_spec("conch-v1.5"), "fm")
    with pytest.raises(ModelError, match=r"install it and use python:module:factory"):
        resolve(parse_spec("conch"), "fm")
