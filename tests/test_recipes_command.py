"""What `pathorob-checks recipes` shows."""

from __future__ import annotations

import re

import pytest

from pathorob_checks.cli import main
from pathorob_checks.models.recipes import Recipe, recipes


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_a_recipe_in_full_fits_into_80_columns_and_can_be_copied(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", recipe.name]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for whole in (recipe.repo, recipe.revision, recipe.weights_sha256):
        assert whole is None or whole in shown
    theirs = re.findall("(\\w+) = the (?:repository|package)'s", " ".join(shown.split()))
    assert theirs == [key for key, value in recipe.preprocessing.model_dump().items() if value is None]
    names = [line.split()[0] for line in shown.splitlines() if not line.startswith(" ")]
    assert names.index("license") + 1 == names.index("commercial")
    for group in recipe.sources.model_dump(exclude_none=True):
        assert f"source of {group} " in shown
    for field in recipe.choices:
        assert f"why this {field} " in shown


def test_the_list_fits_into_80_columns_with_license_use_and_commit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for recipe in recipes().values():
        first = next(number for number, line in enumerate(lines) if line.startswith(f"{recipe.name} "))
        cells = lines[first].split()
        assert cells[1:3] == [recipe.pooling, f"{recipe.dimension:,}"]
        assert (recipe.revision[:12] if recipe.revision else "not pinned") in lines[first]
        assert cells[-1] == {True: "yes", False: "no", None: "uncertain"}[recipe.commercial]
        if recipe.requirements:
            assert lines[first + 3].endswith(", ".join(recipe.requirements))
        assert lines[first + 1 : first + 3] == [f"  {recipe.repo}", f"  {recipe.license}"]
