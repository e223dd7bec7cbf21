"""ci/comment/comment.py against a server that answers as GitHub does: what a fork left stays data."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from conftest import ROOT

SCRIPT = ROOT / "ci" / "comment" / "comment.py"
COMMIT, TOKEN = "c" * 40, "the-token"
REPORT = "# Report\n\n**FAIL:** 1 of 1 criterion not met\n"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("comment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["comment"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["comment"]


@dataclass
class GitHub:
    """A repository with pull requests, artifacts and comments, and the host that keeps the artifacts.

    Attributes
    ----------
    calls : (method, path, whether the token was sent) of each request, in order.
    """

    folder: Path
    pulls: list[dict[str, Any]] = field(default_factory=lambda: [{"number": 7, "head": {"sha": COMMIT}}])
    comments: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    files: dict[int, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str, bool]] = field(default_factory=list)
    api: str = ""
    store: str = ""
    event: str = "pull_request"

    def leave(self, content: bytes, *, name: str = "pathorob-checks", size: int | None = None) -> None:
        """Keep an artifact of the run."""
        number = len(self.artifacts) + 1
        self.files[number] = content
        one = {"id": number, "name": name, "expired": False}
        self.artifacts.append({**one, "size_in_bytes": len(content) if size is None else size})

    def environment(self) -> dict[str, str]:
        run = {
            "id": 99,
            "event": self.event,
            "head_sha": COMMIT,
            "head_branch": "fix&state=closed",
            "head_repository": {"owner": {"login": "stranger"}},
            "html_url": "https://github.example/run/99",
        }
        (self.folder / "event.json").write_text(json.dumps({"workflow_run": run}))
        return {
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            "GITHUB_API_URL": self.api,
            "GITHUB_REPOSITORY": "ours/models",
            "GITHUB_TOKEN": TOKEN,
            "ARTIFACT": "pathorob-checks",
        }

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        match method, path.split("/"):
            case "GET", ["pulls"]:
                assert query["head"] == ["stranger:fix&state=closed"]
                assert query["state"] == ["open"]
                return self.pulls
            case "GET", ["actions", "runs", "99", "artifacts"]:
                return {"artifacts": self.artifacts}
            case "GET", ["issues", "7", "comments"]:
                page = int(query["page"][0])
                return self.comments[100 * (page - 1) : 100 * page]
            case "POST", ["issues", "7", "comments"]:
                return self.add(body["body"], "github-actions[bot]")
            case "PATCH", ["issues", "comments", number]:
                [one] = [one for one in self.comments if one["id"] == int(number)]
                one["body"] = body["body"]
                return one
        raise AssertionError(f"{method} {path}")

    def add(self, body: str, user: str) -> dict[str, Any]:
        number = len(self.comments) + 1
        one = {"id": number, "body": body, "user": {"login": user}, "html_url": f"https://x/{number}"}
        self.comments.append(one)
        return one


def served(answer: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            answer(self)

        def do_PATCH(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    return server


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    one = GitHub(tmp_path)

    def send(handler: BaseHTTPRequestHandler, content: bytes, code: int = 200, **headers: str) -> None:
        handler.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def ask(handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        path = parts.path.removeprefix("/repos/ours/models/")
        one.calls.append((handler.command, path, handler.headers["Authorization"] == f"Bearer {TOKEN}"))
        if path.endswith("/zip"):
            place = f"{one.store}/{path.split('/')[2]}"
            return send(handler, b"", 302, Location=place)
        length = int(handler.headers["Content-Length"] or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        answer = one.answer(handler.command, path, parse_qs(parts.query), body)
        return send(handler, json.dumps(answer).encode())

    def keep(handler: BaseHTTPRequestHandler) -> None:
        one.calls.append(("GET", "store", "Authorization" in handler.headers))
        send(handler, one.files[int(handler.path.strip("/"))])

    servers = [served(ask), served(keep)]
    one.api, one.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    yield one
    for server in servers:
        server.shutdown()
        server.server_close()


def archive(**files: str | bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in files.items():
            target.writestr(name.replace("__", "/").replace("_md", ".md"), text)
    return content.getvalue()


def run(script: ModuleType, github: GitHub) -> str:
    said: str = script.comment(github.environment())
    return said


def test_a_report_becomes_a_comment_and_the_token_stays_with_github(
    script: ModuleType, github: GitHub
) -> None:
    github.leave(archive(report_md=REPORT, results_json="{}"))
    assert run(script, github) == "commented: https://x/1"
    [comment] = github.comments
    assert comment["body"].startswith(
        f"{script.MARK}\n> From [the run](https://github.example/run/99) on `cccc"
    )
    assert comment["body"].endswith(REPORT)
    assert ("GET", "store", False) in github.calls
    assert all(sent for _, path, sent in github.calls if path != "store")


def test_a_second_run_replaces_its_own_comment(script: ModuleType, github: GitHub) -> None:
    for number in range(150):
        github.add(f"talk {number}", "somebody")
    github.leave(archive(report_md=REPORT))
    run(script, github)
    github.leave(archive(report_md="# Another"))
    assert run(script, github) == "commented: https://x/151"
    assert len(github.comments) == 151
    assert github.comments[-1]["body"].endswith("# Another")


def test_nobody_elses_comment_is_replaced(script: ModuleType, github: GitHub) -> None:
    planted = f"{script.MARK}\nmine"
    github.add(planted, "stranger")
    github.leave(archive(report_md=REPORT))
    assert run(script, github) == "commented: https://x/2"
    assert github.comments[0]["body"] == planted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"event": "push"}, "the run was not about a pull request"),
        (
            {"pulls": [{"number": 7, "head": {"sha": "d" * 40}}]},
            "no open pull request has the commit of the run",
        ),
        ({"artifacts": []}, "the run left no report.md in an artifact 'pathorob-checks'"),
    ],
)
def test_where_there_is_nothing_to_say_nothing_is_said(
    change: dict[str, Any], said: str, script: ModuleType, github: GitHub
) -> None:
    github.leave(archive(report_md=REPORT))
    for name, value in change.items():
        setattr(github, name, value)
    assert run(script, github).startswith(said)
    assert github.comments == []


def test_only_one_name_is_read(script: ModuleType, github: GitHub) -> None:
    github.leave(archive(**{"..__report_md": REPORT, "deep__report_md": REPORT}))
    assert "left no report.md" in run(script, github)


@pytest.mark.parametrize(
    ("content", "size", "error"),
    [
        (b"no archive", None, "the artifact cannot be read (BadZipFile); run the gate again"),
        (archive(report_md="x" * 300_000), None, "report.md in the artifact is larger than 262,144 bytes"),
        (
            archive(report_md=REPORT),
            1 << 30,
            "the artifact 'pathorob-checks' is larger than 67,",
        ),
    ],
    # An archive holds the time, and xdist refuses tests whose ids differ between its processes.
    ids=["damaged", "report too large", "artifact too large"],
)
def test_what_is_too_large_or_damaged_is_refused(
    content: bytes, size: int | None, error: str, script: ModuleType, github: GitHub
) -> None:
    github.leave(content, size=size)
    with pytest.raises(script.CommentError) as caught:
        run(script, github)
    assert str(caught.value).startswith(error)
    assert github.comments == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see @everyone", "see @\u2060everyone"),
        ("(@org/team)", "(@\u2060org/team)"),
        ("`virchow2@main` and a@b.org", "`virchow2@main` and a@b.org"),
        ("a\x1b[2J\u202eb\r\n", "a[2Jb\n"),
        ("<!-- pathorob-checks sticky comment -->x", "x"),
    ],
)
def test_a_report_notifies_nobody_and_hides_nothing(text: str, shown: str, script: ModuleType) -> None:
    assert script.report_in(archive(report_md=text)) == shown


def test_a_long_report_is_cut_to_what_a_comment_holds(script: ModuleType, github: GitHub) -> None:
    github.leave(archive(report_md="line\n" * 20_000))
    run(script, github)
    body = github.comments[0]["body"]
    assert 65_000 < len(body) <= 65_536
    assert body.endswith(
        "line\n\nThe report is longer than a comment may be; the whole of it is in the artifact of the run.\n"
    )


def test_outside_of_a_workflow_it_says_so_and_how_to_try_it(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in script.NEEDED:
        monkeypatch.delenv(name, raising=False)
    assert script.main() == 1
    assert capsys.readouterr().err == (
        "comment: this runs only in a workflow of type workflow_run, and GITHUB_EVENT_PATH is not set; to "
        "see the comment that a report becomes, run comment.py --dry-run report.md.\n"
    )


def test_a_dry_run_prints_the_comment_and_asks_nobody(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.md").write_text(REPORT + "@everybody\n")
    assert script.main(["--dry-run", str(tmp_path / "report.md")]) == 0
    printed = capsys.readouterr().out
    assert REPORT in printed
    assert "@everybody" not in printed
    assert script.main(["--dry-run", str(tmp_path / "none.md")]) == 1
    assert capsys.readouterr().err.endswith(
        "cannot be read (No such file or directory); name a report.md of a run.\n"
    )


def test_what_github_refuses_is_one_sentence(
    script: ModuleType, github: GitHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in github.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_REPOSITORY", "ours/models/actions/artifacts/1/zip?")
    assert script.main() == 1
    refused = "comment: GitHub refused a request (302 Found); see to the rights of the token.\n"
    assert capsys.readouterr().err == refused
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:1")
    assert script.main() == 1
    assert capsys.readouterr().err.startswith("comment: GitHub cannot be reached (")
