"""A server may be silent, slow, endless, short, or send elsewhere: each has its name, and each ends."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from appliance.errors import ProoflineError
from appliance.fetch import errors
from appliance.fetch.http import Server
from appliance.station import CarrierAddress, SiteUnreadable, parse_carrier
from tests.fetch.server import Handler, drips, endless, honest, nasty, says

OK = b"HTTP/1.1 200 OK\r\n"

NASTY: list[tuple[str, Handler, type[ProoflineError]]] = [
    ("hangs up", says(b""), errors.ServerSilent),
    ("speaks something else", says(b"SSH-2.0-OpenSSH_9.9\r\n"), errors.ServerNonsense),
    ("redirects", says(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2/\r\n\r\n"), errors.ServerRedirects),
    ("is broken", says(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), errors.ServerRefused),
    ("forbids", says(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), errors.ServerRefused),
    ("packs", says(OK, b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"), errors.ServerNonsense),
    ("announces too much", says(OK, b"Content-Length: 1001\r\n\r\n"), errors.AnswerShort),
    ("announces 2^63", says(OK, b"Content-Length: 9223372036854775808\r\n\r\n"), errors.AnswerShort),
    ("announces and hangs up", says(OK, b"Content-Length: 900\r\n\r\nx"), errors.AnswerShort),
    ("chunks of no size", says(OK, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), errors.ServerNonsense),
    ("a head without end", endless(OK, b"X: y\r\n"), errors.ServerNonsense),
    ("a line without end", endless(OK + b"X: ", b"y" * 1_000), errors.ServerNonsense),
    ("answers 100 for ever", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), errors.ServerSlow),
    ("drips its head", drips(OK + b"Content-Length: 900\r\n\r\n"), errors.ServerSlow),
    ("drips its body", drips(b"HTTP/1.1 200 OK\r\n\r\n"), errors.ServerSlow),
]


@pytest.mark.parametrize(("_case", "handler", "expected"), NASTY, ids=[case for case, *_ in NASTY])
def test_a_nasty_server_has_a_name_and_an_end(_case: str, handler: Handler, expected: type[ProoflineError]) -> None:
    with nasty(handler) as address:
        server = Server(address, patience_s=0.5 if expected is errors.ServerSlow else 20, silence_s=20)
        with pytest.raises(ProoflineError) as refusal:
            server.get("metadata/timestamp.json", 1_000)
    assert type(refusal.value) is expected, refusal.value


@pytest.mark.parametrize(
    "handler",
    [
        endless(OK + b"\r\n", b"x" * 1_000),
        endless(OK + b"Content-Length: 9223372036854775808\r\n\r\n", b"x" * 1_000),
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nxxxxx\r\n"),
    ],
    ids=["until it hangs up", "as long as announced", "in chunks"],
)
def test_of_what_never_ends_one_byte_comes_that_shows_it(handler: Handler) -> None:
    with nasty(handler) as address:
        server = Server(address, patience_s=5, silence_s=5)
        assert server.get("metadata/timestamp.json", 1_000) == b"x" * 1_001
        assert b"".join(piece for _, piece in server.pieces("targets/a", 1_000)) == b"x" * 1_001


def test_a_server_that_says_nothing_is_left() -> None:
    def listens(client: socket.socket, _: str) -> None:
        client.recv(1)

    with nasty(listens) as address, pytest.raises(errors.ServerSilent):
        Server(address, patience_s=60, silence_s=0.2).get("x", 10)


def test_nobody_there_is_named() -> None:
    with nasty(says(b"")) as address:
        pass
    with pytest.raises(errors.ServerSilent):
        Server(address).get("x", 10)


def test_what_is_not_there_is_none_and_what_is_comes_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    with honest(tmp_path) as (address, _):
        server = Server(address)
        assert server.get("a", 5) == b"hello"
        assert server.get("b", 5) is None
        assert server.get("a", 3) == b"hell"
        assert list(server.pieces("a", 3)) == [(0, b"hell")]
        assert list(server.pieces("a", 5, 2)) == [(2, b"llo")]
        with pytest.raises(errors.AnswerShort):
            list(server.pieces("a", 6))
        with pytest.raises(errors.ServerRefused):
            list(server.pieces("b", 6))


def test_a_server_that_knows_no_ranges_begins_again() -> None:
    with nasty(says(OK, b"Content-Length: 5\r\n\r\nhello")) as address:
        assert list(Server(address).pieces("a", 5, 2)) == [(0, b"hello")]


def test_an_answer_from_another_byte_than_asked_is_refused() -> None:
    head = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo"
    with nasty(says(head)) as address, pytest.raises(errors.ServerRefused):
        list(Server(address).pieces("a", 5, 2))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://192.0.2.1", CarrierAddress("http", "192.0.2.1", 80, "")),
        ("https://192.0.2.1/a/b/", CarrierAddress("https", "192.0.2.1", 443, "/a/b")),
        ("http://192.0.2.1:443/x", CarrierAddress("http", "192.0.2.1", 443, "/x")),
    ],
)
def test_an_address_is_read(text: str, expected: CarrierAddress) -> None:
    assert parse_carrier(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "",
        "ftp://192.0.2.1",
        "http://example",
        "http://192.0.2.256",
        "http://192.0.2.01",
        "http://1.2.3",
        "http://192.0.2.1:8080/",
        "http://192.0.2.1/a?b",
        "http://192.0.2.1/a/../b",
        "http://192.0.2.1/a b",
        "http://192.0.2.1\r\n/",
        "http://user@192.0.2.1/",
        "http://192.0.2.1//a",
    ],
)
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(SiteUnreadable):
        parse_carrier(text)
