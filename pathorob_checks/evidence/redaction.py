"""What no file of the evidence may hold: secrets ever, and the person and the machine unless asked for.

The home folder, the user's name and the host's name are found by what this machine says they are. In fields
(paths, specs, sources) a name counts only where it stands in a path or an address, because a foundation model
or a center may be called the same; in free text (the log, what tests printed) it counts as a word.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

from pathorob_checks.hub_failures import redacted

Value = TypeVar("Value")

HOME, USER, HOST = "~", "USER", "HOST"
_SECRET_VARIABLES = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE|CREDENTIAL|COOKIE|AUTH(?!OR)", re.IGNORECASE
)
_SHORTEST_SECRET = 6
# Accounts and hosts that stand for no person and no machine.
_NOBODY = frozenset(
    [
        "admin",
        "app",
        "build",
        "builder",
        "ci",
        "container",
        "default",
        "docker",
        "git",
        "gitlab-runner",
        "jenkins",
        "jovyan",
        "localhost",
        "mambauser",
        "nobody",
        "root",
        "runner",
        "test",
        "ubuntu",
        "user",
        "vagrant",
        "vscode",
        "work",
        "workspace",
    ]
)
_FILES_OF_TOKENS = ("~/.cache/huggingface/token", "~/.huggingface/token")
_MARKS = ("://", "hf_", "earer ")  # where `redacted` has something to find


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """Takes out what must not be told.

    Attributes
    ----------
    secrets : values that appear in no file.
    homes, users, hosts : of this person and machine; empty where the run shall identify them.
    """

    secrets: frozenset[str] = frozenset()
    homes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @classmethod
    def of_this_machine(cls, environment: Mapping[str, str], *, identify: bool = False) -> Redaction:
        """What this process knows of secrets, and of the person and the machine.

        Parameters
        ----------
        environment : the variables of the process.
        identify : tell person and machine; secrets are taken out all the same.
        """
        secrets = frozenset(_secrets(environment))
        if identify:
            return cls(secrets=secrets)
        return cls(
            secrets=secrets,
            homes=tuple(_homes(environment)),
            users=tuple(_names(_users(environment))),
            hosts=tuple(_names(_hosts())),
        )

    def in_field(self, text: str) -> str:
        """A value of a field: names count only within paths and addresses."""
        return self._cleaned(text, self._in_fields)

    def in_text(self, text: str) -> str:
        """Free text of any number of lines: names count as words."""
        return "\n".join(self._cleaned(line, self._in_texts) for line in text.split("\n"))

    def in_values(self, value: Value, kept: Iterable[str] = ()) -> Value:
        """JSON-like content with all of its strings cleaned as fields.

        Parameters
        ----------
        kept : keys below which strings are kept as they are.
        """
        kept = frozenset(kept)

        def cleaned(one: object) -> object:
            if isinstance(one, str):
                return self.in_field(one)
            if isinstance(one, Mapping):
                return {key: item if key in kept else cleaned(item) for key, item in one.items()}
            return [cleaned(item) for item in one] if isinstance(one, list | tuple) else one

        return cast("Value", cleaned(value))

    def has_secret_in(self, content: bytes) -> bool:
        """Whether some content holds a secret."""
        return any(secret.encode() in content for secret in self.secrets)

    def _cleaned(self, text: str, names: re.Pattern[str] | None) -> str:
        if any(mark in text for mark in _MARKS):
            text = redacted(text)
        for secret in self._longest_first:
            text = text.replace(secret, "...")
        if self._home is not None:
            text = self._home.sub(HOME, text)
        return text if names is None else names.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        return USER if match[0] in self.users else HOST

    @cached_property
    def _longest_first(self) -> tuple[str, ...]:
        return tuple(sorted(self.secrets, key=len, reverse=True))

    @cached_property
    def _home(self) -> re.Pattern[str] | None:
        homes = "|".join(re.escape(home) for home in sorted(self.homes, key=len, reverse=True))
        return re.compile(rf"(?:{homes})(?![\w.-])") if homes else None

    @cached_property
    def _alternatives(self) -> str:
        return "|".join(re.escape(name) for name in sorted((*self.users, *self.hosts), key=len, reverse=True))

    @cached_property
    def _in_fields(self) -> re.Pattern[str] | None:
        names = self._alternatives
        # pytest calls its folder of temporary files `pytest-of-NAME`.
        places = (r"(?<=[/\\@])(?:{})(?!\w)", r"(?<=-of-)(?:{})(?!\w)", r"(?<![\w./-])(?:{})(?=@)")
        return re.compile("|".join(place.format(names) for place in places)) if names else None

    @cached_property
    def _in_texts(self) -> re.Pattern[str] | None:
        names = self._alternatives
        return re.compile(rf"(?<![^\W_])(?:{names})(?![^\W_])") if names else None


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _SECRET_VARIABLES.search(name):
            yield from _worth_hiding(value)
        if "://" in value:
            with contextlib.suppress(ValueError):
                password = urlsplit(value).password or ""
                yield from _worth_hiding(password)
                yield from _worth_hiding(unquote(password))
    for path in (*_FILES_OF_TOKENS, environment.get("HF_TOKEN_PATH", "")):
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            if path:
                yield from _worth_hiding(Path(path).expanduser().read_text(encoding="utf-8"))


def _worth_hiding(value: str) -> Iterator[str]:
    """A path to a secret, and words such as `true`, are no secrets."""
    value = value.strip()
    is_path = os.path.isabs(value) and os.path.exists(value)  # noqa: PTH110, PTH117 (`Path` raises for some)
    if len(value) >= _SHORTEST_SECRET and not value.isdecimal() and not is_path:
        yield value


def _homes(environment: Mapping[str, str]) -> Iterator[str]:
    homes = [environment.get("HOME"), environment.get("USERPROFILE")]
    with contextlib.suppress(RuntimeError, KeyError):
        homes.append(str(Path.home()))
    with contextlib.suppress(ImportError, KeyError, AttributeError):
        import pwd

        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    for home in homes:
        if home and len(Path(home).parts) > 1:  # a container may have `/`
            yield home.rstrip("/\\")
            yield os.path.realpath(home)


def _users(environment: Mapping[str, str]) -> Iterator[str]:
    for variable in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        yield environment.get(variable, "")
    with contextlib.suppress(OSError, KeyError, ImportError):
        yield getpass.getuser()
    for home in _homes(environment):
        yield Path(home).name


def _hosts() -> Iterator[str]:
    with contextlib.suppress(OSError):
        name = socket.gethostname()
        yield name
        yield name.partition(".")[0]
    yield os.environ.get("HOSTNAME", "")


def _names(names: Iterable[str]) -> list[str]:
    """Each once; without those that stand for nobody, and those that are too short to tell anybody."""
    return [name for name in dict.fromkeys(names) if len(name) > 1 and name.lower() not in _NOBODY]
