"""DSSE envelopes: the specification's vector, and one row for every way to be wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.evidence import envelope, note, strict_json
from appliance.evidence.envelope import Envelope, Signature
from appliance.evidence.errors import EvidenceError
from appliance.evidence.statement import RESERVATION_PAYLOAD
from tests.evidence.formats import GOOD_ENVELOPE, GOOD_NOTE, KIND, ORIGIN, code_of


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


@given(
    st.binary(max_size=200), st.lists(st.tuples(st.binary(min_size=1, max_size=80), st.text(max_size=20)), max_size=8)
)
def test_an_envelope_comes_back_as_it_was(payload: bytes, signatures: list[tuple[bytes, str]]) -> None:
    try:
        found = Envelope(KIND, payload, tuple(Signature(*one) for one in signatures))
        document = envelope.encode(found)
    except EvidenceError as refused:  # text that is no text
        assert refused.code == "PL-EVD-007"
        return
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


# --- signed note --------------------------------------------------------------------------------------------------

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
""".encode()


class Ed25519Verifier:
    """A `note.Verifier` made from a vkey."""

    def __init__(self, verifier_key: str) -> None:
        self.name, algorithm, public = note.decode_verifier_key(verifier_key)
        self.key_id = note.key_id(self.name, algorithm, public)
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, message: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def test_the_specifications_example_note() -> None:
    # C2SP signed-note, "Verifier keys", Example
    found = note.parse(EXAMPLE_NOTE)
    verifier = Ed25519Verifier(EXAMPLE_KEY)
    assert note.verify(found, [verifier]) == found.signatures
    assert note.encode(found) == EXAMPLE_NOTE
    name, algorithm, public = note.decode_verifier_key(EXAMPLE_KEY)
    assert note.encode_verifier_key(name, algorithm, public) == EXAMPLE_KEY


def test_unknown_signatures_are_ignored_and_known_ones_must_hold() -> None:
    verifier = Ed25519Verifier(EXAMPLE_KEY)
    found = note.parse(EXAMPLE_NOTE)
    (line,) = found.signatures
    stranger = note.NoteSignature("witness.example/w", b"abcd", b"x" * 72)
    namesake = note.NoteSignature(line.name, b"abcd", b"x" * 64)
    crowd = note.Note(found.text, (stranger, namesake, line))
    assert note.verify(note.parse(note.encode(crowd)), [verifier]) == (line,)
    assert code_of(lambda: note.verify(note.Note(found.text, (stranger,)), [verifier])) == "PL-EVD-045"
    assert code_of(lambda: note.verify(found, [])) == "PL-EVD-045"
    forged = note.NoteSignature(line.name, line.key_id, bytes(64))
    assert code_of(lambda: note.verify(note.Note(found.text, (line, forged)), [verifier])) == "PL-EVD-046"
    assert code_of(lambda: note.verify(note.Note("Another message.\n", (line,)), [verifier])) == "PL-EVD-046"


def line(text: str) -> bytes:
    return GOOD_NOTE[: GOOD_NOTE.rindex(b"\n\n") + 2] + text.encode()


B64 = base64.b64encode(b"1234signature").decode()

BAD_NOTES = [
    ("not UTF-8", GOOD_NOTE.replace(b"demo", b"d\xffmo"), "PL-EVD-041"),
    ("a control character", GOOD_NOTE.replace(b"demo", b"d\x00mo"), "PL-EVD-041"),
    ("carriage returns", GOOD_NOTE.replace(b"\n", b"\r\n"), "PL-EVD-041"),
    ("a tab", GOOD_NOTE.replace(b"demo", b"de\tmo"), "PL-EVD-041"),
    ("no blank line", GOOD_NOTE.replace(b"\n\n", b"\n"), "PL-EVD-041"),
    ("no text", GOOD_NOTE[GOOD_NOTE.index(b"\n\n") :], "PL-EVD-041"),
    ("no end", GOOD_NOTE[:-1], "PL-EVD-041"),
    ("no signature", line(""), "PL-EVD-041"),
    ("empty", b"", "PL-EVD-041"),
    ("a hyphen for the dash", line(f"- {ORIGIN} {B64}\n"), "PL-EVD-042"),
    ("no name", line(f"\u2014  {B64}\n"), "PL-EVD-042"),
    ("a plus in the name", line(f"\u2014 a+b {B64}\n"), "PL-EVD-042"),
    ("a space in the name", line(f"\u2014 a\u2003b {B64}\n"), "PL-EVD-042"),
    ("no signature after the name", line(f"\u2014 {ORIGIN}\n"), "PL-EVD-042"),
    ("a short signature", line(f"\u2014 {ORIGIN} AQIDBA==\n"), "PL-EVD-042"),
    ("loose base64", line(f"\u2014 {ORIGIN} {B64[:-1]}\n"), "PL-EVD-042"),
    ("33 signatures", line(f"\u2014 {ORIGIN} {B64}\n" * 33), "PL-EVD-043"),
    ("too large", b"x" * 131_073, "PL-EVD-040"),
]


@pytest.mark.parametrize(("document", "code"), [row[1:] for row in BAD_NOTES], ids=[row[0] for row in BAD_NOTES])
def test_bad_note(document: bytes, code: str) -> None:
    assert note.encode(note.parse(GOOD_NOTE)) == GOOD_NOTE
    assert code_of(lambda: note.parse(document)) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        EXAMPLE_KEY.replace("530d903a", "530d903b"),
        EXAMPLE_KEY.replace("530d903a", "530D903A"),
        EXAMPLE_KEY[:-4],
        EXAMPLE_KEY.replace("Aeky", "Beky"),
        EXAMPLE_KEY.replace("example", "ex ample"),
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "x" * 4000,
    ],
)
def test_bad_verifier_key(text: str) -> None:
    assert code_of(lambda: note.decode_verifier_key(text)) == "PL-EVD-044"


def test_a_note_that_would_not_be_read_is_not_written() -> None:
    for text, name in (("no newline", "a"), ("a\n\nb", "a"), ("x\n", "a b"), ("x\n", "a\nb"), ("\n", "a")):
        assert code_of(lambda t=text, n=name: note.encode(note.Note(t, (note.NoteSignature(n, b"1234", b"s"),))))  # type: ignore[misc]  # a lambda that keeps its row


@given(st.integers(0, len(GOOD_NOTE) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_bent_note_is_refused_or_read_as_it_stands(at: int, patch: bytes, cut: int) -> None:
    document = GOOD_NOTE[:at] + patch + GOOD_NOTE[at + cut :]
    try:
        found = note.parse(document)
    except EvidenceError:
        return
    assert note.encode(found) == document
