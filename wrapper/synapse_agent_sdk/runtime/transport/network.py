"""Network layer: applies a deadline to every read, write and handshake, and tracks whether a request was sent.

httpx's timeouts apply to each read, so a server that sends one byte at a time never exceeds them. Here every wait is
limited to the time until the call's deadline, for headers and bodies alike. DNS lookup is not covered.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import httpcore

from synapse_agent_sdk.runtime.transport.attempt import Attempt

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator


TUNNEL = b"CONNECT "
SLICE_BYTES = 128 * 2**10
"""Bytes to send per deadline check."""
WHOLE_BYTES = 16 * 2**10
"""Bytes that the kernel accepts entirely or not at all when its send buffer is empty."""


def _keep_alive() -> list[tuple[int, int, int]]:
    """Socket options to detect a dead peer within two minutes: 45 s of silence, then 4 probes, 15 s apart."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # macOS calls TCP_KEEPIDLE TCP_KEEPALIVE, and lacks TCP_USER_TIMEOUT, which limits the wait for acknowledgements.
    wanted = {
        "TCP_KEEPIDLE": 45,
        "TCP_KEEPALIVE": 45,
        "TCP_KEEPINTVL": 15,
        "TCP_KEEPCNT": 4,
        "TCP_USER_TIMEOUT": 105_000,
    }
    options += [(socket.IPPROTO_TCP, getattr(socket, name), v) for name, v in wanted.items() if hasattr(socket, name)]
    return options


KEEP_ALIVE = _keep_alive()


class Connection:
    """A connection and its current attempt."""

    __slots__ = ("attempt", "idle_since", "inner", "owner")

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.inner: Any = None
        """The httpcore connection."""
        self.idle_since = 0.0
        self.owner: Any = None
        """The event loop it belongs to."""


def clamp(attempt: Attempt, timeout: float | None, error: type[Exception], *, is_read: bool = False) -> float | None:
    """`timeout`, or the time until the attempt's deadline if that is shorter.

    Args:
        attempt: The attempt.
        timeout: Seconds.
        error: The exception to raise after the deadline.
        is_read: Whether this waits for a response. Before the request is sent that is a proxy's, and uses the connect
            timeout.
    """
    if is_read and not attempt.sent and attempt.connect is not None:
        timeout = attempt.connect if timeout is None else min(timeout, attempt.connect)
    if attempt.deadline is None:
        return timeout
    left = attempt.deadline - time.monotonic()
    if left <= 0:
        msg = "the call exceeded its total timeout"
        raise error(msg)
    return left if timeout is None or left < timeout else timeout


def _parts(data: bytes, attempt: Attempt) -> Iterator[bytes]:
    """Slices of `data` to write in order; resumes after each successful write, to track what may have been sent."""
    for start in range(0, len(data), SLICE_BYTES):
        part = data[start : start + SLICE_BYTES]
        # If a small first part fails, none of it was sent, and the agent has no request to process.
        attempt.sent = attempt.sent or len(part) > WHOLE_BYTES
        yield part
        attempt.sent = attempt.sent or not data.startswith(TUNNEL)


class Stream(httpcore.NetworkStream):
    """A network stream whose waits are limited by the connection's attempt.

    httpcore writes a request's headers, then its body, then an empty buffer. They are sent together, so that a server
    that reads once sees the whole request.
    """

    def __init__(self, stream: httpcore.NetworkStream, connection: Connection) -> None:
        self._stream = stream
        self._connection = connection
        self._held = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._held:
            self._flush(timeout)
        return self._stream.read(
            max_bytes, clamp(self._connection.attempt, timeout, httpcore.ReadTimeout, is_read=True)
        )

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not self._held and buffer:
            self._held = buffer
        else:
            self._held += buffer
            self._flush(timeout)

    def _flush(self, timeout: float | None) -> None:
        held, self._held = self._held, b""
        attempt = self._connection.attempt
        for part in _parts(held, attempt):
            self._stream.write(part, clamp(attempt, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = clamp(self._connection.attempt, timeout, httpcore.ConnectTimeout)
        return Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._connection)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class Backend(httpcore.NetworkBackend):
    """Network backend of one connection."""

    def __init__(self, backend: httpcore.NetworkBackend, connection: Connection) -> None:
        self._backend = backend
        self._connection = connection

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        options = [*KEEP_ALIVE, *(socket_options or ())]
        # All addresses of a host share the timeout; the standard library would apply it to each.
        until = Attempt(None if timeout is None else time.monotonic() + timeout)
        failure: Exception = httpcore.ConnectError(f"no address found for {host}")
        for address in _addresses(host, port):
            try:
                left = clamp(
                    self._connection.attempt, clamp(until, None, httpcore.ConnectTimeout), httpcore.ConnectTimeout
                )
                stream = self._backend.connect_tcp(address, port, left, local_address, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return Stream(stream, self._connection)
        raise failure


def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order to try them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return [str(address[0]) for *_, address in found]


class AsyncStream(httpcore.AsyncNetworkStream):
    """A network stream whose waits are limited by the connection's attempt.

    httpcore writes a request's headers, then its body, then an empty buffer. They are sent together, so that a server
    that reads once sees the whole request.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, connection: Connection) -> None:
        self._stream = stream
        self._connection = connection
        self._held = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._held:
            await self._flush(timeout)
        return await self._stream.read(
            max_bytes, clamp(self._connection.attempt, timeout, httpcore.ReadTimeout, is_read=True)
        )

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not self._held and buffer:
            self._held = buffer
        else:
            self._held += buffer
            await self._flush(timeout)

    async def _flush(self, timeout: float | None) -> None:
        held, self._held = self._held, b""
        attempt = self._connection.attempt
        for part in _parts(held, attempt):
            await self._stream.write(part, clamp(attempt, timeout, httpcore.WriteTimeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        timeout = clamp(self._connection.attempt, timeout, httpcore.ConnectTimeout)
        return AsyncStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._connection)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """Network backend of one connection."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend, connection: Connection) -> None:
        self._backend = backend
        self._connection = connection

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        timeout = clamp(self._connection.attempt, timeout, httpcore.ConnectTimeout)
        options = [*KEEP_ALIVE, *(socket_options or ())]
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, options)
        return AsyncStream(stream, self._connection)
