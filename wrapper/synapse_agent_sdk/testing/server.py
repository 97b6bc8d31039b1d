"""A server on raw sockets that injects faults and records requests."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote

import h11

if TYPE_CHECKING:
    import ssl

Answer = Callable[[socket.socket], bool]
"""Responds to a request on its connection, and returns whether to keep the connection open."""

CHUNK = 65536
JOIN_SECONDS = 0.05
MAX_HEAD_BYTES = 2**20
SHOWN_CHARACTERS = 200
SHOWN_HEADERS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
}
SHOWN_HEADERS |= {"expect", "idempotency-key", "traceparent", "transfer-encoding", "user-agent", "x-request-id"}
"""Headers without secrets; the values of all others are hidden, since any header may hold a token."""


class Headers(Mapping[str, str]):
    """The headers of a request, case-insensitive; the repr hides values that may be secret.

    Example:
        >>> headers = Headers([("Host", "127.0.0.1"), ("X-Api-Key", "secret")])
        >>> headers["HOST"], headers
        ('127.0.0.1', Headers({'host': '127.0.0.1', 'x-api-key': '***'}))
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._values = {name.lower(): value for name, value in pairs}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {name: value if name in SHOWN_HEADERS else "***" for name, value in self._values.items()}
        return f"Headers({shown})"


@dataclass(frozen=True, repr=False)
class Received:
    """A recorded request.

    Attributes:
        method: The HTTP method, such as `POST`.
        target: The path and query, as percent-encoded by the caller.
        headers: The headers, case-insensitive; `headers.pairs` keeps the original spelling.
        body: The body.
        connection: The number of the connection, counted from 1.
        operation: The operation in the contract, such as `run_plugin_release`; None if unknown.
    """

    method: str
    target: str
    headers: Headers
    body: bytes
    connection: int
    operation: str | None = None

    @property
    def path(self) -> str:
        """The path, as percent-encoded by the caller."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query, decoded."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def lookup(self) -> str:
        """The second segment of the path, decoded: the id or `code@version` in operations on a release."""
        return unquote(self.path.split("/")[2])

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        query = "?..." if "?" in self.target else ""  # may hold secrets
        body = f" {self.body[:SHOWN_CHARACTERS]!r}" if self.body else ""
        return f"<{self.operation or 'unknown'}: {self.method} {self.path}{query} {self.headers}{body}>"


@dataclass
class FaultServer:
    """A fault server: a context manager that closes everything it opened.

    It gives each request the next answer, and repeats the last one. An answer is a fault from
    `synapse_agent_sdk.testing.faults`, or a function that takes the connection and returns whether to keep it open.

    Args:
        answers: The answers, in order.
        on_accept: Answers for the first connections, applied before reading from them.
        tls: The TLS settings. Default: plain HTTP.
        operation_of: Returns the contract's operation for a method and a target, or None.

    Attributes:
        url: The URL of the server.
        requests: The requests so far, recorded before they are answered.
        connections: The number of accepted connections.

    Example:
        >>> from synapse_agent_sdk.testing.faults import reply, status
        >>> with FaultServer([status(503), reply({"status": "ok"})]) as server:
        ...     with AgentClient(server.url) as client:
        ...         print(client.health_check(), len(server.requests))
        {'status': 'ok'} 2
    """

    answers: list[Answer]
    on_accept: list[Answer] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    operation_of: Callable[[str, str], str | None] = lambda method, target: None  # noqa: ARG005 - this default ignores both
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lock = threading.Lock()
        self.open_connections: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept, self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()

    def respond(self, connection: socket.socket, request: Received) -> bool:
        """Record and answer a request, and return whether to keep the connection open."""
        with self._lock:
            self.requests.append(request)
            answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return answer(connection)

    def _hang_up(self) -> None:
        """Stop listening and close all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        while self._threads:
            with self._lock:  # no thread is being started, which could not be joined yet
                threads = list(self._threads)
                for connection in self.open_connections:
                    with contextlib.suppress(OSError):
                        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # TLS would wait for the peer
            for thread in threads:
                thread.join(JOIN_SECONDS)  # new connections are closed in the next iteration

    def _start(self, target: Callable[..., None], *args: object) -> None:
        def run() -> None:
            try:
                target(*args)
            finally:
                self._threads.discard(thread)

        thread = threading.Thread(target=run, name="fault-server", daemon=True)
        with self._lock:
            self._threads.add(thread)
            thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the listener was closed
            self.connections += 1
            with self._lock:
                self.open_connections.add(connection)
            self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        plain = connection
        try:
            # Otherwise the second part of a response waits 40 ms for the first ACK.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                greeting = self.on_accept.pop(0) if self.on_accept else None
            if greeting is not None and not greeting(connection):
                return
            if self.tls is not None:
                wrapped = self.tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self.open_connections.add(wrapped)
                connection = wrapped
            self._converse(connection, number)
        except (OSError, h11.RemoteProtocolError):
            pass  # the client disconnected, or does not speak HTTP
        finally:
            with self._lock:
                self.open_connections -= {plain, connection}
            connection.close()
            plain.close()

    def _converse(self, connection: socket.socket, number: int) -> None:
        surplus = b""
        while (read := _read(connection, surplus)) is not None:
            head, body, surplus = read
            method, target = head.method.decode(), head.target.decode("latin-1")
            pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers.raw_items()]
            request = Received(method, target, Headers(pairs), body, number, self.operation_of(method, target))
            if not self.respond(connection, request):
                return


def _read(connection: socket.socket, surplus: bytes) -> tuple[h11.Request, bytes, bytes] | None:
    """Read the next request: head, body and surplus bytes; None if the client closed the connection.

    Raises:
        RemoteProtocolError: If the request is invalid or incomplete.
    """
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    if surplus:
        parser.receive_data(surplus)
    head, body = None, []
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(connection.recv(CHUNK))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return head, b"".join(body), parser.trailing_data[0]
        else:
            return None
