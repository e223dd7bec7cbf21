"""Criteria files grown from the grammar outward: nothing but a sentence comes of any of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathorob_checks.commands.criteria import mistakes, remarks
from pathorob_checks.criteria.criterion import CriterionEntry
from pathorob_checks.criteria.files import load_profile, load_profiles
from pathorob_checks.criteria.profile import Profile
from pathorob_checks.errors import PathorobChecksError

pytestmark = pytest.mark.slow
EXAMPLES = settings(
    max_examples=1500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCHEMA = "pathorob-checks/criteria/1"
NUMBERS = ["0.5", "-0.0", "1e999", "nan", "inf", "9" * 4400, "0x" + "f" * 5000, "1_0", "0b_", "1:00:00", "-7"]
SCALARS = {
    "toml": [*NUMBERS, "true", "1979-05-27", "07:32:00", "'''a'''", '""', "'robustness_index'", "'three-way'",
             "'warn'", '"\\u0000"', "{}", "[]", "[[]]", "{a.b.c = 1}", "[1, 'a']", "{published_quantile = 2}",
             "{published_fm = 'UNI2-h', margin = -1}", "'" + "x" * 3000 + "'"],
    "yaml": [*NUMBERS, ".nan", "true", "~", "2020-13-45", "!!bool x", "!!int ''", "!x y", "&a b", "*a", "''",
             "robustness_index", "three-way", "warn", "\"\\0\"", "{}", "[]", "[[]]",
             "{a: {b: {c: 1}}}", "{<<: 1}", "{published_quantile: 2}", "{published_fm: UNI2-h, margin: x}",
             "x" * 3000, "|", "? a"],
}  # fmt: skip
KEYS = [*Profile.model_fields, *CriterionEntry.model_fields, "schema", "unknown", "", "a.b", "'a'", "<<", "1"]
HEAD = {
    "toml": [f'schema = "{SCHEMA}"', 'name = "m"'],
    "yaml": [f"schema: {SCHEMA}", "name: m"],
}
SOUND = {
    "toml": ['id = "i"', 'metric = "robustness_index"', "at_least = 0.5", 'rationale = "r"'],
    "yaml": ["id: i", "metric: robustness_index", "at_least: 0.5", "rationale: r"],
}


@st.composite
def texts(draw: st.DrawFn, kind: str) -> bytes:
    """A sound file in which lines were added, exchanged and lost, and sometimes a few characters too."""
    value = st.sampled_from(SCALARS[kind])
    line = st.builds(lambda key, value: f"{key} {'=' if kind == 'toml' else ':'} {value}",
                     st.sampled_from(KEYS), value)  # fmt: skip

    def changed(lines: list[str]) -> list[str]:
        lines = list(lines)
        for _ in range(draw(st.integers(0, 2))):
            lines.insert(draw(st.integers(0, len(lines))), draw(line))
        for _ in range(draw(st.integers(0, 1))):
            lines.pop(draw(st.integers(0, len(lines) - 1)))
        return lines

    head = changed(
        [f'schema = "{SCHEMA}"', 'name = "m"'] if kind == "toml" else [f"schema: {SCHEMA}", "name: m"]
    )
    entries = [changed(SOUND[kind]) for _ in range(draw(st.integers(0, 3)))]
    if kind == "toml":
        opening = st.sampled_from(["[[criteria]]", "[[criteria]]", "[criteria]", "[baseline]", "[a.b]"])
        parts = [*head, *(each for entry in entries for each in (draw(opening), *entry))]
    else:
        indented = ["  - " + "\n    ".join(entry or ["~"]) for entry in entries]
        parts = [
            *head,
            draw(st.sampled_from(["criteria:", "criteria:", "baseline:", "criteria: &a"])),
            *indented,
        ]
    content = "\n".join(parts).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(content)))
        junk = draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"[", b"{", b'"', b"'''", b"\n", b"#"]))
        )
        content = content[:place] + junk + content[place + draw(st.integers(0, 3)) :]
    return content


def only_sentences(path: Path, content: bytes) -> None:
    """Read it in every way in which the commands and a run do."""
    path.write_bytes(content)
    said = mistakes([str(path)])
    assert mistakes([str(path)], ["demo"]) or not said
    assert all("\n" not in sentence and len(sentence) < 2000 for sentence in said)
    if said:
        with pytest.raises(PathorobChecksError):
            load_profile(path)
        return
    remarks([str(path)])
    assert load_profile(path).digest
    with suppress(PathorobChecksError):
        load_profiles(["floor", path]).criteria_for(("demo", "camelyon"))
        load_profiles([path, path])


@EXAMPLES
@given(texts("toml"))
def test_no_toml_breaks_the_reader(tmp_path: Path, content: bytes) -> None:
    only_sentences(tmp_path / "a.toml", content)


@EXAMPLES
@given(texts("yaml"))
def test_no_yaml_breaks_the_reader(tmp_path: Path, content: bytes) -> None:
    only_sentences(tmp_path / "a.yaml", content)
