"""Lists that are read as they are walked over: one page is held at a time, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage

    from synapse_sdk.clients.agent.flow import Flow
    from synapse_sdk.clients.agent.pagination import Walk


class PluginReleases:
    """The releases that an agent has cached, in order; each iteration reads them anew."""

    def __init__(self, walk: Callable[[], Walk], run: Callable[[Flow[PluginReleasePage]], PluginReleasePage]) -> None:
        self._walk = walk
        self._run = run

    def pages(self) -> Iterator[PluginReleasePage]:
        """The pages, as the agent sends them."""
        walk = self._walk()
        while walk.call is not None:
            yield self._run(walk.step())

    def __iter__(self) -> Iterator[PluginRelease]:
        for page in self.pages():
            yield from page["results"]


class AsyncPluginReleases:
    """The releases that an agent has cached, in order; each iteration reads them anew."""

    def __init__(
        self, walk: Callable[[], Walk], run: Callable[[Flow[PluginReleasePage]], Awaitable[PluginReleasePage]]
    ) -> None:
        self._walk = walk
        self._run = run

    async def pages(self) -> AsyncIterator[PluginReleasePage]:
        """The pages, as the agent sends them."""
        walk = self._walk()
        while walk.call is not None:
            yield await self._run(walk.step())

    async def __aiter__(self) -> AsyncIterator[PluginRelease]:
        async for page in self.pages():
            for release in page["results"]:
                yield release
