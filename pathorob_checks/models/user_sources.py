"""The user's own modules behind a factory: which they are, and what in their sources decides a model.

A module is the user's own unless it comes with Python, with this package, or with a distribution that is
installed wherever it is: in the environment's folders, or in another one on the path of imports.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import sysconfig
from collections.abc import Collection, Iterator
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType

# Libraries between an image and an embedding, wherever they are installed or built.
_LIBRARIES = frozenset(("PIL", "huggingface_hub", "numpy", "pandas", "pathorob_checks", "safetensors"))
_LIBRARIES |= {"scipy", "sklearn", "timm", "torch", "torchvision", "transformers"}
_INSTALLED = frozenset(("site-packages", "dist-packages"))
_LONGEST_NAME = 1_000
_SETTING = re.compile(r"[A-Z][A-Z0-9_]+")


class OwnCode:
    """Decides which modules are the user's own.

    Parameters
    ----------
    target : `module:factory`; the whole package of that module is the user's own, even if it is installed.
    """

    def __init__(self, target: str) -> None:
        self._module = target.partition(":")[0]
        self._package = self._module.partition(".")[0]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        top = name.partition(".")[0]
        if top == self._package or top == "__main__":
            return True
        if top in _LIBRARIES or top in sys.stdlib_module_names:
            return False
        file = getattr(sys.modules.get(name), "__file__", None)
        return file is None or not is_installed(top, file)

    def modules(self, imported: Collection[str] = ()) -> dict[str, ModuleType]:
        """The factory's module and the loaded modules of the user's own that it leads to.

        A module leads to those that its values come from, and to those that it imports anywhere, inside of
        functions too.

        Parameters
        ----------
        imported : names of modules that were imported while the factory ran.
        """
        pending, own_modules = [self._module, *imported], dict[str, ModuleType]()
        while pending:
            name = pending.pop()
            module = sys.modules.get(name)
            if name in own_modules or module is None or name not in self:
                continue
            own_modules[name] = module
            for value in list(vars(module).values()):
                origin = value.__name__ if isinstance(value, ModuleType) else _origin(value)
                if isinstance(origin, str):
                    pending.append(origin)
            tree = _parsed(source_of(module))
            if tree is not None:
                pending += _imports(tree, name, is_package=hasattr(module, "__path__"))
        return own_modules


def digest_of_sources(modules: dict[str, ModuleType]) -> tuple[str, tuple[str, ...]]:
    """SHA-256 (hex) of modules' sources and of the environment that they name; modules without a source.

    The values of environment variables whose names are texts in a source are included.
    """
    digest, unreadable, settings = hashlib.sha256(), list[str](), set[str]()
    for name, module in sorted(modules.items()):
        source = source_of(module)
        if source is None:
            unreadable.append(name)
            continue
        digest.update(f"{name} {hashlib.sha256(source).hexdigest()}\n".encode())
        settings |= _named_settings(source)
    for setting in sorted(settings):
        value = os.environ[setting].encode("utf-8", "surrogateescape")
        digest.update(f"{setting}={hashlib.sha256(value).hexdigest()}\n".encode())
    return digest.hexdigest(), tuple(unreadable)


def files_named_in(modules: dict[str, ModuleType]) -> set[str]:
    """Texts in sources that name files, from the working directory or from the module's folder."""
    file_names: set[str] = set()
    for module in modules.values():
        folder = Path(str(getattr(module, "__file__", None) or "")).parent
        for text in _texts(source_of(module)):
            file_names |= {name for name in (text, str(folder / text)) if is_file_name(name)}
    return file_names


def versions_of(names: Collection[str]) -> dict[str, str]:
    """Versions of the distributions that libraries belong to."""
    distributions = packages_distributions() if names else {}
    distribution_names = {distribution for name in names for distribution in distributions.get(name, ())}
    return {distribution: version(distribution) for distribution in sorted(distribution_names)}


def is_installed(top: str, file: str) -> bool:
    """Whether a module's file belongs to Python or to an installed distribution.

    Parameters
    ----------
    top : the first part of the module's name.
    """
    path = Path(file).absolute()
    folders = (path.parent, path.resolve().parent)
    if any(_INSTALLED & set(folder.parts) for folder in folders):
        return True
    if any(folder.is_relative_to(known) for folder in folders for known in _python_folders()):
        return True
    root = next((folder.parent for folder in (path, *path.parents) if folder.stem == top), None)
    return root is not None and _is_recorded(root, top)


def is_file_name(text: str) -> bool:
    """Whether a text, such as a constant in a source, is the name of a file of this machine."""
    try:
        is_like_one = 2 < len(text) < _LONGEST_NAME and ("." in text or "/" in text)
        return is_like_one and Path(text).is_file()
    except (OSError, ValueError):  # characters that no name has
        return False


def source_of(module: ModuleType) -> bytes | None:
    """The bytes of a module's file; None where it cannot be read."""
    try:
        return Path(str(module.__file__)).read_bytes()
    except (AttributeError, OSError, ValueError):
        return None


@cache
def _python_folders() -> tuple[Path, ...]:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(Path(sysconfig.get_path(kind)).resolve() for kind in kinds)


@cache
def _is_recorded(root: Path, top: str) -> bool:
    """Whether the list of files of a distribution in `root` has this package (`pip install --target`)."""
    starts = (f"{top}/", f"{top}.")
    for record in root.glob("*.dist-info/RECORD"):
        try:
            with record.open(encoding="utf-8") as lines:
                if any(line.startswith(starts) for line in lines):
                    return True
        except (OSError, ValueError):
            continue
    return False


def _origin(value: object) -> object:
    try:
        return getattr(value, "__module__", None)
    except Exception:  # an object of the user's may raise anything
        return None


def _parsed(source: bytes | None) -> ast.Module | None:
    try:
        return None if source is None else ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # compiled, or too deep
        return None


def _imports(tree: ast.Module, name: str, *, is_package: bool) -> Iterator[str]:
    """Names of modules that a source may import, with those of values that it imports from them."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)]
            module = ".".join([*(above if node.level else []), *([node.module] if node.module else [])])
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def _named_settings(source: bytes) -> set[str]:
    return {text for text in _texts(source) if _SETTING.fullmatch(text) and text in os.environ}


def _texts(source: bytes | None) -> Iterator[str]:
    tree = _parsed(source)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
