"""The actors of a gateway: made as runs ask for them, handed from run to run, and ended when they are idle for long."""

from __future__ import annotations

import asyncio
import collections
import logging
from typing import TYPE_CHECKING, Any

import ray

from synapse_local_agent.processes import Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.processes import Kind

LOG = logging.getLogger(__name__)
CROWDED_SECONDS = 0.5
"""How long a new actor waits for room before one that is idle ends for it."""
ENDING_SECONDS = 15.0


class Held:
    """An actor that is there."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.is_waiting = True
        """Whether it can take a job."""

    async def close(self) -> None:
        """End it with all that it has."""
        try:
            if self.is_waiting:
                await asyncio.wait_for(of(self.handle.close.remote()), ENDING_SECONDS)
        except (ray.exceptions.RayError, TimeoutError) as error:
            LOG.info("An actor did not close: %s", error)
        finally:
            self.is_waiting = False
            ray.kill(self.handle)


class Actors:
    """The actors of one gateway. A run takes the first that is there, whether it was made for this run or not."""

    def __init__(self, limits: Limits) -> None:
        self._idle: Pool[Held] = Pool(limits.max_idle, limits.idle_limit)
        self._asked: dict[Kind, collections.deque[asyncio.Future[Held]]] = collections.defaultdict(collections.deque)
        """Who waits for an actor, by its kind, in the order of asking."""
        self._making: dict[Kind, list[asyncio.Task[None]]] = collections.defaultdict(list)

    async def take(self, kind: Kind, make: Callable[[], Coroutine[Any, Any, Held]]) -> Held:
        """An actor of a kind: one that is idle, one that another run gives back, or a new one."""
        if held := self._idle.take(kind):
            return held
        asked: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self._asked[kind].append(asked)
        self._making[kind].append(asyncio.create_task(self._make(kind, make, asked)))
        try:
            while not (await asyncio.wait([asked], timeout=CROWDED_SECONDS))[0]:
                self._idle.make_room(kind)
            return asked.result()
        except asyncio.CancelledError:
            if asked.done() and not asked.cancelled() and asked.exception() is None:
                self.give(kind, asked.result())
            raise
        finally:
            if asked in self._asked[kind]:
                self._asked[kind].remove(asked)
            # What is still being made for nobody is given up, the last first.
            while len(self._making[kind]) > len(self._asked[kind]):
                self._making[kind].pop().cancel()
            if not self._asked[kind]:
                del self._asked[kind], self._making[kind]

    def give(self, kind: Kind, held: Held) -> None:
        """Give an actor to the next run that waits for one, or keep it for a later one."""
        while waiting := self._asked.get(kind):
            asked = waiting.popleft()
            if not asked.done():
                asked.set_result(held)
                return
        self._idle.give(kind, held)

    def end(self, held: Held) -> None:
        """End an actor, without waiting for it."""
        self._idle.end(held)

    def forget(self, digest: str) -> None:
        """End the idle actors of a release that is gone."""
        self._idle.forget(digest)

    async def close(self) -> None:
        """End the actors that are idle, and wait until they are gone."""
        await self._idle.close()

    async def _make(
        self, kind: Kind, make: Callable[[], Coroutine[Any, Any, Held]], asked: asyncio.Future[Held]
    ) -> None:
        try:
            held = await make()
        except Exception as error:  # noqa: BLE001 - it is the asker's to say what it means
            if not asked.done():
                asked.set_exception(error)
        else:
            self.give(kind, held)
        finally:
            making, task = self._making.get(kind, []), asyncio.current_task()
            if task in making:
                making.remove(task)


async def of(reference: Awaitable[Any]) -> Any:
    """What a reference of Ray's comes to, as a coroutine."""
    return await reference
