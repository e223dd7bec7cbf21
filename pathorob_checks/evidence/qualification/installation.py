"""Whether what is installed is what was released, and fits together."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import pathorob_checks
from pathorob_checks.cpus import available_cpus
from pathorob_checks.evidence.qualification.record import Finding
from pathorob_checks.version import version
from pathorob_checks.wording import quoted

NAME = "pathorob-checks"
_PACKAGE = Path(pathorob_checks.__file__).parent
_ENDINGS_WITHOUT_DIGEST = (".pyc", ".pyo")
_SHOWN = 3
_COMMIT = re.compile(r"\+g[0-9a-f]+$")


def installation() -> Iterator[Finding]:
    """The code that runs, the ranges of what it needs, and the digest of every installed file."""
    package = _distribution(NAME)
    yield _code(package)
    if package is None:
        return
    needed = _needed(package)
    yield from _ranges(package)
    with ThreadPoolExecutor(max(2, available_cpus())) as pool:
        problems = pool.map(record_problems, needed.values())
        for (name, one), wrong in zip(needed.items(), problems, strict=True):
            yield _files(name, one, wrong)


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _code(package: metadata.Distribution | None) -> Finding:
    """The code that runs is that of the installed package, or that of a commit without changes."""
    finding = Finding(
        id="installation/package/code",
        what="the code that runs is a released or committed one, without changes",
        expected="unchanged",
        origin="RECORD of the installed package, or the commit of the checkout",
    )
    if package is None:
        return finding.model_copy(update={"note": f"{NAME} is not installed; install it with pip"})
    here = version()
    if package.files and _is_in(package):
        own = [name for name in package.files if name.parts[0] == _PACKAGE.name]
        present = {path.relative_to(_PACKAGE.parent).as_posix() for path in _PACKAGE.rglob("*.py")}
        added = sorted(present - {name.as_posix() for name in own})
        state = f"changed: {quoted(added[:_SHOWN])} is not in RECORD" if added else "unchanged"
        return finding.model_copy(update={"actual": state, "note": f"version {here}, installed"})
    state = "unchanged" if _COMMIT.search(here) or "dev" not in here else "changed or of no commit"
    return finding.model_copy(update={"actual": state, "note": f"version {here}, a checkout"})


def _is_in(package: metadata.Distribution) -> bool:
    """Whether RECORD lists the files of the code that runs."""
    own = f"{_PACKAGE.name}/__init__.py"
    listed = any(name.as_posix() == own for name in package.files or ())
    there = Path(str(package.locate_file(own)))
    return listed and there.exists() and there.samefile(_PACKAGE / "__init__.py")


def _needed(package: metadata.Distribution) -> dict[str, metadata.Distribution]:
    """This package and all that it needs, directly or not, as far as it is installed; by name."""
    needed: dict[str, metadata.Distribution] = {}
    open_ = [package]
    while open_:
        one = open_.pop()
        name = _normalized(one.metadata["Name"])
        if name in needed:
            continue
        needed[name] = one
        installed = (_distribution(requirement.name) for requirement in _requirements(one))
        open_ += [other for other in installed if other is not None]
    return dict(sorted(needed.items()))


def _requirements(package: metadata.Distribution) -> Iterator[Requirement]:
    """Those that hold here without an extra."""
    for text in package.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _ranges(package: metadata.Distribution) -> Iterator[Finding]:
    for requirement in _requirements(package):
        other = _distribution(requirement.name)
        wanted = str(requirement.specifier) or "any version"
        inside = other is not None and requirement.specifier.contains(other.version, prereleases=True)
        yield Finding(
            id=f"installation/requirements/{_normalized(requirement.name)}",
            what=f"the version of {requirement.name}",
            expected=f"in the range {wanted}",
            actual=f"in the range {wanted}" if inside else f"{other.version if other else 'not installed'}",
            origin=f"metadata of {NAME}",
            note=other.version if other else "",
        )


def _files(name: str, package: metadata.Distribution, wrong: Mapping[str, str] | None) -> Finding:
    finding = Finding(
        id=f"installation/files/{name}",
        what=f"installed files of {name} that are not as its RECORD says",
        expected=0.0,
        unit="files",
        origin="RECORD of the package",
    )
    if wrong is None:
        return finding.model_copy(
            update={"note": f"{name} {package.version} has no RECORD; install it with pip"}
        )
    named = ", ".join(f"{file} {problem}" for file, problem in list(wrong.items())[:_SHOWN])
    note = f"version {package.version}" + (f": {named}" if named else "")
    return finding.model_copy(update={"actual": float(len(wrong)), "note": note})


def record_problems(package: metadata.Distribution) -> dict[str, str] | None:
    """What is wrong with the files of an installed package, by file; None where it has no RECORD.

    Parameters
    ----------
    package : the installed one. Files that RECORD lists without a digest (compiled ones, RECORD itself)
        are not read.
    """
    record = package.read_text("RECORD")
    if record is None:
        return None
    wrong: dict[str, str] = {}
    for row in csv.reader(io.StringIO(record)):
        name, digest = [*row, "", ""][:2]
        algorithm, _, wanted = digest.partition("=")
        if not wanted or name.endswith(_ENDINGS_WITHOUT_DIGEST):
            continue
        problem = _problem(Path(str(package.locate_file(name))), algorithm, wanted)
        if problem:
            wrong[name] = problem
    return wrong


def _problem(path: Path, algorithm: str, wanted: str) -> str:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, algorithm).digest()
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    actual = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return "" if actual == wanted.rstrip("=") else "was changed"


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
