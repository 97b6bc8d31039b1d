"""Lists whose pages are asked for several at a time: the same list, the same errors, and nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AsyncAgentClient, lookahead

from tests.wire.faults import BROKEN, FAST, SECONDS, Answer, Received, RoutedServer, page, reply, silence, until
from tests.wire.test_pages import releases

if TYPE_CHECKING:
    import socket

    from tests.wire.conftest import OpenClient, OpenServer


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
    """A page that was asked for ahead and did not come, or not as it should, comes in its turn, or is named."""
    odd = reply(page(releases(6, 7), 29, "?page=8"))
    for answer in (BROKEN["closed"], reply({}, 503), reply({}, 429), odd):
        server = open_server(route=(shelf := Shelf(30, together=4)))
        shelf.events[7] = [answer]
        client = open_client(server.url, retry=FAST, prefetch=4)
        assert client.list_plugin_releases(list_all=True) == (releases(0, 30), 30)
        assert numbers(server).count(7) == 2
        shelf.events[7] = [reply({}, 503)] * 10
        with pytest.raises(exceptions.ServerError, match=r"^page 7 of the list: ") as caught:
            client.list_plugin_releases(list_all=True)
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


def test_a_cancelled_list_leaves_nothing(open_server: OpenServer) -> None:
    """Cancelling a list ends its tasks and connections at once (`AsyncAgentClient`)."""
    shelf = Shelf(40)
    server = open_server()
    server.route = lambda request: silence if int(dict(request.query).get("page", 1)) >= 5 else shelf(request)

    async def main() -> None:
        async with AsyncAgentClient(server.url, trust_env=False, prefetch=8) as client:
            call = asyncio.create_task(client.list_plugin_releases(list_all=True))
            await asyncio.to_thread(until, lambda: len(server.requests) >= 9)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
