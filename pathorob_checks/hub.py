"""Files of repositories on the Hugging Face Hub, by commit, through the hub's own local cache.

Every failure is raised as a `HubError` of one sentence (`hub_failures`), and every request ends
(`hub_requests`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathorob_checks.console import logger_of
from pathorob_checks.errors import HubError
from pathorob_checks.hub_failures import (
    ELSEWHERE,
    AccessError,
    Kind,
    MissingFileError,
    OfflineError,
    at,
    check_addresses,
    host_of,
    hub_error,
    is_offline,
    is_unreachable,
)
from pathorob_checks.hub_requests import (
    TIMEOUT_S,
    Progress,
    answers,
    ask,
    download,
    probe,
    token,
    unreachable,
    watched_bar,
)
from pathorob_checks.wording import printable, shortened

__all__ = [
    "AccessError",
    "Kind",
    "MissingFileError",
    "OfflineError",
    "RemoteFile",
    "answers",
    "cache_folder",
    "check_addresses",
    "fetch",
    "git_blob_sha1",
    "has_token",
    "host_of",
    "is_offline",
    "list_files",
    "probe",
    "refuse_a_full_disk",
    "resolve_revision",
    "size_to_fetch",
    "unreachable",
]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPARE_BYTES = 64 << 20  # left free on the disk for other programs

logger = logger_of(__name__)

download_bar: type[Any] | None = None
"""A tqdm class for downloads; None is huggingface_hub's own."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes
    ----------
    name : path inside the repository.
    size : bytes; None where it is unknown.
    sha256 : digest (hex) of the content as the hub states it; None where it does not, as for small files.
    """

    name: str
    size: int | None
    sha256: str | None = None


def resolve_revision(repo: str, revision: str | None, kind: Kind = "model") -> str:
    """The commit that `revision` points to now.

    A full commit is returned as it is, without a request. When the hub is offline or down, the last
    commit that this machine has recorded for the revision is used.

    Parameters
    ----------
    repo : `org/name`.
    revision : branch, tag or commit; None is the default branch.

    Returns
    -------
    40 lowercase hexadecimal digits.

    Raises
    ------
    HubError : when the repository or revision does not exist, access is refused, or the hub cannot be
        reached and nothing is cached.
    """
    check_addresses()  # the library cannot be imported with a wrong one
    from huggingface_hub import HfApi

    if revision is not None and _COMMIT.fullmatch(revision):
        return revision

    def request() -> object:
        return HfApi().repo_info(repo, revision=revision, repo_type=kind, timeout=TIMEOUT_S).sha

    try:
        # Where the last commit is known, there is no need to wait for a hub that is down.
        commit = ask(request, once=_cached_commit(repo, revision, kind) is not None)
    except HubError:
        raise
    except Exception as error:  # its type depends on huggingface_hub's HTTP client: see hub_error
        cached = _cached_commit(repo, revision, kind) if is_unreachable(error) else None
        if cached is None:
            raise hub_error(error, repo, revision, kind, filename=None) from None
        return cached
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise HubError(
            f"the hub returned no commit for {at(repo, revision)}",
            remedy="give a full commit after the @, or check that HF_ENDPOINT is a Hugging Face Hub",
        )
    _remember_commit(repo, revision, commit, kind)
    return commit


def list_files(repo: str, commit: str, kind: Kind = "model") -> list[RemoteFile]:
    """The files of a repository at a commit, by name; where the hub cannot be reached, those in the cache.

    Raises
    ------
    HubError : as `resolve_revision`.
    """
    check_addresses()  # the library cannot be imported with a wrong one
    from huggingface_hub import HfApi

    def request() -> list[RemoteFile]:
        info: Any = HfApi().repo_info(
            repo, revision=commit, repo_type=kind, timeout=TIMEOUT_S, files_metadata=True
        )
        return [
            RemoteFile(
                str(file.rfilename),
                file.size if isinstance(file.size, int) else None,
                _stated_sha256(getattr(file.lfs, "sha256", None)),
            )
            for file in info.siblings or ()
        ]

    cached = _cached_files(repo, commit, kind)
    try:
        files = ask(request, once=bool(cached))
    except HubError:
        raise
    except Exception as error:  # as above
        if not is_unreachable(error) or not cached:
            raise hub_error(error, repo, commit, kind, filename=None) from None
        files = cached
    for file in files:
        _refuse_a_path_outside(file.name, repo)
    return sorted(files, key=lambda file: file.name)


def fetch(repo: str, commit: str, filename: str, kind: Kind = "model") -> Path:
    """Path of a repository's file in the local cache, downloaded unless it is there.

    An interrupted download continues where it stopped, a request to an overloaded hub is repeated after a
    pause, and the file is compared with the hub's digest.

    Raises
    ------
    MissingFileError : when the repository has no such file at this commit.
    HubError : when it cannot be downloaded for another reason, such as a full disk.
    """
    check_addresses()  # the library cannot be imported with a wrong one
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    _refuse_a_path_outside(filename, repo)
    cached = try_to_load_from_cache(repo, filename, revision=commit, repo_type=kind)
    if isinstance(cached, str):
        return Path(cached)
    try:
        for last in (False, True):
            path = download(
                lambda progress: _download(
                    hf_hub_download, progress, repo, commit=commit, filename=filename, kind=kind
                ),
                _blobs(repo, commit, kind),
            )
            if _is_intact(path):
                return path
            logger.warning(
                "%s of %s is damaged%s", printable(filename), repo, "" if last else "; downloading it again"
            )
            for damaged in (path.resolve(), path):
                damaged.unlink(missing_ok=True)
    except HubError:
        raise
    except Exception as error:  # as above; hf_xet adds its own errors, which share no base class
        raise hub_error(error, repo, commit, kind, filename=filename) from None
    raise HubError(
        f"{filename} of {at(repo, commit)} has another digest than the hub's after two downloads",
        remedy=f"check for a proxy that alters downloads, or {ELSEWHERE[kind]}",
    )


def size_to_fetch(repo: str, commit: str, filename: str, kind: Kind = "model") -> int:
    """Bytes that `fetch` would download; 0 for a file in the cache.

    Raises
    ------
    HubError : as `fetch`, without downloading the file.

    Notes
    -----
    The hub is asked for the head of the file itself: a repository whose description is public may refuse its
    files, and huggingface_hub's dry run may answer from a list of files that it has on the disk.
    """
    check_addresses()  # the library cannot be imported with a wrong one
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    # As in `fetch`, a file in the cache needs no request, so that this works offline too.
    if isinstance(try_to_load_from_cache(repo, filename, revision=commit, repo_type=kind), str):
        return 0
    address = hf_hub_url(repo, filename, revision=commit, repo_type=kind)
    try:
        head: Any = ask(lambda: get_hf_file_metadata(address, timeout=TIMEOUT_S))
    except HubError:
        raise
    except Exception as error:  # as above
        raise hub_error(error, repo, commit, kind, filename=filename) from None
    if head.etag and _ETAG.fullmatch(head.etag) and (_blobs(repo, commit, kind) / head.etag).exists():
        return 0  # the same file of another commit
    return int(head.size or 0)


def refuse_a_full_disk(needed: int, folder: Path, what: str, setting: str = "HF_HOME") -> None:
    """Raise HubError where `needed` bytes do not fit on the disk of `folder` (which need not exist yet).

    `setting` is what names another folder.
    """
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path.cwd())
    free = shutil.disk_usage(existing).free
    if needed + _SPARE_BYTES > free:
        raise HubError(
            f"{what} needs {needed / 1e9:.2f} GB, but the disk of '{folder}' has {free / 1e9:.2f} GB free",
            remedy=f"free some space there, or point {setting} at another disk",
        )


def cache_folder() -> Path:
    """Where huggingface_hub keeps repositories (HF_HOME, HF_HUB_CACHE)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def has_token() -> bool:
    """Whether huggingface_hub has a token to use.

    Raises
    ------
    HubError : when it cannot be a token.
    """
    return token() is not None


def _refuse_a_path_outside(filename: str, repo: str) -> None:
    """File names from the hub become paths in the cache."""
    if filename.startswith("/") or ".." in filename.split("/") or re.search(r"[\\:\0]", filename):
        raise HubError(
            f"{repo} has a file {shortened(filename)}, which lies outside of the repository",
            remedy="do not use it unless you know who made it",
        )


def _download(
    download: Callable[..., Any], progress: Progress, repo: str, *, commit: str, filename: str, kind: Kind
) -> Path:
    plan = download(repo, filename, revision=commit, repo_type=kind, dry_run=True)
    if plan.will_download:
        _refuse_a_name_outside(repo, commit, filename, kind)
        refuse_a_full_disk(int(plan.file_size or 0), cache_folder(), f"{filename} of {repo}")
    bar = watched_bar(download_bar, progress)
    path = Path(download(repo, filename, revision=commit, repo_type=kind, tqdm_class=bar))
    if commit not in path.parts:
        raise HubError(
            f"the hub returned {filename} of another commit than {at(repo, commit)}",
            remedy=f"check for a proxy that alters downloads, or {ELSEWHERE[kind]}",
        )
    return path


def _refuse_a_name_outside(repo: str, commit: str, filename: str, kind: Kind) -> None:
    """The hub's name for a file's content becomes a file's name in the cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    address = hf_hub_url(repo, filename, revision=commit, repo_type=kind)
    etag = get_hf_file_metadata(address, timeout=TIMEOUT_S).etag
    if etag is not None and not _ETAG.fullmatch(etag):
        raise HubError(
            f"the hub's digest of {filename} of {at(repo, commit)} is none",
            remedy="do not use this hub unless you know who runs it",
        )


def _is_intact(path: Path) -> bool:
    """Whether a cached file has the digest in its name: SHA-256, or git's SHA-1 for small files."""
    blob = path.resolve()
    with blob.open("rb") as file:
        if _SHA256.fullmatch(blob.name):
            return hashlib.file_digest(file, "sha256").hexdigest() == blob.name
        if _COMMIT.fullmatch(blob.name):
            return git_blob_sha1(file.read()) == blob.name
    return True  # a hub with other file names


def git_blob_sha1(content: bytes) -> str:
    """The SHA-1 (hex) under which git keeps a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _snapshot(repo: str, commit: str, kind: Kind) -> Path:
    return cache_folder() / f"{kind}s--{repo.replace('/', '--')}" / "snapshots" / commit


def _blobs(repo: str, commit: str, kind: Kind) -> Path:
    return _snapshot(repo, commit, kind).parents[1] / "blobs"


def _cached_files(repo: str, commit: str, kind: Kind) -> list[RemoteFile]:
    root = _snapshot(repo, commit, kind)
    return [
        # The cache keeps a large file under its digest, and links to it.
        RemoteFile(
            path.relative_to(root).as_posix(), path.stat().st_size, _stated_sha256(path.resolve().name)
        )
        for path in root.rglob("*")
        if path.is_file()
    ]


def _stated_sha256(text: object) -> str | None:
    return text if isinstance(text, str) and _SHA256.fullmatch(text) else None


def _ref_file(repo: str, revision: str | None, kind: Kind) -> Path:
    """Where huggingface_hub's cache keeps the commit of a branch or tag."""
    return cache_folder() / f"{kind}s--{repo.replace('/', '--')}" / "refs" / (revision or "main")


def _cached_commit(repo: str, revision: str | None, kind: Kind) -> str | None:
    try:
        commit = _ref_file(repo, revision, kind).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def _remember_commit(repo: str, revision: str | None, commit: str, kind: Kind) -> None:
    """Write the ref that an offline run will read.

    huggingface_hub writes no ref for files that are downloaded by commit.
    """
    ref = _ref_file(repo, revision, kind)
    if _cached_commit(repo, revision, kind) == commit:
        return
    # With a read-only cache the run goes on; only the offline fallback is lost.
    with contextlib.suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=ref.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(commit)
        Path(temporary).replace(ref)
