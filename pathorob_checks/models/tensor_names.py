"""Which tensors of a checkpoint are the network's, and by which names the network knows them.

Where a recipe or the user states the prefixes of the names, they alone decide. Elsewhere a rule does: the one
prefix is stripped with which the names are the network's; of several such networks, a teacher or an average
counts.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from pathorob_checks.errors import ModelError
from pathorob_checks.models.checkpoints import Checkpoint, StatedNames
from pathorob_checks.models.weights import first_few, is_left_over
from pathorob_checks.wording import counted, printable, quoted, shortened

if TYPE_CHECKING:
    import torch

_AVERAGED = re.compile(r"(?:.*[._])?(?:teacher|ema|averaged?)(?:[._].*)?")
_ANCHORS = 8


def of_network(
    checkpoint: Checkpoint, expected: Collection[str], stated: StatedNames, origin: str
) -> Checkpoint:
    """The network's tensors by its own names, as stated, or by the rule of `unwrapped`.

    Parameters
    ----------
    expected : names of the network.
    origin : the model as the user knows it, for messages.

    Raises
    ------
    ModelError : when no name has a stated prefix, or nothing is stated and the rule finds several networks.
    """
    if stated.prefixes:
        return without_prefixes(checkpoint, stated.prefixes, origin)
    return unwrapped(checkpoint, expected, origin)


def without_prefixes(checkpoint: Checkpoint, prefixes: tuple[str, ...], origin: str) -> Checkpoint:
    """The tensors whose names begin with the prefixes, one after the other, without these.

    What is left out is a note, except for heads of training, which decide no embedding.

    Raises
    ------
    ModelError : when no name begins with one of the prefixes.
    """
    inside: Mapping[str, torch.Tensor] = checkpoint.weights
    removed, outside = "", []
    for prefix in prefixes:
        outside += [removed + name for name in inside if not name.startswith(prefix)]
        within = {
            name.removeprefix(prefix): tensor for name, tensor in inside.items() if name.startswith(prefix)
        }
        if not within:
            where = f" after {shortened(removed)}" if removed else ""
            raise ModelError(
                f"no tensor in the weights of {origin} has a name that begins with {shortened(prefix)}"
                f"{where}, only with {_beginnings(inside)}",
                remedy="give what their names begin with as --fm-checkpoint-prefix, or leave that out",
            )
        inside, removed = within, removed + prefix
    note = f"{origin}: {_shown(removed)} was stripped from the names in the checkpoint, as stated"
    others = sorted(name for name in outside if not any(map(is_left_over, _suffixes(name))))
    if others:
        tensors = counted(len(others), "other tensor")
        note += f"; {tensors} {'is' if len(others) == 1 else 'are'} left out ({first_few(others)})"
    return Checkpoint(inside, (*checkpoint.notes, f"{note}."))


def _beginnings(names: Collection[str]) -> str:
    """The first parts of names, the most frequent first."""
    counts = Counter(name.partition(".")[0] + ("." if "." in name else "") for name in names)
    return first_few([f"'{first}'" for first, _ in counts.most_common()])


def unwrapped(checkpoint: Checkpoint, expected: Collection[str], origin: str) -> Checkpoint:
    """Weights without the one prefix that wrappers and training put before the network's names.

    Everything outside of the prefix must be a head of training, or a network that does not count.

    Parameters
    ----------
    expected : names of the network; where the weights have them as they are, nothing is stripped.
    origin : the model as the user knows it, for messages.

    Raises
    ------
    ModelError : when several networks are in the checkpoint and none of them is a teacher or an average.
    """
    weights, expected = checkpoint.weights, set(expected)
    held = {
        prefix: sum(prefix + name in weights for name in expected) for prefix in _prefixes(weights, expected)
    }
    most = max(held.values())
    if 2 * most > len(expected):
        prefix, others = _chosen(sorted(prefix for prefix in held if held[prefix] == most), origin)
    else:  # names of an older library, or of another network
        prefix, others = _common_prefix(weights), []
        if twins := _with_one_average(weights):
            first, beside = _chosen(twins, origin)
            inner = _common_prefix([name.removeprefix(first) for name in weights if name.startswith(first)])
            prefix, others = first + inner, [other + inner for other in beside]
    network = [name.removeprefix(prefix) for name in weights if name.startswith(prefix)]
    of_others = {other + name for other in others for name in network}
    outside = [name for name in weights if not name.startswith(prefix) and name not in of_others]
    if not prefix or not all(_is_outside_head(name, prefix) for name in outside):
        return checkpoint
    note = f"{origin}: {_shown(prefix)} was stripped from the names in the checkpoint."
    if others:
        networks = _shown(prefix, *others)
        note = f"{origin} holds several networks ({networks}): {_shown(prefix)}, an average, is used."
    inside = {
        name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)
    }
    return Checkpoint(inside, (*checkpoint.notes, note))


def _common_prefix(weights: Collection[str]) -> str:
    """What all names but those of heads begin with, up to a dot."""
    names = [name for name in weights if not any(map(is_left_over, _suffixes(name)))]
    common = os.path.commonprefix(names)  # noqa: RUF071 - these are no paths
    return common[: common.rfind(".") + 1]


def _with_one_average(weights: Collection[str]) -> list[str]:
    """The first parts of all names where the same names follow each of them and one is that of an average."""
    groups: dict[str, set[str]] = {}
    for name in weights:
        first, _, rest = name.partition(".")
        if not any(map(is_left_over, _suffixes(rest))):
            groups.setdefault(f"{first}.", set()).add(rest)
    alike = len(groups) > 1 and len(set(map(frozenset, groups.values()))) == 1
    averages = [first for first in groups if _AVERAGED.fullmatch(first.removesuffix("."))]
    return sorted(groups) if alike and len(averages) == 1 else []


def _suffixes(name: str) -> list[str]:
    """A name without its first parts, of which wrappers add three or four."""
    parts = name.split(".")
    return [".".join(parts[depth:]) for depth in range(min(len(parts), 5))]


def _prefixes(weights: Collection[str], expected: Collection[str]) -> set[str]:
    """What stands before the network's names, by some long ones of these."""
    prefixes = {""}
    for anchor in sorted(expected, key=lambda name: (-len(name), name))[:_ANCHORS]:
        for name in weights:
            if name.endswith(f".{anchor}"):
                prefixes.add(name[: -len(anchor)])
    return prefixes


def _chosen(prefixes: list[str], origin: str) -> tuple[str, list[str]]:
    """The prefix of the network that counts, and those of the others."""
    if len(prefixes) == 1:
        return prefixes[0], []
    averaged = [prefix for prefix in prefixes if _AVERAGED.fullmatch(prefix.removesuffix("."))]
    if len(averaged) != 1:
        raise ModelError(
            f"the weights of {origin} hold several networks ({_shown(*prefixes)})",
            remedy="give the prefix of the one that you use as --fm-checkpoint-prefix",
        )
    return averaged[0], [prefix for prefix in prefixes if prefix != averaged[0]]


def _is_outside_head(name: str, prefix: str) -> bool:
    """Whether a tensor outside of `prefix` is a head, beside the network in one of its wrappers."""
    parts = prefix.split(".")
    wrappers = (".".join([*parts[:depth], ""]) if depth else "" for depth in range(len(parts)))
    return any(name.startswith(wrapper) and is_left_over(name.removeprefix(wrapper)) for wrapper in wrappers)


def _shown(*prefixes: str) -> str:
    return quoted(printable(prefix)[:80] or "no prefix" for prefix in prefixes[:4])
