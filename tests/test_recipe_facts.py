"""The table of recipes against `model_facts.csv`: what cards, code and public harnesses say of each model.

The facts were collected apart from the table. `a|b`: the sources differ. `repository`: the value is that of
the repository's files. Empty: it is not known. `none` as the crop: whole patches, which are square.
"""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pathorob_checks.models.recipes import NORMALIZATION, TABLE, Recipe, RecipePreprocessing, recipes

FACTS = {
    row["recipe"]: row
    for row in csv.DictReader(
        Path(__file__).with_name("model_facts.csv").read_text(encoding="utf-8").splitlines()
    )
}
COMPARED = [field for field in FACTS["uni"] if field != "recipe"]
COMMERCIAL = {True: "yes", False: "no", None: "uncertain"}
LEFT_OUT = {"repository", ""}


def differences(recipe: Recipe, facts: dict[str, str]) -> list[str]:
    """Fields whose value is not that of the facts, or is chosen among several, without a reason."""
    wrong = []
    for field in COMPARED:
        ours, theirs = value_of(recipe, field), facts[field].split("|")
        if ours not in theirs and field not in recipe.choices:
            wrong.append(f"{field} {ours or 'left out'}, and not {facts[field] or 'left out'}")
        elif len(theirs) > 1 and field not in recipe.choices:
            wrong.append(f"{field} {ours}, chosen among {facts[field]} without a reason")
        elif len(theirs) == 1 and ours in theirs and field in recipe.choices:
            wrong.append(f"{field} {ours}, on which the sources agree, with a reason")
    return wrong


def value_of(recipe: Recipe, field: str) -> str:
    """A field as the facts write it."""
    if field == "commercial":
        return COMMERCIAL[recipe.commercial]
    if field == "gated":
        return COMMERCIAL[recipe.gated]
    if field in RecipePreprocessing.model_fields or field == NORMALIZATION:
        value, theirs = preprocessing_of(recipe).get(field), FACTS[recipe.name][field]
        if value is None:
            # The table does not say whether the repository has it; the facts do.
            return theirs if theirs in LEFT_OUT else ""
        return theirs if (field, value, theirs) == ("crop", "center", "none") else str(value)
    value = getattr(recipe, field)
    return "" if value is None else str(value)


def preprocessing_of(recipe: Recipe) -> dict[str, Any]:
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    values: dict[str, Any] = table["recipes"][recipe.name].get("preprocessing", {})
    return values


def test_there_are_facts_of_every_recipe() -> None:
    assert FACTS.keys() == recipes().keys()


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_a_recipe_says_what_the_sources_say_or_why_it_does_not(recipe: Recipe) -> None:
    assert differences(recipe, FACTS[recipe.name]) == []


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("revision", {"revision": "0" * 40}),
        ("weights_sha256", {"weights_sha256": "0" * 64}),
        ("commercial", {"commercial": True}),
        ("gated", {"gated": False}),
        ("native_dimension", {"native_dimension": 512}),
        ("interpolation", {"choices": {}}),
        ("resize", {"choices": {**recipes()["uni"].choices, "resize": "no reason"}}),
    ],
)
def test_a_value_that_differs_without_a_reason_is_found(field: str, changed: dict[str, Any]) -> None:
    """The comparison itself: of each field, one value that the sources do not give."""
    recipe = recipes()["uni"].model_copy(update=changed)
    (difference,) = differences(recipe, FACTS["uni"])
    assert difference.startswith(f"{field} ")


@pytest.mark.parametrize("field", ["resize", "crop", "interpolation", "normalization"])
def test_a_value_of_the_preprocessing_that_differs_is_found(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    values = {**preprocessing_of(recipes()["uni2-h"]), field: "another"}
    monkeypatch.setattr(f"{__name__}.preprocessing_of", lambda recipe: values)
    (difference,) = differences(recipes()["uni2-h"], FACTS["uni2-h"])
    assert difference.startswith(f"{field} another, and not ")
