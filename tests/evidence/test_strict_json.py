"""JSON with one reading: every second reading is refused by its own name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evidence import base64_strict, strict_json
from appliance.evidence.errors import EvidenceError

GOOD = b'{"a":[1,-2,null,true,"\xc3\xa4"],"b":{}}'

BAD = [
    ("a key twice", b'{"a":1,"a":1}', "PL-EVD-004"),
    ("a key twice, one escaped", b'{"a":1,"\\u0061":2}', "PL-EVD-004"),
    ("a key twice, deep inside", b'{"x":[{"y":{"a":1,"b":2,"a":3}}]}', "PL-EVD-004"),
    ("a float", b'{"a":1.0}', "PL-EVD-005"),
    ("an exponent", b"[1e3]", "PL-EVD-005"),
    ("NaN", b"[NaN]", "PL-EVD-005"),
    ("Infinity", b"[-Infinity]", "PL-EVD-005"),
    ("an integer beyond 64 bits", b"[9223372036854775808]", "PL-EVD-005"),
    ("a million digits", b"[" + b"9" * 60_000 + b"]", "PL-EVD-005"),
    ("minus zero", b"[-0]", "PL-EVD-005"),
    ("a leading zero", b"[01]", "PL-EVD-003"),
    ("trailing data", b"{} {}", "PL-EVD-003"),
    ("trailing comma", b"[1,]", "PL-EVD-003"),
    ("nothing", b"", "PL-EVD-003"),
    ("cut off", GOOD[:-1], "PL-EVD-003"),
    ("a control character", b'["\x01"]', "PL-EVD-003"),
    ("single quotes", b"{'a':1}", "PL-EVD-003"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "PL-EVD-002"),
    ("latin-1", b'["\xe4"]', "PL-EVD-002"),
    ("UTF-16", '{"a":1}'.encode("utf-16"), "PL-EVD-002"),
    ("an encoded surrogate", b'["\xed\xa0\x80"]', "PL-EVD-002"),
    ("an escaped surrogate", b'["\\ud800"]', "PL-EVD-007"),
    ("an escaped surrogate in a key", b'{"\\udc00":1}', "PL-EVD-007"),
    ("too deep", b"[" * 17 + b"]" * 17, "PL-EVD-006"),
    ("deeper than any stack", b"[" * 30_000 + b"]" * 30_000, "PL-EVD-006"),
    ("too large", b'"' + b"a" * 65_534 + b'"', "PL-EVD-001"),
]


def test_the_good_twin_is_read() -> None:
    assert strict_json.decode(GOOD) == {"a": [1, -2, None, True, "ä"], "b": {}}
    assert strict_json.decode_canonical(GOOD) == strict_json.decode(GOOD)
    assert strict_json.decode(b" [ 9223372036854775807 , -9223372036854775808 ]\n") == [2**63 - 1, -(2**63)]
    assert strict_json.decode(b"[" * 16 + b"]" * 16)


@pytest.mark.parametrize(("document", "code"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_second_reading_is_refused(document: bytes, code: str) -> None:
    with pytest.raises(EvidenceError) as refused:
        strict_json.decode(document)
    assert refused.value.code == code


@pytest.mark.parametrize("document", [b'{"b":1,"a":2}', b"[1, 2]", b'["\\u0061"]', b'["\\/"]', b"[]\n"])
def test_only_the_canonical_spelling_is_canonical(document: bytes) -> None:
    strict_json.decode(document)
    with pytest.raises(EvidenceError) as refused:
        strict_json.decode_canonical(document)
    assert refused.value.code == "PL-EVD-009"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1.5, "PL-EVD-008"),
        ({"a": {1: 2}}, "PL-EVD-008"),
        ([b"bytes"], "PL-EVD-008"),
        ("\ud800", "PL-EVD-007"),
        (2**63, "PL-EVD-005"),
    ],
)
def test_what_has_no_canonical_spelling_is_not_written(value: object, code: str) -> None:
    with pytest.raises(EvidenceError) as refused:
        strict_json.encode(value)
    assert refused.value.code == code


def test_a_value_that_holds_itself_is_not_written() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(EvidenceError) as refused:
        strict_json.encode(circle)
    assert refused.value.code == "PL-EVD-006"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_back_and_has_one_spelling(value: object) -> None:
    document = strict_json.encode(value)
    assert strict_json.decode_canonical(document) == value
    assert strict_json.encode(strict_json.decode(document)) == document
    assert json.loads(document) == value


@given(
    st.binary(max_size=80)
    | st.text(alphabet='{}[]",:\\u0019aE.-+ntrue\ud800', max_size=40).map(lambda t: t.encode("utf-8", "surrogatepass"))
)
def test_nothing_but_our_refusals_comes_out(document: bytes) -> None:
    try:
        strict_json.encode(strict_json.decode(document))
    except EvidenceError:
        pass


@given(st.binary(max_size=70))
def test_base64_has_one_spelling(value: bytes) -> None:
    text = base64_strict.encode(value)
    assert base64_strict.decode(text) == base64_strict.decode(text.encode()) == value


@given(st.text(alphabet="AQZz09+/=-_ \n", max_size=12))
def test_whatever_base64_is_accepted_is_that_spelling(text: str) -> None:
    value = base64_strict.decode(text)
    assert value is None or base64_strict.encode(value) == text


@pytest.mark.parametrize("text", ["QQ", "QR==", "QQ=", "QQ==\n", " QQ==", "Q-==", "QUJ=", "QQ==QQ==", "=", "é"])
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    assert base64_strict.decode(text) is None
