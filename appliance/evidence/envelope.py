"""DSSE v1 envelopes (secure-systems-lab/dsse protocol.md, envelope.md): what a log entry is.

- A signature covers `pae(payload_type, payload)`, never the JSON around it.
- `decode` takes the payload types that the caller expects; any other type is refused before the payload is
  looked at.
- An envelope has one to eight signatures. Only types given as `unsigned_types` (the recorder's reservations)
  may, and must, have none: the log's checkpoint speaks for them.
- A key id is a hint for humans. Nothing here, and nothing that uses this, chooses trust by it.
- An envelope is canonical JSON of at most 65,535 bytes (a log entry's limit), its base64 strict. DSSE lets
  readers ignore unknown fields; this one refuses them, so that an entry says nothing that nobody checked.

Signatures are checked by whoever holds the keys (`appliance.verify`).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from appliance.evidence import base64_strict, strict_json
from appliance.evidence.errors import (
    EnvelopeBase64Wrong,
    EnvelopeMalformed,
    EnvelopeSignaturesTooMany,
    EnvelopeTooLarge,
    EnvelopeUnsigned,
    PayloadTypeWrong,
)

MAX_BYTES = 65_535
MAX_SIGNATURES = 8
_MAX_SIGNATURE_BYTES = 512
_MAX_KEYID = 256
_HEAD = b'{"payload":"'
_TAIL = re.compile(
    rb',"payloadType":"([!#-\[\]-~]*)","signatures":\[\{"keyid":"([!#-\[\]-~]*)","sig":"([!#-\[\]-~]*)"\}\]\}'
)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; `keyid` may be empty."""

    sig: bytes
    keyid: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type, and signatures over their `pae`."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a DSSE signature covers (protocol.md, "PAE")."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode(envelope: Envelope) -> bytes:
    """The canonical JSON of `envelope`, at most 65,535 bytes; refuses what `decode` would."""
    document = strict_json.encode(
        {
            "payload": base64_strict.encode(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [{"keyid": one.keyid, "sig": base64_strict.encode(one.sig)} for one in envelope.signatures],
        }
    )
    if len(document) > MAX_BYTES:
        raise EnvelopeTooLarge(size=len(document), limit=MAX_BYTES)
    unsigned = () if envelope.signatures else (envelope.payload_type,)
    decode(document, (envelope.payload_type,), unsigned_types=unsigned)
    return document


def decode(document: bytes, payload_types: Collection[str], *, unsigned_types: Collection[str] = ()) -> Envelope:
    """The envelope in `document`, its type one of `payload_types`, or a `PL-EVD-001` to `-015` refusal."""
    if len(document) > MAX_BYTES:
        raise EnvelopeTooLarge(size=len(document), limit=MAX_BYTES)
    payload_type, payload, signatures = _split(document)
    if payload_type not in payload_types:
        raise PayloadTypeWrong(found=repr(payload_type[:120]), expected=", ".join(sorted(payload_types)))
    if bool(signatures) == (payload_type in unsigned_types):
        if signatures:
            raise EnvelopeMalformed(why="this type is never signed, but there is a signature")
        raise EnvelopeUnsigned(found=payload_type)
    if len(signatures) > MAX_SIGNATURES:
        raise EnvelopeSignaturesTooMany(count=len(signatures), limit=MAX_SIGNATURES)
    body = base64_strict.decode(payload)
    if body is None:
        raise EnvelopeBase64Wrong(where="payload")
    return Envelope(payload_type, body, tuple([_signature(*one, at) for at, one in enumerate(signatures)]))


def _split(document: bytes) -> tuple[str, str | bytes, list[tuple[str, str | bytes]]]:
    """Payload type, payload in base64, and (keyid, signature in base64) of each signature."""
    # An envelope with one signature, canonically spelled and without escapes, has one form: taking it apart costs a
    # tenth of reading JSON. Every other envelope takes the other way, which also says what is wrong.
    if document.startswith(_HEAD):
        payload, _, rest = document[len(_HEAD) :].partition(b'"')
        if tail := _TAIL.fullmatch(rest):
            payload_type, keyid, sig = tail.groups()
            return payload_type.decode(), payload, [(keyid.decode(), sig)]
    value = strict_json.decode_canonical(document, max_bytes=MAX_BYTES)
    if type(value) is not dict or value.keys() != {"payload", "payloadType", "signatures"}:
        raise EnvelopeMalformed(why="it is not an object of payload, payloadType and signatures")
    kind, body, signatures = value["payloadType"], value["payload"], value["signatures"]
    if type(kind) is not str or type(body) is not str or type(signatures) is not list:
        raise EnvelopeMalformed(why="payload and payloadType are text, signatures is a list")
    return kind, body, [_fields(one, at) for at, one in enumerate(signatures)]


def _fields(value: object, at: int) -> tuple[str, str | bytes]:
    if type(value) is not dict or not {"sig"} <= value.keys() <= {"keyid", "sig"}:
        raise EnvelopeMalformed(why=f"signature {at} is not an object of sig and keyid")
    text, keyid = value["sig"], value.get("keyid", "")
    if type(text) is not str or type(keyid) is not str:
        raise EnvelopeMalformed(why=f"signature {at}: sig and keyid are text")
    return keyid, text


def _signature(keyid: str, text: str | bytes, at: int) -> Signature:
    if len(keyid) > _MAX_KEYID:
        raise EnvelopeMalformed(why=f"signature {at}: keyid has more than {_MAX_KEYID} characters")
    sig = base64_strict.decode(text)
    if sig is None:
        raise EnvelopeBase64Wrong(where=f"signatures[{at}].sig")
    if not 0 < len(sig) <= _MAX_SIGNATURE_BYTES:
        raise EnvelopeMalformed(why=f"signature {at} has {len(sig)} bytes; 1 to {_MAX_SIGNATURE_BYTES} are read")
    return Signature(sig, keyid)
