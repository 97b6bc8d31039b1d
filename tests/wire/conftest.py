"""Fixtures that drive the sync and async clients through one interface, and servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Self

import httpx
import pytest
from synapse_agent_sdk import AgentClient, AsyncAgentClient
from synapse_agent_sdk.raw_response import AsyncWithRawResponse

from tests.wire.faults import RELEASE, SECONDS, RoutedServer, reply

OpenClient = Callable[..., Any]
OpenServer = Callable[..., RoutedServer]
Serve = Callable[..., tuple[RoutedServer, Any]]
PATIENCE = {"limits": httpx.Limits(max_connections=100, keepalive_expiry=600), "timeout": SECONDS}
"""Generous limits, so that a slow machine causes no timeouts."""
sync_only = pytest.mark.parametrize("flavour", ["sync"], indirect=True)
"""Runs a test with the sync client only, because both clients share the code."""


class Awaited:
    """A synchronous front for an `AsyncAgentClient` or an object it returns."""

    def __init__(self, client: Any, runner: asyncio.Runner) -> None:
        self.client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if not callable(value):
            return Awaited(value, self._runner) if isinstance(value, AsyncWithRawResponse) else value

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            if inspect.isawaitable(result):
                return self._runner.run(_await(result))
            if hasattr(result, "__aenter__"):
                return Awaited(result, self._runner)
            return Iterated(result, self._runner) if hasattr(result, "__aiter__") else result

        return call

    def __enter__(self) -> Self:
        return type(self)(self._runner.run(_await(self.client.__aenter__())), self._runner)

    def __exit__(self, *ended: object) -> None:
        self._runner.run(_await(self.client.__aexit__(*ended)))


class Iterated:
    """Iterates over an async iterable synchronously."""

    def __init__(self, iterable: Any, runner: asyncio.Runner) -> None:
        self._iterable = iterable
        self._runner = runner

    def __iter__(self) -> Iterator[Any]:
        iterator = aiter(self._iterable)
        while True:
            try:
                yield self._runner.run(_await(anext(iterator)))
            except StopAsyncIteration:
                return

    def pages(self) -> Iterator[Any]:
        """Iterate over the pages."""
        return iter(Iterated(self._iterable.pages(), self._runner))


async def _await(awaitable: Any) -> Any:
    return await awaitable


@pytest.fixture(params=["sync", "async"])
def flavour(request: pytest.FixtureRequest) -> str:
    """Run each test with both clients, unless it is marked `sync_only`."""
    return str(request.param)


@pytest.fixture
def open_client(flavour: str) -> Iterator[OpenClient]:
    """Create clients of the current flavour; `waits` records retry waits instead of sleeping."""
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner()) if flavour == "async" else None

        def make(url: str, *, waits: list[float] | None = None, **options: Any) -> Any:
            options = {"agent_token": "agent-token", "trust_env": False, **PATIENCE, **options}
            if runner is None:
                sync = stack.enter_context(contextlib.closing(AgentClient(url, **options)))
                if waits is not None:
                    sync._http.sleep = waits.append  # type: ignore[assignment]  # replaced for the test
                return sync
            client = AsyncAgentClient(url, **options)
            stack.callback(lambda: runner.run(client.aclose()))
            if waits is not None:

                async def wait(seconds: float) -> None:
                    waits.append(seconds)

                client._http.sleep = wait  # type: ignore[method-assign]  # replaced for the test
            return Awaited(client, runner)

        yield make


@pytest.fixture
def open_server() -> Iterator[OpenServer]:
    """Start misbehaving servers and stop them after the test."""
    with contextlib.ExitStack() as stack:

        def start(*answers: Any, route: Any = None, **options: Any) -> RoutedServer:
            server = RoutedServer(list(answers) or [reply(RELEASE)], **options)
            server.route = route
            return stack.enter_context(server)

        yield start


@pytest.fixture
def serve(open_client: OpenClient, open_server: OpenServer) -> Serve:
    """Start a server with the given responses, and create a client for it."""

    def start(*answers: Any, **options: Any) -> tuple[RoutedServer, Any]:
        server = open_server(*answers)
        return server, open_client(server.url, **options)

    return start
