"""Pages: from one to the next, within the agent's origin, and never in a circle. Shared by both flavours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import origins

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage

    from synapse_sdk.clients.agent.flow import Flow
    from synapse_sdk.clients.agent.operations import Call

PAGE_SIZE = 1000
"""Releases a page, unless the caller asks otherwise: the most that the contract allows."""
PAGE_SIZE_REFUSED = frozenset({400, 413, 422})
"""How agents that have smaller pages answer."""
MARGIN = 100
"""How many releases and pages may come while a list is read, beyond what it counted."""
MAX_PAGES_WITHOUT_COUNT = 10_000
"""After how many pages a list that does not say how long it is counts as endless."""


class Walk:
    """A walk over the pages of a list, one after the other.

    Args:
        first: The call of the first page.
        fallback: The call of the first page if the agent refuses that one, or takes too long for it.
        fetch: Gives the flow of a call.
        base_url: The agent's URL, whose origin the links must not leave.
    """

    def __init__(
        self,
        first: Call[PluginReleasePage],
        fallback: Call[PluginReleasePage],
        fetch: Callable[[Call[PluginReleasePage]], Flow[PluginReleasePage]],
        base_url: str,
    ) -> None:
        self.call: Call[PluginReleasePage] | None = first
        """The call of the next page, or None after the last one."""
        self.count = 0
        """How many releases there are, as far as the agent said."""
        self._first = first
        self._fallback = fallback
        self._fetch = fetch
        self._base_url = httpx.URL(base_url)
        self._steps = 0
        self._read = 0
        self._seen: set[int] = set()
        self._is_whole = True
        self._is_busy = False

    def step(self) -> Flow[PluginReleasePage]:
        """Fetch the next page. Where that fails, the next step asks for the same one.

        Returns:
            A flow whose value is the page.

        Raises:
            ClientError: If the page fails for good, or there is no sense in it; `page` is its number.
            RuntimeError: If another step is under way.
        """
        if self._is_busy:
            msg = "This list is being read already: give each thread or task an iterator of its own"
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
        self.call = following
        return page

    def _page(self) -> Flow[PluginReleasePage]:
        """Fetch the page whose turn it is."""
        if self.call is None:
            raise exceptions.PaginationError(detail="there is no further page")
        try:
            return (yield from self._fetch(self.call))
        except exceptions.ClientError as error:
            is_too_large = error.status_code in PAGE_SIZE_REFUSED or isinstance(error.__cause__, httpx.ReadTimeout)
            if self._steps or self._first == self._fallback or not is_too_large:
                raise
        self._first = self.call = self._fallback
        return (yield from self._fetch(self.call))

    def _following(self, page: PluginReleasePage) -> Call[PluginReleasePage] | None:
        """The call of the page after this one, or None where it is the last."""
        results: Any = page.get("results")
        if not isinstance(results, list):
            raise exceptions.PaginationError(detail=f"its results are no list but {results!r:.100}")
        read = self._read + len(results)
        count: Any = page.get("count")
        knows_count = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        self.count = count if knows_count else read
        if self._steps == 0:
            self._is_whole = page.get("previous") is None and "page" not in (self._first.params or {})
        link: Any = page.get("next")
        if link is None or link == "":
            if self._is_whole and read < self.count:
                msg = f"it is the last, but only {read} of {self.count} releases came: the list changed meanwhile"
                raise exceptions.PaginationError(detail=f"{msg}, or the agent cut it. Call again")
            return None
        # Pages may be empty, and releases may come while the list is read, but not without end.
        most_pages = self.count + MARGIN if knows_count else MAX_PAGES_WITHOUT_COUNT
        if self._steps >= most_pages or read > 2 * self.count + MARGIN:
            raise exceptions.PaginationError(detail=f"the list does not end: {read} releases came already")
        return self._linked(link)

    def _linked(self, link: Any) -> Call[PluginReleasePage]:
        """The call that a link leads to: the list's own path, with the link's query, and the filters it lacks."""
        if not isinstance(link, str):
            raise exceptions.PaginationError(detail=f"its link to the next page is no text but {link!r:.100}")
        url = self._followed(link)
        if hash(url) in self._seen:
            raise exceptions.PaginationError(detail="its link to the next page leads back to a page already read")
        return self._first._replace(url=url, params=None)

    def _followed(self, link: str) -> str:
        """The URL that a link leads to."""
        raw = origins.follow(link, self._base_url).query.decode("ascii")
        given = httpx.QueryParams(raw)
        kept = urlencode([part for part in httpx.QueryParams(self._filters()).multi_items() if part[0] not in given])
        # The link's own query stays as it is: a cursor is opaque.
        query = "&".join(part for part in (kept, raw) if part)
        return f"{self._first.url}?{query}"

    def _filters(self) -> dict[str, Any]:
        return {name: value for name, value in (self._first.params or {}).items() if name != "page"}


def collect(walk: Walk) -> Flow[tuple[list[PluginRelease], int]]:
    """Fetch all pages.

    Returns:
        A flow whose value is the list of all releases in order, and their count.

    Raises:
        ClientError: If a page fails for good; `page` is its number, and `results` what was read before it.
    """
    releases: list[PluginRelease] = []
    while walk.call is not None:
        try:
            page = yield from walk.step()
        except exceptions.ClientError as error:
            error.results = releases
            raise
        releases += page["results"]
    return releases, walk.count
