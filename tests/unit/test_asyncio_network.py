"""The async client's streams on asyncio: nothing is lost, and nothing piles up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from typing import TYPE_CHECKING

import httpcore
import pytest
from synapse_sdk.clients.agent import AsyncAgentClient
from synapse_sdk.clients.agent.asyncio_network import AHEAD_BYTES, AsyncioStream, on_asyncio

from tests.wire.faults import RELEASE, FaultServer, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio
MIB = 2**20
Pair = tuple[AsyncioStream, socket.socket]


@pytest.fixture
async def connected() -> AsyncIterator[Pair]:
    """A stream, and the other end of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", listener.getsockname()[1])
        other, _ = listener.accept()
    with other:
        ours = on_asyncio(stream)
        assert isinstance(ours, AsyncioStream)
        yield ours, other
        await ours.aclose()


async def test_no_more_is_read_than_was_asked_for(connected: Pair) -> None:
    """What arrived is given in pieces of at most the size that was asked for, in order, up to the end."""
    stream, other = connected
    other.sendall(b"hello world")
    assert await stream.read(5) == b"hello"
    assert stream.get_extra_info("is_readable") is True
    assert [await stream.read(1), await stream.read(99)] == [b" ", b"world"]
    assert stream.get_extra_info("is_readable") is False
    other.shutdown(socket.SHUT_WR)
    assert await stream.read(1) == b""
    assert stream.get_extra_info("is_readable") is True


async def test_what_nobody_reads_stays_with_the_other_side(connected: Pair) -> None:
    """Much that nobody reads fills no memory, and all of it is there for who reads it later."""
    stream, other = connected
    data = os.urandom(8 * MIB)
    sending = asyncio.create_task(asyncio.to_thread(other.sendall, data))
    received = bytearray()
    while len(received) < len(data):
        received += await stream.read(64 * 1024)
        await asyncio.sleep(0)
        assert stream._protocol.ahead <= 2 * AHEAD_BYTES
    assert received == data
    await sending


async def test_waits_end_in_time(connected: Pair) -> None:
    """A read without data, and a write that nobody takes, end in their timeouts; the stream stays in step."""
    stream, other = connected
    with pytest.raises(httpcore.ReadTimeout):
        await stream.read(1, 0.01)
    other.sendall(b"late")
    assert await stream.read(9, 60) == b"late"
    with pytest.raises(httpcore.WriteTimeout):
        await stream.write(b"x" * 32 * MIB, 0.01)


async def test_a_reset_is_an_error_of_what_waits(connected: Pair) -> None:
    """A connection that is reset ends a read that waits, and every read and write after it, with the reason."""
    stream, other = connected
    reading = asyncio.create_task(stream.read(1))
    await asyncio.sleep(0)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.close()
    for attempt in (reading, stream.read(1)):
        with pytest.raises(httpcore.ReadError, match="reset"):
            await attempt
    with pytest.raises(httpcore.WriteError, match="reset"):
        await stream.write(b"x")


async def test_calls_that_are_cancelled_leave_no_socket() -> None:
    """Calls that are cancelled while they connect or wait leave nothing open, and spoil no other call."""
    with FaultServer([reply(RELEASE)]) as server:
        async with AsyncAgentClient(server.url, timeout=60, trust_env=False) as client:
            for moment in range(100):
                call = asyncio.create_task(client.get_plugin_release(7))
                for _ in range(moment % 12):
                    await asyncio.sleep(0)
                call.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await call
            assert await client.get_plugin_release(7) == RELEASE
    gc.collect()  # a socket that is left would warn here
