"""Criteria files that are made to break their reader: one sentence comes of each, and soon."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pathorob_checks.commands.criteria import mistakes
from pathorob_checks.criteria.document import LARGEST
from pathorob_checks.criteria.files import load_profiles
from pathorob_checks.errors import CriteriaError

HEAD = "schema: pathorob-checks/criteria/1\nname: m\n"
ENTRY = "  - {id: i, metric: robustness_index, at_least: VALUE, rationale: r}\n"
YAML = HEAD + "criteria:\n" + ENTRY
TOML = """schema = "pathorob-checks/criteria/1"
name = "m"
[[criteria]]
id = "i"
metric = "robustness_index"
at_least = VALUE
rationale = "r"
"""
SOON = 20  # seconds; each takes far less than one on an idle machine

TAGGED = ["!!timestamp x", "!!bool x", "!!int ''", "!!float ''", "!!binary '*'", "!x y", "!!str x", "! 0.5",
          "!!python/object/apply:os.system ['true']"]  # fmt: skip
YAML_TRICKS = {
    "a number of 4,400 digits": (YAML.replace("VALUE", "9" * 4400), "a number has 4,400 characters"),
    "a hexadecimal number": (YAML.replace("VALUE", "0x" + "f" * 9000), "a number has 9,002 characters"),
    "a number to the base 60": (YAML.replace("VALUE", "1" + ":00" * 100_000), "a number has 300,001"),
    "a number without digits": (YAML.replace("VALUE", "0b_"), "'0b_' is no number"),
    "a date that does not exist": (YAML.replace("VALUE", "2020-13-45"), "'2020-13-45' is no number or date"),
    "an alias": (HEAD + "a: &a [x]\ncriteria: *a\n", "anchors .* not allowed .at line 3"),
    "a list in itself": (HEAD + "criteria: &a [*a]\n", "anchors"),
    "an anchored key": (HEAD + "&a b: 1\n", "anchors"),
    "aliases of aliases": (
        "a: &a [" + "x," * 200 + "]\n" + "".join(f"{b}: &{b} [" + f"*{a}," * 200 + "]\n"
                                                  for a, b in ("ab", "bc", "cd")) + HEAD + "criteria: *d\n",
        "anchors",
    ),
    "a merge key": (HEAD + "criteria:\n  - {<<: {at_least: 0.0}, id: j}\n", "merge keys"),
    "a key twice": (YAML.replace("VALUE", "0.5, 'at_least': 0.0"), "'at_least' stands twice"),
    "a tagged key": (YAML.replace("VALUE", "0.5, !!str at_least: 0.0"), "tags"),
    "two documents": (YAML.replace("VALUE", "0.5") + "---\n" + HEAD, "second document .at line 5"),
    "deep lists": (HEAD + "x: " + "[" * 300_000, "nested too deeply"),
    "deep mappings": (HEAD + "x: " + "{a: " * 200_000, "nested too deeply"),
    "deep keys": ("? " * 400_000, "a key is a list or a mapping"),
    "a zero byte": ("\0\0", "special characters"),
    "many unknown keys": (HEAD + "".join(f"k{n}: 1\n" for n in range(20_000)), "unknown key"),
}  # fmt: skip
TOML_TRICKS = {
    "a number of 4,400 digits": (TOML.replace("VALUE", "9" * 4400), "too many digits .at line 6"),
    "a binary number": (TOML.replace("VALUE", "0b" + "1" * 100_000), "'at_least' must be a number"),
    "an unknown FM of a long number": (
        TOML.replace("VALUE", "{ published_fm = 0x" + "f" * 9000 + " }"), "is unknown"),
    "deep arrays": (TOML.replace("VALUE", "[" * 3000 + "]" * 3000), "nested too deeply"),
    "deep tables": (TOML.replace("VALUE", "{a=" * 3000 + "1" + "}" * 3000), "nested too deeply"),
    "a long dotted key": (TOML.replace("VALUE", "0.5") + "a" + ".a" * 400_000 + " = 1\n",
                          "more than 32 parts .at line 8"),
    "a long dotted header": (TOML.replace("VALUE", "0.5") + "[a" + " . 'a'" * 20_000 + "]\n", "32 parts"),
    "a long key": (TOML.replace("VALUE", "0.5") + "k" * 900_000 + " = 1\n", "unknown key 'kkk"),
    "a zero byte": ("\0\0", "not valid TOML"),
    "6,000 lines and one mistake": (
        TOML.replace("VALUE", '"x"') + "".join(
            TOML.replace("VALUE", "0.5").partition("[[")[1] + TOML.replace("VALUE", "0.5").partition("[[")[2]
            .replace('"i"', f'"i{n}"') for n in range(1200)),
        "a.toml:6: criterion 'i': 'at_least' must be a number"),
}  # fmt: skip


def sentences(path: Path) -> list[str]:
    """What `criteria check` says, within the time that it may take."""
    begin = time.perf_counter()
    said = mistakes([str(path)])
    assert time.perf_counter() - begin < SOON
    assert all("\n" not in sentence and len(sentence) < 1500 for sentence in said)
    return said


@pytest.mark.parametrize("way", YAML_TRICKS)
def test_a_trick_in_yaml_ends_in_a_sentence(way: str, tmp_path: Path) -> None:
    text, message = YAML_TRICKS[way]
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(CriteriaError, match=message):
        load_profiles([tmp_path / "a.yaml"])
    assert sentences(tmp_path / "a.yaml")


@pytest.mark.parametrize("tagged", TAGGED)
def test_no_tag_of_yaml_is_followed(tagged: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML.replace("VALUE", tagged))
    assert "tags (!) are not allowed (at line 4)" in sentences(tmp_path / "a.yaml")[0]


@pytest.mark.parametrize("way", TOML_TRICKS)
def test_a_trick_in_toml_ends_in_a_sentence(way: str, tmp_path: Path) -> None:
    text, message = TOML_TRICKS[way]
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(CriteriaError, match=message):
        load_profiles([tmp_path / "a.toml"])
    assert sentences(tmp_path / "a.toml")


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_a_file_of_utf_16_is_refused_and_a_byte_order_mark_is_not(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    text = (TOML if suffix == "toml" else YAML).replace("VALUE", "0.5")
    path.write_bytes(text.encode("utf-16"))
    assert "is not UTF-8 text" in sentences(path)[0]
    path.write_text(text, encoding="utf-8-sig")
    assert sentences(path) == []


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_a_file_that_is_no_file_is_refused(suffix: str, tmp_path: Path) -> None:
    pipe, folder, large = (tmp_path / f"{name}.{suffix}" for name in ("pipe", "folder", "large"))
    os.mkfifo(pipe)
    folder.mkdir()
    large.write_text("#" * (LARGEST + 1))
    assert "it is not a regular file" in sentences(pipe)[0]
    assert "cannot be read (it is a folder)" in sentences(folder)[0]
    assert "it is larger than 1,000,000 bytes" in sentences(large)[0]
    assert "it is not a regular file" in sentences(Path("/dev/zero"))[0]
    assert sentences(tmp_path / ("a" * 300))
    assert sentences(Path("a\0b"))


def test_thousands_of_mistakes_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    entry = "  - {id: i, metric: x, at_least: 5, rationale: ''}\n"
    (tmp_path / "a.yaml").write_text(HEAD + "criteria:\n" + entry * 2000)
    with pytest.raises(CriteriaError) as caught:
        load_profiles([tmp_path / "a.yaml"])
    lines = str(caught.value).splitlines()
    assert (lines[0], len(lines)) == ("the criteria have 5,999 mistakes:", 52)
    assert lines[-1] == "... and 5,949 more; 'pathorob-checks criteria check' lists them."
