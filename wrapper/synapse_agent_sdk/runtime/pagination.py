"""Pagination: follows links within the agent's origin and detects loops.

`PageCursor` has the logic, shared by sync and async. The iterators are classes, not generators: a generator that was
cancelled or interrupted is exhausted, so the list would seem to end, and trio warns about abandoned ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlencode

import httpx

from synapse_agent_sdk import exceptions
from synapse_agent_sdk.runtime.origins import resolve_link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse_agent_sdk.runtime.exchange import Exchange
    from synapse_agent_sdk.runtime.request import Request

P = TypeVar("P", bound=Mapping[str, Any])
"""A page: a dict with `results`, and usually `count` and `next`."""
T = TypeVar("T")

PAGE_SIZE_REFUSED = frozenset({400, 413, 422})
"""Statuses of agents whose pages are smaller."""
MARGIN = 100
"""Items and pages beyond the count that may be added while a list is read."""
MAX_PAGES_WITHOUT_COUNT = 10_000
"""Page limit for a list without a count."""


class PageCursor(Generic[P]):
    """Reads the pages of a list in order.

    Args:
        first: The request for the first page.
        fallback: The request for the first page if `first` is refused or times out.
        fetch: Returns the exchange for a request.
        base_url: The agent's URL; links must stay within its origin.
    """

    def __init__(
        self,
        first: Request[P],
        fallback: Request[P],
        fetch: Callable[[Request[P]], Exchange[P]],
        base_url: str,
    ) -> None:
        self.request: Request[P] | None = first
        """The request for the next page, or None after the last one."""
        self.count = 0
        """Number of items, as reported by the agent."""
        self._first = first
        self._fallback = fallback
        self._fetch = fetch
        self._base_url = httpx.URL(base_url)
        self._steps = 0
        self._read = 0
        self._seen: set[int] = set()
        self._is_whole = True
        self._is_busy = False

    def step(self) -> Exchange[P]:
        """Fetch the next page. If that fails, the next step requests the same one.

        Returns:
            An exchange whose value is the page.

        Raises:
            ClientError: If the page cannot be fetched or is invalid; `page` is its number.
            RuntimeError: If another step is in progress.
        """
        if self._is_busy:
            msg = "this iterator is already in use: create one for each thread or task"
            raise RuntimeError(msg)
        self._is_busy = True
        try:
            page = yield from self._page()
            following = self._following(page)
        except exceptions.ClientError as error:
            error.page = self._steps + 1
            error.args = (f"page {error.page} of the list: {error}",)
            raise
        finally:
            self._is_busy = False
        self._steps += 1
        self._read += len(page["results"])
        if following is not None:
            self._seen.add(hash(following.url))
        self.request = following
        return page

    def _page(self) -> Exchange[P]:
        """Fetch the page of `request`; the first page has a fallback."""
        if self.request is None:
            raise exceptions.PaginationError(detail="no more pages")
        try:
            return (yield from self._fetch(self.request))
        except exceptions.ClientError as error:
            is_too_large = error.status_code in PAGE_SIZE_REFUSED or isinstance(error.__cause__, httpx.ReadTimeout)
            if self._steps or self._first == self._fallback or not is_too_large:
                raise
        self._first = self.request = self._fallback
        return (yield from self._fetch(self.request))

    def _following(self, page: P) -> Request[P] | None:
        """The request for the page after this one, or None if it is the last."""
        results: Any = page.get("results")
        if not isinstance(results, list):
            raise exceptions.PaginationError(detail=f"results must be a list, not {results!r:.100}")
        read = self._read + len(results)
        count: Any = page.get("count")
        knows_count = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        self.count = count if knows_count else read
        if self._steps == 0:
            self._is_whole = page.get("previous") is None and "page" not in (self._first.params or {})
        link: Any = page.get("next")
        if link is None or link == "":
            if self._is_whole and read < self.count:
                msg = f"the list ended after only {read} of {self.count} releases: it changed while being read, "
                raise exceptions.PaginationError(detail=f"{msg}or the agent truncated it; try again")
            return None
        # Pages may be empty, and releases may be added while the list is read, but not forever.
        most_pages = self.count + MARGIN if knows_count else MAX_PAGES_WITHOUT_COUNT
        if self._steps >= most_pages or read > 2 * self.count + MARGIN:
            raise exceptions.PaginationError(detail=f"the list does not end: received {read} releases so far")
        return self._linked(link)

    def _linked(self, link: Any) -> Request[P]:
        """The request for a link: the list's path, with the link's query and the filters it lacks."""
        if not isinstance(link, str):
            raise exceptions.PaginationError(detail=f"the next link must be a string, not {link!r:.100}")
        url = self._url_of(link)
        if hash(url) in self._seen:
            raise exceptions.PaginationError(detail="the next link leads back to a page already read")
        return self._first._replace(url=url, params=None)

    def _url_of(self, link: str) -> str:
        """The URL of a link."""
        raw = resolve_link(link, self._base_url).query.decode("ascii")
        given = httpx.QueryParams(raw)
        kept = urlencode([part for part in httpx.QueryParams(self._filters()).multi_items() if part[0] not in given])
        # The link's query stays unchanged: cursors are opaque.
        query = "&".join(part for part in (kept, raw) if part)
        return f"{self._first.url}?{query}"

    def _filters(self) -> dict[str, Any]:
        return {name: value for name, value in (self._first.params or {}).items() if name != "page"}


def collect(cursor: PageCursor[P]) -> Exchange[tuple[list[Any], int]]:
    """Fetch all pages.

    Returns:
        An exchange whose value is the list of all items in order, and their count.

    Raises:
        ClientError: If a page cannot be fetched; `page` is its number, `results` the items before it.
    """
    items: list[Any] = []
    while cursor.request is not None:
        try:
            page = yield from cursor.step()
        except exceptions.ClientError as error:
            error.results = items
            raise
        items += page["results"]
    return items, cursor.count


class Pages(Iterator[P]):
    """The pages of a list, in order. After an error, the next step requests the failed page again."""

    def __init__(self, cursor: PageCursor[P], run: Callable[[Exchange[P]], P]) -> None:
        self._cursor = cursor
        self._run = run

    def __next__(self) -> P:
        if self._cursor.request is None:
            raise StopIteration
        return self._run(self._cursor.step())


class Items(Iterator[T], Generic[P, T]):
    """The items of a list, in order; `pages()` iterates over the pages."""

    def __init__(self, open_cursor: Callable[[], PageCursor[P]], run: Callable[[Exchange[P]], P]) -> None:
        self._open_cursor = open_cursor
        self._run = run
        self._pages = self.pages()
        self._page: Iterator[T] = iter(())

    def pages(self) -> Pages[P]:
        """The pages as the agent sends them, starting with the first."""
        return Pages(self._open_cursor(), self._run)

    def __next__(self) -> T:
        while True:
            for item in self._page:
                return item
            self._page = iter(next(self._pages)["results"])


class AsyncPages(AsyncIterator[P]):
    """The pages of a list, in order. After an error, the next step requests the failed page again."""

    def __init__(self, cursor: PageCursor[P], run: Callable[[Exchange[P]], Awaitable[P]]) -> None:
        self._cursor = cursor
        self._run = run

    async def __anext__(self) -> P:
        if self._cursor.request is None:
            raise StopAsyncIteration
        return await self._run(self._cursor.step())


class AsyncItems(AsyncIterator[T], Generic[P, T]):
    """The items of a list, in order; `pages()` iterates over the pages."""

    def __init__(self, open_cursor: Callable[[], PageCursor[P]], run: Callable[[Exchange[P]], Awaitable[P]]) -> None:
        self._open_cursor = open_cursor
        self._run = run
        self._pages = self.pages()
        self._page: Iterator[T] = iter(())

    def pages(self) -> AsyncPages[P]:
        """The pages as the agent sends them, starting with the first."""
        return AsyncPages(self._open_cursor(), self._run)

    async def __anext__(self) -> T:
        while True:
            for item in self._page:
                return item
            self._page = iter((await anext(self._pages))["results"])
