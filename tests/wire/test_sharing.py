"""One client for many threads, tasks, loops and processes, and how it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient

from tests.wire.faults import RELEASE, reply, silence, then

if TYPE_CHECKING:
    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import FaultServer


def run_program(server: FaultServer, program: str) -> str:
    """Run a program with every warning as an error, and return what it printed; it must print nothing else."""
    preamble = """
        import asyncio, gc, logging, os, sys
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # its debug mode tells of what takes 0.1 s, as imports may
        from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
        url = sys.argv[1]
    """
    code = textwrap.dedent(preamble) + textwrap.dedent(program)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, server.url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.strip()


def test_one_client_serves_many_threads(open_server: OpenServer) -> None:
    """One client serves many threads at once, on about as many connections as there are threads."""
    server = open_server(then(briefly, reply(RELEASE)))
    with AgentClient(server.url, trust_env=False) as client, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(client.get_plugin_release, range(1, 201)))
    assert results == [RELEASE] * 200
    assert sorted(int(request.lookup) for request in server.requests) == list(range(1, 201))
    assert server.connections <= 8


def briefly(_: object) -> bool:
    """Take a moment, so that calls overlap."""
    time.sleep(0.001)
    return True


def test_connections_are_limited_for_threads(open_server: OpenServer) -> None:
    """Threads wait for each other where the connections are fewer, and every call is answered."""
    server = open_server(then(briefly, reply(RELEASE)))
    limits = httpx.Limits(max_connections=2)
    with AgentClient(server.url, trust_env=False, limits=limits) as client, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(client.get_plugin_release, range(1, 101))) == [RELEASE] * 100
    assert server.connections <= 2


def test_one_client_serves_many_tasks(open_server: OpenServer) -> None:
    """One async client serves many tasks at once, within its limit of connections."""
    server = open_server(then(briefly, reply(RELEASE)))

    async def main() -> None:
        limits = httpx.Limits(max_connections=5)
        async with AsyncAgentClient(server.url, trust_env=False, limits=limits) as client:
            results = await asyncio.gather(*(client.get_plugin_release(number) for number in range(1, 201)))
        assert results == [RELEASE] * 200

    asyncio.run(main())
    assert server.connections <= 5


def test_calls_one_after_the_other_share_a_connection(open_client: OpenClient, open_server: OpenServer) -> None:
    """Calls one after the other go over one connection."""
    server = open_server()
    client = open_client(server.url)
    for _ in range(20):
        client.get_plugin_release(7)
    assert server.connections == 1


def test_an_async_client_works_in_one_loop_after_the_other(open_server: OpenServer) -> None:
    """An async client outlives its event loop, and opens connections anew in the next one."""
    server = open_server()
    client = AsyncAgentClient(server.url, trust_env=False)
    for _ in range(3):
        assert asyncio.run(client.get_plugin_release(7)) == RELEASE
    asyncio.run(client.aclose())
    assert server.connections == 3


def test_an_async_client_refuses_two_loops_at_once(open_server: OpenServer) -> None:
    """An async client that is in use in one event loop says so in another."""
    server = open_server(silence)
    client = AsyncAgentClient(server.url, trust_env=False)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        call = asyncio.run_coroutine_threadsafe(client.run_plugin_release(7, "train"), loop)
        while not server.requests:
            time.sleep(0.001)
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(client.get_plugin_release(7))
        call.cancel()
        asyncio.run_coroutine_threadsafe(client.aclose(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_an_async_client_works_on_trio(open_server: OpenServer) -> None:
    """An async client runs on trio as it does on asyncio."""
    server = open_server()

    async def main() -> None:
        async with AsyncAgentClient(server.url, trust_env=False) as client:
            for _ in range(3):
                assert await client.get_plugin_release(7) == RELEASE

    trio.run(main)
    assert server.connections == 1


@pytest.mark.parametrize("method", ["get_plugin_release", "list_plugin_releases", "health_check"])
def test_a_closed_client_says_so(open_client: OpenClient, open_server: OpenServer, flavour: str, method: str) -> None:
    """A closed client says that it is closed, and sends nothing."""
    server = open_server()
    client = open_client(server.url)
    arguments = (7,) if method == "get_plugin_release" else ()
    getattr(client, "close" if flavour == "sync" else "aclose")()
    with pytest.raises(RuntimeError, match="closed"):
        getattr(client, method)(*arguments)
    assert server.requests == []


def test_closing_frees_the_sockets(open_client: OpenClient, open_server: OpenServer, flavour: str) -> None:
    """Closing a client closes its connections; twice is harmless."""
    server = open_server()
    client = open_client(server.url)
    client.get_plugin_release(7)
    assert len(server.open_connections) == 1
    for _ in range(2):
        getattr(client, "close" if flavour == "sync" else "aclose")()
    deadline = time.monotonic() + 5
    while server.open_connections and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not server.open_connections


def test_a_forked_process_has_connections_of_its_own(open_server: OpenServer) -> None:
    """After a fork the child opens connections of its own, and the parent keeps its own."""
    server = open_server()
    printed = run_program(
        server,
        """
        client = AgentClient(url, trust_env=False)
        client.get_plugin_release(1)
        child = os.fork()
        if child == 0:
            client.get_plugin_release(2)
            client.get_plugin_release(3)
            client.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.get_plugin_release(4)
        client.close()
        print("done")
        """,
    )
    assert printed == "done"
    assert [(request.lookup, request.connection) for request in server.requests] == [
        ("1", 1),
        ("2", 2),
        ("3", 2),
        ("4", 1),
    ]


def test_a_forked_process_has_an_async_client_of_its_own(open_server: OpenServer) -> None:
    """After a fork the child's event loop opens connections of its own, and the parent's loop keeps its own."""
    server = open_server()
    printed = run_program(
        server,
        """
        client = AsyncAgentClient(url, trust_env=False)

        async def parent():
            await client.get_plugin_release(1)
            child = os.fork()
            if child == 0:
                raise SystemExit
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            await client.get_plugin_release(4)
            await client.aclose()
            print("done")

        with asyncio.Runner() as runner:
            parent_process = os.getpid()
            try:
                runner.run(parent())
            except SystemExit:
                # The child: the loop of its parent is of no use to it.
                asyncio.run(client.get_plugin_release(2))
                os._exit(0)
        """,
    )
    assert printed == "done"
    assert [(request.lookup, request.connection) for request in server.requests] == [("1", 1), ("2", 2), ("4", 1)]


ENDINGS = {
    "open": """
        client = AgentClient(url, trust_env=False)
        client.get_plugin_release(7)
        """,
    "closed": """
        with AgentClient(url, trust_env=False) as client:
            client.get_plugin_release(7)
        """,
    "collected": """
        client = AgentClient(url, trust_env=False)
        client.get_plugin_release(7)
        del client
        gc.collect()
        """,
    "async, open": """
        client = AsyncAgentClient(url, trust_env=False)
        asyncio.run(client.get_plugin_release(7))
        """,
    "async, two loops": """
        client = AsyncAgentClient(url, trust_env=False)
        for _ in range(2):
            asyncio.run(client.get_plugin_release(7))
        """,
    "async, collected": """
        client = AsyncAgentClient(url, trust_env=False)
        asyncio.run(client.get_plugin_release(7))
        del client
        gc.collect()
        """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_warning_at_exit(open_server: OpenServer, ending: str) -> None:
    """A program that ends without closing its client ends without a warning."""
    server = open_server()
    run_program(server, ENDINGS[ending])
    assert server.requests
