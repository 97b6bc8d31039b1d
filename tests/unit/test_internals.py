"""The internals of httpx, httpcore and asyncio that the SDK uses exist and behave as assumed.

If a test fails after an update, fix `runtime.transport._private`.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import pytest
from httpcore._synchronization import AsyncLock
from synapse_agent_sdk.runtime.transport._private import (
    abandon,
    backend_of,
    create_connection,
    has_surplus,
    pool_of,
    set_content,
    set_pool,
    unlock,
)

from tests.wire.faults import FaultServer, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = httpcore.Origin(b"http", b"agent", 80)
SECURE = httpcore.Origin(b"https", b"agent", 443)
TRANSPORTS: list[Any] = [
    (httpx.Client, httpx.HTTPTransport, httpcore.ConnectionPool, httpcore.HTTPConnection),
    (httpx.AsyncClient, httpx.AsyncHTTPTransport, httpcore.AsyncConnectionPool, httpcore.AsyncHTTPConnection),
]


@pytest.mark.parametrize(("client", "transport", "pool", "connection"), TRANSPORTS, ids=["sync", "async"])
def test_a_transport_has_a_pool_that_makes_connections(client: Any, transport: Any, pool: Any, connection: Any) -> None:
    """A transport's pool creates connections, with or without a proxy, on any backend."""
    made = transport()
    made = pool_of(made)
    assert type(made) is pool
    assert isinstance(backend_of(made), httpcore.NetworkBackend | httpcore.AsyncNetworkBackend)
    backend = object()
    line = create_connection(made, ORIGIN, backend)
    assert (type(line), line._network_backend) == (connection, backend)
    assert (line.can_handle_request(ORIGIN), line.can_handle_request(SECURE)) == (True, False)
    made = pool_of(transport(proxy="http://proxy:3128"))
    for origin in (ORIGIN, SECURE):
        line = create_connection(made, origin, backend)
        assert (type(line._connection), line._connection._network_backend) == (connection, backend)


def test_bytes_behind_an_answer_are_seen() -> None:
    """A connection with surplus bytes after the response is distinguished from a reusable or unused one."""
    pool = pool_of(httpx.HTTPTransport())
    for surplus in (b"H", b"HTTP/1.1 200 OK\r\n\r\n", b""):
        answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + surplus]
        line = create_connection(pool, ORIGIN, httpcore.MockBackend(answers))
        assert has_surplus(line) is False
        response = line.handle_request(httpcore.Request("GET", "http://agent/", headers=[("Host", "agent")]))
        assert response.read() == b"{}"
        response.close()
        assert has_surplus(line) is (surplus != b"")
    assert line.is_idle()
    assert not line.has_expired()


def test_what_is_set_is_used() -> None:
    """A transport sends through the pool set on it, and a response has the content set on it."""
    transport = httpx.HTTPTransport()
    pool_of(transport).close()
    pool = SimpleNamespace(handle_request=lambda request: httpcore.Response(200, extensions={"request": request}))
    set_pool(transport, pool)
    request = httpx.Request("GET", "http://agent/", extensions={"timeout": {}, "synapse_attempt": "this"})
    response = transport.handle_request(request)
    sent = response.extensions["request"]
    assert (sent.url.origin, sent.extensions["synapse_attempt"]) == (ORIGIN, "this")
    set_content(response, b'{"id": 7}')
    assert (response.content, response.json()) == (b'{"id": 7}', {"id": 7})


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server that responds."""
    with FaultServer([reply({})]) as started:
        yield started


async def exchange(line: Any, url: str) -> None:
    """Read one response over a connection."""
    response = await line.handle_async_request(httpcore.Request("GET", url, headers=[("Host", "agent")]))
    assert await response.aread() == b"{}"
    await response.aclose()


async def connect(server: FaultServer) -> tuple[Any, Any]:
    """A used async connection on asyncio, and its socket."""
    pool = pool_of(httpx.AsyncHTTPTransport())
    origin = httpcore.Origin(b"http", b"127.0.0.1", server.port)
    line = create_connection(pool, origin, backend_of(pool))
    await exchange(line, server.url)
    return line, line._connection._network_stream.get_extra_info("socket")


@pytest.mark.anyio
async def test_the_locks_of_a_connection_are_taken_off(server: FaultServer) -> None:
    """An unlocked connection has no locks left, and still works."""
    line, _ = await connect(server)
    assert {type(line._request_lock), type(line._connection._state_lock)} == {AsyncLock}
    unlock(line)
    for holder in (line, line._connection):
        assert not any(isinstance(value, AsyncLock) for value in vars(holder).values())
    await exchange(line, server.url)
    await line.aclose()


def test_a_connection_is_abandoned(server: FaultServer) -> None:
    """Abandoning a connection closes its socket without awaiting, in any loop state; after a fork, immediately."""

    async def while_its_loop_runs(*, forked: bool) -> None:
        line, ours = await connect(server)
        abandon(line, forked=forked)
        if not forked:
            await asyncio.sleep(0)
        assert ours.fileno() == -1

    for forked in (False, True):
        asyncio.run(while_its_loop_runs(forked=forked))
    line, ours = asyncio.run(connect(server))
    assert ours.fileno() != -1
    abandon(line)
    assert ours.fileno() == -1
    pool = pool_of(httpx.AsyncHTTPTransport())
    line = create_connection(pool, ORIGIN, backend_of(pool))
    abandon(line)  # never opened
    assert line.is_closed() is False
