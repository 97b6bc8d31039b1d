"""A server on raw sockets that answers in every wrong way, and remembers what arrived.

It answers each request, in the order in which they arrive, with the next of its answers, and with the last one for
ever. An answer is a function that is given the connection and says whether it stays open.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Answer = Callable[[socket.socket], bool]

RELEASE = {"id": 7, "plugin": "ocr_plugin", "version": "2.0.0"}
REASONS = {200: "OK", 201: "Created", 204: "No Content"}


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    header_names: list[str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The path, percent-encoded as it arrived."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query, decoded."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def lookup(self) -> str:
        """The second segment of the path, decoded."""
        return unquote(self.path.split("/")[2])

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class FaultServer:
    """The server; a context manager that closes everything it opened."""

    answers: list[Answer]
    on_accept: list[Answer] = field(default_factory=list)
    """What is done to the first connections, before anything is read of them."""
    tls: ssl.SSLContext | None = None
    is_listening: bool = True
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lock = threading.Lock()
        self.open_connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._is_closing = False
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        with self._lock:
            for connection in self.open_connections:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # TLS would wait for the other side
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self.open_connections.add(connection)
            self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        raw = connection
        try:
            with self._lock:
                greeting = self.on_accept.pop(0) if self.on_accept else None
            if greeting is not None and not greeting(connection):
                return
            if self.tls is not None:
                wrapped = self.tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self.open_connections.add(wrapped)
                connection = wrapped
            with connection.makefile("rb") as stream:
                while (request := _read(stream, number)) is not None:
                    with self._lock:
                        self.requests.append(request)
                        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
                    if not answer(connection):
                        return
        except OSError:
            pass  # the client went away, which is its right
        finally:
            with self._lock:
                self.open_connections -= {raw, connection}
            connection.close()
            raw.close()


def _read(stream: Any, number: int) -> Received | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers: dict[str, str] = {}
    names = []
    while (header := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        names.append(name)
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Received(line[0], line[1], headers, names, body, number)


def raw(data: bytes, *, keep: bool = False) -> Answer:
    """Send bytes as they are, and close unless told to keep the connection."""

    def answer(connection: socket.socket) -> bool:
        connection.sendall(data)
        return keep

    return answer


def head(status: int, headers: dict[str, str] | None = None) -> bytes:
    """The first line and the headers of an answer."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def body(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """A whole answer with a body, after which the connection stays open."""
    given = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    return raw(head(status, given) + (b"" if status == 204 else content), keep=True)


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """A whole answer with JSON."""
    return body(json.dumps(value).encode(), status, headers)


def page(results: list[Any], count: int, following: str | None = None, previous: str | None = None) -> dict[str, Any]:
    """A page of releases."""
    return {"count": count, "next": following, "previous": previous, "results": results}


def hang_up(connection: socket.socket) -> bool:
    """Close without an answer."""
    connection.shutdown(socket.SHUT_RDWR)
    return False


def reset(connection: socket.socket) -> bool:
    """End the connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return False


def silence(connection: socket.socket) -> bool:
    """Say nothing until the client goes away."""
    while connection.recv(65536):
        pass
    return False


def then(*answers: Answer) -> Answer:
    """Several answers to one request, one after the other, until one closes the connection."""

    def answer(connection: socket.socket) -> bool:
        return all(each(connection) for each in answers)

    return answer


def drip(data: bytes, *, start: bytes = b"", seconds: float = 0.02) -> Answer:
    """Send `start`, and then a byte at a time, over and over, until the client goes away."""

    def answer(connection: socket.socket) -> bool:
        connection.sendall(start)
        while True:
            for byte in data:
                connection.sendall(bytes([byte]))
                time.sleep(seconds)

    return answer


BROKEN: dict[str, Answer] = {
    "closed": hang_up,
    "reset": reset,
    "reset in the headers": lambda connection: (
        raw(b"HTTP/1.1 200 OK\r\nContent-Le", keep=True)(connection) and reset(connection)
    ),
    "cut in the headers": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut in the body": raw(head(200, {"Content-Length": "100"}) + b'{"id"'),
    "broken chunk": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\n"),
    "cut chunk": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"10\r\n{"),
    "garbage": raw(b"\x00\xff\xfegarbage\r\n\r\n"),
}
BUSY = {str(status): reply({"detail": "busy"}, status) for status in (502, 503, 504)}
