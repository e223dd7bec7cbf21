"""DSSE envelopes (https://github.com/secure-systems-lab/dsse) around statements, by securesystemslib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pathorob_checks.canonical import canonical_json
from pathorob_checks.evidence.attestation import PAYLOAD_TYPE

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope


def enveloped(statement: bytes) -> Envelope:
    """An envelope without a signature."""
    from securesystemslib.dsse import Envelope

    return Envelope(statement, PAYLOAD_TYPE, {})


def unsigned(statement: bytes) -> str:
    """The JSON line of an envelope without a signature; tools that verify signatures refuse it."""
    return line_of(enveloped(statement))


def line_of(envelope: Envelope) -> str:
    """The one JSON line of an envelope, as outside tools read it."""
    return canonical_json(envelope.to_dict())


def envelope_of(document: Any) -> Envelope:
    """What a JSON document says.

    Raises
    ------
    ValueError : it is no envelope, or has something that no envelope has.
    """
    from securesystemslib.dsse import Envelope

    if not isinstance(document, dict) or document.keys() != {"payload", "payloadType", "signatures"}:
        raise ValueError("it is not a DSSE envelope")
    try:
        copied = [dict(signature) for signature in document["signatures"]]
        envelope = Envelope.from_dict({**document, "signatures": copied})
        if canonical_json(envelope.to_dict()) != canonical_json(document):
            raise ValueError("its envelope is not written as it should be")
    except ValueError:
        raise
    except Exception as error:  # securesystemslib raises what comes of odd types
        raise ValueError(f"it is not a DSSE envelope ({type(error).__name__})") from None
    return envelope
