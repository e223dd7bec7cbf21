"""Mutants of manifest.csv and cohort.toml: a cohort, or one sentence, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_forms import twelve, write_manifest

from pathorob_checks.cohorts.designs import view_designs
from pathorob_checks.cohorts.manifest import load_folder
from pathorob_checks.errors import CohortError
from pathorob_checks.wording import printable

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1500"))
TOML = b'license = "CC-BY-4.0"\ncommercial = true\nk = 3\n'
# What breaks parsers and paths, between the characters of the formats.
TOKENS = [
    *(mark.encode() for mark in ",;\t\r\n\"'\\/.=[]{}#+-_ \0\x1b\x7f"),
    *(text.encode() for text in ("\ufeff", "\u202e", "\u200b", "\u0308", "\u00a0", "\u2028", "\U0001f9ea")),
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"../", b"/dev/stdin", b"C:\\", b"images", b"%s%n"),
    *(b"0x", b"1e400", b"nan", b"-inf", b"true", b"1979-05-27T07:32:00Z", b"ID", b"OOD", b"subset"),
    *(b"'''", b"\\u0000", b"\\ud800", b"9" * 5000, b"x" * 300, b"a." * 600, b"[" * 2000, b"{a=" * 500),
    *(b'"' * 3, b"\n" * 300, b"," * 3000),
]

Change = Callable[[bytes], bytes]


def inserted(place: float, token: bytes) -> Change:
    return lambda text: text[: int(place * len(text))] + token + text[int(place * len(text)) :]


def removed(place: float, length: int) -> Change:
    return lambda text: text[: int(place * len(text))] + text[int(place * len(text)) + length :]


def repeated(place: float, length: int, times: int) -> Change:
    def change(text: bytes) -> bytes:
        start = int(place * len(text))
        return text[:start] + text[start : start + length] * times + text[start + length :]

    return change


def replaced(place: float, token: bytes) -> Change:
    return lambda text: text[: int(place * len(text))] + token + text[int(place * len(text)) + len(token) :]


PLACES = st.floats(0, 1, exclude_max=True)
PIECES = st.sampled_from(TOKENS) | st.binary(max_size=6) | st.text(max_size=4).map(lambda text: text.encode())
CHANGES = st.lists(
    st.builds(inserted, PLACES, PIECES)
    | st.builds(removed, PLACES, st.integers(1, 60))
    | st.builds(repeated, PLACES, st.integers(1, 80), st.sampled_from([0, 2, 3, 100]))
    | st.builds(replaced, PLACES, PIECES),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("fuzzed"), twelve())


def check(folder: Path, name: str, original: bytes, changes: list[Change]) -> None:
    """Load the folder with a mutant of one of its files."""
    (folder / name).write_bytes(reduce(lambda text, change: change(text), changes, original))
    for load in (load_folder, lambda folder: view_designs(str(folder))):
        message = ""
        try:
            load(folder)
        except CohortError as error:
            message = str(error)
        assert printable(message) == message
        assert not message or message.endswith((".", "?"))


@pytest.mark.slow
@given(changes=CHANGES)
@settings(max_examples=EXAMPLES, deadline=5000, suppress_health_check=list(HealthCheck))
def test_a_mutant_of_a_manifest_is_a_cohort_or_a_sentence(folder: Path, changes: list[Change]) -> None:
    path = folder / "manifest.csv"
    original = path.read_bytes()
    try:
        check(folder, path.name, original, changes)
    finally:
        path.write_bytes(original)


@pytest.mark.slow
@given(changes=CHANGES)
@settings(max_examples=EXAMPLES, deadline=5000, suppress_health_check=list(HealthCheck))
def test_a_mutant_of_the_settings_is_a_cohort_or_a_sentence(folder: Path, changes: list[Change]) -> None:
    try:
        check(folder, "cohort.toml", TOML, changes)
    finally:
        (folder / "cohort.toml").unlink()
