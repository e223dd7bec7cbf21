"""Looking up and downloading models, against a hub of our own on 127.0.0.1."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from loopback_hub import LoopbackHub, loopback_hub, write_tiny_vit
from terminal import surroundings

from pathorob_checks import hub
from pathorob_checks.errors import HubError
from pathorob_checks.hub_requests import Progress
from pathorob_checks.models.loading import ResolvedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.spec import parse_spec

REPO = "lab/vit_tiny"
TOKEN = "hf_ThisIsASecretOfTheUser"


@dataclass
class User:
    """Somebody with a cache folder, who asks `hub` questions."""

    hub: LoopbackHub
    home: Path

    def reply_to(self, question: str, *arguments: str | None, **environment: str) -> dict[str, str]:
        with surroundings(self.home.parent, self.hub.settings(self.home, **environment)):
            try:
                return {"answer": str(getattr(hub, question)(*arguments))}
            except HubError as error:
                return {
                    "kind": type(error).__name__, "error": str(error), "trace": traceback.format_exc(),
                }  # fmt: skip

    def is_refused(self, question: str, *arguments: str | None, **environment: str) -> str:
        reply = self.reply_to(question, *arguments, **environment)
        assert "answer" not in reply
        assert "\n" not in reply["error"]
        assert reply["trace"].count("Traceback") == 1, "the hub library's traceback was chained"
        return reply["error"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 8)
    return folder


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    # What huggingface_hub does between its own attempts at a hub that is down.
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with loopback_hub() as running:
        yield User(running, tmp_path / "home")


def test_a_branch_is_resolved_to_its_commit_and_a_new_commit_is_seen(user: User, files: Path) -> None:
    first = user.hub.add(REPO, files)
    assert user.reply_to("resolve_revision", REPO, None) == {"answer": first}
    (files / "config.json").write_text("[]")
    second = user.hub.add(REPO, files)
    assert user.reply_to("resolve_revision", REPO, "main") == {"answer": second}
    assert first != second


def test_a_full_commit_is_taken_without_a_request(user: User) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    assert user.reply_to("resolve_revision", REPO, commit) == {"answer": commit}
    assert not user.hub.requests


def test_a_pinned_commit_gives_its_own_files_after_the_branch_has_moved(user: User, files: Path) -> None:
    pinned = user.hub.add(REPO, files)
    (files / "config.json").write_text("[]")
    user.hub.add(REPO, files)
    assert Path(user.reply_to("fetch", REPO, pinned, "config.json")["answer"]).read_text() == "{}"


def test_the_second_fetch_comes_from_the_cache(user: User, files: Path) -> None:
    commit = user.hub.add(REPO, files)
    first = user.reply_to("fetch", REPO, commit, "model.safetensors")["answer"]
    assert Path(first).read_bytes() == (files / "model.safetensors").read_bytes()
    assert sum(user.hub.requests.values()) > 0
    user.hub.requests.clear()
    assert user.reply_to("fetch", REPO, commit, "model.safetensors")["answer"] == first
    assert not user.hub.requests


@pytest.mark.parametrize("why", ["offline", "down", "overloaded"])
def test_without_the_hub_the_commit_seen_last_is_used(user: User, files: Path, why: str) -> None:
    commit = user.hub.add(REPO, files, revision="v1")
    user.reply_to("resolve_revision", REPO, "v1")
    user.hub.repositories[REPO].status = {"offline": None, "down": 503, "overloaded": 429}[why]
    offline = {"HF_HUB_OFFLINE": "1"} if why == "offline" else {}
    assert user.reply_to("resolve_revision", REPO, "v1", **offline) == {"answer": commit}


def test_offline_with_an_empty_cache_names_the_variable_to_unset(user: User) -> None:
    for question in (("resolve_revision", REPO, None), ("fetch", REPO, "0" * 40, "config.json")):
        assert "unset HF_HUB_OFFLINE" in user.is_refused(*question, HF_HUB_OFFLINE="1")


@pytest.mark.parametrize("question", [("resolve_revision", None), ("fetch", "0" * 40, "config.json")])
def test_no_network_is_told_with_the_way_round_it(user: User, question: tuple[str, str | None]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        message = user.is_refused(question[0], REPO, *question[1:], HF_ENDPOINT=nowhere)
    assert "cannot be reached" in message
    assert "local-dir:PATH" in message


def test_a_repository_that_does_not_exist_is_named(user: User) -> None:
    message = user.is_refused("resolve_revision", "lab/nothing", None)
    assert "no repository lab/nothing" in message
    assert "HF_TOKEN" in message


def test_a_revision_that_does_not_exist_is_named(user: User, files: Path) -> None:
    user.hub.add(REPO, files)
    assert f"{REPO} has no revision v9" in user.is_refused("resolve_revision", REPO, "v9")


def test_a_file_that_does_not_exist_is_an_error_of_its_own(user: User, files: Path) -> None:
    commit = user.hub.add(REPO, files)
    reply = user.reply_to("fetch", REPO, commit, "weights.bin")
    assert reply["kind"] == "MissingFileError"
    assert "has no file weights.bin" in reply["error"]


def test_a_gated_repository_tells_where_to_accept_its_terms(user: User, files: Path) -> None:
    commit = user.hub.add(REPO, files)
    user.hub.repositories[REPO].gated = True
    message = user.is_refused("fetch", REPO, commit, "config.json")
    assert f"accept the terms at https://huggingface.co/{REPO}" in message
    assert "HF_TOKEN" in message


def test_a_token_opens_the_gate_and_is_never_shown(user: User, files: Path) -> None:
    commit = user.hub.add(REPO, files)
    repository = user.hub.repositories[REPO]
    repository.gated_but_for = TOKEN
    other = "hf_AnotherUsersToken"
    reply = user.reply_to("fetch", REPO, commit, "config.json", HF_TOKEN=other)
    assert "gated" in reply["error"]
    assert user.hub.tokens == {other}, (
        "the request did not carry the token, so nothing was shown to be hidden"
    )
    assert other not in json.dumps(reply)
    assert "answer" in user.reply_to("fetch", REPO, commit, "config.json", HF_TOKEN=TOKEN)


@pytest.mark.parametrize(("status", "advice"), [(500, "try again later"), (401, "HF_TOKEN"), (418, "check")])
def test_other_answers_are_told_by_their_status(user: User, files: Path, status: int, advice: str) -> None:
    commit = user.hub.add(REPO, files)
    user.hub.repositories[REPO].status = status
    for question in (("resolve_revision", REPO, None), ("fetch", REPO, commit, "config.json")):
        assert advice in user.is_refused(*question)


def test_a_cache_that_cannot_be_written_is_told(user: User, files: Path) -> None:
    commit = user.hub.add(REPO, files)
    user.home.write_text("a file where the cache's folder should be")
    assert "HF_HOME" in user.is_refused("fetch", REPO, commit, "config.json")


def test_a_spec_becomes_an_embedding_through_the_hub(user: User, tmp_path: Path) -> None:
    commit = user.hub.add(REPO, write_tiny_vit(tmp_path / "vit"))
    with surroundings(tmp_path, user.hub.settings(user.home)):
        resolved = resolve(parse_spec(f"hf-hub:{REPO}"), "vit_tiny")
        worker = ResolvedModel.from_dict(json.loads(json.dumps(resolved.to_dict())))
        assert worker == resolved
        prepared = prepare(worker, ModelSettings(device="cpu"))
        shape = prepared.load().embed(torch.zeros(2, 3, 64, 64)).shape
    identity = prepared.identity
    assert (identity["repository"], identity["revision"], tuple(shape)) == (REPO, commit, (2, 96))


def test_a_download_that_breaks_off_goes_on_where_it_stopped(user: User, files: Path) -> None:
    # Larger than the pieces in which huggingface_hub writes (10 MiB).
    content = bytes(range(256)) * (26 << 12)
    (files / "model.safetensors").write_bytes(content)
    commit = user.hub.add(REPO, files)
    user.hub.repositories[REPO].cuts = 1
    assert Path(user.reply_to("fetch", REPO, commit, "model.safetensors")["answer"]).read_bytes() == content
    assert user.hub.resumed
    assert all(0 < first <= len(content) // 2 for first in user.hub.resumed)


def test_what_arrives_altered_is_fetched_again_and_never_kept(user: User, files: Path) -> None:
    commit = user.hub.add(REPO, files)
    user.hub.repositories[REPO].corrupt = 99
    assert "another digest" in user.is_refused("fetch", REPO, commit, "model.safetensors")
    assert not [path for path in user.home.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    user.hub.repositories[REPO].corrupt = 1
    path = Path(user.reply_to("fetch", REPO, commit, "model.safetensors")["answer"])
    assert path.read_bytes() == (files / "model.safetensors").read_bytes()


def test_a_page_instead_of_a_file_is_told(user: User, files: Path) -> None:
    commit = user.hub.add(REPO, files)
    user.hub.repositories[REPO].html = True
    assert "a login page" in user.is_refused("fetch", REPO, commit, "config.json")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\..\\b"])
def test_a_file_name_that_leads_out_of_the_repository_is_refused(user: User, name: str) -> None:
    assert "outside of the repository" in user.is_refused("fetch", REPO, "0" * 40, name)
    assert not user.hub.requests


def test_a_full_disk_is_found_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(10**9, 0, 10**8))
    hub.refuse_a_full_disk(10**7, tmp_path / "not" / "yet", "a small file")
    monkeypatch.setattr(hub, "_refuse_a_name_outside", lambda *arguments: None)
    dry_runs = []

    class Plan:
        will_download = True
        file_size = 10**8

    def download(*arguments: object, dry_run: bool = False, **more: object) -> object:
        dry_runs.append(dry_run)
        return Plan()

    with pytest.raises(
        HubError, match=r"weights of lab/vit needs 0\.10 GB, but .* has 0\.10 GB free; .*HF_HOME"
    ):
        hub._download(download, Progress(), "lab/vit", commit="0" * 40, filename="weights", kind="model")
    assert dry_runs == [True]
