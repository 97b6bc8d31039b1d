"""Lists whose pages are asked for several at a time: the same list, the same errors, and nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from contextvars import ContextVar, copy_context
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient, RetryPolicy, lookahead

from tests.wire.faults import BROKEN, RELEASE, body, page, reply, silence
from tests.wire.test_pages import releases
from tests.wire.test_sharing import run_program

if TYPE_CHECKING:
    import socket

    from synapse_sdk.testing.server import Answer

    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import Received, RoutedServer

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)
OVER = {"sync": "close", "async": "aclose"}


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are asked for ahead however quick the server is."""
    monkeypatch.setattr(lookahead, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(lookahead, "GAIN_SECONDS", 0.0)


class Shelf:
    """A server's list of releases in numbered pages; what happens at a page may be laid down."""

    def __init__(self, count: int, size: int = 1, *, together: int = 1) -> None:
        self.count = count
        self.size = size
        self.events: dict[int, list[Answer]] = {}
        """By the number of a page, what it is answered with before its releases."""
        self.under_way = 0
        self.most = 0
        self.link = "?page={}"
        self._together = together
        self._lock = threading.Condition()

    def __call__(self, request: Received) -> Answer:
        """The answer to a request."""
        number = int(dict(request.query).get("page", 1))
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self._lock.notify_all()
            events = self.events.get(number, [])
            answer = events.pop(0) if events else reply(self.page(number))

        def send(connection: socket.socket) -> bool:
            with self._lock:
                # Whoever asks for pages one by one is answered late, and the test sees it in `most`.
                if number > 1:
                    self._lock.wait_for(lambda: self.most >= self._together, timeout=0.05)
                self.under_way -= 1
            return answer(connection)

        return send

    def page(self, number: int, **other: Any) -> dict[str, Any]:
        """A page as it should be."""
        stop = min(number * self.size, self.count)
        following = self.link.format(number + 1) if stop < self.count else None
        return {**page(releases((number - 1) * self.size, stop), self.count, following), **other}


def numbers(server: RoutedServer) -> list[int]:
    """The pages that were asked for, in the order in which they were."""
    return [int(dict(request.query).get("page", 1)) for request in server.requests]


def test_pages_are_asked_for_several_at_a_time(open_client: OpenClient, open_server: OpenServer) -> None:
    """Pages with numbered links are asked for several at a time, and the list is whole and in order."""
    server = open_server(route=(shelf := Shelf(60, together=16)))
    assert open_client(server.url).list_plugin_releases(list_all=True) == (releases(0, 60), 60)
    assert shelf.most == 16
    assert sorted(numbers(server)) == list(range(1, 61))


def test_the_width_is_the_callers(open_client: OpenClient, open_server: OpenServer) -> None:
    """`prefetch` says how many pages are asked for at once."""
    server = open_server(route=(shelf := Shelf(30, together=3)))
    assert open_client(server.url, prefetch=3).list_plugin_releases(list_all=True) == (releases(0, 30), 30)
    assert shelf.most == 3


def test_a_width_of_one_follows_the_links(open_client: OpenClient, open_server: OpenServer) -> None:
    """With `prefetch=1` one page is asked for after the other, over one connection."""
    server = open_server(route=Shelf(30))
    assert open_client(server.url, prefetch=1).list_plugin_releases(list_all=True) == (releases(0, 30), 30)
    assert numbers(server) == list(range(1, 31))
    assert server.connections == 1


@pytest.mark.parametrize("width", [0, -1, True, 2.0, "4", None])
def test_a_width_that_is_none_is_refused(open_client: OpenClient, width: Any) -> None:
    """A `prefetch` that is no number of pages is refused when the client is made."""
    with pytest.raises(ValueError, match="prefetch must be a whole number"):
        open_client("http://127.0.0.1:9", prefetch=width)


def test_a_quick_agent_is_asked_one_by_one(
    open_client: OpenClient, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first page came quickly, one page is asked for after the other."""
    monkeypatch.setattr(lookahead, "SLOW_SECONDS", 60.0)
    server = open_server(route=Shelf(30))
    open_client(server.url).list_plugin_releases(list_all=True)
    assert numbers(server) == list(range(1, 31))
    assert server.connections == 1


def test_connections_bound_the_width(open_client: OpenClient, open_server: OpenServer) -> None:
    """No more pages are asked for at once than the client may have connections."""
    server = open_server(route=(shelf := Shelf(30, together=2)))
    limits = httpx.Limits(max_connections=2)
    assert open_client(server.url, limits=limits).list_plugin_releases(list_all=True) == (releases(0, 30), 30)
    assert (shelf.most, server.connections) == (2, 2)


def test_filters_are_on_every_page(open_client: OpenClient, open_server: OpenServer) -> None:
    """Each page that is asked for ahead has the caller's filters and page size, and the walk may start anywhere."""
    server = open_server(route=Shelf(40, 2, together=8))
    params = {"page": 3, "page_size": 2, "plugin": "ö&=", "tag": ["x", "y"], "cached": True}
    found, total = open_client(server.url).list_plugin_releases(params, list_all=True)
    assert (found, total) == (releases(4, 40), 40)
    expected = [("cached", "true"), ("page_size", "2"), ("plugin", "ö&="), ("tag", "x"), ("tag", "y")]
    for request in server.requests:
        assert sorted(part for part in request.query if part[0] != "page") == expected
    assert sorted(numbers(server)) == list(range(3, 21))


@pytest.mark.parametrize("link", ["?cursor={}&page={}", "?page={}&session=1"])
def test_other_links_are_followed(open_client: OpenClient, open_server: OpenServer, link: str) -> None:
    """Links with more than a number and what was asked for are followed one by one."""
    server = open_server(route=(shelf := Shelf(10)))
    shelf.link = link.replace("{}", "{0}")
    assert open_client(server.url).list_plugin_releases(list_all=True) == (releases(0, 10), 10)
    assert numbers(server) == list(range(1, 11))


PASSING: dict[str, Answer] = {
    **BROKEN,
    "503": reply({"detail": "busy"}, 503),
    "429": reply({"detail": "busy"}, 429),
    "another count": reply({**page(releases(6, 7), 29, "?page=8")}),
    "another size": reply({**page(releases(12, 14), 30, "?page=8")}),
    "no results": reply(page([], 30, "?page=8")),
    "a short one": reply(page([], 30, None)),
    "no link": reply(page(releases(6, 7), 30, None)),
    "another page": reply(page(releases(0, 1), 30, "?page=2")),
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_goes_wrong_ahead_does_not_show(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """A page that was asked for ahead and did not come, or not as it should, is asked for again in its turn."""
    server = open_server(route=(shelf := Shelf(30, together=4)))
    shelf.events[7] = [PASSING[fault]]
    client = open_client(server.url, retry=FAST, prefetch=4)
    assert client.list_plugin_releases(list_all=True) == (releases(0, 30), 30)
    assert numbers(server).count(7) == 2


LASTING: dict[str, tuple[Answer, type[Exception], str, int]] = {
    "500": (reply({"detail": "broken"}, 500), exceptions.ServerError, "500: broken", 1),
    "404": (reply({"detail": "gone"}, 404), exceptions.NotFoundError, "404: gone", 1),
    "503": (reply({"detail": "down"}, 503), exceptions.ServerError, "503: down", 4),
    "429": (reply({"detail": "busy"}, 429), exceptions.RateLimitError, "429: busy", 4),
    "cut body": (BROKEN["cut in the body"], exceptions.ClientConnectionError, "no answer", 4),
    "HTML": (body(b"<html>"), exceptions.InvalidResponseError, "not JSON", 1),
    "a list": (reply([1]), exceptions.InvalidResponseError, "list where dict belongs", 1),
    "no results": (reply({"count": 30, "next": "?page=8"}), exceptions.PaginationError, "no list but None", 2),
    "an early end": (reply(page(releases(6, 7), 30)), exceptions.PaginationError, "only 7 of 30", 2),
    "a way back": (reply(page(releases(6, 7), 30, "?page=2")), exceptions.PaginationError, "back to a page", 2),
    "elsewhere": (reply(page(releases(6, 7), 30, "//evil/?page=8")), exceptions.UntrustedOriginError, "evil", 1),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_page_ahead_that_fails_for_good_is_named(
    open_client: OpenClient, open_server: OpenServer, fault: str
) -> None:
    """A page that fails for good is named with its own error and what came before it, also where others came ahead."""
    answer, kind, message, times = LASTING[fault]
    server = open_server(route=(shelf := Shelf(30, together=4)))
    shelf.events[7] = [answer] * 10
    client = open_client(server.url, retry=FAST, prefetch=4)
    with pytest.raises(kind, match=rf"^page 7 of the list: .*{message}") as caught:
        client.list_plugin_releases(list_all=True)
    assert isinstance(caught.value, exceptions.ClientError)
    assert (caught.value.page, caught.value.results) == (7, releases(0, 6))
    assert numbers(server).count(7) == times


def test_nothing_is_sent_again_without_retries(open_client: OpenClient, open_server: OpenServer) -> None:
    """With `retry=None` an error of the agent for a page that was asked for ahead is final."""
    server = open_server(route=(shelf := Shelf(30, together=4)))
    shelf.events[7] = [reply({"detail": "down"}, 503)] * 10
    with pytest.raises(exceptions.ServerError, match="page 7 of the list"):
        open_client(server.url, retry=None, prefetch=4).list_plugin_releases(list_all=True)
    assert numbers(server).count(7) == 1


def test_a_refusal_is_waited_for(open_client: OpenClient, open_server: OpenServer) -> None:
    """A page ahead that is answered with 429 is asked for again after its `Retry-After`."""
    server = open_server(route=(shelf := Shelf(60, together=8)))
    shelf.events[2] = [reply({"detail": "busy"}, 429, {"Retry-After": "20"})]
    waits: list[float] = []
    client = open_client(server.url, waits=waits, prefetch=8)
    assert client.list_plugin_releases(list_all=True) == (releases(0, 60), 60)
    assert [round(wait) for wait in waits] == [20]


def test_a_server_that_lets_in_one_at_a_time(open_client: OpenClient, open_server: OpenServer) -> None:
    """A server that refuses all but one request at a time gives its whole list."""
    shelf = Shelf(40)
    server = open_server()
    busy = threading.Lock()

    def route(request: Received) -> Answer:
        if not busy.acquire(blocking=False):
            return reply({"detail": "one at a time"}, 429)
        answer = shelf(request)

        def send(connection: socket.socket) -> bool:
            time.sleep(0.005)
            busy.release()
            return answer(connection)

        return send

    server.route = route
    assert open_client(server.url, retry=FAST).list_plugin_releases(list_all=True) == (releases(0, 40), 40)


def test_connections_that_others_keep_are_done_without(open_server: OpenServer) -> None:
    """Where a long run has all connections but one, the list comes over that one."""
    shelf = Shelf(20)
    server = open_server(route=lambda request: silence if request.method == "POST" else shelf(request))
    limits = httpx.Limits(max_connections=2)

    async def main() -> None:
        async with AsyncAgentClient(server.url, trust_env=False, limits=limits) as client:
            run = asyncio.create_task(client.run_plugin_release(7, "train"))
            await asyncio.to_thread(wait_until, lambda: server.requests)
            assert await client.list_plugin_releases(list_all=True) == (releases(0, 20), 20)
            run.cancel()

    asyncio.run(main())


def test_reading_stops_with_the_reader(open_client: OpenClient, open_server: OpenServer) -> None:
    """Who stops to read has at the most 16 pages asked for ahead, no thread left, and may go on later."""
    before = set(threading.enumerate())
    server = open_server(route=Shelf(500))
    walk = iter(open_client(server.url).iter_plugin_releases())
    assert [next(walk)["id"] for _ in range(40)] == list(range(40))
    assert {each for each in threading.enumerate() if "sdk" in each.name} <= before
    asked = len(server.requests)
    assert asked <= 40 + 16
    time.sleep(0.02)
    assert len(server.requests) == asked
    assert [each["id"] for each in walk] == list(range(40, 500))


def test_a_list_is_an_iterator(open_client: OpenClient, open_server: OpenServer, flavour: str) -> None:
    """A list gives one release after the other, each once, by `next` and by a loop."""
    server = open_server(route=Shelf(10))
    client = open_client(server.url)
    if flavour == "sync":
        walk = client.iter_plugin_releases()
        assert next(walk)["id"] == 0
        assert [each["id"] for each in walk] == list(range(1, 10))
        assert list(walk) == []
    else:

        async def main() -> None:
            walk = client.client.iter_plugin_releases()
            assert (await anext(walk))["id"] == 0
            assert [each["id"] async for each in walk] == list(range(1, 10))
            assert [each async for each in walk] == []

        client._runner.run(main())


def test_a_list_goes_on_after_an_error(open_server: OpenServer) -> None:
    """After a page that failed the iterator asks for it again, and does not pass its list off as read."""
    server = open_server(route=(shelf := Shelf(20, together=4)))
    shelf.events[7] = [reply({"detail": "broken"}, 500)]
    with AgentClient(server.url, trust_env=False, prefetch=4) as client:
        walk = client.iter_plugin_releases()
        assert [next(walk)["id"] for _ in range(6)] == list(range(6))
        with pytest.raises(exceptions.ServerError, match="page 7"):
            next(walk)
        assert [each["id"] for each in walk] == list(range(6, 20))


def test_a_closed_client_ends_its_lists(open_client: OpenClient, open_server: OpenServer, flavour: str) -> None:
    """A list whose client was closed says so when it needs a further page."""
    server = open_server(route=Shelf(200))
    client = open_client(server.url)
    walk = iter(client.iter_plugin_releases())
    next(walk)
    getattr(client, OVER[flavour])()
    with pytest.raises(RuntimeError, match="closed"):
        list(walk)


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
    assert len(server.requests) < 60
    wait_until(lambda: not server.open_connections)


def wait_until(condition: Any) -> None:
    """Wait for a thing that is about to be so."""
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    assert condition()


def test_no_threads_to_be_had(open_server: OpenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no further thread, the list comes all the same."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "sdk" in thread.name:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    server = open_server(route=(shelf := Shelf(30)))
    with AgentClient(server.url, trust_env=False) as client:
        assert client.list_plugin_releases(list_all=True) == (releases(0, 30), 30)
    assert shelf.most == 1


def test_requests_ahead_belong_to_their_caller(open_client: OpenClient, open_server: OpenServer, flavour: str) -> None:
    """Requests ahead are sent in the context of the call, so that traces show them below it."""
    where = ContextVar("where", default="nowhere")
    seen: list[str] = []

    class Sync(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(where.get())
            return super().handle_request(request)

    class Async(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(where.get())
            return await super().handle_async_request(request)

    server = open_server(route=(shelf := Shelf(30, together=8)))
    client = open_client(server.url, transport=Sync() if flavour == "sync" else Async(), prefetch=8)

    def call() -> Any:
        where.set("here")
        return client.list_plugin_releases(list_all=True)

    if flavour == "sync":
        assert copy_context().run(call) == (releases(0, 30), 30)
    else:

        async def main() -> Any:
            where.set("here")
            return await client.client.list_plugin_releases(list_all=True)

        assert client._runner.run(main()) == (releases(0, 30), 30)
    assert seen == ["here"] * 30
    assert shelf.most == 8


def silent_from(shelf: Shelf, number: int) -> Any:
    """A server of which pages from a number on never come."""
    return lambda request: silence if int(dict(request.query).get("page", 1)) >= number else shelf(request)


def test_a_cancelled_list_leaves_nothing(open_server: OpenServer) -> None:
    """Cancelling a list ends its tasks and connections at once, and an iterator may go on after it."""
    shelf = Shelf(40)
    server = open_server(route=silent_from(shelf, 5))

    async def main() -> None:
        async with AsyncAgentClient(server.url, trust_env=False, prefetch=8) as client:
            call = asyncio.create_task(client.list_plugin_releases(list_all=True))
            await asyncio.to_thread(wait_until, lambda: len(server.requests) >= 9)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
            assert len(asyncio.all_tasks()) == 1

            walk = client.iter_plugin_releases()
            found = [await anext(walk)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    found += [each async for each in walk]
            server.route = shelf
            found += [each async for each in walk]
            assert sorted(each["id"] for each in found) == sorted({each["id"] for each in found})
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_lists_on_trio(open_server: OpenServer) -> None:
    """Lists whose pages are asked for ahead work on trio: whole, cancelled and given up."""
    server = open_server(route=(shelf := Shelf(40, together=8)))

    async def main() -> None:
        async with AsyncAgentClient(server.url, trust_env=False, prefetch=8) as client:
            assert await client.list_plugin_releases(list_all=True) == (releases(0, 40), 40)
            assert [each async for each in client.iter_plugin_releases()] == releases(0, 40)
            async for each in client.iter_plugin_releases():
                if each["id"] == 20:
                    break
            server.route = silent_from(shelf, 5)
            with trio.move_on_after(0.05):
                await client.list_plugin_releases(list_all=True)

    trio.run(main)
    assert shelf.most == 8


PREAMBLE = """
    from synapse_sdk.clients.agent import lookahead
    import gc, signal, threading, time
    lookahead.SLOW_SECONDS = lookahead.GAIN_SECONDS = 0.0
"""
GIVEN_UP = {
    "break": """
        client = AgentClient(url, trust_env=False)
        for release in client.iter_plugin_releases():
            if release["id"] == 20:
                break
        """,
    "garbage": """
        client = AgentClient(url, trust_env=False)
        walk = client.iter_plugin_releases()
        for _ in range(20):
            next(walk)
        del walk
        gc.collect()
        """,
    "an exception": """
        try:
            with AgentClient(url, trust_env=False) as client:
                for release in client.iter_plugin_releases():
                    if release["id"] == 20:
                        raise KeyError
        except KeyError:
            pass
        """,
    "a thread": """
        client = AgentClient(url, trust_env=False)
        threading.Thread(target=lambda: list(client.iter_plugin_releases())).start()
        """,
    "async": """
        async def main():
            client = AsyncAgentClient(url, trust_env=False)
            async for release in client.iter_plugin_releases():
                if release["id"] == 20:
                    break
            assert len(asyncio.all_tasks()) == 1
        asyncio.run(main())
        """,
    "async, garbage": """
        async def main():
            client = AsyncAgentClient(url, trust_env=False)
            walk = client.iter_plugin_releases()
            for _ in range(20):
                await anext(walk)
            del walk
            gc.collect()
        asyncio.run(main())
        """,
    "trio": """
        import trio
        async def main():
            client = AsyncAgentClient(url, trust_env=False)
            walk = client.iter_plugin_releases()
            for _ in range(20):
                await anext(walk)
            del walk
            gc.collect()
            await client.aclose()
        trio.run(main)
        """,
}


@pytest.mark.parametrize("how", GIVEN_UP)
def test_a_list_that_is_given_up_leaves_nothing(open_server: OpenServer, how: str) -> None:
    """A list that is not read to its end leaves no thread, no warning, and a program that ends."""
    server = open_server(route=Shelf(60))
    check = "\nassert how == 'a thread' or threading.active_count() == 1, threading.enumerate()\n"
    program = "\n".join(map(dedent, (PREAMBLE, f"how = {how!r}", GIVEN_UP[how], check)))
    run_program(server, program)
    assert len(server.requests) > 20


INTERRUPTED = {
    "sync": """
        client = AgentClient(url, trust_env=False, timeout=60)
        try:
            client.list_plugin_releases(list_all=True)
        except KeyboardInterrupt:
            interrupted()
        client.close()
        """,
    "asyncio": """
        async def main():
            async with AsyncAgentClient(url, trust_env=False, timeout=60) as client:
                await client.list_plugin_releases(list_all=True)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            interrupted()
        """,
    "trio": """
        import trio
        async def main():
            async with AsyncAgentClient(url, trust_env=False, timeout=60) as client:
                await client.list_plugin_releases(list_all=True)
        try:
            trio.run(main)
        except* KeyboardInterrupt:
            interrupted()
        """,
}


@pytest.mark.parametrize("how", INTERRUPTED)
def test_an_interrupted_list_leaves_nothing(open_server: OpenServer, how: str) -> None:
    """Ctrl-C while pages are awaited ends the call at once, with no thread and no connection left."""
    server = open_server()
    silent = silent_from(Shelf(60), 2)

    def all_wait(connection: socket.socket) -> bool:
        wait_until(lambda: len(server.requests) == 18)
        return reply({})(connection)

    server.route = lambda request: all_wait if request.path == "/all-wait" else silent(request)
    program = """
        import urllib.request
        def interrupt():
            urllib.request.urlopen(url + "/all-wait").close()
            begun.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        def interrupted():
            helper.join()
            assert time.monotonic() - begun[0] < 5
            assert threading.active_count() == 1, threading.enumerate()
            print("interrupted")
        begun = []
        helper = threading.Thread(target=interrupt)
        helper.start()
        """
    printed = run_program(server, "\n".join(map(dedent, (PREAMBLE, program, INTERRUPTED[how]))))
    assert printed == "interrupted"
    wait_until(lambda: not server.open_connections)


def test_a_fork_between_pages(open_server: OpenServer) -> None:
    """A process that forks while it holds an iterator reads the rest in both, each over connections of its own."""
    server = open_server(route=Shelf(60))
    printed = run_program(
        server,
        dedent(PREAMBLE)
        + dedent(
            """
            client = AgentClient(url, trust_env=False)
            walk = client.iter_plugin_releases()
            for _ in range(20):
                next(walk)
            child = os.fork()
            rest = [release["id"] for release in walk]
            assert rest == list(range(20, 60)), rest
            if child == 0:
                client.close()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            client.close()
            print("done")
            """
        ),
    )
    assert printed == "done"


def test_other_calls_go_on_beside_a_list(open_server: OpenServer) -> None:
    """A client that reads a list ahead serves other threads meanwhile."""
    shelf = Shelf(200, together=8)
    server = open_server(route=lambda each: shelf(each) if each.query else reply(RELEASE))
    with AgentClient(server.url, trust_env=False, prefetch=8) as client:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(client.list_plugin_releases(list_all=True)))
        thread.start()
        assert [client.get_plugin_release(7) for _ in range(50)] == [RELEASE] * 50
        thread.join()
    assert found == [(releases(0, 200), 200)]
