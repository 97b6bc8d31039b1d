"""Faults between a program and an agent, one function per fault.

Some faults replace the agent's response, so the agent never sees the request:

| fault | what the caller sees |
| --- | --- |
| `status(503)`, `gpu_unavailable()` | an error response of an agent |
| `reply(...)`, `body(...)` | any other response: JSON, or bytes such as a proxy's HTML |
| `disconnect()`, `reset()` | a connection that ends without a response |
| `no_answer()` | silence until the caller's read timeout |
| `cut_headers()`, `garbage()` | incomplete HTTP, or no HTTP at all |
| `raw(...)`, `drip(...)`, `then(...)` | raw bytes, one byte at a time, several faults in a row |

The others damage the agent's response, so the agent has processed the request:

| fault | what the caller sees |
| --- | --- |
| `slow(0.5)` | the response, delayed by that many seconds |
| `cut_body()` | the first half of the body |
| `lost_answer()` | a connection that ends after the agent has responded |
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
"""Forwards the request to the agent and returns the whole response."""

LOWEST_STATUS, HIGHEST_STATUS = 200, 599


def _no_agent() -> bytes:
    msg = "This fault damages an agent's response, but there is no agent behind this server"
    raise RuntimeError(msg)


@dataclass(frozen=True)
class Fault:
    """A fault that replaces or damages a response.

    Args:
        name: The repr of the fault.
        act: A function that takes the connection and a function that forwards the request to the agent, and returns
            whether to keep the connection open.

    Example:
        >>> Fault("hang up", lambda connection, forward: False)
        hang up
    """

    name: str
    act: Callable[[socket.socket, Forward], bool] = field(repr=False)

    def __call__(self, connection: socket.socket, forward: Forward = _no_agent) -> bool:
        """Inject the fault, and return whether to keep the connection open."""
        return self.act(connection, forward)

    def __repr__(self) -> str:
        return self.name


def head(status: int, headers: Mapping[str, str] | None = None) -> bytes:
    r"""The status line and headers of a response.

    Example:
        >>> head(404, {"Content-Length": "0"})
        b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'
    """
    lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def raw(data: bytes, *, keep: bool = False) -> Fault:
    """Send raw bytes.

    Args:
        data: The bytes, starting with the status line.
        keep: Whether to keep the connection open.

    Example:
        >>> raw(b"HTTP/1.1 200")
        raw(b'HTTP/1.1 200')
    """
    return Fault(f"raw({data[:40]!r})", lambda connection, _: _send(connection, data, keep=keep))


def body(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Fault:
    """Respond with a body, and keep the connection open.

    Args:
        content: The body.
        status: The status code.
        headers: Additional headers, which override `Content-Type: application/json` and `Content-Length`.

    Example:
        >>> body(b"<h1>Bad gateway</h1>", 502, {"Content-Type": "text/html"})
        body(b'<h1>Bad gateway</h1>', 502)
    """
    given = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    data = head(status, given) + (b"" if status == HTTPStatus.NO_CONTENT else content)
    return Fault(f"body({content[:40]!r}, {status})", lambda connection, _: _send(connection, data, keep=True))


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Fault:
    """Respond with JSON.

    Args:
        value: The value to send as JSON.
        status: The status code.
        headers: Additional headers.

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
    """Respond with an error as an agent does.

    Args:
        code: The status code, from 200 to 599.
        detail: The error detail. Default: the standard phrase of the status.
        error_type: The error type, such as `action_failed`.
        retry_after: Seconds or a date for the `Retry-After` header.
        headers: Additional headers.

    Raises:
        ValueError: If the status code is out of range.

    Example:
        >>> status(503), status(429, retry_after=1)
        (status(503), status(429, retry_after=1))
    """
    if not isinstance(code, int) or not LOWEST_STATUS <= code <= HIGHEST_STATUS:
        msg = f"status code must be from {LOWEST_STATUS} to {HIGHEST_STATUS}, not {code!r:.100}"
        raise ValueError(msg)
    content = {"detail": _phrase(code) if detail is None else detail}
    if error_type is not None:
        content["error_type"] = error_type
    retry_header = {} if retry_after is None else {"Retry-After": str(retry_after)}
    shown = {"detail": detail, "error_type": error_type, "retry_after": retry_after}
    further = "".join(f", {name}={value!r:.60}" for name, value in shown.items() if value is not None)
    return Fault(f"status({code}{further})", reply(content, code, {**retry_header, **(headers or {})}).act)


def gpu_unavailable() -> Fault:
    """Respond with the 503 for an action that needs a GPU when all are in use.

    Example:
        >>> gpu_unavailable()
        gpu_unavailable()
    """
    return Fault("gpu_unavailable()", status(503, "No GPU is free.", error_type="gpu_unavailable").act)


def disconnect() -> Fault:
    """Close the connection without a response.

    Example:
        >>> disconnect()
        disconnect()
    """
    return Fault("disconnect()", lambda connection, _: _disconnect(connection))


def reset() -> Fault:
    """Reset the connection without a response.

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
    """Send nothing until the caller disconnects, such as at its read timeout.

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
    """Close the connection in the middle of the response headers.

    Example:
        >>> cut_headers()
        cut_headers()
    """
    return Fault("cut_headers()", raw(head(200)[:-2] + b"Content-Le").act)


def garbage() -> Fault:
    """Respond with bytes that are not HTTP.

    Example:
        >>> garbage()
        garbage()
    """
    return Fault("garbage()", raw(b"\x00\xff\xfegarbage\r\n\r\n").act)


def drip(data: bytes, *, start: bytes = b"", seconds: float = 0.02) -> Fault:
    """Send `start`, then one byte of `data` at a time, repeatedly, until the caller disconnects.

    Args:
        data: The bytes to send one at a time.
        start: The bytes to send first, all at once.
        seconds: The delay after each byte.

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
    """Combine several responses to one request; stop when one closes the connection.

    Args:
        answers: The responses, in order.

    Example:
        >>> then(raw(b"HTTP/1.1 200 OK", keep=True), reset())
        then(raw(b'HTTP/1.1 200 OK'), reset())
    """
    name = f"then({', '.join(map(repr, answers))})"
    return Fault(name, lambda connection, _: all(each(connection) for each in answers))


def slow(seconds: float) -> Fault:
    """Delay the request before the agent sees it.

    Args:
        seconds: The delay.

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
    """Let the agent process the request, and close the connection in the middle of the response body.

    Example:
        >>> cut_body()
        cut_body()
    """

    def act(connection: socket.socket, forward: Forward) -> bool:
        start, end, content = forward().partition(b"\r\n\r\n")
        # If there is no body, cut the headers.
        return _send(connection, start + end + content[: len(content) // 2] if content else start, keep=False)

    return Fault("cut_body()", act)


def lost_answer() -> Fault:
    """Let the agent process the request, and close the connection before the response.

    Example:
        >>> lost_answer()
        lost_answer()
    """

    def act(connection: socket.socket, forward: Forward) -> bool:
        forward()
        return _disconnect(connection)

    return Fault("lost_answer()", act)


def _phrase(status: int) -> str:
    """The standard phrase of a status."""
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Status"


def _send(connection: socket.socket, data: bytes, *, keep: bool) -> bool:
    connection.sendall(data)
    return keep


def _disconnect(connection: socket.socket) -> bool:
    connection.shutdown(socket.SHUT_RDWR)
    return False


def _leaves_within(connection: socket.socket, seconds: float) -> bool:
    """Wait, and return whether the caller disconnected."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    finally:
        connection.settimeout(None)
