"""Lists whose pages are asked for several at a time: the same list, the same errors, and nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient, lookahead

from tests.wire.faults import BROKEN, FAST, SECONDS, body, page, reply, silence, until
from tests.wire.test_pages import releases
from tests.wire.test_sharing import run_program

if TYPE_CHECKING:
    import socket

    from synapse_sdk.testing.server import Answer

    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import Received, RoutedServer


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are asked for ahead however quick the server is."""
    monkeypatch.setattr(lookahead, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(lookahead, "GAIN_SECONDS", 0.0)


class Shelf:
    """A server's list of releases, one a page, which come once so many pages are asked for at a time."""

    def __init__(self, count: int, *, together: int = 1) -> None:
        self.count = count
        self.events: dict[int, list[Answer]] = {}
        """By the number of a page, what it is answered with before its releases."""
        self.under_way = self.most = 0
        self._together = together
        self._lock = threading.Condition()

    def __call__(self, request: Received) -> Answer:
        """The answer to a request."""
        number = int(dict(request.query).get("page", 1))
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self._lock.notify_all()
        following = f"?page={number + 1}" if number < self.count else None
        whole = reply(page(releases(number - 1, number), self.count, following))
        answer = self.events[number].pop(0) if self.events.get(number) else whole

        def send(connection: socket.socket) -> bool:
            with self._lock:
                if number > 1:
                    self._lock.wait_for(lambda: self.most >= self._together, timeout=SECONDS)
                self.under_way -= 1
            return answer(connection)

        return send


def numbers(server: RoutedServer) -> list[int]:
    """The pages that were asked for, in the order in which they were."""
    return [int(dict(request.query).get("page", 1)) for request in server.requests]


@pytest.mark.parametrize("width", [1, 3, 16])
def test_pages_are_asked_for_several_at_a_time(open_client: OpenClient, open_server: OpenServer, width: int) -> None:
    """As many pages as `prefetch` says are asked for at once, and the list is whole and in order."""
    server = open_server(route=(shelf := Shelf(40, together=width)))
    client = open_client(server.url, prefetch=width)
    assert client.list_plugin_releases({"tag": "ö&="}, list_all=True) == (releases(0, 40), 40)
    assert (shelf.most, sorted(numbers(server))) == (width, list(range(1, 41)))
    assert all(("tag", "ö&=") in request.query for request in server.requests)


def test_what_goes_wrong_ahead_does_not_show(open_client: OpenClient, open_server: OpenServer) -> None:
    """A page that was asked for ahead and did not come, or not as it should, is asked for again in its turn."""
    odd = reply(page(releases(6, 7), 29, "?page=8"))
    for answer in (BROKEN["closed"], reply({}, 503), reply({}, 429), odd):
        server = open_server(route=(shelf := Shelf(30, together=4)))
        shelf.events[7] = [answer]
        client = open_client(server.url, retry=FAST, prefetch=4)
        assert client.list_plugin_releases(list_all=True) == (releases(0, 30), 30)
        assert numbers(server).count(7) == 2


def test_a_page_ahead_that_fails_for_good_is_named(open_client: OpenClient, open_server: OpenServer) -> None:
    """A page that fails for good is named with its own error and what came before it, also where others came ahead."""
    for answer in (reply({}, 500), reply({}, 503), body(b"<html>"), reply(page(releases(6, 7), 30))):
        server = open_server(route=(shelf := Shelf(30, together=4)))
        shelf.events[7] = [answer] * 10
        with pytest.raises(exceptions.ClientError, match=r"^page 7 of the list: ") as caught:
            open_client(server.url, retry=FAST, prefetch=4).list_plugin_releases(list_all=True)
        assert (caught.value.page, caught.value.results) == (7, releases(0, 6))


def test_reading_stops_with_the_reader(open_client: OpenClient, open_server: OpenServer) -> None:
    """Who stops to read has at the most 16 pages asked for ahead, no thread left, and may go on later."""
    before = set(threading.enumerate())
    server = open_server(route=Shelf(200))
    walk = iter(open_client(server.url).iter_plugin_releases())
    assert [next(walk)["id"] for _ in range(40)] == list(range(40))
    assert {each for each in threading.enumerate() if "sdk" in each.name} <= before
    assert len(server.requests) <= 40 + 16
    assert [each["id"] for each in walk] == list(range(40, 200))


def test_closing_while_pages_come(open_server: OpenServer) -> None:
    """A client that is closed while pages are under way ends its list with an error that says so, and no connection."""
    shelf = Shelf(200, together=4)
    server = open_server()
    client = AgentClient(server.url, trust_env=False, prefetch=4)

    def route(request: Received) -> Answer:
        if len(server.requests) == 50:
            client.close()
        return shelf(request)

    server.route = route
    with pytest.raises(RuntimeError, match="closed"):
        client.list_plugin_releases(list_all=True)
    until(lambda: not server.open_connections)


def test_no_threads_to_be_had(open_server: OpenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no further thread, the list comes all the same, in the context of the call."""
    where = ContextVar("where", default="nowhere")
    start = threading.Thread.start
    seen: list[str] = []
    started: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if "sdk" in thread.name:
            started.append(thread)
            if len(started) > 2:
                msg = "can't start new thread"
                raise RuntimeError(msg)
        start(thread)

    class Transport(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(where.get())
            return super().handle_request(request)

    def call() -> Any:
        where.set("here")
        return client.list_plugin_releases(list_all=True)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    server = open_server(route=(shelf := Shelf(30, together=3)))
    with AgentClient(server.url, trust_env=False, transport=Transport()) as client:
        assert copy_context().run(call) == (releases(0, 30), 30)
    assert (shelf.most, seen) == (3, ["here"] * 30)


def silent_from(shelf: Shelf, number: int) -> Any:
    """A server of which pages from a number on never come."""
    return lambda request: silence if int(dict(request.query).get("page", 1)) >= number else shelf(request)


def test_a_cancelled_list_leaves_nothing(open_server: OpenServer) -> None:
    """Cancelling a list ends its tasks and connections at once, on asyncio and on trio (`AsyncAgentClient`)."""
    server = open_server(route=silent_from(Shelf(40), 5))

    async def main() -> None:
        async with AsyncAgentClient(server.url, trust_env=False, prefetch=8) as client:
            call = asyncio.create_task(client.list_plugin_releases(list_all=True))
            await asyncio.to_thread(until, lambda: len(server.requests) >= 9)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
            assert len(asyncio.all_tasks()) == 1

    async def on_trio() -> None:
        async with AsyncAgentClient(server.url, trust_env=False, prefetch=8) as client:
            with trio.move_on_after(0.05):
                await client.list_plugin_releases(list_all=True)
            server.route = Shelf(40, together=8)
            assert await client.list_plugin_releases(list_all=True) == (releases(0, 40), 40)

    asyncio.run(main())
    trio.run(on_trio)


@pytest.mark.heavy
def test_an_interrupted_list_leaves_nothing(open_server: OpenServer) -> None:
    """Ctrl-C while pages are awaited ends the call, with no thread and no connection left (`AgentClient`)."""
    server = open_server()
    silent = silent_from(Shelf(60), 2)

    def all_wait(connection: socket.socket) -> bool:
        until(lambda: len(server.requests) == 18)
        return reply({})(connection)

    server.route = lambda request: all_wait if request.path == "/all-wait" else silent(request)
    program = """
        from synapse_sdk.clients.agent import lookahead
        import signal, threading, urllib.request
        lookahead.SLOW_SECONDS = lookahead.GAIN_SECONDS = 0.0
        def interrupt():
            urllib.request.urlopen(url + "/all-wait").close()
            os.kill(os.getpid(), signal.SIGINT)
        helper = threading.Thread(target=interrupt)
        helper.start()
        client = AgentClient(url, trust_env=False, timeout=600)
        try:
            client.list_plugin_releases(list_all=True)
        except KeyboardInterrupt:
            helper.join()
            assert threading.active_count() == 1, threading.enumerate()
            print("interrupted")
        client.close()
        """
    assert run_program(server, program) == "interrupted"
    until(lambda: not server.open_connections)
