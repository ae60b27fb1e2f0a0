"""Web servers on a loopback port: an honest one over a folder, and others that are not."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from appliance.station import CarrierAddress

Handler = Callable[[socket.socket, str], None]
"""Speaks to one client: its connection, and the whole request as text."""


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, also from a byte on; what was asked for is noted."""

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))  # type: ignore[attr-defined]
        place = Path(self.translate_path(self.path))
        if asked is None or not place.is_file():
            super().do_GET()
            return
        content = place.read_bytes()
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def honest(folder: Path) -> Iterator[tuple[CarrierAddress, list[tuple[str, str | None]]]]:
    """A server over a folder, and what it was asked for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(folder)))
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield CarrierAddress("http", "127.0.0.1", server.server_port, ""), server.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def nasty(handler: Handler) -> Iterator[CarrierAddress]:
    """A server that speaks as `handler` does."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                if stopping.is_set():
                    return
                try:
                    handler(client, client.recv(65_536).decode("latin-1"))
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield CarrierAddress("http", "127.0.0.1", listener.getsockname()[1], "")
    finally:
        stopping.set()
        with socket.socket() as last:
            last.connect(listener.getsockname())
        listener.close()
        thread.join()


def says(*parts: bytes) -> Handler:
    """Sends these bytes and hangs up."""

    def handler(client: socket.socket, _: str) -> None:
        client.sendall(b"".join(parts))

    return handler


def endless(head: bytes, body: bytes) -> Handler:
    """Never stops."""

    def handler(client: socket.socket, _: str) -> None:
        client.sendall(head)
        while True:
            client.sendall(body)

    return handler


def drips(head: bytes) -> Handler:
    """A byte now and then: of the head, then of nothing in particular."""

    def handler(client: socket.socket, _: str) -> None:
        for byte in head + b"x" * 100_000:
            client.sendall(bytes([byte]))
            time.sleep(0.02)

    return handler
