"""A file that passes for a profile of this package."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack import INDEX, Attack, assert_not_passed

from pathorob_checks.criteria.document import BUILT_IN
from pathorob_checks.criteria.files import load_profile, under_own_name
from pathorob_checks.criteria.mistakes import CriteriaFileError

LENIENT = INDEX.replace("0.5", "0.0")
BORROWED = {
    "the same": "release",
    "capitals": "Release",
    "blanks around it": "  release ",
    "a full stop": "release.",
    "full-width letters": "\uff52elease",
    "a Cyrillic letter": "r\u0435lease",
    "a letter with an accent": "rel\u00e9ase",
    "letters apart": "f l o o r",
    "the default": "floor",
}


@pytest.mark.parametrize("way", BORROWED)
def test_a_file_that_bears_the_name_of_a_profile_is_refused(way: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(LENIENT.replace("index-only", BORROWED[way]))
    with pytest.raises(CriteriaFileError, match="is, or looks like, that of the profile"):
        load_profile(path)


@pytest.mark.parametrize(("name", "message"), [
    ("floor+ours", "which joins the names of merged files"),
    ("relea\u200bse", "characters that cannot be seen"),
    ("ours\u202e", "characters that cannot be seen"),
    ("a\\u001b[31m", "characters that cannot be seen"),
])  # fmt: skip
def test_a_name_that_looks_like_another_one_is_refused(name: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(LENIENT.replace("index-only", name))
    with pytest.raises(CriteriaFileError, match=message):
        load_profile(path)


@pytest.mark.parametrize(
    "name",
    ["release gate of our detector", "floors", "Freigabe", "\u691c\u67fb\u57fa\u6e96\u66f8", "m\u00fcnchen"],
)
def test_other_names_are_free(name: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(LENIENT.replace("index-only", name))
    assert load_profile(path).name == name


def test_a_profile_made_in_python_does_not_bear_the_name_of_one_of_this_package() -> None:
    for name in BUILT_IN:
        assert under_own_name(load_profile(name)).name == name
    lenient = load_profile("release").model_copy(update={"confidence": 0.5})
    assert under_own_name(lenient).name == "release (changed in Python)"


def test_a_file_in_the_working_folder_named_like_a_profile(attack: Attack) -> None:
    attack.write("release", LENIENT)
    outcome = attack.run(criteria="release")
    assert_not_passed(outcome)
    assert "release is both a profile of this package and a file in this folder" in outcome.output


def test_a_file_that_calls_itself_release(attack: Attack) -> None:
    attack.write("ours.toml", LENIENT.replace("index-only", "release"))
    outcome = attack.run(criteria="ours.toml")
    assert_not_passed(outcome)
    assert "that of the profile release of this package" in outcome.output
