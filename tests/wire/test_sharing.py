"""Connections: sharing a client between threads, tasks, event loops and processes, and closing it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import trio
from synapse_agent_sdk import AgentClient, AsyncAgentClient, exceptions

from tests.wire.conftest import OpenServer, Serve, sync_only
from tests.wire.faults import RELEASE, SECONDS, FaultServer, reply, silence, then, until

SLOW = then(lambda _: not threading.Event().wait(0.001), reply(RELEASE))


@pytest.mark.parametrize("most", [2, 100])
def test_one_client_serves_many_threads(open_server: OpenServer, most: int) -> None:
    """One client serves many threads; calls wait if all connections are in use."""
    server = open_server(SLOW)
    limits = httpx.Limits(max_connections=most, keepalive_expiry=600)
    with AgentClient(server.url, trust_env=False, limits=limits) as client, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(client.get_plugin_release, range(1, 101))) == [RELEASE] * 100
    assert sorted(int(request.lookup) for request in server.requests) == list(range(1, 101))
    assert server.connections <= min(most, 8)


def test_one_client_serves_many_tasks(open_server: OpenServer) -> None:
    """One async client serves many tasks within its connection limit."""
    server = open_server(SLOW)

    async def main() -> None:
        limits = httpx.Limits(max_connections=5, keepalive_expiry=600)
        async with AsyncAgentClient(server.url, trust_env=False, limits=limits) as client:
            results = await asyncio.gather(*(client.get_plugin_release(number) for number in range(1, 101)))
        assert results == [RELEASE] * 100

    asyncio.run(main())
    assert server.connections <= 5


def test_calls_one_after_the_other_share_a_connection(serve: Serve) -> None:
    """Sequential calls reuse one connection, even after an error response."""
    server, client = serve(reply(RELEASE), reply({"detail": "no"}, 500), reply(RELEASE))
    assert client.get_plugin_release(7) == RELEASE
    with pytest.raises(exceptions.ServerError):
        client.get_plugin_release(7)
    assert client.get_plugin_release(7) == RELEASE
    assert server.connections == 1


def test_an_async_client_works_in_one_loop_after_the_other(open_server: OpenServer) -> None:
    """An async client works in successive event loops with new connections, and on trio."""
    server = open_server()
    client = AsyncAgentClient(server.url, trust_env=False)
    for _ in range(3):
        assert asyncio.run(client.get_plugin_release(7)) == RELEASE
    asyncio.run(client.aclose())
    assert server.connections == 3

    async def main() -> None:
        async with AsyncAgentClient(server.url, trust_env=False) as client:
            for _ in range(3):
                assert await client.get_plugin_release(7) == RELEASE

    trio.run(main)
    assert server.connections == 4


def test_an_async_client_refuses_two_loops_at_once(open_server: OpenServer) -> None:
    """An async client used in two event loops at once raises an error."""
    server = open_server(silence)
    client = AsyncAgentClient(server.url, trust_env=False)

    async def use() -> None:
        call = asyncio.create_task(client.run_plugin_release(7, "train"))
        await asyncio.to_thread(until, lambda: server.requests)
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, client.get_plugin_release(7))
        call.cancel()
        await client.aclose()

    asyncio.run(use())


def test_a_closed_client_says_so(serve: Serve) -> None:
    """`close()` closes connections and can be called twice; later calls raise an error and send nothing."""
    server, client = serve()
    client.get_plugin_release(7)
    assert len(server.open_connections) == 1
    for _ in range(2):
        client.close()
    until(lambda: not server.open_connections)
    for method, arguments in ((client.get_plugin_release, (7,)), (client.list_plugin_releases, ())):
        with pytest.raises(RuntimeError, match="closed"):
            method(*arguments)
    assert len(server.requests) == 1


@sync_only
def test_a_call_survives_that_its_client_is_closed(serve: Serve) -> None:
    """A call in progress completes if another thread closes the client, then its connection closes."""
    server, client = serve()
    server.answers[:] = [then(lambda _: client.close() is None, reply(RELEASE))]
    assert client.get_plugin_release(7) == RELEASE
    until(lambda: not server.open_connections)


FORKS = {
    "sync": """
        client = AgentClient(url, trust_env=False)
        client.get_plugin_release(1)
        child = os.fork()
        if child == 0:
            client.get_plugin_release(2)
            client.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.get_plugin_release(4)
        client.close()
        """,
    "async": """
        client = AsyncAgentClient(url, trust_env=False)
        async def parent():
            await client.get_plugin_release(1)
            child = os.fork()
            if child == 0:
                raise SystemExit
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            await client.get_plugin_release(4)
            await client.aclose()
        with asyncio.Runner() as runner:
            try:
                runner.run(parent())
            except SystemExit:
                asyncio.run(client.get_plugin_release(2))  # the child cannot use its parent's loop
                os._exit(0)
        """,
}
ENDINGS = {
    "sync": """
        with AgentClient(url, trust_env=False) as closed:
            closed.get_plugin_release(1)
        collected = AgentClient(url, trust_env=False)
        collected.get_plugin_release(2)
        del collected
        gc.collect()
        open = AgentClient(url, trust_env=False)
        open.get_plugin_release(3)
        """,
    "async": """
        collected = AsyncAgentClient(url, trust_env=False)
        asyncio.run(collected.get_plugin_release(1))
        del collected
        gc.collect()
        two_loops = AsyncAgentClient(url, trust_env=False)
        for number in (2, 3):
            asyncio.run(two_loops.get_plugin_release(number))
        """,
}


def served(server: FaultServer, program: str) -> list[tuple[str, int]]:
    """Run a program with warnings as errors and no output; return each lookup and its connection."""
    preamble = """
        import asyncio, gc, logging, os, sys
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # its debug mode warns about slow imports
        from synapse_agent_sdk import AgentClient, AsyncAgentClient
        url = sys.argv[1]
    """
    code = textwrap.dedent(preamble) + textwrap.dedent(program)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, server.url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - ours
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    return [(request.lookup, request.connection) for request in server.requests]


@pytest.mark.heavy
@pytest.mark.parametrize("program", FORKS)
def test_a_forked_process_has_connections_of_its_own(open_server: OpenServer, program: str) -> None:
    """After a fork, parent and child use separate connections."""
    assert served(open_server(), FORKS[program]) == [("1", 1), ("2", 2), ("4", 1)]


@pytest.mark.heavy
@pytest.mark.parametrize("program", ENDINGS)
def test_no_warning_at_exit(open_server: OpenServer, program: str) -> None:
    """A program that exits without closing its client causes no warning."""
    assert served(open_server(), ENDINGS[program]) == [("1", 1), ("2", 2), ("3", 3)]
