"""Files of repositories on the Hugging Face Hub, by commit, through the hub's own local cache.

Every failure is raised as a `HubError` of one sentence. The original exception is not chained: its request
holds the user's token, which a traceback with local variables would show.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pathorob_checks.console import logger_of
from pathorob_checks.errors import HubError

Kind = Literal["model", "dataset"]
Result = TypeVar("Result")

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT_S = 15.0
_ATTEMPTS = 4
_FIRST_PAUSE_S = 1.0  # doubled after every attempt
_SPARE_BYTES = 64 << 20  # left free on the disk for other programs

logger = logger_of(__name__)

download_bar: type[Any] | None = None
"""A tqdm class for downloads; None is huggingface_hub's own."""


class MissingFileError(HubError):
    """The repository exists at this commit and has no such file."""


class AccessError(HubError):
    """The repository is gated or private and this account may not read it."""


class OfflineError(HubError):
    """The hub is offline or does not respond, and what is needed is not in the cache."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes
    ----------
    name : path inside the repository.
    size : bytes; None where it is unknown.
    """

    name: str
    size: int | None


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
    from huggingface_hub import HfApi

    if revision is not None and _COMMIT.fullmatch(revision):
        return revision

    def request() -> str | None:
        info: Any = HfApi().repo_info(repo, revision=revision, repo_type=kind, timeout=_TIMEOUT_S)
        commit: str | None = info.sha
        return commit

    try:
        # Where the last commit is known, there is no need to wait for a hub that is down.
        commit = request() if _cached_commit(repo, revision, kind) else _with_retries(request)
    except Exception as error:  # its type depends on huggingface_hub's HTTP client: see _hub_error
        cached = _cached_commit(repo, revision, kind) if _is_unreachable(error) else None
        if cached is None:
            raise _hub_error(error, repo, revision, kind, filename=None) from None
        return cached
    if commit is None or not _COMMIT.fullmatch(commit):
        raise HubError(
            f"the hub returned no commit for {_at(repo, revision)}",
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
    from huggingface_hub import HfApi

    def request() -> list[RemoteFile]:
        info: Any = HfApi().repo_info(
            repo, revision=commit, repo_type=kind, timeout=_TIMEOUT_S, files_metadata=True
        )
        return [RemoteFile(str(file.rfilename), file.size) for file in info.siblings or ()]

    cached = _cached_files(repo, commit, kind)
    try:
        files = request() if cached else _with_retries(request)
    except Exception as error:  # as above
        if not _is_unreachable(error) or not cached:
            raise _hub_error(error, repo, commit, kind, filename=None) from None
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
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    _refuse_a_path_outside(filename, repo)
    cached = try_to_load_from_cache(repo, filename, revision=commit, repo_type=kind)
    if isinstance(cached, str):
        return Path(cached)
    try:
        for last in (False, True):
            path = _with_retries(
                lambda: _download(hf_hub_download, repo, commit=commit, filename=filename, kind=kind)
            )
            if _is_intact(path):
                return path
            logger.warning("%s of %s is damaged%s", filename, repo, "" if last else "; downloading it again")
            for damaged in (path.resolve(), path):
                damaged.unlink(missing_ok=True)
    except HubError:
        raise
    except Exception as error:  # as above; hf_xet adds its own errors, which share no base class
        raise _hub_error(error, repo, commit, kind, filename=filename) from None
    raise HubError(
        f"{filename} of {_at(repo, commit)} has another digest than the hub's after two downloads",
        remedy="check for a proxy that alters downloads, or download it elsewhere and use local-dir:PATH",
    )


def size_to_fetch(repo: str, commit: str, filename: str, kind: Kind = "model") -> int:
    """Bytes that `fetch` would download; 0 for a file in the cache.

    Raises
    ------
    HubError : as `fetch`, without downloading the file.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    # As in `fetch`, a file in the cache needs no request, so that this works offline too.
    if isinstance(try_to_load_from_cache(repo, filename, revision=commit, repo_type=kind), str):
        return 0
    try:
        plan: Any = _with_retries(
            lambda: hf_hub_download(repo, filename, revision=commit, repo_type=kind, dry_run=True)
        )
    except Exception as error:  # as above
        raise _hub_error(error, repo, commit, kind, filename=filename) from None
    return int(plan.file_size or 0) if plan.will_download else 0


def refuse_a_full_disk(needed: int, folder: Path, what: str) -> None:
    """Raise HubError where `needed` bytes do not fit on the disk of `folder` (which need not exist yet)."""
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path.cwd())
    free = shutil.disk_usage(existing).free
    if needed + _SPARE_BYTES > free:
        raise HubError(
            f"{what} needs {needed / 1e9:.2f} GB, but the disk of '{folder}' has {free / 1e9:.2f} GB free",
            remedy="free some space there, or point HF_HOME at another disk",
        )


def cache_folder() -> Path:
    """Where huggingface_hub keeps repositories (HF_HOME, HF_HUB_CACHE)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids requests."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def has_token() -> bool:
    """Whether huggingface_hub has a token to use."""
    from huggingface_hub import get_token

    return get_token() is not None


def _refuse_a_path_outside(filename: str, repo: str) -> None:
    """File names from the hub become paths in the cache."""
    if filename.startswith("/") or ".." in filename.split("/") or re.search(r"[\\:\0]", filename):
        raise HubError(
            f"{repo} has a file {filename!r}, which lies outside of the repository",
            remedy="do not use it unless you know who made it",
        )


def _download(download: Callable[..., Any], repo: str, *, commit: str, filename: str, kind: Kind) -> Path:
    plan = download(repo, filename, revision=commit, repo_type=kind, dry_run=True)
    if plan.will_download:
        refuse_a_full_disk(int(plan.file_size or 0), cache_folder(), f"{filename} of {repo}")
    return Path(download(repo, filename, revision=commit, repo_type=kind, tqdm_class=download_bar))


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


def _with_retries(request: Callable[[], Result]) -> Result:
    """The result of a request, repeated after a pause where the hub is down, overloaded or disconnects."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return request()
        except Exception as error:
            cause = _cause(error)
            if is_offline() or not _is_unreachable(cause):
                raise
            logger.info("the hub does not respond (%s); trying again", type(cause).__name__)
            time.sleep(_FIRST_PAUSE_S * 2**attempt)
    return request()


def _cause(error: BaseException) -> BaseException:
    """The reason why a download failed, which hf_hub_download hides behind "not cached either"."""
    from huggingface_hub import errors

    is_hidden = isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None
    return error.__cause__ or error if is_hidden else error


def _snapshot(repo: str, commit: str, kind: Kind) -> Path:
    return cache_folder() / f"{kind}s--{repo.replace('/', '--')}" / "snapshots" / commit


def _cached_files(repo: str, commit: str, kind: Kind) -> list[RemoteFile]:
    root = _snapshot(repo, commit, kind)
    return [
        RemoteFile(path.relative_to(root).as_posix(), path.stat().st_size)
        for path in root.rglob("*")
        if path.is_file()
    ]


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


def _status(error: BaseException) -> int | None:
    """HTTP status of the response behind an error, if there was one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_unreachable(error: BaseException) -> bool:
    """Whether the hub did not respond, or could not handle the request (down, overloaded)."""
    from huggingface_hub.errors import HfHubHTTPError

    status = _status(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    return isinstance(error, _http_client_error(HfHubHTTPError) | ConnectionError | TimeoutError)


def _http_client_error(hub_error: type[BaseException]) -> type[BaseException]:
    """Base of all errors of huggingface_hub's HTTP client, which depends on its version."""
    excluded = ("huggingface_hub", "builtins")
    return [base for base in hub_error.__mro__ if base.__module__.partition(".")[0] not in excluded][-1]


def _at(repo: str, revision: str | None) -> str:
    return repo if revision is None else f"{repo} at revision {revision}"


def _hub_error(
    error: BaseException, repo: str, revision: str | None, kind: Kind, *, filename: str | None
) -> HubError:
    """The error for a failure, from its type and status only: its text may hold addresses and headers."""
    from huggingface_hub import constants, errors

    where = _at(repo, revision)
    what = where if filename is None else f"{filename} of {where}"
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo}"
    offline = isinstance(error, errors.OfflineModeIsEnabled) or is_offline()
    error = error if offline else _cause(error)
    status = _status(error)

    if isinstance(error, errors.GatedRepoError):
        return AccessError(
            f"{repo} is gated and this account may not read it",
            remedy=f"accept the terms at {page}, then set HF_TOKEN to a read token of that account",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"the hub has no repository {repo} that this account can see",
            remedy=f"check the name at {page}, and set HF_TOKEN if the repository is private",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(
            f"{repo} has no revision {revision}",
            remedy=f"take a branch, tag or commit from {page}/tree/main",
        )
    if isinstance(error, errors.LocalEntryNotFoundError) or offline:
        return OfflineError(
            f"{what} is not in this machine's Hugging Face cache, and huggingface_hub is offline",
            remedy="unset HF_HUB_OFFLINE for one run, or fill the cache with pathorob-checks prefetch where "
            "there is a network and point HF_HOME at it",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return MissingFileError(
            f"{where} has no file {filename}",
            remedy=f"see its files at {page}/tree/{revision or 'main'}",
        )
    if status == 401 or status == 403:
        return AccessError(
            f"the hub refuses access to {what} (HTTP {status})",
            remedy=f"set HF_TOKEN to a valid token that may read {page}",
        )
    if status is not None:
        return HubError(
            f"the hub returned HTTP {status} for {what}",
            remedy="try again later" if status >= 500 or status in (408, 429) else f"check {page}",
        )
    if _is_unreachable(error):
        host = urlsplit(constants.ENDPOINT).hostname or "the hub"
        return OfflineError(
            f"{host} cannot be reached for {what}, which is not in this machine's cache",
            remedy="check the network and proxy, or download it elsewhere and use local-dir:PATH",
        )
    if isinstance(error, errors.FileMetadataError):
        return HubError(
            f"the response for {what} is not a file of a Hugging Face Hub but perhaps a login page",
            remedy="check the proxy and HF_ENDPOINT",
        )
    if isinstance(error, OSError):
        cause = os.strerror(error.errno) if error.errno else type(error).__name__
        return HubError(
            f"{what} cannot be written to the Hugging Face cache ({cause})",
            remedy="free space there or point HF_HOME at a writable folder",
        )
    return HubError(
        f"{what} could not be downloaded ({type(error).__name__})",
        remedy="try again, or download it by hand and use local-dir:PATH",
    )
