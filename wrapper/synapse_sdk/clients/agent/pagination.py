"""Pages: from one to the next, within the agent's origin, and never in a circle. Shared by both flavours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

import httpx

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import origins

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage

    from synapse_sdk.clients.agent.flow import Flow
    from synapse_sdk.clients.agent.operations import Call

    Fetch: TypeAlias = Callable[[Call[PluginReleasePage]], Flow[PluginReleasePage]]

PAGE_SIZE = 100
"""Releases a page, unless the caller asks otherwise."""
MAX_PAGES_WITHOUT_COUNT = 10_000
"""After how many pages a list that does not say how long it is counts as endless."""


class Walk:
    """A walk over the pages of a list, one after the other.

    Args:
        first: The call of the first page.
        fetch: Gives the flow of a call.
        base_url: The agent's URL, whose origin the links must not leave.
    """

    def __init__(self, first: Call[PluginReleasePage], fetch: Fetch, base_url: str) -> None:
        self.call: Call[PluginReleasePage] | None = first
        """The call of the next page, or None after the last one."""
        self.count = 0
        """How many releases there are, as far as the agent said."""
        self._first = first
        self._fetch = fetch
        self._base_url = httpx.URL(base_url)
        self._number = 0
        self._read = 0
        self._seen: set[int] = set()
        self._is_whole = True

    def step(self) -> Flow[PluginReleasePage]:
        """Fetch the next page.

        Returns:
            A flow whose value is the page.

        Raises:
            ClientError: If the page fails for good, or there is no sense in it; `page` is its number.
        """
        self._number += 1
        try:
            if self.call is None:
                raise exceptions.PaginationError(detail="there is no further page")
            page = yield from self._fetch(self.call)
            self.call = self._following(page)
        except exceptions.ClientError as error:
            error.page = self._number
            error.args = (f"page {self._number} of the list: {error}",)
            raise
        return page

    def _following(self, page: PluginReleasePage) -> Call[PluginReleasePage] | None:
        """The call of the page after this one, or None where it is the last."""
        results: Any = page.get("results")
        if not isinstance(results, list):
            raise exceptions.PaginationError(detail=f"its results are no list but {results!r:.100}")
        self._read += len(results)
        count: Any = page.get("count")
        knows_count = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        self.count = count if knows_count else self._read
        if self._number == 1:
            self._is_whole = page.get("previous") is None and "page" not in (self._first.params or {})
        link: Any = page.get("next")
        if link is None or link == "":
            if self._is_whole and self._read < self.count:
                msg = f"it is the last, but only {self._read} of {self.count} releases came: the list changed meanwhile"
                raise exceptions.PaginationError(detail=f"{msg}, or the agent cut it. Call again")
            return None
        # Pages may be empty, and releases may come while the list is read, but not without end.
        most_pages = self.count + PAGE_SIZE if knows_count else MAX_PAGES_WITHOUT_COUNT
        if self._number > most_pages or self._read > 2 * self.count + PAGE_SIZE:
            raise exceptions.PaginationError(detail=f"the list does not end: {self._read} releases came already")
        return self._linked(link)

    def _linked(self, link: Any) -> Call[PluginReleasePage]:
        """The call that a link leads to: the list's own path, with the link's query, and the filters it lacks."""
        if not isinstance(link, str):
            raise exceptions.PaginationError(detail=f"its link to the next page is no text but {link!r:.100}")
        raw = origins.follow(link, self._base_url).query.decode("ascii")
        given = httpx.QueryParams(raw)
        kept = urlencode([part for part in httpx.QueryParams(self._filters()).multi_items() if part[0] not in given])
        # The link's own query stays as it is: a cursor is opaque.
        query = "&".join(part for part in (kept, raw) if part)
        place = hash(query)
        if place in self._seen:
            raise exceptions.PaginationError(detail="its link to the next page leads back to a page already read")
        self._seen.add(place)
        return replace(self._first, url=f"{self._first.url}?{query}", params=None)

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
