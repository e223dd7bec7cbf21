"""The key under which embeddings are stored: equal for extractions that give the same embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import PIL
from PIL import features

from pathorob_checks.canonical import digest_of

if TYPE_CHECKING:
    from pathorob_checks.cohorts.cohort import Cohort

# Raise it when the extraction itself changes what it computes or how it is stored.
FORMAT_VERSION = 3


def embedding_key(model_identity: Mapping[str, object], cohort: Cohort) -> str:
    """SHA-256 (hex) of everything that decides the embeddings of a cohort.

    These are the model's identity, the images' bytes, the set of patches, the decoder, and the version
    of this package's format. Neither the order of the cohort's rows, nor that of the identity's keys, nor
    classes and medical centers are part of it.

    Raises
    ------
    TypeError, ValueError : the identity is not JSON-like (NaN included).
    """
    return digest_of(
        {
            "model": model_identity,
            "cohort": cohort.images,
            # Pairs, because 'a-b-c' is patch 'b-c' of slide 'a' and patch 'c' of slide 'a-b'.
            "patches": digest_of(sorted(zip(cohort.patches.slide_id, cohort.patches.patch_id, strict=True))),
            "decoder": decoder(),
            "format": FORMAT_VERSION,
        }
    )


def decoder() -> dict[str, str]:
    """Versions of the libraries that decode images; JPEG libraries differ in the last bit."""
    return {"pillow": PIL.__version__, "jpeg": features.version("jpg") or "none"}
