"""C2SP signed notes: the specification's example, and one row for every way to be wrong."""

from __future__ import annotations

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.evidence import note
from appliance.evidence.errors import EvidenceError
from tests.evidence.formats import GOOD_NOTE, ORIGIN, code_of

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
