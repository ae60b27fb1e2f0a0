"""DSSE envelopes: the specification's vector, and one row for every way to be wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evidence import envelope, strict_json
from appliance.evidence.envelope import Envelope, Signature
from appliance.evidence.errors import EvidenceError
from appliance.evidence.statement import RESERVATION_PAYLOAD
from tests.evidence.formats import GOOD_ENVELOPE, KIND, code_of


def test_the_specifications_pae() -> None:
    # dsse protocol.md, "Test Vectors"
    found = envelope.pae("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert envelope.pae("é", b"").startswith(b"DSSEv1 2 ")


def bent(edit: Callable[[dict[str, object]], object]) -> bytes:
    document = strict_json.decode(GOOD_ENVELOPE)
    assert isinstance(document, dict)
    edit(document)
    return strict_json.encode(document)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SIGNATURE = {"keyid": "", "sig": base64.b64encode(b"s").decode()}

BAD_ENVELOPES = [
    ("no payload", bent(lambda d: d.pop("payload")), "PL-EVD-011"),
    ("no payloadType", bent(lambda d: d.pop("payloadType")), "PL-EVD-011"),
    ("no signatures", bent(lambda d: d.pop("signatures")), "PL-EVD-011"),
    ("one field more", bent(lambda d: d.update(extra=1)), "PL-EVD-011"),
    ("payload a number", bent(lambda d: d.update(payload=1)), "PL-EVD-011"),
    ("payloadType null", bent(lambda d: d.update(payloadType=None)), "PL-EVD-011"),
    ("signatures an object", bent(lambda d: d.update(signatures={})), "PL-EVD-011"),
    ("a list", b"[]", "PL-EVD-011"),
    ("another payload type", bent(lambda d: d.update(payloadType="application/json")), "PL-EVD-013"),
    ("a type in capitals", bent(lambda d: d.update(payloadType=KIND.upper())), "PL-EVD-013"),
    ("unsigned", bent(lambda d: d.update(signatures=[])), "PL-EVD-014"),
    ("nine signatures", bent(lambda d: d.update(signatures=[SIGNATURE] * 9)), "PL-EVD-015"),
    ("a signature of text", bent(lambda d: d.update(signatures=["x"])), "PL-EVD-011"),
    ("a signature without sig", bent(lambda d: d.update(signatures=[{"keyid": ""}])), "PL-EVD-011"),
    ("a signature with a key", bent(lambda d: d.update(signatures=[{**SIGNATURE, "cert": ""}])), "PL-EVD-011"),
    ("a keyid of numbers", bent(lambda d: d.update(signatures=[{**SIGNATURE, "keyid": 7}])), "PL-EVD-011"),
    ("an endless keyid", bent(lambda d: d.update(signatures=[{**SIGNATURE, "keyid": "k" * 257}])), "PL-EVD-011"),
    ("an empty sig", bent(lambda d: d.update(signatures=[{**SIGNATURE, "sig": ""}])), "PL-EVD-011"),
    (
        "a huge sig",
        bent(lambda d: d.update(signatures=[{**SIGNATURE, "sig": base64.b64encode(bytes(600)).decode()}])),
        "PL-EVD-011",
    ),
    ("a sig in base64url", bent(lambda d: d.update(signatures=[{**SIGNATURE, "sig": "_-8="}])), "PL-EVD-012"),
    ("payload in base64url", bent(lambda d: d.update(payload="_-8=")), "PL-EVD-012"),
    ("payload without padding", bent(lambda d: d.update(payload="eyJhIjoxfQ")), "PL-EVD-012"),
    ("payload with stray bits", bent(lambda d: d.update(payload="eyJhIjoxfR==")), "PL-EVD-012"),
    ("a key twice", GOOD_ENVELOPE.replace(b'{"payload"', b'{"payload":"","payload"'), "PL-EVD-004"),
    ("keyid twice", GOOD_ENVELOPE.replace(b'"keyid"', b'"keyid":"","keyid"'), "PL-EVD-004"),
    ("not canonical", GOOD_ENVELOPE.replace(b",", b", "), "PL-EVD-009"),
    ("an escape", GOOD_ENVELOPE.replace(b"payloadType", b"payload\\u0054ype"), "PL-EVD-009"),
    ("trailing newline", GOOD_ENVELOPE + b"\n", "PL-EVD-009"),
    ("trailing data", GOOD_ENVELOPE + b"{}", "PL-EVD-003"),
    ("cut off", GOOD_ENVELOPE[:-2], "PL-EVD-003"),
    ("too large", bent(lambda d: d.update(payload=base64.b64encode(bytes(49_200)).decode())), "PL-EVD-010"),
]


@pytest.mark.parametrize(
    ("document", "code"), [row[1:] for row in BAD_ENVELOPES], ids=[row[0] for row in BAD_ENVELOPES]
)
def test_bad_envelope(document: bytes, code: str) -> None:
    assert envelope.decode(GOOD_ENVELOPE, {KIND}).payload == b'{"a":1}'
    assert code_of(lambda: envelope.decode(document, {KIND})) == code


def test_only_a_reservation_is_unsigned_and_it_always_is() -> None:
    both, none = {KIND, RESERVATION_PAYLOAD}, {RESERVATION_PAYLOAD}
    unsigned = envelope.encode(Envelope(RESERVATION_PAYLOAD, b"{}", ()))
    signed = envelope.encode(Envelope(RESERVATION_PAYLOAD, b"{}", (Signature(b"s"),)))
    assert envelope.decode(unsigned, both, unsigned_types=none).signatures == ()
    assert code_of(lambda: envelope.decode(unsigned, both)) == "PL-EVD-014"
    assert code_of(lambda: envelope.decode(signed, both, unsigned_types=none)) == "PL-EVD-011"
    manifest = envelope.encode(Envelope(KIND, b"{}", ()))
    assert code_of(lambda: envelope.decode(manifest, both, unsigned_types=none)) == "PL-EVD-014"


@given(st.binary(max_size=200), st.lists(st.tuples(st.binary(min_size=1, max_size=80), TEXT), max_size=8))
def test_an_envelope_comes_back_as_it_was(payload: bytes, signatures: list[tuple[bytes, str]]) -> None:
    found = Envelope(KIND, payload, tuple(Signature(*one) for one in signatures))
    document = envelope.encode(found)
    unsigned = () if signatures else {KIND}
    assert envelope.decode(document, {KIND}, unsigned_types=unsigned) == found
    # The quick way (one signature) and the thorough one agree about what the bytes are.
    assert strict_json.decode_canonical(document)


@given(st.integers(0, len(GOOD_ENVELOPE) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_bent_envelope_is_refused_or_canonical(at: int, patch: bytes, cut: int) -> None:
    document = GOOD_ENVELOPE[:at] + patch + GOOD_ENVELOPE[at + cut :]
    try:
        found = envelope.decode(document, {KIND})
    except EvidenceError:
        return
    assert envelope.encode(found) == document
