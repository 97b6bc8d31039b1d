"""The network below httpx: a deadline on every read, write and handshake, and whether a byte of a request has left.

httpx's own timeouts bound each read by itself, so a server that sends a byte at a time never exceeds them. Here every
wait is cut to what is left of the call's total time, in headers and bodies alike. Not covered: resolving names.
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
"""How much is sent under one look at the clock."""
WHOLE_BYTES = 16 * 2**10
"""How much the kernel takes whole or not at all, when a connection has nothing else to send."""


def _keep_alive() -> list[tuple[int, int, int]]:
    """Options that notice a peer that vanished within two minutes: 45 s of silence, then 4 probes, 15 s apart."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # The names differ between systems: macOS calls TCP_KEEPIDLE TCP_KEEPALIVE, and lacks TCP_USER_TIMEOUT, which
    # bounds the wait for data that was sent and never acknowledged.
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
    """A connection, and the attempt that it carries at the moment."""

    __slots__ = ("attempt", "idle_since", "inner", "owner")

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.inner: Any = None
        """The connection of httpcore."""
        self.idle_since = 0.0
        self.owner: Any = None
        """The event loop that it belongs to."""


def clamp(attempt: Attempt, timeout: float | None, error: type[Exception], *, is_read: bool = False) -> float | None:
    """`timeout`, or what is left of an attempt's total time if that is less.

    Args:
        attempt: The attempt.
        timeout: Seconds.
        error: What to raise if nothing is left.
        is_read: Whether a response is waited for. Before the request was sent it is a proxy's, as if connecting.
    """
    if is_read and not attempt.sent and attempt.connect is not None:
        timeout = attempt.connect if timeout is None else min(timeout, attempt.connect)
    if attempt.deadline is None:
        return timeout
    left = attempt.deadline - time.monotonic()
    if left <= 0:
        msg = "the call's total time is up"
        raise error(msg)
    return left if timeout is None or left < timeout else timeout


def _parts(data: bytes, attempt: Attempt) -> Iterator[bytes]:
    """What to write one after the other; it goes on where a write succeeded, and so knows what may have left."""
    for start in range(0, len(data), SLICE_BYTES):
        part = data[start : start + SLICE_BYTES]
        # Where a small first part fails, none of it left, and no agent has a request to carry out.
        attempt.sent = attempt.sent or len(part) > WHOLE_BYTES
        yield part
        attempt.sent = attempt.sent or not data.startswith(TUNNEL)


class Stream(httpcore.NetworkStream):
    """A stream of a connection; its waits are cut to the connection's attempt.

    httpcore writes the headers of a request, then its body, and then nothing. All of it leaves as one, so that a server
    which reads once has seen it whole.
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
    """Connects one connection."""

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
        # All addresses of a name share the time: the standard library would give it to each of them.
        until = Attempt(None if timeout is None else time.monotonic() + timeout)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
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
    """The addresses of a name, in the order in which to try them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return [str(address[0]) for *_, address in found]


class AsyncStream(httpcore.AsyncNetworkStream):
    """A stream of a connection; its waits are cut to the connection's attempt.

    httpcore writes the headers of a request, then its body, and then nothing. All of it leaves as one, so that a server
    which reads once has seen it whole.
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
    """Connects one connection."""

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
