"""Calls to compare: the SDK, and the same with raw httpx, http.client, aiohttp and a plain socket.

Each function returns samples for `measure.interleaved`. `agent` is the URL of the stand-in, including the number of
releases.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from synapse_agent_sdk import AgentClient, AsyncAgentClient

from benchmarks.measure import timed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from benchmarks.measure import Sample

TOKEN = "token-of-the-benchmark"  # noqa: S105 - of a short-lived server on loopback
HEADERS = {"Authorization": TOKEN}
GET = "/plugin_releases/7"
RUN = "/plugin_releases/7/run/"
LIST = "/plugin_releases/?page_size=100"
PARAMS = {"path": "/data/images", "top": 5}
BODY = {"action": "analyze", "params": PARAMS}

PUBLISHED = """
import sys, time
from synapse_sdk.clients.agent import AgentClient
client = AgentClient(sys.argv[1], sys.argv[2])
calls = {
    "get": lambda: client.get_plugin_release("7"),
    "run": lambda: client.run_plugin_release("7", "analyze", {"path": "/data/images", "top": 5}),
    "list": lambda: len(list(client.list_plugin_releases({"page_size": 100}, list_all=True)[0])),
}
for line in sys.stdin:
    name, times = line.split()
    begun = time.perf_counter()
    for _ in range(int(times)):
        calls[name]()
    print((time.perf_counter() - begun) / int(times), flush=True)
"""
"""Program for the published `synapse-sdk`, which needs Python 3.12."""


@contextmanager
def sync_calls(agent: str, times: int, published: str | None = None) -> Iterator[dict[str, dict[str, Sample]]]:
    """Samples of one `get`, one `run` and one whole list, by a single caller: seconds each."""
    url = urlsplit(agent)
    bare = http.client.HTTPConnection(str(url.netloc))

    def plain(method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body)
        bare.request(method, url.path + path, content, {**HEADERS, "Content-Type": "application/json"})
        return json.loads(bare.getresponse().read())

    def follow(ask: Callable[[str], Any]) -> list[Any]:
        releases: list[Any] = []
        link = LIST
        while link:
            page = ask(link)
            releases += page["results"]
            link = (page["next"] or "").removeprefix(agent)
        return releases

    with (
        AgentClient(agent, TOKEN, trust_env=False) as ours,
        httpx.Client(base_url=agent, headers=HEADERS, trust_env=False) as raw,
        other_interpreter(agent, published) as theirs,
        bare_socket(agent) as exchange,
    ):
        samples: dict[str, dict[str, Sample]] = {
            "get": {
                "SDK": timed(lambda: ours.get_plugin_release(7), times),
                "httpx": timed(lambda: raw.get(GET).json(), times),
                "http.client": timed(lambda: plain("GET", GET), times),
                "socket": timed(exchange, times),
            },
            "run": {
                "SDK": timed(lambda: ours.run_plugin_release(7, "analyze", PARAMS), times),
                "httpx": timed(lambda: raw.post(RUN, json=BODY).json(), times),
                "http.client": timed(lambda: plain("POST", RUN, BODY), times),
            },
            "list": {
                "SDK": timed(lambda: ours.list_plugin_releases(list_all=True)),
                "httpx": timed(lambda: follow(lambda link: raw.get(link).json())),
                "http.client": timed(lambda: follow(lambda link: plain("GET", link))),
            },
        }
        if theirs is not None:
            for name, number in (("get", times), ("run", times), ("list", 1)):
                samples[name]["synapse-sdk"] = partial(theirs, name, number)
        yield samples
    bare.close()


@contextmanager
def other_interpreter(agent: str, published: str | None) -> Iterator[Callable[[str, int], float] | None]:
    """Return a function that calls the published client in its interpreter, or None if none is given."""
    if published is None:
        yield None
        return
    command = [published, "-c", PUBLISHED, agent, TOKEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours

        def ask(name: str, times: int) -> float:
            assert process.stdin is not None  # noqa: S101 - pipes; for the type checker
            assert process.stdout is not None  # noqa: S101 - as above
            process.stdin.write(f"{name} {times}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        try:
            yield ask
        finally:
            process.terminate()


@contextmanager
def bare_socket(agent: str) -> Iterator[Callable[[], object]]:
    """Sample one prepared request over a socket: the cost of the network and the stand-in."""
    url = urlsplit(agent)
    request = f"GET {url.path}{GET} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {TOKEN}\r\n\r\n".encode()
    with socket.create_connection((str(url.hostname), url.port or 80)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def exchange() -> object:
            connection.sendall(request)
            return connection.recv(65536)

        yield exchange


def async_gets(agent: str, calls: int, at_once: int) -> dict[str, Sample]:
    """Samples of concurrent gets with a warm client: seconds for all calls."""
    samples: dict[str, Sample] = {
        "SDK": lambda: asyncio.run(_sdk(agent, calls, at_once)),
        "httpx": lambda: asyncio.run(_httpx(agent, calls, at_once)),
    }
    try:
        import aiohttp  # noqa: F401 - `make bench` installs it
    except ImportError:
        return samples
    return {**samples, "aiohttp": lambda: asyncio.run(_aiohttp(agent, calls, at_once))}


async def _sdk(agent: str, calls: int, at_once: int) -> float:
    async with AsyncAgentClient(agent, TOKEN, trust_env=False) as client:
        return await burst(lambda: client.get_plugin_release(7), calls, at_once)


async def _httpx(agent: str, calls: int, at_once: int) -> float:
    async with httpx.AsyncClient(base_url=agent, headers=HEADERS, timeout=60, trust_env=False) as client:

        async def get() -> object:
            return (await client.get(GET)).json()

        return await burst(get, calls, at_once)


async def _aiohttp(agent: str, calls: int, at_once: int) -> float:
    import aiohttp

    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def get() -> object:
            async with session.get(agent + GET) as response:
                return await response.json()

        return await burst(get, calls, at_once)


async def burst(get: Callable[[], Awaitable[object]], calls: int, at_once: int) -> float:
    """Return the seconds for concurrent calls, after one round that opens the connections."""
    await asyncio.gather(*(get() for _ in range(at_once)))
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            await get()

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    return time.perf_counter() - begun


def slow_lists(agent: str) -> dict[str, Sample]:
    """Samples of a whole list from an agent with slow pages, sync and async: seconds."""

    async def ours() -> object:
        async with AsyncAgentClient(agent, TOKEN, trust_env=False) as client:
            return await client.list_plugin_releases(list_all=True)

    async def theirs() -> None:
        async with httpx.AsyncClient(base_url=agent, headers=HEADERS, trust_env=False) as client:
            link = LIST
            while link:
                link = ((await client.get(link)).json()["next"] or "").removeprefix(agent)

    def ours_sync() -> object:
        with AgentClient(agent, TOKEN, trust_env=False) as client:
            return client.list_plugin_releases(list_all=True)

    def theirs_sync() -> None:
        with httpx.Client(base_url=agent, headers=HEADERS, trust_env=False) as client:
            link = LIST
            while link:
                link = (client.get(link).json()["next"] or "").removeprefix(agent)

    return {
        "SDK": timed(ours_sync),
        "httpx": timed(theirs_sync),
        "SDK, async": timed(lambda: asyncio.run(ours())),
        "httpx, async": timed(lambda: asyncio.run(theirs())),
    }
