"""Pages that are asked for before it is their turn, while the agent is still busy with others. Pure.

A page that came ahead is used only where following the links would have given it too: it answers the very request that
the page before it links to, its count is the same, and it has as many releases as a page of its number has. Otherwise
all that came ahead is thrown away, and the page is asked for when it is its turn. So does a page that did not come
ahead, whatever went wrong: retries, waits and errors are those of a walk from link to link.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import answers
from synapse_sdk.clients.agent.attempt import ATTEMPT
from synapse_sdk.clients.agent.flow import FAILURES, Together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from synapse_agent_api.typed_dicts import PluginReleasePage

    from synapse_sdk.clients.agent.flow import Flow
    from synapse_sdk.clients.agent.operations import Call

    Fetch: TypeAlias = Callable[[Call[PluginReleasePage]], Flow[httpx.Response]]

WIDTH = 16
"""How many pages are asked for at once, unless the caller says otherwise."""
SLOW_SECONDS = 0.004
"""How long the agent takes for the first page where asking for several at once is a gain."""
GAIN_SECONDS = 0.05
"""How much there must be to gain in all: threads, tasks and connections have a price too."""
WIDTHS_AT_ONCE = 8
"""How many times the width a list that is kept whole is asked for in one go."""
MOST_BYTES = 2 * 2**20
"""How much is held of pages whose turn it is not yet."""
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Numbering:
    """The pages of a list whose links have their number: how to ask for each, and what to expect of it."""

    call: Call[PluginReleasePage]
    before: str
    after: str
    size: int
    count: int

    @classmethod
    def of(
        cls, first: Call[PluginReleasePage], following: Call[PluginReleasePage], number: int, size: int, count: int
    ) -> Numbering | None:
        """The numbering of a list, or None where it has none.

        Args:
            first: The call of the first page.
            following: The call that a page's link leads to.
            number: The number of the page that it leads to.
            size: How many releases the page with the link has.
            count: How many releases the list has.
        """
        path, _, query = following.url.partition("?")
        parts = query.split("&")
        given = [name for name, _ in httpx.QueryParams(query).multi_items()]
        # What else a link has may be another for each page.
        if size < 1 or given.count("page") != 1 or not {*given} <= {"page", *(first.params or {})}:
            return None
        try:
            place = parts.index(f"page={number}")
        except ValueError:
            return None
        before, after = "&".join([*parts[:place], "page="]), "&".join(["", *parts[place + 1 :]])
        return cls(following, f"{path}?{before}", after, size, count)

    @property
    def last(self) -> int:
        """The number of the last page."""
        return -(-self.count // self.size)

    def url(self, number: int) -> str:
        """Where a page is."""
        return f"{self.before}{number}{self.after}"

    def fits(self, page: Any, number: int) -> bool:
        """Whether a page is what the list has at its number, so that the list has not changed since."""
        results, link = page.get("results"), page.get("next")
        return (
            isinstance(results, list)
            and page.get("count") == self.count
            and len(results) == min(self.size, self.count - self.size * (number - 1))
            and (f"page={number + 1}" in str(link) if number < self.last else not link)
        )


class LookAhead:
    """Fetches the pages of a list, those of numbered links ahead of their turn.

    Args:
        fetch: Gives the flow of a call.
        width: How many pages to ask for at once at the most.
        lazily: Whether the caller may stop anywhere: then no more is asked for ahead than twice what was read.
    """

    def __init__(self, fetch: Fetch, width: int, *, lazily: bool) -> None:
        self._fetch = fetch
        self._most = self._width = width
        self._lazily = lazily
        self._numbering: Numbering | None = None
        self._came: dict[str, httpx.Response | exceptions.HTTPError] = {}
        """By their URLs, the pages that came ahead."""
        self._read = 0
        self._seconds = self._first_seconds = 0.0
        self._bytes = 1
        self._not_before = 0.0
        self._has_trouble = False
        self._is_refused = False
        self._may_widen = False

    def page(self, call: Call[PluginReleasePage], number: int) -> Flow[PluginReleasePage]:
        """Get the page whose turn it is.

        Args:
            call: What the page before it links to.
            number: Its number.

        Returns:
            A flow whose value is the page.

        Raises:
            ClientError: If it fails for good.
        """
        numbering = self._numbering
        if numbering is not None:
            if numbering.url(number) != call.url:
                self._drop()  # the links are no mere numbers
                self._width = 1
            elif call.url not in self._came and not self._has_trouble and (missing := self._missing(numbering, number)):
                yield Together(self._ahead(missing), min(self._width, len(missing)))
            came = self._came.pop(call.url, None)
            if isinstance(came, exceptions.HTTPError):
                raise came
            if came is not None:
                page = answers.read(call, came)
                if numbering.fits(page, number):
                    return page
                self._drop()
        return (yield from self._in_turn(call))

    def learn(
        self, first: Call[PluginReleasePage], following: Call[PluginReleasePage] | None, number: int, page: Any
    ) -> None:
        """Take note of a page that was read, and of the call and the number that its link leads to."""
        self._read += 1
        if self._numbering is not None and not self._numbering.fits(page, number - 1):
            self._drop()
        if self._read == 1:
            self._first_seconds = self._seconds
        if following is None or self._numbering is not None or self._first_seconds < SLOW_SECONDS or self._width == 1:
            return
        count = page.get("count")
        if isinstance(count, int) and not isinstance(count, bool):
            numbering = Numbering.of(first, following, number, len(page["results"]), count)
            if numbering is not None and self._first_seconds * (numbering.last - number) >= GAIN_SECONDS:
                self._numbering = numbering

    def _in_turn(self, call: Call[PluginReleasePage]) -> Flow[PluginReleasePage]:
        """Get a page that did not come ahead."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            yield wait
        response = yield from self._fetch(call)
        if self._has_trouble:
            self._width = max(self._width // 2, 1)
            self._most = self._width if self._is_refused else self._most
            self._has_trouble = self._is_refused = self._may_widen = False
        self._seconds = time.monotonic() - response.request.extensions[ATTEMPT].sent_at
        self._bytes = len(response.content) + 1
        return answers.read(call, response)

    def _missing(self, numbering: Numbering, number: int) -> list[Call[PluginReleasePage]]:
        """What to ask for next; nothing where one page after the other does as well."""
        if self._may_widen:
            self._width = min(self._width * 2, self._most)
        self._may_widen = True
        most = min(self._width, 2 * self._read) if self._lazily else self._width * WIDTHS_AT_ONCE
        most = min(most, MOST_BYTES // self._bytes)
        urls = map(numbering.url, range(number, min(number + most, numbering.last + 1)))
        missing = [numbering.call._replace(url=url) for url in urls if url not in self._came]
        return missing if self._width > 1 and len(missing) > 1 else []

    def _ahead(self, calls: list[Call[PluginReleasePage]]) -> Iterator[Flow[None]]:
        """Ask for pages, up to the first trouble."""
        for call in calls:
            if self._has_trouble:
                return
            yield self._keep(call)

    def _keep(self, call: Call[PluginReleasePage]) -> Flow[None]:
        """Ask for a page once, and keep it; where it does not come at once, it has to wait for its turn."""
        came: httpx.Response | None = None
        try:
            steps = self._fetch(call)
            step = next(steps)
            while isinstance(step, httpx.Request):
                try:
                    response = yield step
                except FAILURES as failure:
                    step = steps.throw(failure)
                else:
                    self._is_refused |= response is not None and response.status_code == TOO_MANY_REQUESTS
                    step = steps.send(response)
            if isinstance(step, float | int):
                self._not_before = max(self._not_before, time.monotonic() + step)
        except StopIteration as end:
            came = self._came[call.url] = end.value
        except exceptions.RateLimitError:
            pass  # alone it may be let in
        except exceptions.HTTPError as error:
            self._came[call.url] = error
        except exceptions.ClientError:
            pass
        finally:
            self._has_trouble |= came is None

    def _drop(self) -> None:
        """Throw away what came ahead: the list has changed, or its links lead elsewhere."""
        self._came.clear()
        self._numbering = None
        self._has_trouble = True
