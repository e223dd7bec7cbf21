"""All methods by name: those of this package, and those that other packages add through an entry point."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TypeAlias

from pathorob_checks.errors import MethodError
from pathorob_checks.methods.image_method import ImageMethod
from pathorob_checks.methods.repair import Repair
from pathorob_checks.wording import hint

GROUP = "pathorob_checks.methods"
Method: TypeAlias = type[Repair] | type[ImageMethod]
# Modules of this package whose `METHODS` are its methods, in the order of tables.
_MODULES: tuple[str, ...] = ("reinhard", "macenko", "centering", "combat", "coral", "subspace", "dann")


@cache
def methods() -> Mapping[str, Method]:
    """Every method by name.

    Raises
    ------
    MethodError : an entry point cannot be loaded, is no method, or uses a name that is taken.
    """
    modules = [import_module(f"pathorob_checks.methods.{name}") for name in _MODULES]
    known: dict[str, Method] = {one.name: one for module in modules for one in module.METHODS}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        where = f"the entry point {entry.name} = {entry.value} of the group {GROUP}"
        remedy = f"update or uninstall the package {entry.dist.name if entry.dist else entry.module}"
        try:
            added = entry.load()
        except Exception as error:
            problem = f"{where} cannot be loaded ({type(error).__name__}: {error})"
            raise MethodError(problem, remedy=remedy) from error
        if not (isinstance(added, type) and issubclass(added, Repair | ImageMethod)):
            raise MethodError(f"{where} is no class of a Repair or an ImageMethod", remedy=remedy)
        if added.name in known:
            raise MethodError(f"{where} uses the name {added.name!r}, which is taken", remedy=remedy)
        known[added.name] = added
    return known


def method(name: str) -> Method:
    """The method of this name; raises MethodError where there is none."""
    known = methods()
    if name not in known:
        raise MethodError(f"there is no method {name!r}", remedy=hint(name, known, "use one of {known}"))
    return known[name]
