"""Timeouts: how long a call may take, whatever the server does.

No test measures time: each fault never ends by itself, so only the timeout can end the call.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_agent_sdk import AsyncAgentClient, RetryPolicy, exceptions
from synapse_agent_sdk.runtime.transport.attempt import ATTEMPT

from tests.wire.faults import RELEASE, SECONDS, Answer, FaultServer, drip, head, raw, reply, silence, then, until

if TYPE_CHECKING:
    from tests.wire.conftest import OpenClient, OpenServer, Serve

LATE: dict[str, Answer] = {
    "silence": silence,
    "silence in the headers": then(raw(b"HTTP/1.1 200 OK\r\nContent-Le", keep=True), silence),
    "silence in the body": then(raw(head(200, {"Content-Length": "100"}) + b"{", keep=True), silence),
}
DRIPPING: dict[str, Answer] = {
    "headers": drip(b"X-Drip: 1\r\n", start=b"HTTP/1.1 200 OK\r\n", seconds=0.001),
    "one header": drip(b"a", start=b"HTTP/1.1 200 OK\r\nX-Drip: ", seconds=0.001),
    "body": drip(b" ", start=head(200, {"Content-Length": "1000000"}), seconds=0.001),
    "chunks": drip(b"1\r\n \r\n", start=head(200, {"Transfer-Encoding": "chunked"}), seconds=0.001),
    "informational": drip(b"HTTP/1.1 103 Hints\r\n\r\n", seconds=0.001),
}


@pytest.mark.contract
@pytest.mark.parametrize("fault", LATE)
def test_the_read_timeout_holds(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """If the server stops sending, the client's or the run's read timeout ends the call."""
    server = open_server(LATE[fault])
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(server.url, timeout={"connect": 60, "read": 0.05}, retry=None).get_plugin_release(7)
    with pytest.raises(exceptions.ClientResponseTimeoutError, match="may be running") as caught:
        open_client(server.url).run_plugin_release(7, "train", timeout=(60, 0.05))
    assert isinstance(caught.value, exceptions.ClientTimeoutError)
    assert isinstance(caught.value, exceptions.ClientResponseIncompleteError)
    until(lambda: len(server.requests) == 2)


@pytest.mark.parametrize("fault", DRIPPING)
def test_a_dripping_answer_ends_with_the_total_time(
    open_client: OpenClient, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The total timeout ends a call to a server that sends one byte at a time."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr("synapse_agent_sdk.runtime.transport.network.time", clock)

    def pass_time(_: socket.socket) -> bool:
        passed[0] += 1000
        return True

    server = open_server(then(pass_time, DRIPPING[fault]))
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(server.url, retry=RetryPolicy(attempts=1, total=900)).get_plugin_release(7)
    passed[0] = 0
    with pytest.raises(exceptions.ClientTimeoutError, match="may be running"):
        open_client(server.url).run_plugin_release(7, "train", timeout=900)
    assert len(server.requests) == 2


@pytest.mark.contract
def test_runs_wait_as_long_as_they_must(open_client: OpenClient) -> None:
    """By default runs have no read or total timeout; other calls have both."""
    bounds: list[tuple[float | None, bool]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bounds.append((request.extensions["timeout"]["read"], request.extensions[ATTEMPT].deadline is not None))
        return httpx.Response(200, json={})

    client = open_client("http://agent", transport=httpx.MockTransport(answer), timeout=None)
    client.get_plugin_release(7)
    client.run_plugin_release(7, "train")
    client.run_debug_plugin_release("train", timeout=5)
    assert bounds == [(10, True), (None, False), (5, True)]


def test_a_full_backlog_ends_with_the_connect_timeout(open_client: OpenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses of a host share one connect timeout; the error says that nothing was sent."""
    resolve = socket.getaddrinfo

    def often(host: Any, *args: Any, **kwargs: Any) -> Any:
        is_ours = host in {"many.test", b"many.test"}
        # One timeout for each of the thousand addresses would exceed the test's time limit.
        return resolve("127.0.0.1", *args, **kwargs) * 1000 if is_ours else resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", often)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):  # the queue is full
            port = listener.getsockname()[1]
            for host in ("127.0.0.1", "many.test"):
                options = {"timeout": {"connect": 0.1, "read": 60}, "retry": RetryPolicy(reconnect=0)}
                with pytest.raises(exceptions.ClientTimeoutError, match="nothing was sent"):
                    open_client(f"http://{host}:{port}", **options).run_plugin_release(7, "train")


@pytest.mark.parametrize("pause", [None, 0.02], ids=["stalled", "slow"])
def test_an_upload_ends_with_the_total_time(
    open_client: OpenClient, open_server: OpenServer, pause: float | None
) -> None:
    """The total timeout ends an upload to a server that reads slowly or not at all."""
    over = threading.Event()

    def receive(connection: socket.socket) -> bool:
        while pause is not None and connection.recv(64 * 1024):
            time.sleep(pause)
        over.wait(SECONDS)
        return False

    client = open_client(open_server(on_accept=[receive]).url)
    with pytest.raises(exceptions.ClientTimeoutError):
        client.run_plugin_release(7, "train", {"text": "x" * 16_000_000}, timeout=0.2)
    over.set()


def one_connection(server: FaultServer) -> AsyncAgentClient:
    """Create a client with a single connection."""
    return AsyncAgentClient(server.url, trust_env=False, limits=httpx.Limits(max_connections=1, keepalive_expiry=600))


async def arrived(server: FaultServer) -> None:
    """Wait until the server has a request."""
    await asyncio.to_thread(until, lambda: server.requests)


def test_all_connections_in_use_ends_with_the_pool_timeout(open_server: OpenServer) -> None:
    """If all connections are in use, a call waits for up to the pool timeout."""
    server = open_server(silence, reply(RELEASE))

    async def main() -> None:
        async with one_connection(server) as client:
            first = asyncio.create_task(client.run_plugin_release(7, "train"))
            await arrived(server)
            with pytest.raises(exceptions.ClientTimeoutError, match="all 1 connections are in use"):
                await client.run_plugin_release(7, "train", timeout=httpx.Timeout(60, pool=0.05))
            assert len(server.requests) == 1
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await client.get_plugin_release(7) == RELEASE

    asyncio.run(main())
    assert server.connections == 2


def test_waiting_for_a_connection_can_be_cancelled(open_server: OpenServer) -> None:
    """Cancelling a call that waits for a connection does not block later calls."""
    go = threading.Event()
    server = open_server(then(lambda _: go.wait(SECONDS), reply(RELEASE)))

    async def main() -> None:
        async with one_connection(server) as client:
            calls = [asyncio.create_task(client.get_plugin_release(7)) for _ in range(3)]
            await arrived(server)
            calls[1].cancel()
            go.set()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [isinstance(result, asyncio.CancelledError) for result in results] == [False, True, False]

    asyncio.run(main())
    assert server.connections == 1


def test_a_peer_that_vanished_is_noticed(serve: Serve) -> None:
    """TCP keep-alive detects a vanished agent within two minutes, even without a timeout."""
    _, client = serve()
    client.get_plugin_release(7)
    configured: Any = getattr(client, "client", client)
    (line,) = configured._http._transport._pool._idle
    connection = line.inner._connection._network_stream.get_extra_info("socket")

    def option(name: str) -> int:
        return int(connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)))

    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert option("TCP_KEEPIDLE") + option("TCP_KEEPINTVL") * option("TCP_KEEPCNT") <= 120
    assert 0 < option("TCP_USER_TIMEOUT") <= 120_000
