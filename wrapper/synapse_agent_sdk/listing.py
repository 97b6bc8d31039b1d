"""Lists that are read as they are walked over: a few pages are held at a time, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage

    from synapse_sdk.clients.agent.flow import Flow
    from synapse_sdk.clients.agent.pagination import Walk

# Classes and no generators: a generator that was cancelled or interrupted is at its end, and the list would seem to be;
# and trio warns of an async generator that is given up.


class Pages(Iterator["PluginReleasePage"]):
    """The pages of a list, in order. After an error, the page that failed is asked for again."""

    def __init__(self, walk: Walk, run: Callable[[Flow[PluginReleasePage]], PluginReleasePage]) -> None:
        self._walk = walk
        self._run = run

    def __next__(self) -> PluginReleasePage:
        if self._walk.call is None:
            raise StopIteration
        return self._run(self._walk.step())


class PluginReleases(Iterator["PluginRelease"]):
    """The releases that an agent has cached, in order, each of them once."""

    def __init__(self, walk: Callable[[], Walk], run: Callable[[Flow[PluginReleasePage]], PluginReleasePage]) -> None:
        self._walk = walk
        self._run = run
        self._pages = self.pages()
        self._page: Iterator[PluginRelease] = iter(())

    def pages(self) -> Pages:
        """The pages as the agent sends them, from the first one on."""
        return Pages(self._walk(), self._run)

    def __next__(self) -> PluginRelease:
        while True:
            for release in self._page:
                return release
            self._page = iter(next(self._pages)["results"])


class AsyncPages(AsyncIterator["PluginReleasePage"]):
    """The pages of a list, in order. After an error, the page that failed is asked for again."""

    def __init__(self, walk: Walk, run: Callable[[Flow[PluginReleasePage]], Awaitable[PluginReleasePage]]) -> None:
        self._walk = walk
        self._run = run

    async def __anext__(self) -> PluginReleasePage:
        if self._walk.call is None:
            raise StopAsyncIteration
        return await self._run(self._walk.step())


class AsyncPluginReleases(AsyncIterator["PluginRelease"]):
    """The releases that an agent has cached, in order, each of them once."""

    def __init__(
        self, walk: Callable[[], Walk], run: Callable[[Flow[PluginReleasePage]], Awaitable[PluginReleasePage]]
    ) -> None:
        self._walk = walk
        self._run = run
        self._pages = self.pages()
        self._page: Iterator[PluginRelease] = iter(())

    def pages(self) -> AsyncPages:
        """The pages as the agent sends them, from the first one on."""
        return AsyncPages(self._walk(), self._run)

    async def __anext__(self) -> PluginRelease:
        while True:
            for release in self._page:
                return release
            self._page = iter((await anext(self._pages))["results"])
