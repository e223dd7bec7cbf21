"""The identity of a user's own model: everything that may decide its embeddings, as far as it can be seen.

Embeddings are stored under it. What cannot be seen may change unnoticed, so that such a model gets an
identity of this run alone, unless it states one itself.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from pathorob_checks.canonical import plain
from pathorob_checks.errors import ModelError
from pathorob_checks.models.failures import brief
from pathorob_checks.models.opened_files import OpenedFiles, digest_of_files
from pathorob_checks.models.reachable import reach
from pathorob_checks.models.user_sources import OwnCode, digest_of_sources, files_named_in, versions_of
from pathorob_checks.wording import counted, printable

_PATHS_SHOWN = 2


@dataclass
class Traces:
    """What was seen while a factory and its product ran.

    Attributes
    ----------
    making : what the factory opened.
    embedding : what `preprocess` and `embed` opened for a blank image.
    imported : names of modules that were imported meanwhile.
    """

    making: OpenedFiles = field(default_factory=OpenedFiles)
    embedding: OpenedFiles = field(default_factory=OpenedFiles)
    imported: set[str] = field(default_factory=set)


def identity_of(
    product: Any, target: str, traces: Traces, run_id: str
) -> tuple[dict[str, object], tuple[str, ...]]:
    """The part of the identity that the product decides, and notes for the user.

    Parameters
    ----------
    product : the factory's, after it has embedded a blank image: some models read their weights only then.
    target : `module:factory`.
    traces : of making and probing the product.
    run_id : see `ResolvedModel`; used where something cannot be seen and the product states no identity.

    Raises
    ------
    ModelError : when the product's own identity cannot be used.
    """
    own = OwnCode(target)
    modules = own.modules(traces.imported)
    sources, without_source = digest_of_sources(modules)
    reached = reach(product, own)
    unseen = [
        *reached.unreadable,
        *(f"the source of {name}" for name in without_source),
        *(f"{outside} in embed" for outside in sorted(traces.embedding.outside)),
    ]
    # A file that the code names and only writes, such as a log, decides nothing.
    named = files_named_in(modules) - traces.making.written - traces.embedding.written
    identity: dict[str, object] = {
        "sources_sha256": sources,
        "weights_sha256": reached.sha256,
        "files_sha256": digest_of_files(traces.making.files | traces.embedding.files | reached.files | named),
        "libraries": versions_of(reached.libraries),
    }
    stated = _stated(product, target)
    if stated is not None:
        identity["stated"] = stated
    elif unseen:
        identity["run_id"] = run_id or uuid.uuid4().hex
        return identity, (_note(target, unseen),)
    return identity, ()


def _stated(product: Any, target: str) -> object:
    """The product's `identity`, a JSON-like value or a method that returns one; None where it has none."""
    import torch

    stated = getattr(product, "identity", None)
    if stated is None or isinstance(stated, torch.nn.Module):  # a layer may have this name
        return None
    try:
        return plain(stated() if callable(stated) else stated)
    except Exception as error:  # the user's code may raise anything
        raise ModelError(
            f"identity of python:{target} cannot be used ({brief(error)})",
            remedy="let it be, or return, a JSON-like value that changes whenever the embeddings would",
        ) from error


def _note(target: str, unseen: list[str]) -> str:
    shown = ", ".join(printable(path)[:120] for path in unseen[:_PATHS_SHOWN])
    more = len(unseen) - _PATHS_SHOWN
    rest = f" and {counted(more, 'other')}" if more > 0 else ""
    return (
        f"python:{target} cannot be seen whole ({shown}{rest}), so its embeddings are computed anew in each "
        "run; give it an identity that changes whenever they would."
    )
