"""The network of the async client on asyncio: httpcore's interface on asyncio's own transports.

httpcore goes through anyio, which begins and ends a cancel scope, takes further turns of the event loop and changes
what the selector watches with every read and write: a quarter of what a call costs. anyio still connects, and on trio
it stays.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import httpcore

from synapse_agent_sdk.runtime.transport._private import asyncio_transport_of, is_readable

if TYPE_CHECKING:
    import ssl

AHEAD_BYTES = 256 * 2**10
"""How much is taken from the kernel before somebody reads it."""


class Protocol(asyncio.Protocol):
    """What arrived on a connection, and what became of it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.chunks: deque[bytes] = deque()
        self.ahead = 0
        """How many bytes the chunks have."""
        self.is_secure = False
        self.has_ended = False
        """Whether nothing more will arrive."""
        self.failure: Exception | None = None
        self.reader: asyncio.Future[bool] | None = None
        self.writer: asyncio.Future[bool] | None = None
        self.is_full = False
        """Whether what was written has not left yet."""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Keep the transport. What was written counts as such once the kernel has it."""
        transport.set_write_buffer_limits(0)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what arrived, up to a limit beyond which the other side has to wait."""
        self.chunks.append(data)
        self.ahead += len(data)
        if self.ahead > AHEAD_BYTES:
            self.transport.pause_reading()
        _wake(self.reader)

    def take(self, most: int) -> bytes:
        """The first of what arrived."""
        chunk = self.chunks.popleft()
        if len(chunk) > most:
            self.chunks.appendleft(chunk[most:])
            chunk = chunk[:most]
        if self.ahead > AHEAD_BYTES >= self.ahead - len(chunk) and not self.has_ended:
            self.transport.resume_reading()
        self.ahead -= len(chunk)
        return chunk

    def eof_received(self) -> bool:
        """Go on writing: some servers say that they are done before they have read all. TLS has no such state."""
        self.has_ended = True
        _wake(self.reader)
        return not self.is_secure

    def pause_writing(self) -> None:
        """Have writers wait."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Wake whoever writes."""
        self.is_full = False
        _wake(self.writer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        self.has_ended = True
        self.failure = exc
        for waiting in (self.reader, self.writer, self.lost):
            _wake(waiting)


class AsyncioStream(httpcore.AsyncNetworkStream):
    """A connection, which one task at a time uses."""

    def __init__(self, transport: Any, upper: Any, protocol: Protocol) -> None:
        self._transport = transport
        """That of the socket."""
        self._upper = upper
        """That of TLS, where there is TLS, and else the same."""
        self._protocol = protocol

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What arrived next, or nothing where the other side is done."""
        protocol = self._protocol
        if not protocol.chunks and not protocol.has_ended:
            protocol.reader = asyncio.get_running_loop().create_future()
            await _within(protocol.reader, timeout, httpcore.ReadTimeout)
        if protocol.chunks:
            return protocol.take(max_bytes)
        if protocol.failure is not None or self._upper.is_closing():
            raise httpcore.ReadError(_reason(protocol.failure)) from protocol.failure
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Give all of it to the kernel."""
        protocol = self._protocol
        if buffer and not self._upper.is_closing():
            self._upper.write(buffer)
        if protocol.is_full and not self._upper.is_closing():
            protocol.writer = asyncio.get_running_loop().create_future()
            await _within(protocol.writer, timeout, httpcore.WriteTimeout)
        if self._upper.is_closing():
            raise httpcore.WriteError(_reason(protocol.failure)) from protocol.failure

    async def aclose(self) -> None:
        """Close the socket, and wait until it is."""
        self._upper.abort()
        await self._protocol.lost

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection with TLS on top."""
        protocol = self._protocol
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                upper = await loop.start_tls(self._upper, protocol, ssl_context, server_hostname=server_hostname)
        except BaseException as error:
            self._transport.abort()
            protocol.connection_lost(None)  # asyncio tells TLS alone, which tells nobody before it is there
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout(str(error)) from error
            if isinstance(error, OSError):  # as ssl.SSLError is
                raise httpcore.ConnectError(str(error)) from error
            raise
        protocol.is_secure = True
        protocol.connection_made(upper)
        return AsyncioStream(self._transport, upper, protocol)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a stream; one that is readable before a request was sent is of no use."""
        if info == "is_readable":
            waits = self._protocol.chunks or self._protocol.has_ended or self._upper.is_closing()
            return bool(waits) or is_readable(self._transport.get_extra_info("socket"))
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._upper.get_extra_info(names.get(info, info))


def on_asyncio(stream: httpcore.AsyncNetworkStream) -> httpcore.AsyncNetworkStream:
    """A stream that httpcore has just connected, without anyio where it runs on asyncio, and else as it is."""
    transport, arrived = asyncio_transport_of(stream)
    if transport is None:
        return stream
    protocol = Protocol()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    for data in arrived:
        protocol.data_received(data)
    transport.resume_reading()
    return AsyncioStream(transport, transport, protocol)


async def _within(waiting: asyncio.Future[bool], timeout: float | None, error: type[Exception]) -> None:
    """Wait, but no longer than that."""
    handle = None if timeout is None else waiting.get_loop().call_later(timeout, _wake, waiting, False)
    try:
        if not await waiting:
            raise error
    finally:
        if handle is not None:
            handle.cancel()


def _wake(waiting: asyncio.Future[bool] | None, happened: bool = True) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(happened)


def _reason(failure: Exception | None) -> str:
    return "the connection was closed" if failure is None else str(failure)
