"""One server, asked for files: bounded in bytes and in time, and never sent elsewhere.

- An address, not a name: there is no resolver. A redirect is refused.
- Each answer has a limit in bytes, and a time that follows from it (`SLOWEST` bytes a second, and a minute besides), so
  that a server which drips or never ends costs what an honest one might. Of what is longer than its limit, one byte
  more than that comes: whoever verifies it sees by this that it is another file, and says so by name.
- TLS hides what is asked for from whoever listens, and proves nothing: no authority for servers is in the image, and
  none is needed. What is believed is decided by the site's root alone.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Final

from appliance.errors import ProoflineError
from appliance.fetch.errors import (
    AnswerShort,
    FetchError,
    ServerNonsense,
    ServerRedirects,
    ServerRefused,
    ServerSilent,
    ServerSlow,
)
from appliance.station import CarrierAddress

SLOWEST: Final = 8_192
PATIENCE_S: Final = 60.0
_SILENCE_S = 20.0
_PIECE = 1 << 16


class Server:
    """The carrier's server. One connection for each file: nothing of an answer can spill into the next."""

    def __init__(
        self, address: CarrierAddress, *, patience_s: float = PATIENCE_S, silence_s: float = _SILENCE_S
    ) -> None:
        self._address = address
        self._patience_s = patience_s
        self._silence_s = silence_s

    def get(self, path: str, limit: int) -> bytes | None:
        """A small file, at most `limit` + 1 bytes of it; None where the server has none of that name."""
        found = self._pieces(path, limit, start=0, missing=True)
        return None if found is None else b"".join(piece for _, piece in found)

    def pieces(self, path: str, length: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """The bytes of a file of a known length from `start` on, each piece with where it belongs: a server that does
        not know of ranges begins again at 0. At least `length` bytes, or AnswerShort; at most one more."""
        found = self._pieces(path, length, start=start, missing=False)
        assert found is not None
        at = start
        for at, piece in found:
            yield at, piece
            at += len(piece)
        if at < length:
            raise AnswerShort(url=self._url(path), found=at, expected=length)

    def _pieces(self, path: str, limit: int, *, start: int, missing: bool) -> Iterator[tuple[int, bytes]] | None:
        connection = self._connection()
        headers = {"Accept-Encoding": "identity", "User-Agent": "proofline", "Connection": "close"}
        if start:
            headers["Range"] = f"bytes={start}-"
        url = self._url(path)
        clock = _Clock(url, connection, self._patience_s + limit / SLOWEST)
        try:
            connection.connect()
            clock.start()
            connection.request("GET", f"{self._address.path}/{path}", headers=headers)
            answer = connection.getresponse()
            at = self._checked(url, answer, start, missing=missing)
        except _NotFound:
            clock.stop()
            return None
        except (OSError, http.client.HTTPException, ValueError) as error:
            clock.stop()
            raise clock.failure(error) from None
        except ProoflineError:
            clock.stop()
            raise
        return _body(url, clock, answer, at, limit)

    def _checked(self, url: str, answer: http.client.HTTPResponse, start: int, *, missing: bool) -> int:
        """Where the answer's first byte belongs."""
        if 300 <= answer.status < 400:
            raise ServerRedirects(url=url, status=answer.status)
        if answer.status == 404 and missing:
            raise _NotFound
        if answer.getheader("Content-Encoding", "identity") != "identity":
            raise ServerNonsense(url=url, why="it packs what was asked for unpacked")
        if answer.status == 206 and start and answer.getheader("Content-Range", "").startswith(f"bytes {start}-"):
            return start
        if answer.status != 200:
            raise ServerRefused(url=url, status=answer.status)
        return 0

    def _connection(self) -> http.client.HTTPConnection:
        address = self._address
        if address.scheme == "http":
            return http.client.HTTPConnection(address.host, address.port, timeout=self._silence_s)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(address.host, address.port, timeout=self._silence_s, context=context)

    def _url(self, path: str) -> str:
        return f"{self._address}/{path}"


class _NotFound(Exception):
    """The server has no file of that name."""


class _Clock:
    """Ends a conversation when its time is over, also in the middle of a header that drips."""

    def __init__(self, url: str, connection: http.client.HTTPConnection, most_s: float) -> None:
        self._url, self._connection, self._most_s = url, connection, most_s
        self._over = threading.Event()
        self._timer = threading.Timer(most_s, self._end)
        self._timer.daemon = True

    def start(self) -> None:
        """Once connected: the socket is kept here, because an answer takes it away from the connection."""
        self._socket = self._connection.sock
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()
        self._connection.close()

    def failure(self, error: Exception | None) -> FetchError:
        """What a broken conversation is called."""
        if self._over.is_set():
            return ServerSlow(url=self._url, seconds=int(self._most_s))
        why = f"{type(error).__name__}: {error}"[:200]
        return (ServerSilent if isinstance(error, OSError) else ServerNonsense)(url=self._url, why=why)

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def _end(self) -> None:
        self._over.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster


def _body(
    url: str, clock: _Clock, answer: http.client.HTTPResponse, at: int, limit: int
) -> Iterator[tuple[int, bytes]]:
    try:
        while piece := answer.read1(min(_PIECE, limit + 1 - at)):
            yield at, piece
            at += len(piece)
        if clock.over:
            raise clock.failure(None)
        if answer.length and at <= limit:  # read1 says nothing of a connection that ended early
            raise AnswerShort(url=url, found=at, expected=at + answer.length)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise clock.failure(error) from None
    finally:
        answer.close()
        clock.stop()
