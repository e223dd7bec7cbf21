"""A hub or proxy that misbehaves: one sentence in time, nothing outside of the cache, no secret shown."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import LoopbackHub, loopback_hub
from terminal import Terminal, surroundings

from pathorob_checks import hub, hub_requests
from pathorob_checks.errors import HubError
from pathorob_checks.hub_failures import redacted

REPO = "lab/vit_tiny"
PASSWORD, TOKEN = "PASSWORD1234", "hf_ThisIsASecretOfTheUser"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return folder


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setattr(hub_requests, "DEADLINE_S", 2.0)
    monkeypatch.setattr(hub_requests, "_POLL_S", 0.05)
    with loopback_hub() as server:
        yield server


def message_of(running: LoopbackHub, folder: Path, action: Callable[[], object], **environment: str) -> str:
    """The sentence that an action ends in; nothing may have been written beside the cache's folder."""
    home = folder / "a" / "b" / "c" / "d" / "home"
    home.mkdir(parents=True, exist_ok=True)
    before = set(folder.rglob("*"))
    with surroundings(folder, running.settings(home, **environment)):
        start = time.monotonic()
        with pytest.raises(HubError) as caught:
            action()
    assert time.monotonic() - start < 20
    assert all(home in path.parents for path in set(folder.rglob("*")) - before)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    assert caught.value.__cause__ is None
    return message


def resolve() -> str:
    return hub.resolve_revision(REPO, None)


def fetch(commit: str, name: str = "model.safetensors") -> Callable[[], Path]:
    return lambda: hub.fetch(REPO, commit, name)


def drip(handler: Any, path: str) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.send_header("ETag", '"' + "a" * 64 + '"')
    handler.send_header("X-Repo-Commit", path.split("/")[4] if "/resolve/" in path else "")
    handler.end_headers()
    try:
        while handler.command != "HEAD":
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        handler.close_connection = True
    return True


def test_a_byte_at_a_time_has_an_end(running: LoopbackHub, tmp_path: Path) -> None:
    running.fault = drip
    message = message_of(running, tmp_path, resolve)
    assert "the hub sends lab/vit_tiny too slowly (no progress in 2 s)" in message
    assert "too slowly" in message_of(running, tmp_path, fetch("0" * 40))


def test_a_download_with_progress_is_not_slow(
    running: LoopbackHub, tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(40_000)
    (files / "model.safetensors").write_bytes(content)
    commit = running.add(REPO, files)
    monkeypatch.setattr(hub_requests, "_CHUNK_BYTES", 1_000)

    def steadily(handler: Any, path: str) -> bool:
        if handler.command != "GET" or "/resolve/" not in path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for start in range(0, len(content), 1_000):
            handler.wfile.write(content[start : start + 1_000])
            handler.wfile.flush()
            time.sleep(0.08)
        return True

    running.fault = steadily
    start = time.monotonic()
    with surroundings(tmp_path, running.settings(tmp_path / "home")):
        assert fetch(commit)().read_bytes() == content
    assert time.monotonic() - start > hub_requests.DEADLINE_S


@pytest.mark.parametrize(
    "body", [b"<html>Log in</html>", b"[]", b'{"sha": "', b"null", b"7", b"\xff\xfe", b""]
)
def test_a_response_that_is_none_is_said(running: LoopbackHub, tmp_path: Path, body: bytes) -> None:
    def answer(handler: Any, path: str) -> bool:
        handler.send(200, body, {"Content-Type": "application/json"})
        return True

    running.fault = answer
    assert "is not that of a Hugging Face Hub but perhaps a login page" in message_of(
        running, tmp_path, resolve
    )


@pytest.mark.parametrize("etag", ["../../../../../evil", "/tmp/evil", "..", "a/b", "a\\b", ""])
def test_a_digest_that_is_a_path_writes_nothing(
    running: LoopbackHub, tmp_path: Path, files: Path, etag: str
) -> None:
    commit = running.add(REPO, files)

    def answer(handler: Any, path: str) -> bool:
        data = (files / "model.safetensors").read_bytes()
        handler.send(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})
        return True

    running.fault = answer
    message_of(running, tmp_path, fetch(commit))
    assert not Path("/tmp/evil").exists()


def test_a_file_of_another_commit_is_refused(running: LoopbackHub, tmp_path: Path, files: Path) -> None:
    commit = running.add(REPO, files)

    def answer(handler: Any, path: str) -> bool:
        data = (files / "model.safetensors").read_bytes()
        headers = {"ETag": '"' + "a" * 64 + '"', "X-Repo-Commit": "b" * 40, "Accept-Ranges": "bytes"}
        handler.send(200, data, headers)
        return True

    running.fault = answer
    assert "of another commit" in message_of(running, tmp_path, fetch(commit))


@pytest.mark.parametrize("sha", ["../../../evil/aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "A" * 40, "", None, 7, ["a"]])
def test_a_commit_that_is_none_is_refused(running: LoopbackHub, tmp_path: Path, sha: object) -> None:
    def answer(handler: Any, path: str) -> bool:
        handler.send(200, json.dumps({"id": REPO, "sha": sha}).encode(), {"Content-Type": "application/json"})
        return True

    running.fault = answer
    assert "returned no commit" in message_of(running, tmp_path, resolve)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_names_of_files_that_lead_out_are_refused(running: LoopbackHub, tmp_path: Path, name: str) -> None:
    def answer(handler: Any, path: str) -> bool:
        body = {"id": REPO, "sha": "0" * 40, "siblings": [{"rfilename": name, "size": 1}]}
        handler.send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return True

    running.fault = answer
    assert "outside of the repository" in message_of(
        running, tmp_path, lambda: hub.list_files(REPO, "0" * 40)
    )


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://localhost:{port}/moved", "{path}"])
def test_a_redirect_takes_no_token_elsewhere(
    running: LoopbackHub, tmp_path: Path, files: Path, target: str
) -> None:
    commit = running.add(REPO, files)
    moved: list[str | None] = []

    def answer(handler: Any, path: str) -> bool:
        if path == "/moved":
            moved.append(handler.headers.get("Authorization"))
            handler.send(200, b"", {})
            return True
        port = running.url.rpartition(":")[2]
        handler.send(302, b"", {"Location": target.format(port=port, path=path)})
        return True

    running.fault = answer
    assert TOKEN not in message_of(running, tmp_path, fetch(commit), HF_TOKEN=TOKEN)
    assert not any(moved)


@pytest.mark.parametrize("question", ["resolve", "fetch"])
def test_the_password_of_the_endpoint_is_never_shown(
    running: LoopbackHub, tmp_path: Path, files: Path, question: str, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    commit = running.add(REPO, files)
    caplog.set_level(logging.DEBUG)
    repository = running.repositories[REPO]
    repository.cuts = repository.flaky = 99 if question == "fetch" else 0
    repository.flaky = 0 if question == "fetch" else 99
    action = fetch(commit) if question == "fetch" else resolve
    endpoint = running.url.replace("//", f"//user:{PASSWORD}@")
    message = message_of(running, tmp_path, action, HF_ENDPOINT=endpoint)
    output = capfd.readouterr()
    assert PASSWORD not in message + caplog.text + output.out + output.err


def test_a_request_that_was_left_says_nothing_later_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    left, said = threading.Event(), threading.Event()

    def request() -> None:
        left.wait(20)
        logging.getLogger("huggingface_hub").warning("again from http://user:%s@hub", PASSWORD)
        said.set()

    with pytest.raises(hub_requests.SlowError):
        hub_requests._in_time(request, hub_requests.Progress(), 0.05)
    left.set()
    assert said.wait(20)
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
)
@pytest.mark.parametrize(
    "proxy", ["http://user:{}@127.0.0.1:9", "user:{}@127.0.0.1:9", "socks9://u:{}@h", "http://u:{}@h:x"]
)
def test_the_password_of_a_proxy_is_never_shown(
    tmp_path: Path, running: LoopbackHub, name: str, proxy: str, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    scheme = "https" if "https" in name.lower() else "http"
    settings = {
        "HF_ENDPOINT": f"{scheme}://hub.invalid",
        "NO_PROXY": "",
        "no_proxy": "",
        name: proxy.format(PASSWORD),
    }
    message = message_of(running, tmp_path, resolve, **settings)
    output = capfd.readouterr()
    assert PASSWORD not in message + caplog.text + output.out + output.err


@pytest.mark.parametrize("token", ["hf_Schlüssel", "hf_a\u200bb", "hf_a b", "hf_a\x00b", "“hf_a”"])
@pytest.mark.parametrize("place", ["variable", "file"])
def test_a_token_that_is_none_is_said_without_it(
    running: LoopbackHub, tmp_path: Path, files: Path, token: str, place: str
) -> None:
    commit = running.add(REPO, files)
    (tmp_path / "token").write_text(token, encoding="utf-8")
    environment = {"HF_TOKEN_PATH": str(tmp_path / "token")}
    if place == "variable":
        if "\0" in token:
            pytest.skip("no variable can hold it")
        environment = {"HF_TOKEN": token}
    message = message_of(running, tmp_path, fetch(commit), **environment)
    assert "has characters that no token has" in message
    assert token not in message


def test_a_token_in_a_file_of_bytes_is_said(running: LoopbackHub, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe\x00h")
    message = message_of(running, tmp_path, resolve, HF_TOKEN_PATH=str(tmp_path / "token"))
    assert "has characters that no token has" in message


def test_what_holds_a_secret_is_redacted() -> None:
    assert redacted(f"GET https://me:{PASSWORD}@hub.org/a/b?X-Amz-Signature={PASSWORD}&b=c failed") == (
        "GET https://hub.org/a/b?... failed"
    )
    assert (
        redacted(f"Authorization: Bearer {PASSWORD}, {TOKEN}\x1b[2J")
        == "Authorization: Bearer ... ...\\x1b[2J"
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1",
        "http://hub:99999",
        f"http://user:{PASSWORD}@hub:port",
        "hub.org",
        "file:///etc",
        "ftp://hub.org",
        "http://",
        "http://a b",
        "",
    ],
)
def test_an_address_of_the_hub_that_is_none(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    commit = "0" * 40
    for action in (
        resolve,
        lambda: hub.list_files(REPO, commit),
        lambda: hub.fetch(REPO, commit, "config.json"),
        lambda: hub.size_to_fetch(REPO, commit, "config.json"),
    ):
        with pytest.raises(
            HubError, match="HF_ENDPOINT, is not one of the web; set it to an address"
        ) as caught:
            action()
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "address", [f"http://user:{PASSWORD}@[::1", f"http://u:{PASSWORD}@proxy:x", "http://"]
)
def test_an_address_of_a_proxy_that_is_none(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    monkeypatch.setenv(variable, address)
    with pytest.raises(HubError, match=f"the proxy, {variable}, is not one") as caught:
        resolve()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("address", ["proxy:3128", "http://user:word@proxy:3128", "socks5h://[::1]:1080"])
def test_usual_addresses_of_a_proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    hub.check_addresses()


def test_a_run_and_the_doctor_with_a_wrong_address(terminal: Terminal) -> None:
    for address in ("http://[::1", "http://hub:99999"):
        run = terminal.pytest("--fm=hf-hub:lab/fm", "--fm-cohort=demo", subprocess=True, HF_ENDPOINT=address)
        assert run.code == 4
        assert "ERROR: the address of the hub, HF_ENDPOINT, is not one of the web" in run.output
        assert "Traceback" not in run.output
