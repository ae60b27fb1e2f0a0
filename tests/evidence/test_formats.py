"""Envelope, note, checkpoint, proof, tiles: known answers, and one row for every way to be wrong."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.evidence import checkpoint, envelope, merkle, note, proof, strict_json, tiles
from appliance.evidence.envelope import Envelope, Signature
from appliance.evidence.errors import EvidenceError
from appliance.evidence.statement import RESERVATION_PAYLOAD, STATEMENT_PAYLOAD

KIND = STATEMENT_PAYLOAD
ORIGIN = "demo.example/bench-01"
ROOT = merkle.leaf_hash(b"root")
GOOD_ENVELOPE = envelope.encode(Envelope(KIND, b'{"a":1}', (Signature(b"0" * 70, "sha256:ab"),)))
LINE = note.NoteSignature(ORIGIN, b"\x01\x02\x03\x04", b"s" * 70)
GOOD_NOTE = note.encode(note.Note(checkpoint.encode_body(checkpoint.Checkpoint(ORIGIN, 12, ROOT)), (LINE,)))
GOOD_PROOF = proof.encode(proof.Proof(3, (ROOT, merkle.leaf_hash(b"other")), GOOD_NOTE, b"extra"))


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(EvidenceError) as refused:
        act()
    return refused.value.code


# --- DSSE ---------------------------------------------------------------------------------------------------------


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


# --- checkpoint ---------------------------------------------------------------------------------------------------


def body(*lines: str) -> str:
    return "".join(f"{one}\n" for one in lines)


B64_ROOT = base64.b64encode(ROOT).decode()
BAD_BODIES = [
    ("no end", f"{ORIGIN}\n12\n{B64_ROOT}", "PL-EVD-050"),
    ("two lines", body(ORIGIN, "12"), "PL-EVD-050"),
    ("an empty origin", body("", "12", B64_ROOT), "PL-EVD-050"),
    ("another log", body("demo.example/bench-02", "12", B64_ROOT), "PL-EVD-051"),
    ("a longer origin", body(ORIGIN + "/", "12", B64_ROOT), "PL-EVD-051"),
    ("a leading zero", body(ORIGIN, "012", B64_ROOT), "PL-EVD-052"),
    ("a sign", body(ORIGIN, "+12", B64_ROOT), "PL-EVD-052"),
    ("a negative size", body(ORIGIN, "-1", B64_ROOT), "PL-EVD-052"),
    ("other digits", body(ORIGIN, "\u0661\u0662", B64_ROOT), "PL-EVD-052"),
    ("an empty size", body(ORIGIN, "", B64_ROOT), "PL-EVD-052"),
    ("a size beyond 2^63", body(ORIGIN, "9223372036854775808", B64_ROOT), "PL-EVD-052"),
    ("a huge size", body(ORIGIN, "9" * 5000, B64_ROOT), "PL-EVD-052"),
    ("a root in hex", body(ORIGIN, "12", ROOT.hex()), "PL-EVD-053"),
    ("a short root", body(ORIGIN, "12", base64.b64encode(ROOT[:31]).decode()), "PL-EVD-053"),
    ("loose base64", body(ORIGIN, "12", B64_ROOT.rstrip("=")), "PL-EVD-053"),
    ("an empty extension", body(ORIGIN, "12", B64_ROOT, "a", "", "b"), "PL-EVD-054"),
    ("nine extensions", body(ORIGIN, "12", B64_ROOT, *"abcdefghi"), "PL-EVD-054"),
]


@pytest.mark.parametrize(("text", "code"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES])
def test_bad_checkpoint(text: str, code: str) -> None:
    assert checkpoint.parse(GOOD_NOTE, ORIGIN)[0] == checkpoint.Checkpoint(ORIGIN, 12, ROOT)
    assert code_of(lambda: checkpoint.parse_body(text, ORIGIN)) == code


def test_a_checkpoint_may_have_extensions_and_no_entries() -> None:
    found = checkpoint.Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT, ("a", "b"))
    assert checkpoint.parse_body(checkpoint.encode_body(found), ORIGIN) == found
    broken = checkpoint.Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT, ("a\nb",))
    assert code_of(lambda: checkpoint.encode_body(broken)) == "PL-EVD-050"


# --- proof --------------------------------------------------------------------------------------------------------


def swap(old: bytes, new: bytes) -> bytes:
    assert old in GOOD_PROOF
    return GOOD_PROOF.replace(old, new, 1)


FIRST_HASH = base64.b64encode(ROOT)
BAD_PROOFS = [
    ("another version", swap(b"proof@v1", b"proof@v2"), "PL-EVD-061"),
    ("no version", GOOD_PROOF[GOOD_PROOF.index(b"\n") + 1 :], "PL-EVD-061"),
    ("no checkpoint", GOOD_PROOF[: GOOD_PROOF.index(b"\n\n") + 2], "PL-EVD-061"),
    ("no empty line", GOOD_PROOF[: GOOD_PROOF.index(b"\n\n")], "PL-EVD-061"),
    ("not ASCII", swap(b"index", "índex".encode()), "PL-EVD-061"),
    ("64 hashes", swap(FIRST_HASH, b"\n".join([FIRST_HASH] * 64)), "PL-EVD-061"),
    ("empty", b"", "PL-EVD-061"),
    ("an empty extra", swap(b"extra ZXh0cmE=", b"extra "), "PL-EVD-062"),
    ("loose extra", swap(b"ZXh0cmE=", b"ZXh0cmE"), "PL-EVD-062"),
    ("extra in capitals", swap(b"extra ZX", b"extras ZX"), "PL-EVD-062"),
    ("a long extra", swap(b"ZXh0cmE=", base64.b64encode(bytes(4097))), "PL-EVD-062"),
    ("extra twice", swap(b"extra ZXh0cmE=", b"extra ZXh0cmE=\nextra ZXh0cmE="), "PL-EVD-063"),
    ("no index", swap(b"index 3\n", b""), "PL-EVD-063"),
    ("a leading zero", swap(b"index 3", b"index 03"), "PL-EVD-063"),
    ("two spaces", swap(b"index 3", b"index  3"), "PL-EVD-063"),
    ("a negative index", swap(b"index 3", b"index -3"), "PL-EVD-063"),
    ("a huge index", swap(b"index 3", b"index 9223372036854775808"), "PL-EVD-063"),
    ("a short hash", swap(FIRST_HASH, b"AAAA"), "PL-EVD-064"),
    ("a hash in hex", swap(FIRST_HASH, ROOT.hex().encode()), "PL-EVD-064"),
    ("carriage return", swap(FIRST_HASH, FIRST_HASH + b"\r"), "PL-EVD-064"),
    ("too large", GOOD_PROOF + bytes(200_000), "PL-EVD-060"),
]


@pytest.mark.parametrize(("document", "code"), [row[1:] for row in BAD_PROOFS], ids=[row[0] for row in BAD_PROOFS])
def test_bad_proof(document: bytes, code: str) -> None:
    found = proof.parse(GOOD_PROOF)
    assert (found.index, len(found.hashes), found.checkpoint, found.extra) == (3, 2, GOOD_NOTE, b"extra")
    assert code_of(lambda: proof.parse(document)) == code


def test_a_proof_shows_its_entry_and_no_other() -> None:
    entries = [f"entry {at}".encode() for at in range(7)]
    leaves = [merkle.leaf_hash(one) for one in entries]
    against = checkpoint.Checkpoint(ORIGIN, 7, merkle.root_of(leaves))
    for index, entry in enumerate(entries):
        found = proof.Proof(index, merkle.inclusion_proof(index, 7, merkle.node_of(leaves)), GOOD_NOTE)
        found = proof.parse(proof.encode(found))
        proof.check(found, entry, against)
        assert code_of(lambda p=found: proof.check(p, b"another entry", against)) == "PL-EVD-022"  # type: ignore[misc]  # likewise


@given(st.integers(0, len(GOOD_PROOF) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_bent_proof_is_refused_or_read_as_it_stands(at: int, patch: bytes, cut: int) -> None:
    document = GOOD_PROOF[:at] + patch + GOOD_PROOF[at + cut :]
    try:
        found = proof.parse(document)
    except EvidenceError:
        return
    assert proof.encode(found) == document


# --- tiles --------------------------------------------------------------------------------------------------------


def test_the_specifications_tiles() -> None:
    # C2SP tlog-tiles, "Merkle Tree" and "Partial Tiles"
    assert tiles.Tile(0, 1234067).path == "tile/0/x001/x234/067"
    found = [tile for tile in tiles.tiles_of(70_000) if tile.level != tiles.ENTRIES]
    assert sum(tile.level == 0 and tile.width == 256 for tile in found) == 273
    assert [tile for tile in found if tile.width < 256] == [
        tiles.Tile(0, 273, 112),
        tiles.Tile(1, 1, 17),
        tiles.Tile(2, 0, 1),
    ]
    assert list(tiles.tiles_of(256))[1:] == [tiles.Tile(0, 0), tiles.Tile(1, 0, 1)]
    assert list(tiles.tiles_of(0)) == []


@given(st.integers(-1, 63), st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_a_path_names_one_tile(level: int, index: int, width: int) -> None:
    tile = tiles.Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_an_append_writes_what_the_bigger_tree_has_and_the_smaller_has_not(one: int, other: int) -> None:
    old, new = sorted((one, other))
    assert set(tiles.new_tiles(old, new)) == set(tiles.tiles_of(new)) - set(tiles.tiles_of(old))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/1000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/entries/000/",
        "tile/Entries/000",
        "/tile/0/000",
        "tile/../0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/٠٠٠",
        "x" * 500,
    ],
)
def test_other_paths_name_none(path: str) -> None:
    assert code_of(lambda: tiles.parse_path(path)) == "PL-EVD-030"


GOOD_BUNDLE = tiles.encode_bundle([b"one", b"", b"three"])


@pytest.mark.parametrize(
    ("content", "width", "code"),
    [
        (GOOD_BUNDLE[:-1], 3, "PL-EVD-032"),
        (GOOD_BUNDLE + b"\x00", 3, "PL-EVD-032"),
        (GOOD_BUNDLE + b"\x00\x00", 3, "PL-EVD-032"),
        (GOOD_BUNDLE, 2, "PL-EVD-032"),
        (GOOD_BUNDLE, 4, "PL-EVD-032"),
        (b"", 1, "PL-EVD-032"),
        (b"\xff\xff", 1, "PL-EVD-032"),
    ],
)
def test_bad_bundle(content: bytes, width: int, code: str) -> None:
    assert tiles.decode_bundle(GOOD_BUNDLE, 3) == (b"one", b"", b"three")
    assert code_of(lambda: tiles.decode_bundle(content, width)) == code


def test_what_no_bundle_or_tile_holds() -> None:
    assert code_of(lambda: tiles.encode_entry(bytes(65_536))) == "PL-EVD-033"
    assert code_of(lambda: tiles.encode_bundle([b""] * 257)) == "PL-EVD-032"
    assert code_of(lambda: tiles.split_tile(tiles.Tile(0, 0, 2), bytes(63))) == "PL-EVD-031"
    assert code_of(lambda: tiles.tile_at(0, 1, 256)) == "PL-EVD-030"


@given(st.binary(max_size=60), st.integers(0, 4))
def test_any_bundle_is_refused_or_spelled_that_way(content: bytes, width: int) -> None:
    try:
        entries = tiles.decode_bundle(content, width)
    except EvidenceError:
        return
    assert tiles.encode_bundle(entries) == content


def test_every_code_of_this_room_has_its_sentences() -> None:
    from appliance.errors import registry

    mine = [one for code, one in registry.items() if code.startswith("PL-EVD-")]
    assert len(mine) > 40
    for one in mine:
        assert one.operator
        assert one.action
        fields = re.findall(r"\{(\w+)\}", one.engineer)
        assert "?" not in one(**dict.fromkeys(fields, "x")).engineer_sentence()
