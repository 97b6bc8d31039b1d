"""What can go wrong between a program and an agent, one function a fault.

Some faults answer in the agent's place, which then never sees the request:

| fault | what the caller meets |
| --- | --- |
| `status(503)`, `gpu_unavailable()` | an error as agents answer it |
| `reply(...)`, `body(...)` | any other answer: JSON, or bytes such as a proxy's HTML |
| `disconnect()`, `reset()` | a connection that ends without an answer |
| `no_answer()` | silence until the caller's read timeout |
| `cut_headers()`, `garbage()` | what is no HTTP, or not whole |
| `raw(...)`, `drip(...)`, `then(...)` | whatever else: bytes as they are, bytes one at a time, faults in a row |

The others damage the agent's own answer, so that what was asked for has been done:

| fault | what the caller meets |
| --- | --- |
| `slow(0.5)` | the answer, that many seconds later |
| `cut_body()` | the first half of the answer's body |
| `lost_answer()` | a connection that ends once the agent has answered |
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_agent_sdk.testing.server import Answer

Forward = Callable[[], bytes]
"""Has the agent carry out a request, and gives its whole answer."""

LOWEST_STATUS, HIGHEST_STATUS = 200, 599


def _no_agent() -> bytes:
    msg = "This fault damages an agent's answer, and there is no agent behind this server"
    raise RuntimeError(msg)


@dataclass(frozen=True)
class Fault:
    """A fault: what is done on a connection in place of an answer, or with it.

    Args:
        name: What its repr shows.
        act: Does it, given the connection and what has the agent carry out the request; says whether the connection
            stays open.

    Example:
        >>> Fault("hang up", lambda connection, forward: False)
        hang up
    """

    name: str
    act: Callable[[socket.socket, Forward], bool] = field(repr=False)

    def __call__(self, connection: socket.socket, forward: Forward = _no_agent) -> bool:
        """Do it, and say whether the connection stays open."""
        return self.act(connection, forward)

    def __repr__(self) -> str:
        return self.name


def head(status: int, headers: Mapping[str, str] | None = None) -> bytes:
    r"""The first line and the headers of an answer.

    Example:
        >>> head(404, {"Content-Length": "0"})
        b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'
    """
    lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def raw(data: bytes, *, keep: bool = False) -> Fault:
    """Send bytes as they are.

    Args:
        data: The bytes, from the answer's first line on.
        keep: Whether the connection stays open after them.

    Example:
        >>> raw(b"HTTP/1.1 200")
        raw(b'HTTP/1.1 200')
    """
    return Fault(f"raw({data[:40]!r})", lambda connection, _: _send(connection, data, keep=keep))


def body(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Fault:
    """A whole answer with a body, after which the connection stays open.

    Args:
        content: The body.
        status: The answer's status.
        headers: Further headers, which win over `Content-Type: application/json` and the length.

    Example:
        >>> body(b"<h1>Bad gateway</h1>", 502, {"Content-Type": "text/html"})
        body(b'<h1>Bad gateway</h1>', 502)
    """
    given = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    data = head(status, given) + (b"" if status == HTTPStatus.NO_CONTENT else content)
    return Fault(f"body({content[:40]!r}, {status})", lambda connection, _: _send(connection, data, keep=True))


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Fault:
    """A whole answer with JSON.

    Args:
        value: What becomes JSON.
        status: The answer's status.
        headers: Further headers.

    Example:
        >>> reply({"status": "tired"})
        reply({'status': 'tired'}, 200)
    """
    return Fault(f"reply({value!r:.40}, {status})", body(json.dumps(value).encode(), status, headers).act)


def status(
    code: int,
    detail: Any = None,
    *,
    error_type: str | None = None,
    retry_after: int | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """An error as agents answer it.

    Args:
        code: The status, from 200 to 599.
        detail: What is wrong; the status's usual phrase where left out.
        error_type: The kind of the error, such as `action_failed`.
        retry_after: Seconds, or a date, for the `Retry-After` header.
        headers: Further headers.

    Raises:
        ValueError: If it is no status that ends a request.

    Example:
        >>> status(503), status(429, retry_after=1)
        (status(503), status(429, retry_after=1))
    """
    if not isinstance(code, int) or not LOWEST_STATUS <= code <= HIGHEST_STATUS:
        msg = f"status() takes a status from {LOWEST_STATUS} to {HIGHEST_STATUS}, not {code!r:.100}"
        raise ValueError(msg)
    answer = {"detail": _phrase(code) if detail is None else detail}
    if error_type is not None:
        answer["error_type"] = error_type
    waits = {} if retry_after is None else {"Retry-After": str(retry_after)}
    shown = {"detail": detail, "error_type": error_type, "retry_after": retry_after}
    further = "".join(f", {name}={value!r:.60}" for name, value in shown.items() if value is not None)
    return Fault(f"status({code}{further})", reply(answer, code, {**waits, **(headers or {})}).act)


def gpu_unavailable() -> Fault:
    """The 503 of an action that asks for a GPU where none is free.

    Example:
        >>> gpu_unavailable()
        gpu_unavailable()
    """
    return Fault("gpu_unavailable()", status(503, "No GPU is free.", error_type="gpu_unavailable").act)


def disconnect() -> Fault:
    """Close the connection without an answer.

    Example:
        >>> disconnect()
        disconnect()
    """
    return Fault("disconnect()", lambda connection, _: _disconnect(connection))


def reset() -> Fault:
    """End the connection with a reset, without an answer.

    Example:
        >>> reset()
        reset()
    """

    def act(connection: socket.socket, _: Forward) -> bool:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        return False

    return Fault("reset()", act)


def no_answer() -> Fault:
    """Say nothing until the caller goes away: its read timeout.

    Example:
        >>> no_answer()
        no_answer()
    """

    def act(connection: socket.socket, _: Forward) -> bool:
        while connection.recv(65536):
            pass
        return False

    return Fault("no_answer()", act)


def cut_headers() -> Fault:
    """Close the connection in the middle of the answer's headers.

    Example:
        >>> cut_headers()
        cut_headers()
    """
    return Fault("cut_headers()", raw(head(200)[:-2] + b"Content-Le").act)


def garbage() -> Fault:
    """Answer with bytes that are no HTTP.

    Example:
        >>> garbage()
        garbage()
    """
    return Fault("garbage()", raw(b"\x00\xff\xfegarbage\r\n\r\n").act)


def drip(data: bytes, *, start: bytes = b"", seconds: float = 0.02) -> Fault:
    """Send `start`, and then a byte at a time, over and over, until the caller goes away.

    Args:
        data: The bytes that are sent one at a time.
        start: The bytes that are sent at once.
        seconds: How long to wait after each byte.

    Example:
        >>> drip(b" ", start=head(200))
        drip(b' ')
    """

    def act(connection: socket.socket, _: Forward) -> bool:
        connection.sendall(start)
        while True:
            for byte in data:
                connection.sendall(bytes([byte]))
                time.sleep(seconds)

    return Fault(f"drip({data[:40]!r})", act)


def then(*answers: Answer) -> Fault:
    """Several answers to one request, one after the other, until one closes the connection.

    Args:
        answers: The answers.

    Example:
        >>> then(raw(b"HTTP/1.1 200 OK", keep=True), reset())
        then(raw(b'HTTP/1.1 200 OK'), reset())
    """
    name = f"then({', '.join(map(repr, answers))})"
    return Fault(name, lambda connection, _: all(each(connection) for each in answers))


def slow(seconds: float) -> Fault:
    """The agent's answer, later: the request waits before the agent sees it.

    Args:
        seconds: How long it waits.

    Example:
        >>> slow(0.5)
        slow(0.5)
    """

    def act(connection: socket.socket, forward: Forward) -> bool:
        if _leaves_within(connection, seconds):
            return False
        return _send(connection, forward(), keep=True)

    return Fault(f"slow({seconds})", act)


def cut_body() -> Fault:
    """The agent carries out the request, and the connection ends in the middle of its answer's body.

    Example:
        >>> cut_body()
        cut_body()
    """

    def act(connection: socket.socket, forward: Forward) -> bool:
        start, end, content = forward().partition(b"\r\n\r\n")
        # Of an answer without a body, the headers are cut.
        return _send(connection, start + end + content[: len(content) // 2] if content else start, keep=False)

    return Fault("cut_body()", act)


def lost_answer() -> Fault:
    """The agent carries out the request, and the connection ends before its answer.

    Example:
        >>> lost_answer()
        lost_answer()
    """

    def act(connection: socket.socket, forward: Forward) -> bool:
        forward()
        return _disconnect(connection)

    return Fault("lost_answer()", act)


def _phrase(status: int) -> str:
    """The usual phrase of a status."""
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Status"


def _send(connection: socket.socket, data: bytes, *, keep: bool) -> bool:
    connection.sendall(data)
    return keep


def _disconnect(connection: socket.socket) -> bool:
    connection.shutdown(socket.SHUT_RDWR)
    return False


def _leaves_within(connection: socket.socket, seconds: float) -> bool:
    """Wait, and say whether the caller went away meanwhile."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    finally:
        connection.settimeout(None)
