"""Pagination follows links and detects loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_agent_sdk import exceptions
from synapse_agent_sdk.endpoints import release_pages
from synapse_agent_sdk.runtime import pagination
from synapse_agent_sdk.runtime.pagination import AsyncItems, Items, PageCursor

from tests.unit.helpers import refusal

if TYPE_CHECKING:
    from collections.abc import Generator

    from synapse_agent_sdk.runtime import Request

BASE = "http://agent:8600/team"
WAIT: dict[str, Any] = {}  # a page that takes a while


class Book:
    """Serves pages in order, repeating the last one, and records the requests."""

    def __init__(self, *pages: Any, params: dict[str, Any] | None = None) -> None:
        self.asked: list[httpx.QueryParams] = []
        self.links: list[str] = []
        self._pages = list(pages)
        self.cursor: PageCursor[Any] = PageCursor(*release_pages(params), self._fetch, BASE)

    def _fetch(self, request: Request[Any]) -> Generator[Any, Any, Any]:
        self.asked.append(httpx.QueryParams(request.params or request.url.partition("?")[2]))
        self.links += [request.url] if "?" in request.url else []
        page = self._pages.pop(0) if len(self._pages) > 1 else self._pages[0]
        if isinstance(page, Exception):
            raise page
        if page is WAIT:
            yield 0.0
        link = page.get("next")
        return {**page, "next": link.replace("{next}", f"{len(self.asked) + 1}")} if isinstance(link, str) else page

    def all(self) -> tuple[list[Any], int]:
        """All items, like `list_all`."""
        releases, count = finish(pagination.collect(self.cursor))
        return releases, count


def finish(exchange: Generator[Any, Any, Any]) -> Any:
    """The value of an exchange that sends nothing."""
    try:
        next(exchange)
    except StopIteration as end:
        return end.value
    raise AssertionError


def page(results: Any, following: Any = None, count: Any = 4, previous: Any = None) -> dict[str, Any]:
    """A page of a list of four."""
    return {"count": count, "next": following, "previous": previous, "results": results}


def test_a_link_of_any_form_is_followed() -> None:
    """A link of any form leads to the next page; its query is unchanged, and missing filters are added."""
    for place in ("", "/plugin_releases/", "http://agent:8600/x/"):
        for query, filters in (("page=3&page_size=2", ""), ("cursor=a%2Fb%FF%00+%20", "page_size=1000&")):
            pages = page([1, 2], f"{place}?{query}#fragment"), page([3, 4], "")
            book = Book(*pages, params={"page": 2, "plugin": "a", "tag": ["x", "y"]})
            assert book.all() == ([1, 2, 3, 4], 4)
            assert book.links == [f"/plugin_releases/?{filters}plugin=a&tag=x&tag=y&{query}"]


def test_the_count_defaults_to_the_number_of_items() -> None:
    """Without a count, the count is the number of items; only lists from a later page on may have fewer items."""
    for count in (None, "3", True, -1):
        book = Book(page([1, 2], "?page=2", count=count), page([3], count=count))
        assert book.cursor.count == 0
        assert book.all() == ([1, 2, 3], 3), count
    for params, previous in (({"page": 2}, None), (None, "?page=1"), ({}, "?page=1")):
        assert Book(page([3, 4], previous=previous), params=params).all() == ([3, 4], 4)
    with pytest.raises(exceptions.PaginationError, match="only 2 of 4 releases") as caught:
        Book(page([1], "?page=2"), page([2], previous="?page=1")).all()
    assert (caught.value.page, caught.value.results) == (2, [1])


WRONG: list[tuple[dict[str, Any], str]] = [
    *((page(results), f"results must be a list, not {results!r}") for results in (None, "text", {"0": 1})),
    *((page([3], link), f"the next link must be a string, not {link!r}") for link in (5, True, ["?page=3"])),
    (page([3], "?page=2"), "the next link leads back to a page already read"),
]


def test_an_invalid_page_is_an_error() -> None:
    """Invalid results, and an invalid, looping or foreign link, raise an error with the page number."""
    for link in ("http://evil/?page=2", "//evil/", "https://agent:8600/team/", "http://[::1"):
        book = Book(page([1], link))
        assert refusal(exceptions.UntrustedOriginError, book.all).startswith("page 1 of the list: ")
        assert len(book.asked) == 1
    for wrong, detail in WRONG:
        with pytest.raises(exceptions.PaginationError) as caught:
            Book(page([1, 2], "?page=2"), wrong).all()
        assert (caught.value.detail, caught.value.page, caught.value.results) == (detail, 2, [1, 2])
        assert str(caught.value).startswith("page 2 of the list: ")
    book = Book(page([], count=0))
    assert book.all() == ([], 0)
    message = refusal(exceptions.PaginationError, finish, book.cursor.step())
    assert (message, len(book.asked)) == ("page 2 of the list: no more pages", 1)
    circle = [page([number], link, count=100) for number, link in enumerate(["?page=2", "?page=3", "?page=4"] * 2)]
    assert "back to a page already read" in refusal(exceptions.PaginationError, Book(*circle).all)


def test_a_failed_page_keeps_earlier_items() -> None:
    """If a later page fails, the error has its number, and the next step requests that page again."""
    failure = exceptions.ServerError(500, "broken")
    book = Book(page([1, 2], "?page=2"), failure, page([3, 4]))
    with pytest.raises(exceptions.ServerError, match=r"^page 2 of the list: 500: broken") as caught:
        book.all()
    assert caught.value is failure
    assert (failure.page, failure.results, failure.detail) == (2, [1, 2], "broken")
    assert finish(book.cursor.step())["results"] == [3, 4]
    assert [asked.get("page") for asked in book.asked] == [None, "2", "2"]


def test_iterators_continue_after_an_error() -> None:
    """Items and pages come in order, the failed page is requested again, and each iterator has its own place."""
    pages = page([1, 2], "?page=2"), exceptions.ServerError(500), page([], "?page=3"), page([3, 4])
    items: Items[Any, int] = Items(lambda: Book(*pages).cursor, finish)
    assert [next(items), next(items)] == [1, 2]
    refusal(exceptions.ServerError, next, items)
    own = items.pages()
    assert next(own)["results"] == [1, 2]
    assert [next(items), next(items), next(items, None)] == [3, 4, None]
    refusal(exceptions.ServerError, next, own)
    assert [each["results"] for each in own] == [[], [3, 4]]


def test_async_iterators_continue_after_an_error() -> None:
    """Async items and pages behave like the others."""

    async def send(exchange: Any) -> Any:
        return finish(exchange)

    async def read() -> None:
        pages = page([1, 2], "?page=2"), exceptions.ServerError(500), page([], "?page=3"), page([3, 4])
        items: AsyncItems[Any, int] = AsyncItems(lambda: Book(*pages).cursor, send)
        assert [await anext(items), await anext(items)] == [1, 2]
        with pytest.raises(exceptions.ServerError):
            await anext(items)
        own = items.pages()
        assert (await anext(own))["results"] == [1, 2]
        assert [await anext(items), await anext(items), await anext(items, None)] == [3, 4, None]
        with pytest.raises(exceptions.ServerError):
            await anext(own)
        assert [each["results"] async for each in own] == [[], [3, 4]]

    asyncio.run(read())


def test_concurrent_steps_are_rejected() -> None:
    """Concurrent steps of one list raise an error."""
    cursor = Book(WAIT).cursor
    first = cursor.step()
    next(first)
    advice = "this iterator is already in use: create one for each thread or task"
    assert refusal(RuntimeError, next, cursor.step()) == advice
    first.close()
    assert next(cursor.step()) == 0


def test_an_endless_list_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list ends in an error after 100 pages or releases more than its count, or after a page limit without one."""
    monkeypatch.setattr(pagination, "MAX_PAGES_WITHOUT_COUNT", 40)
    results: list[int]
    for count, results, pages in ((4, [], 105), (4, [1, 2], 55), (0, [1], 101), (None, [], 41)):
        book = Book(page(results, "?page={next}", count))
        assert "the list does not end" in refusal(exceptions.PaginationError, book.all)
        assert len(book.asked) == pages


def late() -> exceptions.ClientError:
    """The error of a page that exceeds the read timeout."""
    error = exceptions.ClientTimeoutError(detail="late")
    error.__cause__ = httpx.ReadTimeout("late")
    return error


@pytest.mark.parametrize("refused", [late(), *(exceptions.HTTPError(status) for status in (400, 413, 422))], ids=repr)
def test_a_refused_page_size_is_omitted(refused: Exception) -> None:
    """The first page is retried without a page size if that may help; other pages are not."""
    book = Book(refused, page([1], "?page={next}", 2), page([2], count=2), params={"plugin": "ocr"})
    assert book.all() == ([1, 2], 2)
    sizes = [asked.get("page_size") for asked in book.asked]
    assert sizes == ["1000", None, None]
    for pages, params in (
        ([page([1], "?page={next}"), refused], None),
        ([refused], {"page_size": 1000}),
        ([exceptions.HTTPError(403)], None),
        ([exceptions.ClientTimeoutError(detail="connecting")], None),
    ):
        book = Book(*pages, params=params)
        with pytest.raises(exceptions.ClientError):
            book.all()
        assert len(book.asked) == len(pages)
