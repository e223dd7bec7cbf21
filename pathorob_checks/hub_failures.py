"""What goes wrong with the hub, as sentences without secrets.

Every failure becomes a `HubError` from its type and status only: its text may hold addresses with passwords,
signed links and headers with a token. The original exception is not chained, for the same reason.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from pathorob_checks.errors import HubError
from pathorob_checks.wording import printable

Kind = Literal["model", "dataset"]

ELSEWHERE: Mapping[Kind, str] = {
    "model": "download it elsewhere and use local-dir:PATH",
    "dataset": "run pathorob-checks prefetch --to=DIR elsewhere, copy DIR and set "
    "HF_HUB_CACHE=DIR/huggingface",
}
"""What helps where a network does not let a repository's files through, by the kind of repository."""

_LOGIN_PAGE = "log in to the network with a browser, or correct the proxy variables and HF_ENDPOINT"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SECRETS = (
    (re.compile(r"(?<=//)[^/\s@]*@"), ""),  # user and password before a host
    (re.compile(r"(?<=[?&])[^\s'\"<>)]+"), "..."),  # what signs a link
    (re.compile(r"\bhf_[A-Za-z0-9]+|(?<=[Bb]earer )\S+"), "..."),
)


class MissingFileError(HubError):
    """The repository exists at this commit and has no such file."""


class AccessError(HubError):
    """The repository is gated or private and this account may not read it."""


class OfflineError(HubError):
    """The hub is offline or does not respond, and what is needed is not in the cache."""


class SlowError(TimeoutError):
    """A request that did not end in time; it is not repeated."""


def redacted(text: str) -> str:
    """`text` without passwords, tokens and what signs a link.

    >>> redacted("https://user:secret@hub.org/a?X-Sig=abc with hf_abc")
    'https://hub.org/a?... with ...'
    """
    for secret, replacement in _SECRETS:
        text = secret.sub(replacement, text)
    return printable(text)


def host_of(address: str) -> str | None:
    """The host of an address of the web, with its port, without user and password; None if it is no address.

    >>> host_of("http://user:secret@hub.org:80/a"), host_of("http://[::1"), host_of("hub.org")
    ('hub.org:80', None, None)
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # brackets that do not match, a port that is no number
        return None
    if not parts.scheme or not parts.hostname or re.search(r"[\s\x00-\x1f]", parts.netloc):
        return None
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


def check_addresses() -> None:
    """Refuse an address of the hub, or of a proxy, that is none.

    Raises
    ------
    HubError : it names the variable; its value may hold a password.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")  # its library may not even be imported
    if not endpoint.startswith(("http://", "https://")) or host_of(endpoint) is None:
        raise HubError(
            "the address of the hub, HF_ENDPOINT, is not one of the web",
            remedy="set it to an address such as https://huggingface.co, or unset it",
        )
    for variable in _proxy_variables():
        value = os.environ.get(variable)
        if value and host_of(value if "://" in value else f"http://{value}") is None:
            raise HubError(
                f"the address of the proxy, {variable}, is not one",
                remedy="set it to an address such as http://proxy:3128, or unset it",
            )


def cause_of(error: BaseException) -> BaseException:
    """The reason why a download failed, which hf_hub_download hides behind "not cached either"."""
    from huggingface_hub import errors

    is_hidden = isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None
    return error.__cause__ or error if is_hidden else error


def is_unreachable(error: BaseException) -> bool:
    """Whether the hub did not respond, or could not handle the request (down, overloaded)."""
    from huggingface_hub.errors import HfHubHTTPError

    status = _status(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    return isinstance(error, _http_client_error(HfHubHTTPError) | ConnectionError | TimeoutError)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids requests."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def at(repo: str, revision: str | None) -> str:
    """A repository and its revision, for messages."""
    return repo if revision is None else f"{repo} at revision {revision}"


def _status(error: BaseException) -> int | None:
    """HTTP status of the response behind an error, if there was one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _http_client_error(hub_error: type[BaseException]) -> type[BaseException]:
    """Base of all errors of huggingface_hub's HTTP client, which depends on its version."""
    excluded = ("huggingface_hub", "builtins")
    return [base for base in hub_error.__mro__ if base.__module__.partition(".")[0] not in excluded][-1]


def hub_error(
    error: BaseException, repo: str, revision: str | None, kind: Kind, *, filename: str | None
) -> HubError:
    """The error for a failure, from its type and status only: its text may hold addresses and headers."""
    from huggingface_hub import constants, errors

    where = at(repo, revision)
    what = where if filename is None else f"{filename} of {where}"
    what, where = printable(what), printable(where)
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo}"
    offline = isinstance(error, errors.OfflineModeIsEnabled) or is_offline()
    error = error if offline else cause_of(error)
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
            remedy="unset HF_HUB_OFFLINE for one run, or run pathorob-checks prefetch --to=DIR where there "
            "is a network, copy DIR and set HF_HUB_CACHE=DIR/huggingface",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return MissingFileError(
            f"{where} has no file {filename}",
            remedy="give another revision after the @; this one has the files at "
            f"{page}/tree/{revision or 'main'}",
        )
    if status == 401 or status == 403:
        return AccessError(
            f"the hub refuses access to {what} (HTTP {status})",
            remedy=f"set HF_TOKEN to a valid token that may read {page}",
        )
    if status is not None:
        return HubError(
            f"the hub returned HTTP {status} for {what}",
            remedy="try again later"
            if status >= 500 or status in (408, 429)
            else f"see whether a browser opens {page}, and check HF_ENDPOINT",
        )
    if isinstance(error, SlowError):
        return OfflineError(
            f"the hub sends {what} too slowly ({error})",
            remedy=f"check the network and proxy, or {ELSEWHERE[kind]}",
        )
    if is_unreachable(error):
        host = host_of(constants.ENDPOINT) or "the hub"
        return OfflineError(
            f"{host} cannot be reached for {what}, which is not in this machine's cache",
            remedy=f"check the network and proxy, or {ELSEWHERE[kind]}",
        )
    if isinstance(error, errors.FileMetadataError):
        return HubError(
            f"the response for {what} is not a file of a Hugging Face Hub but perhaps a login page",
            remedy=_LOGIN_PAGE,
        )
    if (unsent := _unsent(error, what)) is not None:
        return unsent
    if isinstance(error, json.JSONDecodeError | AttributeError | KeyError | TypeError | LookupError):
        return HubError(
            f"the response for {what} is not that of a Hugging Face Hub but perhaps a login page",
            remedy=_LOGIN_PAGE,
        )
    if isinstance(error, ValueError):
        return HubError(
            f"{what} cannot be requested ({type(error).__name__})",
            remedy="check that HF_ENDPOINT and the proxy variables are addresses",
        )
    if isinstance(error, OSError) and not error.errno:  # the library's own, for sizes that disagree
        return HubError(
            f"{what} arrived with another size than the hub announced",
            remedy=f"check for a proxy that alters downloads, or {ELSEWHERE[kind]}",
        )
    if isinstance(error, OSError):
        cause = os.strerror(error.errno) if error.errno else type(error).__name__
        return HubError(
            f"{what} cannot be written to the Hugging Face cache ({cause})",
            remedy="free space there or point HF_HOME at a writable folder",
        )
    return HubError(
        f"{what} could not be downloaded ({type(error).__name__})",
        remedy=f"try again, or {ELSEWHERE[kind]}",
    )


def _unsent(error: BaseException, what: str) -> HubError | None:
    """The error for a request that cannot even be sent; None for another one."""
    if isinstance(error, UnicodeError):
        return HubError(
            f"{what} cannot be requested, as the address or a header has characters that HTTP does not allow",
            remedy="check HF_ENDPOINT, the proxy variables and the token",
        )
    if isinstance(error, ImportError):  # httpx imports what a SOCKS proxy needs only then
        return HubError(
            f"{what} cannot be requested, as a package for the proxy or the hub is not installed",
            remedy="for a SOCKS proxy, pip install 'httpx[socks]'",
        )
    return None


def probe_error(
    error: BaseException | None, address: str, limit_s: float, status: int | None = None
) -> HubError:
    """The error for a host that does not answer, or that answers with a `status` that says it is down."""
    host = host_of(address) or "the hub"
    if status is not None:
        return OfflineError(f"{host} is down or overloaded (HTTP {status})", remedy="try again later")
    assert error is not None  # noqa: S101 (for the type checker)
    if (unsent := _unsent(error, host)) is not None:
        return unsent
    proxied = _is_proxied(address)
    network = "check the network" + (
        " and the proxy" if proxied else ", set HTTPS_PROXY if a proxy leads out"
    )
    way = " through the proxy" if proxied else ""
    return OfflineError(
        f"{host} cannot be reached{way} ({_why_unreachable(error, limit_s)})",
        remedy=f"{network}, name a mirror of the hub in HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use only "
        "what is in the cache",
    )


def _is_proxied(address: str) -> bool:
    """Whether the environment sends requests to an address through a proxy."""
    proxies = getproxies_environment()
    parts = urlsplit(address)
    return bool({parts.scheme, "all"} & proxies.keys()) and not proxy_bypass(parts.netloc)


def _proxy_variables() -> list[str]:
    return [variable for name in _PROXIES for variable in (name, name.lower())]


def _why_unreachable(error: BaseException, limit_s: float) -> str:
    """From the types in the chain of causes, whose texts may hold addresses."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(one, socket.gaierror) for one in chain):
        return "its name is not known to this machine's DNS"
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return "it refuses the connection"
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return "its certificate is not trusted"
    if any(isinstance(one, TimeoutError) for one in chain) or "Timeout" in type(error).__name__:
        return f"no answer within {limit_s:.0f} s"
    return type(chain[0]).__name__
