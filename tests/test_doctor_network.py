"""`pathorob-checks doctor` on a hub that refuses, is away or never answers: asked once, with a remedy."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import LoopbackHub, loopback_hub, write_tiny_vit
from terminal import Run, Terminal

from pathorob_checks import hub_requests

FMS = ("--fm=hf-hub:lab/one", "--fm=hf-hub:lab/two", "--fm-cohort=demo")
REMEDIES = ("HF_HUB_OFFLINE=1", "HTTPS_PROXY", "HF_ENDPOINT")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_tiny_vit(tmp_path / "vit")


@pytest.fixture
def server(weights: Path) -> Iterator[LoopbackHub]:
    with loopback_hub() as running:
        running.add("lab/one", weights)
        yield running


def doctor(terminal: Terminal, endpoint: str, home: Path, *arguments: str, **environment: str) -> Run:
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "*", **environment}
    run = terminal.command("doctor", *arguments, **settings)
    return Run(run.code, " ".join(run.output.split()))


@contextmanager
def silence() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that accepts connections and never answers: its address, and the connections."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    accepted.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", accepted
        listener.shutdown(socket.SHUT_RDWR)
    for connection in accepted:
        connection.close()


def refused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("code", ["GatedRepo", None])
@pytest.mark.parametrize("status", [401, 403])
def test_files_are_asked_for_whatever_a_list_on_the_disk_says(
    server: LoopbackHub, lone_terminal: Terminal, tmp_path: Path, code: str | None, status: int
) -> None:
    commit = server.repositories["lab/one"].refs["main"]
    trees = tmp_path / "home" / "hub" / "models--lab--one" / "trees"
    trees.mkdir(parents=True)
    entry = {"size": 9, "blob_id": "0" * 40, "lfs_sha256": "1" * 64, "lfs_size": 9, "xet_hash": "2" * 64}
    listing = {"format_version": 1, "files": {"model.safetensors": entry}}
    (trees / f"{commit}.json").write_text(json.dumps(listing))

    def refuse(handler: Any, path: str) -> bool:
        if path.endswith(".safetensors"):
            handler.send(status, b"", {"X-Error-Code": code} if code else {})
        return path.endswith(".safetensors")

    server.fault = refuse
    run = doctor(lone_terminal, server.url, tmp_path / "home", *FMS[:1], "--fm-cohort=demo")
    assert run.code == 1, run.output
    what = "lab/one is gated and this account may not read it; accept the terms at" if code else (
        f"the hub refuses access to model.safetensors of lab/one at revision {commit} (HTTP {status}); "
        "set HF_TOKEN"
    )  # fmt: skip
    assert f"FAIL FM one: {what}" in run.output
    heads = [request for request in server.requests if request.endswith(".safetensors")]
    assert heads == [f"HEAD /lab/one/resolve/{commit}/model.safetensors"]


def test_a_hub_that_answers_is_said_to(server: LoopbackHub, lone_terminal: Terminal, tmp_path: Path) -> None:
    run = doctor(lone_terminal, server.url, tmp_path / "home", *FMS[:1], "--fm-cohort=demo")
    assert run.code == 0, run.output
    assert f"PASS hub: {server.url.removeprefix('http://')} answers" in run.output
    assert server.requests["HEAD /"] == 1


def test_a_hub_that_is_overloaded_fails(server: LoopbackHub, lone_terminal: Terminal, tmp_path: Path) -> None:
    def overloaded(handler: Any, path: str) -> bool:
        handler.send(503, b"", {})
        return True

    server.fault = overloaded
    run = doctor(lone_terminal, server.url, tmp_path / "home", *FMS)
    assert "FAIL hub: " in run.output
    assert "is down or overloaded (HTTP 503); try again later" in run.output
    assert sum(server.requests.values()) == 1


def test_a_hub_that_never_answers_is_asked_once(
    lone_terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_requests, "PROBE_S", 0.3)
    with silence() as (address, accepted):
        run = doctor(lone_terminal, address, tmp_path / "home", *FMS)
    assert run.code == 1
    host = address.removeprefix("http://")
    assert f"FAIL hub: {host} cannot be reached (no answer within" in run.output, run.output
    assert all(remedy in run.output for remedy in REMEDIES), run.output
    assert f"FAIL FM one: {host} cannot be reached for lab/one" in run.output
    assert f"FAIL FM two: {host} cannot be reached for lab/two" in run.output
    assert "PASS cohort demo: " in run.output
    assert len(accepted) == 1


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (refused_address(), "it refuses the connection"),
        ("http://no-such-host.invalid", "its name is not known to this machine's DNS"),
    ],
    ids=["refused", "unknown"],  # an address that is refused has another port in every process
)
def test_a_hub_that_cannot_be_reached_fails(
    lone_terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, why: str
) -> None:
    hosts: list[str] = []
    connect = socket.getaddrinfo

    def counting(host: Any, *rest: Any, **more: Any) -> Any:
        hosts.append(host)
        return connect(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", counting)
    run = doctor(lone_terminal, address, tmp_path / "home", *FMS)
    assert run.code == 1
    host = address.removeprefix("http://")
    assert f"FAIL hub: {host} cannot be reached ({why}); check the network" in run.output, run.output
    assert all(remedy in run.output for remedy in REMEDIES), run.output
    assert "FAIL FM two: " in run.output
    assert hosts.count(host.partition(":")[0]) == 1


def test_a_proxy_in_the_way_is_named(lone_terminal: Terminal, tmp_path: Path) -> None:
    proxy = {"HTTP_PROXY": refused_address(), "NO_PROXY": "", "no_proxy": ""}
    run = doctor(lone_terminal, "http://no-such-host.invalid", tmp_path / "home", *FMS, **proxy)
    assert (
        "no-such-host.invalid cannot be reached through the proxy (it refuses the connection)" in run.output
    )
    assert "check the network and the proxy" in run.output


def test_what_is_in_the_cache_is_still_examined(
    server: LoopbackHub, lone_terminal: Terminal, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    settings = server.settings(home)
    fetched = lone_terminal.command("prefetch", FMS[0], "--fm-cohort=demo", **settings)
    assert fetched.code == 0, fetched.output
    run = doctor(lone_terminal, refused_address(), home, FMS[0], "--fm-cohort=demo")
    assert run.code == 0, run.output
    assert "WARN hub: " in run.output
    assert "what the run needs is in the cache; check the network" in run.output
    assert "PASS FM one: lab/one at " in run.output
    run = doctor(lone_terminal, refused_address(), home, *FMS)
    assert ("FAIL hub: " in run.output, "PASS FM one: " in run.output, "FAIL FM two: " in run.output) == (
        True, True, True,
    ), run.output  # fmt: skip
    shutil.rmtree(home)
    assert "FAIL FM one: " in doctor(lone_terminal, refused_address(), home, *FMS).output


def test_a_cohort_is_not_mended_by_a_model_folder(lone_terminal: Terminal, tmp_path: Path) -> None:
    mirror = {"PATHOROB_CHECKS_METADATA_URL": refused_address()}
    given = ("--fm-cohort=camelyon", "--fm-cohort=tcga")
    run = doctor(lone_terminal, refused_address(), tmp_path / "home", *given, **mirror)
    assert run.code == 1
    assert "FAIL cohort camelyon: " in run.output
    assert (
        "run pathorob-checks prefetch --to=DIR elsewhere, copy DIR and set HF_HUB_CACHE=DIR/huggingface"
        in run.output
    )
    assert "local-dir" not in run.output
    assert run.output.count("FAIL tables: ") == 1


def test_tables_are_asked_for_once(lone_terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    mirror = {"PATHOROB_CHECKS_METADATA_URL": refused_address()}
    given = ("--fm=embeddings:given", "--fm-cohort=camelyon", "--fm-cohort=tolkach_esca")
    shutil.copytree(folder, lone_terminal.folder / "given")
    run = doctor(lone_terminal, refused_address(), tmp_path / "home", *given, **mirror)
    assert "PASS hub: nothing of this run is on a hub" in run.output
    assert run.output.count("(it refuses the connection)") == 1, run.output
    assert (
        "FAIL cohort tolkach_esca: the table tolkach_esca_reduced.csv is not in the cache, and" in run.output
    )


def test_a_run_without_a_hub_asks_none(lone_terminal: Terminal, tmp_path: Path) -> None:
    with silence() as (address, accepted):
        run = doctor(lone_terminal, address, tmp_path / "home", "--fm=demo:stain-invariant")
    assert run.code == 0, run.output
    assert "PASS hub: nothing of this run is on a hub" in run.output
    assert not accepted
