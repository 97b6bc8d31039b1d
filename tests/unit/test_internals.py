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
def test_a_pool_creates_connections(client: Any, transport: Any, pool: Any, connection: Any) -> None:
    """A transport's pool creates connections, with or without a proxy, on any backend."""
    made = transport()
    made = pool_of(made)
    assert type(made) is pool
    assert isinstance(backend_of(made), httpcore.NetworkBackend | httpcore.AsyncNetworkBackend)
    backend = object()
    opened = create_connection(made, ORIGIN, backend)
    assert (type(opened), opened._network_backend) == (connection, backend)
    assert (opened.can_handle_request(ORIGIN), opened.can_handle_request(SECURE)) == (True, False)
    made = pool_of(transport(proxy="http://proxy:3128"))
    for origin in (ORIGIN, SECURE):
        opened = create_connection(made, origin, backend)
        assert (type(opened._connection), opened._connection._network_backend) == (connection, backend)


def test_surplus_bytes_are_detected() -> None:
    """A connection with surplus bytes after the response is distinguished from a reusable or unused one."""
    pool = pool_of(httpx.HTTPTransport())
    for surplus in (b"H", b"HTTP/1.1 200 OK\r\n\r\n", b""):
        answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + surplus]
        opened = create_connection(pool, ORIGIN, httpcore.MockBackend(answers))
        assert has_surplus(opened) is False
        response = opened.handle_request(httpcore.Request("GET", "http://agent/", headers=[("Host", "agent")]))
        assert response.read() == b"{}"
        response.close()
        assert has_surplus(opened) is (surplus != b"")
    assert opened.is_idle()
    assert not opened.has_expired()


def test_the_pool_and_content_can_be_set() -> None:
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


async def exchange(opened: Any, url: str) -> None:
    """Read one response over a connection."""
    response = await opened.handle_async_request(httpcore.Request("GET", url, headers=[("Host", "agent")]))
    assert await response.aread() == b"{}"
    await response.aclose()


async def connect(server: FaultServer) -> tuple[Any, Any]:
    """A used async connection on asyncio, and its socket."""
    pool = pool_of(httpx.AsyncHTTPTransport())
    origin = httpcore.Origin(b"http", b"127.0.0.1", server.port)
    opened = create_connection(pool, origin, backend_of(pool))
    await exchange(opened, server.url)
    return opened, opened._connection._network_stream.get_extra_info("socket")


@pytest.mark.anyio
async def test_a_connection_can_be_unlocked(server: FaultServer) -> None:
    """An unlocked connection has no locks left, and still works."""
    opened, _ = await connect(server)
    assert {type(opened._request_lock), type(opened._connection._state_lock)} == {AsyncLock}
    unlock(opened)
    for holder in (opened, opened._connection):
        assert not any(isinstance(value, AsyncLock) for value in vars(holder).values())
    await exchange(opened, server.url)
    await opened.aclose()


def test_a_connection_can_be_abandoned(server: FaultServer) -> None:
    """Abandoning a connection closes its socket without awaiting, in any loop state; after a fork, immediately."""

    async def while_its_loop_runs(*, forked: bool) -> None:
        opened, ours = await connect(server)
        abandon(opened, forked=forked)
        if not forked:
            await asyncio.sleep(0)
        assert ours.fileno() == -1

    for forked in (False, True):
        asyncio.run(while_its_loop_runs(forked=forked))
    opened, ours = asyncio.run(connect(server))
    assert ours.fileno() != -1
    abandon(opened)
    assert ours.fileno() == -1
    pool = pool_of(httpx.AsyncHTTPTransport())
    opened = create_connection(pool, ORIGIN, backend_of(pool))
    abandon(opened)  # never opened
    assert opened.is_closed() is False
