"""Files of a model repository on the Hugging Face Hub, by commit, through the hub's own local cache.

Every failure leaves here as a `ModelError` of one sentence. The original exception is not chained: its
request carries the user's token, which a traceback with local variables would show.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from pathorob_checks.errors import ModelError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT_S = 15.0


class MissingFileError(ModelError):
    """The repository exists at this commit and has no such file."""


def resolve_revision(repo: str, revision: str | None) -> str:
    """The commit that `revision` stands for now.

    A full commit is returned as it is, without a request. When the hub is offline or down, the commit that
    this machine last saw for the revision is used.

    Parameters
    ----------
    repo : `org/model`.
    revision : branch, tag or commit; None is the default branch.

    Returns
    -------
    40 lowercase hexadecimal digits.

    Raises
    ------
    ModelError : when the repository or revision does not exist, access is refused, or the hub cannot be
        reached and nothing is cached.
    """
    from huggingface_hub import HfApi

    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    try:
        commit = HfApi().model_info(repo, revision=revision, timeout=_TIMEOUT_S).sha
    except Exception as error:  # which types come depends on huggingface_hub's HTTP client: see _model_error
        cached = _cached_commit(repo, revision) if _is_unreachable(error) else None
        if cached is None:
            raise _model_error(error, repo, revision, filename=None) from None
        return cached
    if commit is None or not _COMMIT.fullmatch(commit):
        raise ModelError(
            f"the hub named no commit for {_at(repo, revision)}",
            remedy="give a full commit after the @, or check that HF_ENDPOINT is a Hugging Face Hub",
        )
    _remember_commit(repo, revision, commit)
    return commit


def fetch(repo: str, commit: str, filename: str) -> Path:
    """Path of a repository's file in the local cache, downloaded unless it is there.

    Raises
    ------
    MissingFileError : when the repository has no such file at this commit.
    ModelError : when it cannot be downloaded for any other reason.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, filename, revision=commit))
    except Exception as error:  # as above; hf_xet adds errors of its own that share no base class
        raise _model_error(error, repo, commit, filename=filename) from None


def _ref_file(repo: str, revision: str | None) -> Path:
    """Where huggingface_hub's cache keeps the commit of a branch or tag."""
    from huggingface_hub import constants

    folder = "models--" + repo.replace("/", "--")
    return Path(constants.HF_HUB_CACHE) / folder / "refs" / (revision or "main")


def _cached_commit(repo: str, revision: str | None) -> str | None:
    try:
        commit = _ref_file(repo, revision).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def _remember_commit(repo: str, revision: str | None, commit: str) -> None:
    """Write the ref that an offline run will ask for.

    Files are fetched by commit, and for these huggingface_hub writes no ref.
    """
    ref = _ref_file(repo, revision)
    if _cached_commit(repo, revision) == commit:
        return
    try:
        ref.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=ref.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(commit)
        Path(temporary).replace(ref)
    except OSError:
        return  # a read-only cache costs the offline fallback, not the run


def _status(error: BaseException) -> int | None:
    """HTTP status of the answer behind an error, if there was an answer."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_unreachable(error: BaseException) -> bool:
    """Whether the hub gave no answer, or none about this repository (down, overloaded)."""
    from huggingface_hub.errors import HfHubHTTPError

    status = _status(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    return isinstance(error, _http_client_error(HfHubHTTPError) | ConnectionError | TimeoutError)


def _http_client_error(hub_error: type[BaseException]) -> type[BaseException]:
    """Base of all errors of the HTTP client under huggingface_hub, which is another one by version."""
    own = ("huggingface_hub", "builtins")
    return [base for base in hub_error.__mro__ if base.__module__.partition(".")[0] not in own][-1]


def _at(repo: str, revision: str | None) -> str:
    return repo if revision is None else f"{repo} at revision {revision}"


def _model_error(
    error: BaseException, repo: str, revision: str | None, *, filename: str | None
) -> ModelError:
    """The sentence for a failure, from its type and status only: messages may hold addresses and headers."""
    from huggingface_hub import constants, errors

    where = _at(repo, revision)
    what = where if filename is None else f"{filename} of {where}"
    page = f"https://huggingface.co/{repo}"
    offline = isinstance(error, errors.OfflineModeIsEnabled) or bool(constants.HF_HUB_OFFLINE)
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None and not offline:
        error = error.__cause__  # hf_hub_download's "not cached either" hides why it could not download
    status = _status(error)

    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{repo} is gated and this account may not read it",
            remedy=f"accept the terms at {page}, then set HF_TOKEN to a read token of that account",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(
            f"the hub has no repository {repo} that this account can see",
            remedy=f"check the name at {page}, and set HF_TOKEN if the repository is private",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(
            f"{repo} has no revision {revision}",
            remedy=f"take a branch, tag or commit from {page}/tree/main",
        )
    if isinstance(error, errors.LocalEntryNotFoundError) or offline:
        return ModelError(
            f"{what} is not in this machine's Hugging Face cache and the hub may not be asked",
            remedy="unset HF_HUB_OFFLINE for one run, or point HF_HOME at a cache that holds the model",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return MissingFileError(
            f"{where} has no file {filename}",
            remedy=f"see its files at {page}/tree/{revision or 'main'}",
        )
    if status == 401 or status == 403:
        return ModelError(
            f"the hub refuses access to {what} (HTTP {status})",
            remedy=f"set HF_TOKEN to a valid token that may read {page}",
        )
    if status is not None:
        return ModelError(
            f"the hub answered HTTP {status} for {what}",
            remedy="try again later" if status >= 500 or status in (408, 429) else f"check {page}",
        )
    if _is_unreachable(error):
        host = urlsplit(constants.ENDPOINT).hostname or "the hub"
        return ModelError(
            f"{host} cannot be reached to look up {what}, and it is not in this machine's cache",
            remedy="check the network and proxy, or download it elsewhere and use local-dir:PATH",
        )
    if isinstance(error, OSError):
        cause = os.strerror(error.errno) if error.errno else type(error).__name__
        return ModelError(
            f"{what} cannot be written to the Hugging Face cache ({cause})",
            remedy="free space there or point HF_HOME at a writable folder",
        )
    return ModelError(
        f"{what} could not be downloaded ({type(error).__name__})",
        remedy="try again, or download it by hand and use local-dir:PATH",
    )
