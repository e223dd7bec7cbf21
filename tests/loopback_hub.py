"""A Hugging Face Hub of one process on 127.0.0.1, and tiny timm models to put on it.

Real HTTP, so that the tests use huggingface_hub itself and not a mock. `huggingface_hub` reads HF_ENDPOINT
when it is imported: pass `LoopbackHub.environment` to a subprocess.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

WEIGHTS = (".safetensors", ".bin", ".pth")
"""Ends of the names of large files, whose SHA-256 a hub states."""


@dataclass
class Repository:
    """A repository: its files by commit, and what its branches and tags point to.

    `gated` refuses the files to everybody; `gated_but_for` is a token that may read them. `status` is the
    HTTP status of every response. `flaky` is the number of requests that fail with 503, `cuts` that of
    downloads that break off in the middle, and `corrupt` that of altered downloads. With `html` every file
    is replaced by a page, as by a proxy that requires a login.
    """

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str]
    gated: bool = False
    gated_but_for: str | None = None
    status: int | None = None
    flaky: int = 0
    cuts: int = 0
    corrupt: int = 0
    html: bool = False


@dataclass
class LoopbackHub:
    """The server's state; change it while it runs."""

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    tokens: set[str] = field(default_factory=set)
    resumed: list[int] = field(default_factory=list)  # first bytes of resumed downloads
    # A fault: it gets the request and its path, and returns whether it has answered.
    fault: Callable[[Any, str], bool] | None = None

    def add(self, repo: str, folder: Path, *, revision: str = "main") -> str:
        """Publish a folder's files as a new commit that `revision` points to; returns the commit.

        The name of a dataset's repository starts with `datasets/`.
        """
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        parts = [f"{repo}@{revision}", *(f"{name} {_etag(data)}" for name, data in files.items())]
        commit = hashlib.sha1("\n".join(parts).encode()).hexdigest()
        repository = self.repositories.setdefault(repo, Repository({}, {}))
        repository.commits[commit] = files
        repository.refs[revision] = commit
        repository.refs.setdefault("main", commit)
        return commit

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Environment of a subprocess whose only hub this is, with its cache in `home`."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        return {**kept, **self.settings(home, **more)}

    def settings(self, home: Path, **more: str) -> dict[str, str]:
        """The variables of that environment which name this hub."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **more,
        }


@contextmanager
def loopback_hub() -> Iterator[LoopbackHub]:
    """Run a hub until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = LoopbackHub(f"http://127.0.0.1:{server.server_address[1]}")
    server.hub = hub  # type: ignore[attr-defined]
    # A short poll, as shutdown() waits for one.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep the output of the tests clean."""

    @property
    def _hub(self) -> LoopbackHub:
        hub: LoopbackHub = self.server.hub  # type: ignore[attr-defined]
        return hub

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        self._hub.requests[f"{self.command} {path}"] += 1
        authorization = self.headers.get("Authorization") or ""
        if authorization:
            self._hub.tokens.add(authorization.removeprefix("Bearer "))
        if self._hub.fault is not None and self._hub.fault(self, path):
            return
        about_repo = parts[:1] == ["api"]
        rest = parts[1:] if about_repo else parts
        kind = "datasets/" if rest[:1] == ["datasets"] else ""
        if rest[:1] in (["datasets"], ["models"]):
            rest = rest[1:]
        repo = kind + "/".join(rest[:2])
        repository = self._hub.repositories.get(repo)
        if repository is None:
            self._refuse(404, "RepoNotFound")
        elif repository.flaky:
            repository.flaky -= 1
            self._refuse(503, None)
        elif repository.status is not None:
            self._refuse(repository.status, None)
        elif about_repo:
            revision = "/".join(rest[3:]) if rest[2:3] == ["revision"] else "main"
            self._info("/".join(rest[:2]), repository, revision)
        elif rest[2:3] == ["resolve"] and len(rest) >= 5:
            self._file(repository, rest[3], "/".join(rest[4:]), authorization)
        else:
            self._refuse(404, None)

    def _info(self, repo: str, repository: Repository, revision: str) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound")
            return
        body = {
            "_id": "0",
            "id": repo,
            "sha": commit,
            "private": False,
            "gated": repository.gated or repository.gated_but_for is not None,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [
                {
                    "rfilename": name,
                    "size": len(data),
                    "blobId": _etag(data)[:40],
                    **({"lfs": _lfs(data)} if name.endswith(WEIGHTS) else {}),
                }
                for name, data in repository.commits[commit].items()
            ],
        }
        self.send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, repository: Repository, revision: str, name: str, authorization: str) -> None:
        if repository.gated or (
            repository.gated_but_for and authorization != f"Bearer {repository.gated_but_for}"
        ):
            self._refuse(403, "GatedRepo")
            return
        if repository.html:
            self.send(200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})
            return
        commit = self._commit(repository, revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound")
            return
        data = repository.commits[commit].get(name)
        if data is None:
            self._refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
            return
        headers = {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        first = self._first_byte(len(data))
        if self.command == "GET" and repository.corrupt:
            repository.corrupt -= 1
            data = bytes(byte ^ 255 for byte in data)
        if self.command == "GET" and repository.cuts and len(data) > 1:
            repository.cuts -= 1
            self.send(200, data, headers, only=len(data) // 2)
        elif first is None:
            self.send(200, data, headers)
        else:
            self._hub.resumed.append(first)
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            self.send(206, data[first:], headers)

    def _first_byte(self, size: int) -> int | None:
        """Start of a `bytes=N-` range, by which an interrupted download is resumed."""
        start = (self.headers.get("Range") or "").removeprefix("bytes=").partition("-")[0]
        return int(start) if start.isdecimal() and 0 < int(start) < size else None

    @staticmethod
    def _commit(repository: Repository, revision: str) -> str | None:
        return revision if revision in repository.commits else repository.refs.get(revision)

    def _refuse(self, status: int, code: str | None, headers: dict[str, str] | None = None) -> None:
        coded = {"X-Error-Code": code} if code else {}
        self.send(status, b"", {**coded, **(headers or {})})

    def send(self, status: int, body: bytes, headers: dict[str, str], only: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:only])
        if only is not None:
            self.close_connection = True


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _lfs(data: bytes) -> dict[str, object]:
    return {"sha256": _etag(data), "size": len(data), "pointerSize": 134}


def write_tiny_vit(
    folder: Path, *, seed: int = 0, architecture: str = "vit_tiny_patch16_224", **model_args: Any
) -> Path:
    """Save a randomly initialised timm model as `config.json` and `model.safetensors`; returns the folder.

    A vision transformer is small (64 px, two blocks) unless `model_args` override it; other architectures
    take `model_args` alone.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    args: dict[str, Any] = {"num_classes": 3}
    if architecture.startswith("vit_"):
        args |= {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3}
    args |= model_args
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = timm.create_model(architecture, pretrained=False, **args)
        with torch.no_grad():  # registers and biases start as zeros, which would hide mistakes
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    size = args.get("img_size", 64)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": architecture,
        "num_classes": args["num_classes"],
        "num_features": model.num_features,
        "model_args": args,
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "fixed_input_size": "img_size" in args,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": [0.7, 0.6, 0.7],
            "std": [0.2, 0.25, 0.2],
            "num_classes": args["num_classes"],
            "first_conv": model.pretrained_cfg.get("first_conv"),
            "classifier": model.pretrained_cfg.get("classifier"),
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors"
    )
    return folder
