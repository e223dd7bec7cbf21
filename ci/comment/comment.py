"""One comment on a pull request: the report that a run without the right to write left as an artifact.

It runs in a workflow of the base repository, after a workflow of the pull request has ended (`workflow_run`).
All that the pull request's workflow left is untrusted, whoever wrote it: its size is limited, one file of a
fixed name is read, mentions in it notify nobody, and which pull request it belongs to is taken from the event
and from GitHub, not from the artifact. No library is needed.

`comment.py --dry-run REPORT` prints the comment that a report becomes, and asks nobody.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "report.md"
ARTIFACT_BYTES = 64 << 20  # the HTML report is in it too
FILE_BYTES = 256 << 10
COMMENT_CHARACTERS = 65_536
MARK = "<!-- pathorob-checks sticky comment -->"
NEEDED = ("GITHUB_EVENT_PATH", "GITHUB_REPOSITORY", "GITHUB_TOKEN")  # what a workflow sets
BOT = "github-actions[bot]"
PAGES = 20
TIMEOUT_S = 30.0
_MENTION = re.compile(r"(?<![\w`])@(?=\w)")
_CUT = "\n\nThe report is longer than a comment may be; the whole of it is in the artifact of the run.\n"


class CommentError(Exception):
    """What keeps a comment from being written, as one sentence."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run of the pull request's workflow, by the event.

    Attributes
    ----------
    id : of the run.
    commit : that was checked out.
    owner, branch : where the commit is from, which may be a fork.
    url : of the run's page.
    """

    id: int
    commit: str
    owner: str
    branch: str
    url: str


def run_of(event: Mapping[str, Any]) -> Run | None:
    """The run that has ended; None if it was not about a pull request."""
    run = event["workflow_run"]
    if run["event"] != "pull_request":
        return None
    return Run(
        id=int(run["id"]),
        commit=str(run["head_sha"]),
        owner=str(run["head_repository"]["owner"]["login"]),
        branch=str(run["head_branch"]),
        url=str(run["html_url"]),
    )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected request would take the token to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


class GitHub:
    """The few requests that are needed.

    Parameters
    ----------
    api : address of the API.
    repository : `owner/name`.
    token : with the rights to read actions and to write pull requests.
    """

    def __init__(self, api: str, repository: str, token: str) -> None:
        self._base = f"{api.rstrip('/')}/repos/{repository}"
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirects)

    def get(self, path: str, **query: str | int) -> Any:
        """What the API answers."""
        return json.loads(self._send("GET", f"{self._base}/{path}?{urllib.parse.urlencode(query)}"))

    def pages(self, path: str, **query: str | int) -> Iterator[Any]:
        """The entries of a list, page by page."""
        for page in range(1, PAGES + 1):
            entries = self.get(path, **query, per_page=100, page=page)
            yield from entries
            if len(entries) < 100:
                return

    def write(self, method: str, path: str, content: object) -> Any:
        """Send a document."""
        return json.loads(self._send(method, f"{self._base}/{path}", json.dumps(content).encode()))

    def artifact(self, run: int, name: str) -> bytes | None:
        """The newest artifact of this name of a run, as a ZIP file; None if there is none."""
        artifacts = self.get(f"actions/runs/{run}/artifacts", name=name, per_page=100)["artifacts"]
        whole = [one for one in artifacts if one["name"] == name and not one["expired"]]
        if not whole:
            return None
        newest = max(whole, key=lambda one: int(one["id"]))
        if int(newest["size_in_bytes"]) > ARTIFACT_BYTES:
            raise _too_large(name)
        place = self._redirect(f"{self._base}/actions/artifacts/{int(newest['id'])}/zip")
        with urllib.request.urlopen(place, timeout=TIMEOUT_S) as answer:  # noqa: S310 (by GitHub; no token is sent)
            content: bytes = answer.read(ARTIFACT_BYTES + 1)
        if len(content) > ARTIFACT_BYTES:
            raise _too_large(name)
        return content

    def _redirect(self, address: str) -> str:
        """Where the API says that something is."""
        try:
            self._send("GET", address)
        except urllib.error.HTTPError as answer:
            place = answer.headers.get("Location")
            if answer.code in (301, 302, 303, 307, 308) and place and _is_web(place):
                return place
            raise
        raise CommentError("GitHub does not say where the artifact is; try again later")

    def _send(self, method: str, address: str, content: bytes | None = None) -> bytes:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        request = urllib.request.Request(address, content, headers, method=method)  # noqa: S310 (GITHUB_API_URL)
        with self._opener.open(request, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read()
        return body


def _too_large(name: str) -> CommentError:
    return CommentError(f"the artifact {name!r} is larger than {ARTIFACT_BYTES:,} bytes; make it smaller")


def _is_web(address: str) -> bool:
    return urllib.parse.urlsplit(address).scheme in ("http", "https")


def report_in(archive: bytes) -> str | None:
    """The report in an artifact, harmless; None if there is none.

    Raises
    ------
    CommentError : the archive or the report cannot be read, or is too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            if FILE not in files.namelist():
                return None
            with files.open(FILE) as file:
                content = file.read(FILE_BYTES + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise CommentError(
            f"the artifact cannot be read ({type(error).__name__}); run the gate again"
        ) from None
    return harmless(content, f"{FILE} in the artifact")


def harmless(content: bytes, what: str) -> str:
    """A report as text that notifies nobody.

    Raises
    ------
    CommentError : it is too large.
    """
    if len(content) > FILE_BYTES:
        raise CommentError(f"{what} is larger than {FILE_BYTES:,} bytes; make it smaller")
    text = content.decode("utf-8", errors="replace")
    text = "".join(char for char in text if char in "\n\t" or char.isprintable())
    # A joiner of no width after the sign: it reads the same and names nobody.
    return _MENTION.sub("@\u2060", text.replace(MARK, ""))


def comment_of(run: Run, report: str) -> str:
    """The whole comment."""
    lead = (
        f"{MARK}\n> From [the run]({run.url}) on `{run.commit[:12]}`. The pull request's own code wrote this "
        "report; the status of the check decides.\n\n"
    )
    room = COMMENT_CHARACTERS - len(lead)
    if len(report) > room:
        report = report[: room - len(_CUT)].rpartition("\n")[0] + _CUT
    return lead + report


def pull_request_of(github: GitHub, run: Run) -> int | None:
    """The number of the open pull request whose newest commit was run; None if there is none any more."""
    for one in github.pages("pulls", state="open", head=f"{run.owner}:{run.branch}"):
        if one["head"]["sha"] == run.commit:
            return int(one["number"])
    return None


def post(github: GitHub, number: int, body: str) -> str:
    """Write the comment in place of the earlier one; returns its address."""
    for one in github.pages(f"issues/{number}/comments"):
        # Everybody can write the mark; only a comment of our own is replaced.
        if one["user"]["login"] == BOT and str(one["body"]).startswith(MARK):
            written = github.write("PATCH", f"issues/comments/{int(one['id'])}", {"body": body})
            return str(written["html_url"])
    return str(github.write("POST", f"issues/{number}/comments", {"body": body})["html_url"])


def comment(environment: Mapping[str, str]) -> str:
    """Do all of it; returns a sentence about what was done.

    Raises
    ------
    CommentError : what the run left cannot be used.
    """
    if lacking := [name for name in NEEDED if not environment.get(name)]:
        raise CommentError(
            f"this runs only in a workflow of type workflow_run, and {lacking[0]} is not set; to see the "
            "comment that a report becomes, run comment.py --dry-run report.md"
        )
    event = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_bytes())
    if "workflow_run" not in event:
        raise CommentError("this is no workflow_run event; start the workflow by `on: workflow_run`")
    run = run_of(event)
    if run is None:
        return "the run was not about a pull request; there is nothing to comment on"
    api = environment.get("GITHUB_API_URL", "https://api.github.com")
    github = GitHub(api, environment["GITHUB_REPOSITORY"], environment["GITHUB_TOKEN"])
    number = pull_request_of(github, run)
    if number is None:
        return "no open pull request has the commit of the run as its newest; there is nothing to comment on"
    name = environment.get("ARTIFACT", "pathorob-checks")
    archive = github.artifact(run.id, name)
    report = report_in(archive) if archive is not None else None
    if report is None:
        return f"the run left no {FILE} in an artifact {name!r}; there is nothing to comment"
    return f"commented: {post(github, number, comment_of(run, report))}"


def dry_run(path: str) -> str:
    """The comment that a report would become.

    Raises
    ------
    CommentError : the file cannot be read, or is too large.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CommentError(f"{path!r} cannot be read ({error.strerror}); name a report.md of a run") from None
    run = Run(id=0, commit="0" * 40, owner="owner", branch="branch", url="https://example.org/the-run")
    return comment_of(run, harmless(content, repr(path)))


def main(arguments: Sequence[str] = ()) -> int:
    """The exit code; what went wrong is one sentence."""
    parser = argparse.ArgumentParser(description="Comment on the pull request of a workflow that has ended.")
    parser.add_argument("--dry-run", metavar="REPORT", help="print the comment that this report.md becomes")
    report = parser.parse_args(arguments).dry_run
    try:
        print(comment(os.environ) if report is None else dry_run(report))  # noqa: T201 (the log of the job)
    except CommentError as error:
        return _complain(str(error))
    except urllib.error.HTTPError as error:
        return _complain(
            f"GitHub refused a request ({error.code} {error.reason}); see to the rights of the token"
        )
    except (KeyError, TypeError, ValueError) as error:
        return _complain(f"GitHub's event or answer has another form ({error!r}); report this")
    except OSError as error:
        return _complain(f"GitHub cannot be reached ({error}); try again later")
    return 0


def _complain(sentence: str) -> int:
    sys.stderr.write(f"comment: {sentence}.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
