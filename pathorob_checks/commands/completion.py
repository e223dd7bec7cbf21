"""Words that a shell may complete: names of FMs, cohorts, profiles and methods, and files.

`argcomplete` asks for them (extra `completion`). Nothing here imports torch or reads the network.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping

from pathorob_checks.evaluation.settings import ENGINES, METHODS_OOD
from pathorob_checks.models.pooling import POOLINGS
from pathorob_checks.models.precision import PRECISIONS

Completer = Callable[..., list[str]]


def is_requested() -> bool:
    """Whether a shell asks for words, instead of a user for a run."""
    return "_ARGCOMPLETE" in os.environ


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end the process, where it asks and `argcomplete` is installed."""
    if not is_requested():
        return
    import argcomplete

    for action in actions_of(parser):
        for flag in action.option_strings:
            if flag in COMPLETERS:
                action.completer = COMPLETERS[flag]  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def action_that_completes(flag: str, base: str) -> type[argparse.Action] | str:
    """For pytest, whose options are registered by an action: the action `base`, with the flag's completer.

    Parameters
    ----------
    base : `store` or `append`.
    """
    if not is_requested() or flag not in COMPLETERS:
        return base
    kind = {"store": argparse._StoreAction, "append": argparse._AppendAction}[base]
    return type("Completing", (kind,), {"completer": staticmethod(COMPLETERS[flag])})


def actions_of(parser: argparse.ArgumentParser) -> Iterable[argparse.Action]:
    """Those of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from actions_of(inner)


def _fms() -> list[str]:
    from pathorob_checks.models.recipes import recipes
    from pathorob_checks.models.spec import DEMO_NAMES, KINDS

    demos = [f"demo:{name}" for name in DEMO_NAMES]
    return [*recipes(), *demos, *(f"{kind}:" for kind in KINDS if kind != "demo")]


def _cohorts() -> list[str]:
    from pathorob_checks.cohorts.registry import BENCHMARK, BUILT_IN

    return [*BENCHMARK, *BUILT_IN]


def _profiles() -> list[str]:
    from pathorob_checks.criteria.document import BUILT_IN

    return list(BUILT_IN)


def _methods() -> list[str]:
    from pathorob_checks.methods.registry import methods

    return list(methods())


def _completer(words: Callable[[], list[str]], *, files: bool = False, joined: str = "") -> Completer:
    """Words that begin as what was typed does.

    Parameters
    ----------
    files : whether a path can stand there, too.
    joined : characters that join several words in one value.
    """

    def complete_word(prefix: str, **_: object) -> list[str]:
        before = max((prefix.rfind(sign) for sign in joined), default=-1) + 1
        given, begun = prefix[:before], prefix[before:]
        matching = [given + word for word in words() if word.startswith(begun)]
        if files:
            from argcomplete.completers import FilesCompleter

            matching += FilesCompleter()(prefix)
        return matching

    return complete_word


COMPLETERS: Mapping[str, Completer] = {
    "--fm": _completer(_fms),
    "--fm-cohort": _completer(_cohorts, files=True),
    "--cohort": _completer(list, files=True),
    "--fm-criteria": _completer(_profiles, files=True),
    "--fm-method": _completer(_methods, joined="+,"),
    "--method": _completer(_methods, joined="+"),
    "--fm-method-ood": _completer(lambda: list(METHODS_OOD)),
    "--fm-precision": _completer(lambda: list(PRECISIONS)),
    "--fm-pooling": _completer(lambda: list(POOLINGS)),
    "--fm-device": _completer(lambda: ["auto", "cpu", "cuda"]),
    "--fm-engine": _completer(lambda: list(ENGINES)),
}
