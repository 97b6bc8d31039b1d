"""Lists of many pages: complete, in order, and never without end."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import RetryPolicy, lookahead

from tests.wire.faults import page, reply

if TYPE_CHECKING:
    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import FaultServer, Received

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)
PATH = "/plugin_releases/"
LINKS = {
    "absolute": "{url}/plugin_releases/?page={page}&page_size=100",
    "absolute path": "/plugin_releases/?page={page}&page_size=100",
    "query alone": "?page={page}",
    "cursor": "{url}/plugin_releases/?cursor=a%2Fb%3D%3D{page}%20%2B",
}


def releases(start: int, stop: int) -> list[dict[str, Any]]:
    """Releases with ids from `start` to `stop`."""
    return [{"id": number, "plugin": "ocr", "version": f"1.0.{number}"} for number in range(start, stop)]


def serve_pages(open_server: OpenServer, form: str, prefix: str = "") -> FaultServer:
    """A server of three pages with links of a form."""
    server = open_server()
    links = [LINKS[form].format(url=server.url + prefix, page=number) for number in (2, 3)]
    server.answers[:] = [
        reply(page(releases(0, 100), 250, links[0])),
        reply(page(releases(100, 200), 250, links[1], "?page=1")),
        reply(page(releases(200, 250), 250, None, "?page=2")),
    ]
    return server


@pytest.mark.parametrize("prefix", ["", "/team-a/agent"])
@pytest.mark.parametrize("form", LINKS)
def test_all_pages_are_read_in_order(open_client: OpenClient, open_server: OpenServer, form: str, prefix: str) -> None:
    """A whole list is complete and in order, whatever form its links have, under a path prefix too."""
    server = serve_pages(open_server, form, prefix)
    found, total = open_client(server.url + prefix).list_plugin_releases({"plugin": "ocr"}, list_all=True)
    assert (found, total) == (releases(0, 250), 250)
    assert {request.path for request in server.requests} == {prefix + PATH}
    assert all(("plugin", "ocr") in request.query for request in server.requests)
    assert [dict(request.query).get("page_size") for request in server.requests] == ["100"] * 3


def test_a_cursor_arrives_as_it_was_given(open_client: OpenClient, open_server: OpenServer) -> None:
    """An opaque cursor in a link comes back to the agent with the same meaning."""
    server = serve_pages(open_server, "cursor")
    open_client(server.url).list_plugin_releases(list_all=True)
    assert [dict(request.query).get("cursor") for request in server.requests] == [None, "a/b==2 +", "a/b==3 +"]


def test_releases_are_iterated_lazily(open_client: OpenClient, open_server: OpenServer) -> None:
    """Iterating fetches a page when its first release is asked for, and gives the pages too."""
    server = serve_pages(open_server, "absolute")
    walk = iter(open_client(server.url).iter_plugin_releases())
    assert server.requests == []
    assert [next(walk)["id"] for _ in range(100)] == list(range(100))
    assert len(server.requests) == 1
    assert next(walk)["id"] == 100
    assert len(server.requests) == 2


def test_pages_are_given_as_they_were_sent(open_client: OpenClient, open_server: OpenServer) -> None:
    """The pages of an iteration are the agent's own."""
    server = serve_pages(open_server, "absolute")
    pages = list(open_client(server.url).iter_plugin_releases({"page_size": 100}).pages())
    assert [len(each["results"]) for each in pages] == [100, 100, 50]
    assert pages[2]["previous"] == "?page=2"


@pytest.mark.parametrize("slow", [0.0, 60.0], ids=["ahead", "one by one"])
def test_an_iteration_holds_a_few_pages(
    open_client: OpenClient, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch, slow: float
) -> None:
    """However long a list is, an iteration holds a few pages at a time, those asked for ahead included."""
    monkeypatch.setattr(lookahead, "SLOW_SECONDS", slow)
    many = 300
    server = open_server()

    def route(request: Received) -> Any:
        number = int(dict(request.query).get("page", 1))
        following = f"?page={number + 1}" if number < many else None
        return reply(page(releases(100 * number, 100 * number + 100), 100 * many, following))

    server.route = route
    walk = open_client(server.url).iter_plugin_releases()
    count = 0
    tracemalloc.start()
    try:
        for each in walk.pages():
            count += len(each["results"])
            if count == 1000:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert count == 100 * many
    assert peak < 5 * 2**20


def test_the_page_size_is_the_callers(open_client: OpenClient, open_server: OpenServer) -> None:
    """A page size that is given is asked for, in place of 100."""
    server = open_server(reply(page([], 0)))
    open_client(server.url).list_plugin_releases({"page_size": 7, "page": None}, list_all=True)
    assert server.requests[0].query == [("page_size", "7")]


def test_one_page_is_asked_for_as_given(open_client: OpenClient, open_server: OpenServer) -> None:
    """One page is asked for with the caller's parameters alone, and returned as it was sent."""
    server = open_server(reply({**page([], 0), "extra": 1}))
    client = open_client(server.url)
    assert client.list_plugin_releases({"page": 3, "plugin": "ocr"}) == {**page([], 0), "extra": 1}
    assert client.list_plugin_releases() == {**page([], 0), "extra": 1}
    assert [request.query for request in server.requests] == [[("page", "3"), ("plugin", "ocr")], []]


@pytest.mark.parametrize("link", ["{url}/plugin_releases/?page_size=100", "?page=1", "/plugin_releases/", "?page=2"])
def test_a_link_that_repeats_is_an_error(open_client: OpenClient, open_server: OpenServer, link: str) -> None:
    """A link to the next page that leads back ends in an error with what was read."""
    server = open_server()
    server.answers[:] = [reply(page(releases(0, 1), 1000, link.format(url=server.url)))]
    with pytest.raises(exceptions.PaginationError, match=r"page \d of the list.*leads back") as caught:
        open_client(server.url, prefetch=1).list_plugin_releases(list_all=True)
    assert len(server.requests) <= 3
    assert caught.value.results is not None
    assert len(caught.value.results) == len(server.requests) - 1
    with pytest.raises(exceptions.PaginationError):
        list(open_client(server.url).iter_plugin_releases())


@pytest.mark.parametrize("count", [3, None])
@pytest.mark.parametrize("size", [0, 1])
def test_a_list_without_end_is_an_error(
    open_client: OpenClient, open_server: OpenServer, count: int | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list whose links go on for ever ends in an error."""
    monkeypatch.setattr("synapse_sdk.clients.agent.pagination.MAX_PAGES_WITHOUT_COUNT", 200)
    server = open_server()
    numbers = iter(range(2, 100_000))

    def endless(connection: Any) -> bool:
        answer = {"next": f"?page={next(numbers)}", "results": releases(0, size)}
        return reply(answer if count is None else {**answer, "count": count})(connection)

    server.answers[:] = [endless]
    with pytest.raises(exceptions.PaginationError, match="does not end"):
        open_client(server.url).list_plugin_releases(list_all=True)
    assert len(server.requests) <= 250


@pytest.mark.parametrize("shape", [{}, {"results": None}, {"results": {}}, {"results": "x"}, {"count": 1}])
def test_a_page_without_results_is_an_error(open_client: OpenClient, open_server: OpenServer, shape: Any) -> None:
    """A page whose results are missing, null or no list ends in an error that names the page."""
    client = open_client(open_server(reply(shape)).url)
    with pytest.raises(exceptions.PaginationError, match="page 1 of the list"):
        client.list_plugin_releases(list_all=True)
    with pytest.raises(exceptions.PaginationError, match="page 1 of the list"):
        list(client.iter_plugin_releases())


@pytest.mark.parametrize("count", [None, "3", True, -1, 2.5])
def test_a_missing_count_is_counted(open_client: OpenClient, open_server: OpenServer, count: Any) -> None:
    """Where an agent does not say how many releases there are, they are counted."""
    server = open_server(reply({"results": releases(0, 3), "count": count, "next": None}))
    assert open_client(server.url).list_plugin_releases(list_all=True) == (releases(0, 3), 3)


def test_a_list_that_ends_too_early_is_an_error(open_client: OpenClient, open_server: OpenServer) -> None:
    """A list that is shorter than its count is never passed off as whole."""
    server = open_server(reply(page(releases(0, 3), 10)))
    with pytest.raises(exceptions.PaginationError, match="only 3 of 10") as caught:
        open_client(server.url).list_plugin_releases(list_all=True)
    assert caught.value.results == []
    assert caught.value.page == 1


def test_a_walk_may_start_in_the_middle(open_client: OpenClient, open_server: OpenServer) -> None:
    """Reading from a later page on gives the rest of the list, and no error."""
    server = open_server(reply(page(releases(5, 10), 10, None, "?page=1")))
    found, total = open_client(server.url).list_plugin_releases({"page": 2}, list_all=True)
    assert (found, total) == (releases(5, 10), 10)


@pytest.mark.parametrize("link", [5, ["?page=2"], {"page": 2}, True])
def test_a_link_that_is_no_text_is_an_error(open_client: OpenClient, open_server: OpenServer, link: Any) -> None:
    """A link that is no text ends in an error."""
    server = open_server(reply({"count": 9, "next": link, "results": releases(0, 1)}))
    with pytest.raises(exceptions.PaginationError, match="no text"):
        open_client(server.url).list_plugin_releases(list_all=True)


def test_a_page_that_fails_is_named(open_client: OpenClient, open_server: OpenServer) -> None:
    """A page that fails for good is named, with the error that it is and what was read before it."""
    server = open_server(
        reply(page(releases(0, 2), 4, "?page=2")), *[reply({"detail": "down"}, 503)] * 3, reply({"detail": "no"}, 500)
    )
    client = open_client(server.url, retry=FAST)
    with pytest.raises(exceptions.ServerError, match=r"page 2 of the list: GET .* -> 503: down") as caught:
        client.list_plugin_releases(list_all=True)
    assert (caught.value.page, caught.value.results, caught.value.status_code) == (2, releases(0, 2), 503)


def test_a_page_that_fails_once_is_read_again(open_client: OpenClient, open_server: OpenServer) -> None:
    """A page that fails once does not cost the list."""
    server = open_server(
        reply(page(releases(0, 2), 4, "?page=2")), reply({"detail": "down"}, 503), reply(page(releases(2, 4), 4))
    )
    assert open_client(server.url, retry=FAST).list_plugin_releases(list_all=True) == (releases(0, 4), 4)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PAGES = st.fixed_dictionaries({}, optional={"count": JSON, "next": JSON, "previous": JSON, "results": JSON}) | JSON


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=PAGES)
def test_no_shape_of_a_page_breaks_the_walk(open_client: OpenClient, open_server: OpenServer, shape: Any) -> None:
    """Whatever a page looks like, the answer is a list or a ClientError."""
    content = json.dumps(shape)
    server = open_server(reply(json.loads(content)), reply(page([], 0)))
    with contextlib.suppress(exceptions.ClientError):
        found, total = open_client(server.url).list_plugin_releases(list_all=True)
        assert isinstance(found, list)
        assert isinstance(total, int)
