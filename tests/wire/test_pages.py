"""Pagination: lists are complete, in order and finite."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from synapse_agent_sdk import exceptions

from tests.wire.conftest import OpenClient, OpenServer, Serve, sync_only
from tests.wire.faults import FAST, Answer, FaultServer, Received, page, reply

PATH = "/plugin_releases/"
LINKS = {
    "absolute": "{url}/plugin_releases/?page={page}&page_size=100",
    "absolute path": "/plugin_releases/?page={page}&page_size=100",
    "query alone": "?page={page}",
    "cursor": "{url}/plugin_releases/?cursor=a%2Fb%FF%00{page}%20+",
}


def releases(start: int, stop: int) -> list[dict[str, Any]]:
    """Releases with ids from `start` to `stop`."""
    return [{"id": number, "plugin": "ocr", "version": f"1.0.{number}"} for number in range(start, stop)]


def serve_pages(open_server: OpenServer, form: str, prefix: str = "", pages: int = 3) -> FaultServer:
    """Start a server of a list with a form of links and a half-full last page."""
    server = open_server()
    count = 100 * pages - 50

    def route(request: Received) -> Answer:
        query = dict(request.query)
        cursor = request.target.partition("cursor=a%2Fb%FF%00")[2]  # returned byte for byte
        number = int(cursor.removesuffix("%20+") or query.get("page", "1"))
        link = LINKS[form].format(url=server.url + prefix, page=number + 1) if number < pages else None
        return reply(page(releases(100 * number - 100, min(100 * number, count)), count, link, f"?page={number - 1}"))

    server.route = route
    return server


@pytest.mark.contract
@pytest.mark.parametrize("form", LINKS)
def test_all_pages_are_read_in_order(open_client: OpenClient, open_server: OpenServer, form: str) -> None:
    """`list_all` returns every release in order, for every form of page link and under a path prefix."""
    server = serve_pages(open_server, form, "/team-a/agent")
    found, total = open_client(f"{server.url}/team-a/agent").list_plugin_releases({"plugin": "ocr"}, list_all=True)
    assert (found, total) == (releases(0, 250), 250)
    assert {request.path for request in server.requests} == {f"/team-a/agent{PATH}"}
    assert all(("plugin", "ocr") in request.query for request in server.requests)
    sizes = [dict(request.query).get("page_size") for request in server.requests]
    assert sizes == ["1000", *["100" if "page_size" in LINKS[form] else "1000"] * 2]


@pytest.mark.contract
@pytest.mark.parametrize("refusal", [400, 413, 422])
def test_an_agent_with_smaller_pages_is_asked_for_its_own(
    open_client: OpenClient, open_server: OpenServer, refusal: int
) -> None:
    """If the agent rejects the page size of the first page, its default page size is used."""
    server = open_server()

    def route(request: Received) -> Answer:
        query = dict(request.query)
        if "page_size" in query:
            return reply({"detail": "page_size is too large"}, refusal)
        number = int(query.get("page", "1"))
        return reply(page(releases(10 * number - 10, 10 * number), 20, "?page=2" if number == 1 else None))

    server.route = route
    client = open_client(server.url)
    assert client.list_plugin_releases({"plugin": "ocr"}, list_all=True) == (releases(0, 20), 20)
    asked = [dict(request.query) for request in server.requests]
    assert asked == [
        {"plugin": "ocr", "page_size": "1000"},
        {"plugin": "ocr"},
        {"plugin": "ocr", "page": "2"},
    ]


@sync_only
def test_other_errors_and_a_size_of_the_callers_are_final(open_client: OpenClient, open_server: OpenServer) -> None:
    """A page is not requested again after other errors or if the caller chose the page size."""
    server = open_server(reply({"detail": "no"}, 403), reply({"detail": "too large"}, 422))
    client = open_client(server.url)
    with pytest.raises(exceptions.AuthorizationError):
        client.list_plugin_releases(list_all=True)
    with pytest.raises(exceptions.ValidationError):
        client.list_plugin_releases({"page_size": 500}, list_all=True)
    assert len(server.requests) == 2


def test_releases_are_iterated_lazily(open_client: OpenClient, open_server: OpenServer) -> None:
    """Iteration fetches each page when its first release is needed, and can also yield whole pages."""
    server = serve_pages(open_server, "cursor")
    client = open_client(server.url)
    walk = iter(client.iter_plugin_releases())
    assert server.requests == []
    assert [next(walk)["id"] for _ in range(100)] == list(range(100))
    assert len(server.requests) == 1
    assert [next(walk)["id"] for _ in range(150)] == list(range(100, 250))
    assert list(walk) == []
    assert len(server.requests) == 3
    pages = list(client.iter_plugin_releases({"page_size": 100}).pages())
    assert [(len(each["results"]), each["previous"]) for each in pages][1:] == [(100, "?page=1"), (50, "?page=2")]


@sync_only
def test_an_iteration_holds_one_page(open_client: OpenClient, open_server: OpenServer) -> None:
    """Iteration keeps one page in memory, however long the list is."""
    server = serve_pages(open_server, "cursor", pages=60)
    count = 0
    tracemalloc.start()
    try:
        for each in open_client(server.url).iter_plugin_releases().pages():
            count += len(each["results"])
            if count == 1000:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert count == 5950
    assert peak < 2**20


BAD_PAGES: dict[str, tuple[Any, str]] = {
    "a way back": (page(releases(1, 2), 9, "?cursor=2"), "page 2 of the list.*leads back"),
    "no results": ({"count": 9}, "page 2 of the list"),
    "results of another kind": ({"count": 9, "results": {}}, "page 2 of the list"),
    "an early end": (page(releases(1, 3), 9), "only 3 of 9"),
    "a link that is not a string": (page(releases(1, 2), 9, {}), "page 2 of the list.*must be a string"),  # type: ignore[arg-type]  # on purpose
}


@sync_only
@pytest.mark.parametrize("content", BAD_PAGES)
def test_a_list_that_makes_no_sense_is_an_error(open_client: OpenClient, open_server: OpenServer, content: str) -> None:
    """An inconsistent page raises `PaginationError` with the releases read so far, never a truncated list."""
    answer, message = BAD_PAGES[content]
    server = open_server(reply(page(releases(0, 1), 9, "?cursor=2")), reply(answer))
    with pytest.raises(exceptions.PaginationError, match=message) as caught:
        open_client(server.url).list_plugin_releases(list_all=True)
    assert (caught.value.page, caught.value.results, len(server.requests)) == (2, releases(0, 1), 2)
    server.answers[:] = [reply(page(releases(0, 1), 9, "?cursor=2")), reply(answer)]
    with pytest.raises(exceptions.PaginationError, match=message):
        list(open_client(server.url).iter_plugin_releases())


@sync_only
def test_a_list_without_end_is_an_error(open_client: OpenClient, open_server: OpenServer) -> None:
    """A list whose links never end raises `PaginationError`."""
    server = open_server()
    server.route = lambda _: reply({"next": f"?cursor={len(server.requests)}", "results": [], "count": 3})
    with pytest.raises(exceptions.PaginationError, match="does not end"):
        open_client(server.url).list_plugin_releases(list_all=True)
    assert len(server.requests) <= 250


def test_a_page_that_fails_is_named(serve: Serve) -> None:
    """A failed page is retried; if it keeps failing, the error names it and has the releases read so far."""
    first, down = reply(page(releases(0, 2), 4, "?page=2")), reply({"detail": "down"}, 503)
    _, client = serve(first, down, reply(page(releases(2, 4), 4)), retry=FAST)
    assert client.list_plugin_releases(list_all=True) == (releases(0, 4), 4)
    _, client = serve(first, down, retry=FAST)
    with pytest.raises(exceptions.ServerError, match=r"page 2 of the list: GET .* -> 503: down") as caught:
        client.list_plugin_releases(list_all=True)
    assert (caught.value.page, caught.value.results, caught.value.status_code) == (2, releases(0, 2), 503)


def test_a_list_goes_on_after_an_error(open_client: OpenClient, open_server: OpenServer) -> None:
    """After an error, the iterator requests the failed page again instead of ending the list."""
    pages = [reply(page(releases(0, 2), 4, "?page=2")), reply({"detail": "no"}, 500), reply(page(releases(2, 4), 4))]
    walk = open_client(open_server(*pages).url).iter_plugin_releases()
    found: list[Any] = []
    with pytest.raises(exceptions.ServerError, match="page 2"):
        found.extend(walk)
    assert [each["id"] for each in walk] == [2, 3]
