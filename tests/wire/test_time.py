"""How long a call may take, whatever the other side does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AsyncAgentClient, RetryPolicy

from tests.wire.faults import RELEASE, drip, head, raw, reply, silence, then

if TYPE_CHECKING:
    from synapse_sdk.testing.server import Answer

    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import FaultServer

LATE: dict[str, Answer] = {
    "silence": silence,
    "silence in the headers": then(raw(b"HTTP/1.1 200 OK\r\nContent-Le", keep=True), silence),
    "silence in the body": then(raw(head(200, {"Content-Length": "100"}) + b"{", keep=True), silence),
}
DRIPPING: dict[str, Answer] = {
    "headers": drip(b"X-Drip: 1\r\n", start=b"HTTP/1.1 200 OK\r\n"),
    "one header": drip(b"a", start=b"HTTP/1.1 200 OK\r\nX-Drip: "),
    "body": drip(b" ", start=head(200, {"Content-Length": "1000000"})),
    "chunks": drip(b"1\r\n \r\n", start=head(200, {"Transfer-Encoding": "chunked"}), seconds=0.005),
    "informational": drip(b"HTTP/1.1 103 Hints\r\n\r\n", seconds=0.001),
}


@pytest.mark.parametrize("fault", LATE)
def test_the_read_timeout_holds(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """A server that falls silent at any point ends in a timeout after the read timeout."""
    client = open_client(open_server(LATE[fault]).url, timeout={"connect": 5, "read": 0.1}, retry=None)
    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError):
        client.get_plugin_release(7)
    assert 0.1 <= time.monotonic() - started < 1


@pytest.mark.parametrize("fault", DRIPPING)
def test_a_dripping_answer_ends_with_the_total_time(
    open_client: OpenClient, open_server: OpenServer, fault: str
) -> None:
    """A server that sends a byte at a time, so that no read is late, ends in a timeout after the total time."""
    client = open_client(open_server(DRIPPING[fault]).url, retry=RetryPolicy(total=0.3))
    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError):
        client.get_plugin_release(7)
    assert 0.3 <= time.monotonic() - started < 1.5


@pytest.mark.parametrize("fault", [*LATE, *DRIPPING])
def test_a_timeout_at_a_run_is_its_total_time(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """Seconds given at a run bound all of it, and the error says that the action may be running."""
    server = open_server({**LATE, **DRIPPING}[fault])
    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError, match="may be running"):
        open_client(server.url).run_plugin_release(7, "train", timeout=0.2)
    assert 0.2 <= time.monotonic() - started < 1.5
    assert len(server.requests) == 1


@pytest.mark.parametrize("timeout", [0.1, {"connect": 5, "read": 0.1}, (5, 0.1), httpx.Timeout(5, read=0.1)])
def test_every_form_of_timeout_holds(open_client: OpenClient, open_server: OpenServer, timeout: Any) -> None:
    """A timeout may be seconds, a dict, a pair or an httpx.Timeout, at the client and at a run."""
    server = open_server(silence)
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(server.url, timeout=timeout, retry=None).get_plugin_release(7)
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(server.url).run_plugin_release(7, "train", timeout=timeout)
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(server.url, timeout=timeout).run_debug_plugin_release("train")


def test_runs_wait_as_long_as_they_must(open_client: OpenClient, open_server: OpenServer) -> None:
    """A run outlasts the read timeout of other calls, which does not hold for runs unless it is given."""
    server = open_server(then(slowly, reply("done")))
    client = open_client(server.url)
    # The default of 10 s would take too long to wait for.
    configured: Any = getattr(client, "client", client)
    object.__setattr__(configured._settings, "timeout", httpx.Timeout(0.02))
    with pytest.raises(exceptions.ClientTimeoutError):
        client.get_plugin_release(7)
    assert client.run_plugin_release(7, "train") == "done"


async def arrived(server: FaultServer) -> None:
    """Wait until the server has a request; it runs in a thread, which cannot set an event of the loop."""
    while not server.requests:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.001)


def slowly(_: socket.socket) -> bool:
    """Take a while."""
    time.sleep(0.05)
    return True


def test_a_full_backlog_ends_with_the_connect_timeout(open_client: OpenClient) -> None:
    """An address at which nobody answers ends in a timeout that says that nothing was sent."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            time.sleep(0.02)
            policy = RetryPolicy(reconnect=0)
            client = open_client(f"http://127.0.0.1:{address[1]}", timeout={"connect": 0.1, "read": 5}, retry=policy)
            started = time.monotonic()
            with pytest.raises(exceptions.ClientTimeoutError, match="nothing was sent"):
                client.run_plugin_release(7, "train")
            assert time.monotonic() - started < 1
        finally:
            for filler in fillers:
                filler.close()


def test_a_stalled_upload_ends_with_the_total_time(open_client: OpenClient, open_server: OpenServer) -> None:
    """A server that does not read what it is sent ends in a timeout."""
    server = open_server(on_accept=[silence_without_reading])
    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(server.url).run_plugin_release(7, "train", {"text": "x" * 50_000_000}, timeout=0.3)
    assert time.monotonic() - started < 3


def silence_without_reading(connection: socket.socket) -> bool:
    """Let the buffers fill until the client goes away."""
    while not _is_closed(connection):
        time.sleep(0.01)
    return False


def _is_closed(connection: socket.socket) -> bool:
    """Whether the client has closed its end, by the kernel's table of connections."""
    established = 1
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != established


def test_all_connections_in_use_ends_with_the_pool_timeout(open_server: OpenServer) -> None:
    """When all connections are in use a further call waits for one, and then says so."""
    server = open_server(silence)

    async def main() -> None:
        limits = httpx.Limits(max_connections=1)
        async with AsyncAgentClient(server.url, trust_env=False, limits=limits) as client:
            first = asyncio.create_task(client.run_plugin_release(7, "train"))
            await arrived(server)
            timeout = httpx.Timeout(5, pool=0.05)
            with pytest.raises(exceptions.ClientTimeoutError, match="all 1 connections are in use"):
                await client.run_plugin_release(7, "train", timeout=timeout)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())
    assert len(server.requests) == 1


def test_cancelling_a_call_releases_its_connection(open_server: OpenServer) -> None:
    """A cancelled call gives its place back, and its connection is closed."""
    server = open_server(silence, reply(RELEASE))

    async def main() -> None:
        limits = httpx.Limits(max_connections=1)
        async with AsyncAgentClient(server.url, trust_env=False, limits=limits) as client:
            call = asyncio.create_task(client.get_plugin_release(7))
            await arrived(server)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await client.get_plugin_release(7) == RELEASE

    asyncio.run(main())
    assert server.connections == 2


def test_waiting_for_a_connection_can_be_cancelled(open_server: OpenServer) -> None:
    """A call that is cancelled while it waits for a connection leaves the next one its place."""
    server = open_server(then(slowly, reply(RELEASE)))

    async def main() -> None:
        limits = httpx.Limits(max_connections=1)
        async with AsyncAgentClient(server.url, trust_env=False, limits=limits) as client:
            calls = [asyncio.create_task(client.get_plugin_release(7)) for _ in range(3)]
            await asyncio.sleep(0.01)
            calls[1].cancel()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [isinstance(result, asyncio.CancelledError) for result in results] == [False, True, False]

    asyncio.run(main())
    assert server.connections == 1


def test_a_peer_that_vanished_is_noticed(open_client: OpenClient, open_server: OpenServer) -> None:
    """A run that waits without a bound notices within two minutes that the other machine is gone."""
    client = open_client(open_server().url)
    client.get_plugin_release(7)
    configured: Any = getattr(client, "client", client)
    (line,) = configured._http._transport._pool._stack._lines
    connection = line.connection._connection._network_stream.get_extra_info("socket")

    def option(name: str) -> int:
        return int(connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)))

    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert option("TCP_KEEPIDLE") + option("TCP_KEEPINTVL") * option("TCP_KEEPCNT") <= 120
    assert 0 < option("TCP_USER_TIMEOUT") <= 120_000


NAMES = ("many.test", b"many.test")


def test_all_addresses_of_a_name_share_the_connect_timeout(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of many addresses at which nobody answers costs one connect timeout, and not one for each."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.02)
        resolve = socket.getaddrinfo

        def four_times(host: Any, *args: Any, **kwargs: Any) -> Any:
            return resolve("127.0.0.1", *args, **kwargs) * 4 if host in NAMES else resolve(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", four_times)
        timeout = {"connect": 0.2, "read": 5}
        client = open_client(f"http://many.test:{port}", timeout=timeout, retry=RetryPolicy(reconnect=0))
        started = time.monotonic()
        with pytest.raises(exceptions.ClientTimeoutError, match="nothing was sent"):
            client.run_plugin_release(7, "train")
        assert time.monotonic() - started < 0.6
