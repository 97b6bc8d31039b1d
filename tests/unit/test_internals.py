"""The private names of httpx, httpcore and asyncio that the SDK leans on are there, and mean what it assumes.

Where a test fails after an update, `internals` is the one module to mend.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import pytest
from anyio.streams.tls import TLSStream
from httpcore._backends.anyio import AnyIOStream
from httpcore._synchronization import AsyncLock
from synapse_sdk.clients.agent import internals

from tests.wire.faults import FaultServer, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
ORIGIN = httpcore.Origin(b"http", b"agent", 80)
SECURE = httpcore.Origin(b"https", b"agent", 443)
TRANSPORTS: list[Any] = [
    (httpx.HTTPTransport, httpcore.ConnectionPool, httpcore.HTTPConnection),
    (httpx.AsyncHTTPTransport, httpcore.AsyncConnectionPool, httpcore.AsyncHTTPConnection),
]
FLAVOURS = pytest.mark.parametrize(("transport", "pool", "connection"), TRANSPORTS, ids=["sync", "async"])


@FLAVOURS
def test_a_transport_has_a_pool_that_makes_connections(transport: Any, pool: Any, connection: Any) -> None:
    """A transport's pool is found, and makes connections, plain or through a proxy, on a backend that it is given."""
    made = internals.pool_of(transport())
    assert type(made) is pool
    assert isinstance(internals.backend_of(made), httpcore.NetworkBackend | httpcore.AsyncNetworkBackend)
    backend = object()
    line = internals.create_connection(made, ORIGIN, backend)
    assert type(line) is connection
    assert line._network_backend is backend
    assert line.can_handle_request(ORIGIN)
    assert not line.can_handle_request(SECURE)
    made = internals.pool_of(transport(proxy="http://proxy:3128"))
    for origin in (ORIGIN, SECURE):
        line = internals.create_connection(made, origin, backend)
        assert type(line._connection) is connection
        assert line._connection._network_backend is backend


def test_a_transport_sends_through_the_pool_that_it_is_given() -> None:
    """A pool that is put in place of httpcore's gets the requests, with their extensions."""
    requests: list[httpcore.Request] = []

    class Pool:
        def handle_request(self, request: httpcore.Request) -> httpcore.Response:
            requests.append(request)
            return httpcore.Response(200, content=b"{}")

    transport = httpx.HTTPTransport()
    internals.pool_of(transport).close()
    internals.set_pool(transport, Pool())
    request = httpx.Request("GET", "http://agent/", extensions={"timeout": {}, "synapse_attempt": "this"})
    assert transport.handle_request(request).status_code == 200
    assert requests[0].extensions["synapse_attempt"] == "this"
    assert requests[0].url.origin == ORIGIN


def connected(*answers: bytes) -> Any:
    """A connection over which one answer was read, or none."""
    pool = internals.pool_of(httpx.HTTPTransport())
    line = internals.create_connection(pool, ORIGIN, httpcore.MockBackend(list(answers)))
    if answers:
        response = line.handle_request(httpcore.Request("GET", "http://agent/", headers=[("Host", "agent")]))
        assert response.read() == b"{}"
        response.close()
    return line


def test_bytes_behind_an_answer_are_seen() -> None:
    """A connection on which more came than the answer had is told from one that may be used again, or never was."""
    for surplus in (b"H", b"HTTP/1.1 200 OK\r\n\r\n"):
        assert internals.has_surplus(connected(ANSWER + surplus)) is True
    assert internals.has_surplus(connected(ANSWER)) is False
    assert internals.has_surplus(connected()) is False
    assert connected(ANSWER).is_idle()
    assert not connected(ANSWER).has_expired()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server that answers."""
    with FaultServer([reply({})]) as started:
        yield started


async def connect(server: FaultServer) -> Any:
    """An async connection on asyncio over which one answer was read."""
    pool = internals.pool_of(httpx.AsyncHTTPTransport())
    origin = httpcore.Origin(b"http", b"127.0.0.1", server.port)
    line = internals.create_connection(pool, origin, internals.backend_of(pool))
    response = await line.handle_async_request(httpcore.Request("GET", server.url, headers=[("Host", "agent")]))
    assert await response.aread() == b"{}"
    await response.aclose()
    return line


def socket_of(line: Any) -> Any:
    """The socket of a connection, as httpcore gives it away."""
    return line._connection._network_stream.get_extra_info("socket")


def test_an_async_stream_leads_to_its_transport(server: FaultServer) -> None:
    """The transport of asyncio below an async connection, with TLS or without, has the names that are assumed."""

    async def check() -> None:
        line = await connect(server)
        stream: Any = line._connection._network_stream
        assert isinstance(stream, AnyIOStream)
        transport: Any = getattr(stream._stream, "_transport", None)
        assert isinstance(transport, asyncio.Transport)
        assert transport._loop is asyncio.get_running_loop()  # type: ignore[attr-defined]  # the private name in question
        assert callable(transport._call_connection_lost)  # type: ignore[attr-defined]  # the private name in question
        await line.aclose()

    asyncio.run(check())
    assert "transport_stream" in {field.name for field in dataclasses.fields(TLSStream)}


def test_a_stream_gives_its_transport_and_what_arrived(server: FaultServer) -> None:
    """The paused transport of a new stream, and what arrived before, are found; a stream of another kind has none."""

    async def check() -> None:
        stream: Any = await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", server.port)
        stream._stream._protocol.data_received(b"early")
        transport, arrived = internals.asyncio_transport_of(stream)
        assert isinstance(transport, asyncio.Transport)
        assert not transport.is_reading()
        assert arrived == [b"early"]
        await stream.aclose()
        assert internals.asyncio_transport_of(httpcore.AsyncMockStream([])) == (None, [])

    asyncio.run(check())


def test_what_waits_on_a_socket_is_seen() -> None:
    """A socket is readable where data waits on it, and where it is closed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert internals.is_readable(ours) is False
        theirs.send(b"x")
        assert internals.is_readable(ours) is True
    assert internals.is_readable(ours) is True


def test_the_locks_of_a_connection_are_taken_off(server: FaultServer) -> None:
    """No lock is left on a connection that one task at a time uses, and it goes on working."""

    async def check() -> None:
        line = await connect(server)
        assert {type(line._request_lock), type(line._connection._state_lock)} == {AsyncLock}
        internals.unlock(line)
        for holder in (line, line._connection):
            assert not any(isinstance(value, AsyncLock) for value in vars(holder).values())
        response = await line.handle_async_request(httpcore.Request("GET", server.url, headers=[("Host", "agent")]))
        assert await response.aread() == b"{}"
        await response.aclose()
        await line.aclose()

    asyncio.run(check())


@pytest.mark.parametrize("forked", [False, True])
def test_a_connection_is_abandoned_while_its_loop_runs(server: FaultServer, forked: bool) -> None:
    """Abandoning a connection closes its socket without being awaited; after a fork at once, without its loop."""

    async def check() -> None:
        line = await connect(server)
        ours = socket_of(line)
        internals.abandon(line, forked=forked)
        if not forked:
            await asyncio.sleep(0)
        assert ours.fileno() == -1

    asyncio.run(check())


def test_a_connection_is_abandoned_without_a_loop(server: FaultServer) -> None:
    """Abandoning closes the socket of a connection whose loop is closed, and nothing where none was opened."""
    line = asyncio.run(connect(server))
    ours = socket_of(line)
    assert ours.fileno() != -1
    internals.abandon(line)
    assert ours.fileno() == -1
    pool = internals.pool_of(httpx.AsyncHTTPTransport())
    line = internals.create_connection(pool, ORIGIN, internals.backend_of(pool))
    internals.abandon(line)
    assert line.is_closed() is False


def test_a_client_has_its_transport() -> None:
    """The transport that a client of either flavour was given is found."""
    for client, transport in ((httpx.Client, httpx.HTTPTransport()), (httpx.AsyncClient, httpx.AsyncHTTPTransport())):
        assert internals.transport_of(client(transport=transport)) is transport  # type: ignore[arg-type]  # each its own


def test_content_that_is_set_is_the_responses_own() -> None:
    """A response whose body was read elsewhere behaves as if it had read it itself."""
    response = httpx.Response(200, stream=httpx.ByteStream(b""))
    with pytest.raises(httpx.ResponseNotRead):
        _ = response.content
    internals.set_content(response, b'{"id": 7}')
    assert (response.content, response.text, response.json()) == (b'{"id": 7}', '{"id": 7}', {"id": 7})


def test_a_url_below_another_one_is_what_a_parser_makes() -> None:
    """A URL that was put together out of parts is equal to the parsed one, and leaves the first as it was."""
    base = httpx.URL("https://agent:8600/at")
    for target in ("/a", "/a/?b=1", "/a?", "/a%2Fb?c=%20&d"):
        url = internals.below(base, target)
        parsed = httpx.URL(f"https://agent:8600/at{target}")
        assert (url, hash(url), repr(url)) == (parsed, hash(parsed), repr(parsed))
    assert str(base) == "https://agent:8600/at"
