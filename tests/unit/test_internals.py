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


class Served:
    """A pool's few methods, as httpx calls them."""

    def __init__(self) -> None:
        self.requests: list[httpcore.Request] = []

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Answer."""
        self.requests.append(request)
        return httpcore.Response(200, content=b"{}")


@FLAVOURS
def test_a_transport_has_a_pool_that_makes_connections(transport: Any, pool: Any, connection: Any) -> None:
    """A transport's pool is found, and makes single connections on a network backend that is given to it."""
    made = internals.pool_of(transport())
    assert type(made) is pool
    own = internals.backend_of(made)
    assert isinstance(own, httpcore.NetworkBackend | httpcore.AsyncNetworkBackend)
    backend = object()
    line = internals.create_connection(made, ORIGIN, backend)
    assert type(line) is connection
    assert line._network_backend is backend
    assert line.can_handle_request(ORIGIN)
    assert not line.can_handle_request(SECURE)


@FLAVOURS
@pytest.mark.parametrize("origin", [ORIGIN, SECURE], ids=["forwarded", "tunnelled"])
def test_a_connection_through_a_proxy_has_one_inside(
    transport: Any, pool: Any, connection: Any, origin: httpcore.Origin
) -> None:
    """A connection through a proxy holds a plain one, which has the network backend that was given."""
    made = internals.pool_of(transport(proxy="http://proxy:3128"))
    assert isinstance(made, pool)
    backend = object()
    line = internals.create_connection(made, origin, backend)
    assert type(line._connection) is connection
    assert line._connection._network_backend is backend


def test_a_transport_sends_through_the_pool_that_it_is_given() -> None:
    """A pool that is put in place of httpcore's gets the requests, with their extensions."""
    pool = Served()
    transport = httpx.HTTPTransport()
    internals.pool_of(transport).close()
    internals.set_pool(transport, pool)
    request = httpx.Request("GET", "http://agent/", extensions={"timeout": {}, "synapse_attempt": "this"})
    assert transport.handle_request(request).status_code == 200
    assert pool.requests[0].extensions["synapse_attempt"] == "this"
    assert pool.requests[0].url.origin == ORIGIN


def connected(*answers: bytes) -> Any:
    """A connection over which one answer was read."""
    pool = internals.pool_of(httpx.HTTPTransport())
    line = internals.create_connection(pool, ORIGIN, httpcore.MockBackend(list(answers)))
    with_host = httpcore.Request("GET", "http://agent/", headers=[("Host", "agent")])
    response = line.handle_request(with_host)
    assert response.read() == b"{}"
    response.close()
    return line


@pytest.mark.parametrize("surplus", [b"H", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n"])
def test_bytes_behind_an_answer_are_seen(surplus: bytes) -> None:
    """A connection on which more came than the answer had is told from one that may be used again."""
    assert internals.has_surplus(connected(ANSWER + surplus)) is True
    clean = connected(ANSWER)
    assert internals.has_surplus(clean) is False
    assert clean.is_idle()
    assert not clean.has_expired()


def test_a_connection_that_was_never_used_has_no_surplus() -> None:
    """Nothing came on a connection that was not opened."""
    line = internals.create_connection(internals.pool_of(httpx.HTTPTransport()), ORIGIN, httpcore.MockBackend([]))
    assert internals.has_surplus(line) is False


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
    """The transport of asyncio below an async connection is found by the names that are assumed."""

    async def check() -> None:
        line = await connect(server)
        stream: Any = line._connection._network_stream
        assert isinstance(stream, AnyIOStream)
        transport = getattr(stream._stream, "_transport", None)
        assert isinstance(transport, asyncio.Transport)
        assert transport._loop is asyncio.get_running_loop()  # type: ignore[attr-defined]  # the private name in question
        assert callable(transport._call_connection_lost)  # type: ignore[attr-defined]  # the private name in question
        await line.aclose()

    asyncio.run(check())


def test_a_stream_gives_its_transport_and_what_arrived(server: FaultServer) -> None:
    """The transport of a new stream, which is paused, and what arrived before it was, are found where assumed."""

    async def check() -> None:
        stream: Any = await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", server.port)
        stream._stream._protocol.data_received(b"early")
        transport, arrived = internals.asyncio_transport_of(stream)
        assert isinstance(transport, asyncio.Transport)
        assert not transport.is_reading()
        assert arrived == [b"early"]
        await stream.aclose()

    asyncio.run(check())


def test_a_stream_of_another_kind_has_no_transport() -> None:
    """A stream that is not of asyncio stays as it is."""
    assert internals.asyncio_transport_of(httpcore.AsyncMockStream([])) == (None, [])


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


def test_a_tls_stream_has_its_stream_inside() -> None:
    """The plain stream inside a TLS stream has the name that is assumed."""
    assert "transport_stream" in {field.name for field in dataclasses.fields(TLSStream)}


def test_a_connection_is_abandoned_while_its_loop_runs(server: FaultServer) -> None:
    """Abandoning a connection of a running loop closes its socket without being awaited."""

    async def check() -> None:
        line = await connect(server)
        ours = socket_of(line)
        internals.abandon(line)
        await asyncio.sleep(0)
        assert ours.fileno() == -1

    asyncio.run(check())


def test_a_connection_is_abandoned_after_its_loop(server: FaultServer) -> None:
    """Abandoning a connection whose loop is closed closes its socket."""
    line = asyncio.run(connect(server))
    ours = socket_of(line)
    assert ours.fileno() != -1
    internals.abandon(line)
    assert ours.fileno() == -1


def test_a_connection_of_the_parent_is_abandoned_without_its_loop(server: FaultServer) -> None:
    """Abandoning a connection as after a fork closes its socket at once, and leaves the loop alone."""

    async def check() -> None:
        line = await connect(server)
        ours = socket_of(line)
        internals.abandon(line, forked=True)
        assert ours.fileno() == -1

    asyncio.run(check())


def test_a_connection_that_was_never_opened_is_abandoned() -> None:
    """There is nothing to close where nothing was opened."""
    pool = internals.pool_of(httpx.AsyncHTTPTransport())
    line = internals.create_connection(pool, ORIGIN, internals.backend_of(pool))
    internals.abandon(line)
    assert line.is_closed() is False


def test_a_client_has_its_transport() -> None:
    """The transport that a client of either flavour was given is found."""
    sync, other = httpx.MockTransport(lambda _: httpx.Response(200)), httpx.AsyncHTTPTransport()
    with httpx.Client(transport=sync) as client:
        assert internals.transport_of(client) is sync
    assert internals.transport_of(httpx.AsyncClient(transport=other)) is other


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
        assert url == httpx.URL(f"https://agent:8600/at{target}")
        assert hash(url) == hash(httpx.URL(f"https://agent:8600/at{target}"))
        assert repr(url) == repr(httpx.URL(f"https://agent:8600/at{target}"))
    assert str(base) == "https://agent:8600/at"
