"""Everything that an object reaches and that may decide its numbers, as one digest.

Python has no list of what a model's output depends on. So all of it is read: attributes, containers,
closures, partial functions, bound methods, tensors, arrays, and the globals that the user's own functions
name. What cannot be read (a session of a C++ library, an open file) is reported by its path.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import functools
import hashlib
import logging
import pathlib
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable, Container, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pathorob_checks.models.python_objects import has_hidden_state, names_in, slots
from pathorob_checks.models.user_sources import is_file_name

_MOST_OBJECTS = 2_000_000
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    range,
    type(...),
    type(NotImplemented),
)
_CONSTANTS = (tuple, frozenset, types.CodeType)
_MAPPINGS = (dict, types.MappingProxyType, collections.ChainMap)
_SEQUENCES = (list, tuple, collections.deque)
_METHODS = (
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)
_CACHED = type(functools.lru_cache(lambda: None))
# Members of a class that Python itself makes.
_MADE = frozenset(("_abc_impl", "__dict__", "__weakref__"))
_OWN_FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property)


@dataclass(frozen=True)
class ReachedObjects:
    """What an object reaches.

    Attributes
    ----------
    sha256 : of all that could be read, hexadecimal.
    unreadable : paths from the object to what could not be read, with its type.
    libraries : first parts of the names of modules that its other classes and functions come from.
    files : texts and paths that are names of files.
    """

    sha256: str
    unreadable: tuple[str, ...]
    libraries: frozenset[str]
    files: frozenset[str]


def reach(value: object, own: Container[str]) -> ReachedObjects:
    """Read everything that `value` reaches.

    Parameters
    ----------
    value : any object; it is not changed.
    own : names of modules whose code and globals are read. Of others, the names and versions count.
    """
    walk = _Walk(own)
    try:
        walk.add(value, type(value).__name__)
    except RecursionError:
        walk.unreadable.append(f"{type(value).__name__} (nested too deeply)")
    return ReachedObjects(
        walk.digest.hexdigest(), tuple(walk.unreadable), frozenset(walk.libraries), frozenset(walk.files)
    )


class _Walk:
    def __init__(self, own: Container[str]) -> None:
        self.digest = hashlib.sha256()
        self.unreadable: list[str] = []
        self.libraries: set[str] = set()
        self.files: set[str] = set()
        self._own = own
        self._count = 0
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []  # an identity stays unique only while its object lives

    def add(self, value: object, path: str) -> None:
        if type(value) in _PLAIN:
            self._text(type(value).__name__, hex(value) if isinstance(value, int) else repr(value))
            if isinstance(value, str) and is_file_name(value):
                self.files.add(value)
            return
        self._count += 1
        if self._count > _MOST_OBJECTS:
            self._refuse(value, f"{path} and what follows")
            return
        # Equal constants may be one object or several, as Python compiles: they are read wherever they are.
        if not isinstance(value, _CONSTANTS):
            if (number := self._seen.get(id(value))) is not None:
                self._text("again", number)
                return
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)
        read = next((read for kinds, read in _readers() if isinstance(value, kinds)), _Walk._object)
        try:
            read(self, value, path)
        except RecursionError:
            raise
        except Exception:  # objects of the user's and of libraries may raise anything when they are read
            self._refuse(value, path)

    def _text(self, *parts: object) -> None:
        for part in parts:
            content = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
            self.digest.update(b"%d:" % len(content))
            self.digest.update(content)

    def _refuse(self, value: object, path: str) -> None:
        self._text("unreadable")
        self.unreadable.append(f"{path} ({type(value).__name__})")

    def _name(self, value: Any) -> bool:
        """Add the name of a class or function; whether it is the user's own."""
        module = str(getattr(value, "__module__", None) or "builtins")
        self._text(module, getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
        if module in self._own:
            return True
        self.libraries.add(module.partition(".")[0])
        return False

    def _nothing(self, value: object, _path: str) -> None:
        """Of locks, loggers and generators of random numbers only the type counts."""
        self._text(type(value).__name__)

    def _sequence(self, value: Any, path: str) -> None:
        self._name(type(value))
        self._text(len(value))
        for number, item in enumerate(value):
            self.add(item, f"{path}[{number}]")
        self._attributes(value, path)

    def _mapping(self, value: Any, path: str) -> None:
        self._name(type(value))
        self._text(len(value))
        for key, item in list(value.items()):
            self.add(key, f"{path} key")
            self.add(item, f"{path}[{key!r}]" if isinstance(key, str | int) else f"{path}[...]")
        self._attributes(value, path)

    def _set(self, value: Any, path: str) -> None:
        self._name(type(value))
        parts = []
        for item in value:
            part = _Walk(self._own)
            part.add(item, f"{path} item")
            parts.append(part.digest.hexdigest())
            self.unreadable += part.unreadable
            self.libraries |= part.libraries
            self.files |= part.files
        self._text(*sorted(parts))

    def _path(self, value: pathlib.PurePath, _path: str) -> None:
        """Without its folders: what counts is in the file, wherever that is on this machine."""
        self._text("path", value.name)
        if is_file_name(str(value)):
            self.files.add(str(value))

    def _partial(self, value: Any, path: str) -> None:
        self._text("partial")
        for name in ("func", "args", "keywords"):
            self.add(getattr(value, name), f"{path}.{name}")

    def _method(self, value: Any, path: str) -> None:
        self._text("method")
        self.add(value.__func__, path)
        self.add(value.__self__, f"{path}.__self__")

    def _builtin(self, value: Any, path: str) -> None:
        self._name(value)
        owner = getattr(value, "__self__", None)
        if not isinstance(owner, types.ModuleType):
            self.add(owner, f"{path}.__self__")

    def _wrapper(self, value: Any, path: str) -> None:
        self._text(type(value).__name__)
        for name in ("__func__", "__wrapped__", "fget"):
            if hasattr(value, name):
                self.add(getattr(value, name), path)
                return

    def _cell(self, value: Any, path: str) -> None:
        try:
            content = value.cell_contents
        except ValueError:  # not filled yet
            self._text("empty")
            return
        self.add(content, path)

    def _weak(self, value: Any, path: str) -> None:
        self._text("weak")
        self.add(value(), path)

    def _function(self, value: Any, path: str) -> None:
        own = self._name(value)
        self.add(value.__defaults__, f"{path} defaults")
        self.add(value.__kwdefaults__, f"{path} defaults")
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=False):
            self.add(cell, f"{path}.{name}")
        self._attributes(value, path)
        if not own:
            return
        self.add(value.__code__, path)
        for name in sorted(names_in(value.__code__)):
            if name in value.__globals__:
                self._text("global", name)
                self.add(value.__globals__[name], f"{value.__module__}.{name}")
            elif name in self._own and name in sys.modules:
                self.add(sys.modules[name], name)

    def _code(self, value: types.CodeType, path: str) -> None:
        self._text("code", value.co_code)
        for names in (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars):
            self._text(*names)
        self.add(value.co_consts, f"{path} constants")

    def _class(self, value: Any, path: str) -> None:
        self._text("class")
        if not self._name(value):
            return
        for base in value.__bases__:
            self.add(base, path)
        for name, item in list(vars(value).items()):
            special = name.startswith("__") and name.endswith("__")
            if name not in _MADE and (not special or isinstance(item, _OWN_FUNCTIONS)):
                self._text(name)
                self.add(item, f"{value.__name__}.{name}")

    def _module(self, value: types.ModuleType, _path: str) -> None:
        self._text("module", value.__name__)
        if value.__name__ not in self._own:
            self.libraries.add(value.__name__.partition(".")[0])
            return
        for name, item in list(vars(value).items()):
            if not name.startswith("__"):
                self._text(name)
                self.add(item, f"{value.__name__}.{name}")

    def _member(self, value: enum.Enum, path: str) -> None:
        self.add(type(value), path)
        self._text(value.name)
        self.add(value.value, path)

    def _tensor(self, value: Any, path: str) -> None:
        import torch

        self._text("tensor", value.dtype, tuple(value.shape), value.layout)
        if hasattr(value, "__tensor_flatten__"):  # a tensor made of others
            names, context = value.__tensor_flatten__()
            self.add(context, path)
            for name in names:
                self.add(getattr(value, name), f"{path}.{name}")
            return
        dense = value.detach().to_dense() if value.layout is not torch.strided else value.detach()
        if value.is_quantized:
            self._text(value.qscheme(), repr(value.flatten()[:0]))
            dense = value.int_repr() if value.qscheme() == torch.per_tensor_affine else value.dequantize()
            self._text(
                *(
                    (value.q_scale(), value.q_zero_point())
                    if value.qscheme() == torch.per_tensor_affine
                    else ()
                )
            )
        plain = dense.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        self.digest.update(plain.view(torch.uint8).numpy().data)

    def _network(self, value: Any, path: str) -> None:
        original = vars(value).get("_modules", {}).get("_orig_mod")
        if original is not None:  # torch.compile
            self._text("compiled")
            self.add(original, path)
            return
        self.add(type(value), path)
        for name, item in vars(value).items():
            self._text(name)
            # Hooks are kept under numbers that count up through the life of the process.
            hooks = "hook" in name and isinstance(item, Mapping)
            self.add(list(item.values()) if hooks else item, f"{path}.{name}")

    def _array(self, value: Any, path: str) -> None:
        self._text("array", value.dtype.descr if value.dtype.names else value.dtype.str, value.shape)
        if value.dtype.hasobject:
            self.add(value.tolist(), path)
        else:
            self._text(value.tobytes())
        self._attributes(value, path)

    def _image(self, value: Any, path: str) -> None:
        self._text("image", value.mode, value.size, value.tobytes())
        self.add(value.getpalette(), path)

    def _attributes(self, value: Any, path: str) -> None:
        attributes = getattr(value, "__dict__", None)
        if attributes:
            for name, item in list(attributes.items()):
                self._text(name)
                self.add(item, f"{path}.{name}")

    def _object(self, value: Any, path: str) -> None:
        kind = type(value)
        self.add(kind, path)
        if has_hidden_state(cast(Hashable, kind)):
            self._reduced(value, path)
            return
        for base in kind.__mro__:
            for name in slots(base):
                if hasattr(value, name):
                    self._text(name)
                    self.add(getattr(value, name), f"{path}.{name}")
        self._attributes(value, path)

    def _reduced(self, value: Any, path: str) -> None:
        """What pickle would keep of an object of a C extension; an error where it would keep nothing."""
        reduce: Any = copyreg.dispatch_table.get(type(value))
        parts: Any = reduce(value) if reduce is not None else value.__reduce_ex__(4)
        if isinstance(parts, str):
            self._text("global", parts)
            return
        for part in parts:
            # Items of a list or a mapping come as iterators.
            self.add(list(part) if hasattr(part, "__next__") else part, path)


_Read = Callable[[_Walk, Any, str], None]


@functools.cache
def _readers() -> tuple[tuple[tuple[type, ...], _Read], ...]:
    """How each kind of object is read; the first kind that fits counts."""
    import numpy as np
    import torch
    from PIL import Image

    nothing = (
        type(threading.Lock()),
        type(threading.RLock()),
        logging.Logger,
        logging.LoggerAdapter,
        random.Random,
        np.random.Generator,
        np.random.RandomState,
        np.random.BitGenerator,
        torch.Generator,
        types.MemberDescriptorType,
        types.GetSetDescriptorType,
    )
    return (
        (nothing, _Walk._nothing),
        ((pathlib.PurePath,), _Walk._path),
        ((enum.Enum,), _Walk._member),
        ((torch.Tensor,), _Walk._tensor),
        ((np.ndarray, np.generic), _Walk._array),
        ((torch.nn.Module,), _Walk._network),
        ((Image.Image,), _Walk._image),
        ((type,), _Walk._class),
        ((types.ModuleType,), _Walk._module),
        ((types.FunctionType,), _Walk._function),
        ((types.CodeType,), _Walk._code),
        ((types.MethodType,), _Walk._method),
        (_METHODS, _Walk._builtin),
        ((functools.partial,), _Walk._partial),
        ((_CACHED, staticmethod, classmethod, property), _Walk._wrapper),
        ((types.CellType,), _Walk._cell),
        ((weakref.ref,), _Walk._weak),
        (_MAPPINGS, _Walk._mapping),
        (_SEQUENCES, _Walk._sequence),
        ((set, frozenset), _Walk._set),
    )
