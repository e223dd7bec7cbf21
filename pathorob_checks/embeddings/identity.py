"""What makes two extractions the same: the key under which embeddings are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import PIL
from PIL import features

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort

# Raise it when the extraction itself changes what it computes or how it is stored.
FORMAT_VERSION = 2


def embedding_key(model_identity: Mapping[str, object], cohort: Cohort) -> str:
    """SHA-256 (hex) of everything that decides the embeddings of a cohort.

    That is the model's identity, the images' bytes, the set of patches, the decoder, and the version
    of this package's format. The order of the cohort's rows and of the identity's keys does not
    matter, nor do labels.

    Raises
    ------
    TypeError, ValueError : the identity is not JSON-like (NaN included).
    """
    patch_keys = hashlib.sha256(canonical_json(sorted(cohort.keys)).encode()).hexdigest()
    return hashlib.sha256(
        canonical_json(
            {
                "model": model_identity,
                "cohort": cohort.digest,
                "patches": patch_keys,
                "decoder": decoder(),
                "format": FORMAT_VERSION,
            }
        ).encode()
    ).hexdigest()


def decoder() -> dict[str, str]:
    """Versions of what turns image files into pixels; JPEG libraries differ in the last bit."""
    return {"pillow": PIL.__version__, "jpeg": features.version("jpg") or "none"}


def canonical_json(value: object) -> str:
    """The one JSON text of a JSON-like value: keys sorted, ASCII, no spaces, no NaN."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def plain(value: object) -> object:
    """Mappings as dicts and tuples as lists, so that equal values have equal JSON.

    Raises
    ------
    TypeError : a mapping has a key that is no string ({1: ...} and {'1': ...} would collide), or a
        value is of another type than JSON's.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"identity has the key {key!r}, which is no string")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"identity has {value!r}, which JSON cannot hold")
