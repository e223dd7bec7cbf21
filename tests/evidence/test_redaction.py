"""What is taken out of evidence, and what stays."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pathorob_checks.evidence.redaction import Redaction

HOME, USER, HOST = "/home/magdalena", "magdalena", "path-lab-7"
MINE = Redaction(
    secrets=frozenset({"correct horse", "s3cr3t-value"}), homes=(HOME,), users=(USER,), hosts=(HOST,)
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(socket, "gethostname", lambda: f"{HOST}.clinic.example")
    return {"HOME": HOME, "USER": USER}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (f"local-dir:{HOME}/models/vit", "local-dir:~/models/vit"),
        (f"{HOME}", "~"),
        (f"{HOME}-old/models", "/home/USER-old/models"),
        (f"/scratch/{USER}/run", "/scratch/USER/run"),
        (f"/tmp/pytest-of-{USER}/x", "/tmp/pytest-of-USER/x"),
        (f"{USER}@{HOST}", "USER@HOST"),
        (f"C:\\Users\\{USER}\\m", "C:\\Users\\USER\\m"),
        # An FM, a center or a class of the same name is no person.
        (f"suites/test_x.py::test_y[{USER}-{HOST}]", f"suites/test_x.py::test_y[{USER}-{HOST}]"),
        (f"/scratch/{USER}2/run", f"/scratch/{USER}2/run"),
        ("the key s3cr3t-value, once", "the key ..., once"),
        ("https://me:pw@hub.example/a?sig=1", "https://hub.example/a?..."),
        ("with hf_abcdef", "with ..."),
        ("Why? And so on & so forth", "Why? And so on & so forth"),
    ],
)
def test_fields_keep_names_that_stand_in_no_path(text: str, cleaned: str) -> None:
    assert MINE.in_field(text) == cleaned


def test_text_has_no_such_word_at_all() -> None:
    text = f"printed by {USER} on {HOST}\n  {USER}_run, {USER}s, correct horse"
    assert MINE.in_text(text) == f"printed by USER on HOST\n  USER_run, {USER}s, ..."


def test_values_are_cleaned_below_all_keys_but_those_that_are_kept() -> None:
    value = {"a": [f"{HOME}/x", 1, None], "owner": f"{HOME}/x", "b": {"c": f"{HOME}/y"}}
    assert MINE.in_values(value, kept=["owner"]) == {
        "a": ["~/x", 1, None], "owner": f"{HOME}/x", "b": {"c": "~/y"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("HF_TOKEN", "hf_0123456789", "hf_0123456789"),
        ("MY_API_KEY", "0123456789abcdef", "0123456789abcdef"),
        ("PATHOROB_CHECKS_KEY_PASSPHRASE", "correct horse", "correct horse"),
        ("HTTPS_PROXY", "http://me:pass%20word@proxy:3128", "pass word"),
        ("HTTPS_PROXY", "http://me:pass%20word@proxy:3128", "pass%20word"),
    ],
)
def test_secrets_are_the_values_of_variables_named_so_and_passwords_in_addresses(
    name: str, value: str, hidden: str, environment: dict[str, str]
) -> None:
    redaction = Redaction.of_this_machine({**environment, name: value})
    assert hidden not in redaction.in_field(f"it is {hidden}.")
    assert redaction.has_secret_in(f"it is {hidden}.".encode())
    assert Redaction.of_this_machine({**environment, name: value}, identify=True).secrets == redaction.secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_AUTHOR_NAME", "Magdalena"),
        ("USE_TOKEN", "true"),
        ("TOKEN_COUNT", "12345678"),
        ("XAUTHORITY", "/x/y"),
    ],
)
def test_words_numbers_and_names_are_no_secrets(name: str, value: str, environment: dict[str, str]) -> None:
    assert value not in Redaction.of_this_machine({**environment, name: value}).secrets


def test_the_path_of_a_secret_is_none(environment: dict[str, str], tmp_path: Path) -> None:
    assert str(tmp_path) not in Redaction.of_this_machine({**environment, "TOKEN": str(tmp_path)}).secrets


def test_the_token_file_of_the_hub_holds_a_secret(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abcdef0123456789\n")
    redaction = Redaction.of_this_machine({**environment, "HF_TOKEN_PATH": str(tmp_path / "token")})
    assert "abcdef0123456789" in redaction.secrets


def test_this_machine_is_known_by_home_user_and_host(environment: dict[str, str]) -> None:
    redaction = Redaction.of_this_machine(environment)
    text = redaction.in_text(f"{HOME}/a, {USER}, {HOST}, {HOST}.clinic.example")
    assert text == "~/a, USER, HOST, HOST"
    assert Redaction.of_this_machine(environment, identify=True).in_text(f"{USER} {HOST}") == f"{USER} {HOST}"


@pytest.mark.parametrize("user", ["root", "runner", "jenkins", ""])
def test_accounts_that_stand_for_nobody_are_words_like_others(user: str, environment: dict[str, str]) -> None:
    redaction = Redaction.of_this_machine({**environment, "USER": user, "HOME": "/"})
    assert redaction.in_text(f"a {user or 'test'} of its own") == f"a {user or 'test'} of its own"
