"""DSSE envelopes (https://github.com/secure-systems-lab/dsse) around statements, by securesystemslib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pathorob_checks.canonical import canonical_json
from pathorob_checks.results.json_text import strict_json
from pathorob_checks.wording import counted

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def enveloped(statement: bytes) -> Envelope:
    """An envelope without a signature; tools that verify signatures refuse it."""
    from securesystemslib.dsse import Envelope

    return Envelope(statement, PAYLOAD_TYPE, {})


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


def document_of(content: bytes) -> Any:
    """The JSON document that is the one line of an attestation.

    Raises
    ------
    ValueError : it has another number of lines, is not JSON, or is not written as this package writes it.
    RecursionError : it is nested too deeply.
    """
    lines = content.count(b"\n")
    if lines != 1:
        raise ValueError(f"it has {counted(lines, 'line')}, and an attestation is one line")
    document = strict_json(content)
    if f"{canonical_json(document)}\n".encode() != content:
        raise ValueError("its text is not written as this package writes it")
    return document
