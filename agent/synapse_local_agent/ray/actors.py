"""The actors of a gateway: created on demand, reused between runs, and ended after the idle limit."""

from __future__ import annotations

import asyncio
import collections
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray

from synapse_local_agent.processes.workers import Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.processes.workers import Kind

    Make = Callable[[], Coroutine[Any, Any, "ActorHandle"]]

LOG = logging.getLogger(__name__)
CROWDED_SECONDS = 0.5
"""How long a run waits, in a full cluster, before an idle actor of another kind is ended; doubles each time."""
LONG_SECONDS = 8.0
"""The longest such wait. Then one is ended even if there seems to be room, as maybe no single node has enough."""
FAIR_SECONDS = 5.0
"""How long runs of one kind wait without an actor before one of a busy kind, at least as old, is ended for them;
doubles each time."""
FRESH_SECONDS = 1.0
"""How long an actor counts as alive after its last use, without a check."""
ANSWER_SECONDS = 5.0
ENDING_SECONDS = 15.0
MOST_MADE = 64
"""Maximum number of actors of one kind that are created at a time."""


class ActorHandle:
    """A running actor."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.is_waiting = True
        """Whether it can take a job."""
        self.made = self.used = time.monotonic()

    async def is_there(self) -> bool:
        """Whether it still responds; its node may have gone while it was idle."""
        if time.monotonic() - self.used > FRESH_SECONDS:
            try:
                await asyncio.wait_for(self.handle.ready.remote(), ANSWER_SECONDS)
            except (ray.exceptions.RayError, TimeoutError) as error:
                LOG.info("An idle actor is gone: %s", error)
                self.is_waiting = False
        return self.is_waiting

    async def close(self) -> None:
        """End it with all its processes, even during a run."""
        try:
            if self.is_waiting:
                await asyncio.wait_for(self.handle.close.remote(), ENDING_SECONDS)
        except (ray.exceptions.RayError, TimeoutError) as error:
            LOG.info("An actor did not close: %s", error)
        finally:
            self.is_waiting = False
            ray.kill(self.handle)


@dataclass(slots=True)
class WaitQueue:
    """The runs that wait for actors of one kind, in order of arrival, and the actors being created for them."""

    make: Make
    asked: collections.deque[asyncio.Future[ActorHandle]] = field(default_factory=collections.deque)
    making: list[asyncio.Task[None]] = field(default_factory=list)
    served: float = field(default_factory=time.monotonic)
    """When a run of this queue last got an actor, or one of another kind was ended for it."""
    patience: float = field(default_factory=lambda: FAIR_SECONDS)


class Actors:
    """The actors of one gateway. A run takes the first that is free, even one created for another run."""

    def __init__(self, limits: Limits) -> None:
        self._idle: Pool[ActorHandle] = Pool(limits.max_idle, limits.idle_limit)
        self._lines: dict[Kind, WaitQueue] = {}

    async def take(self, kind: Kind, make: Make, has_room: Callable[[], Awaitable[bool]]) -> ActorHandle:
        """Get an actor of a kind: an idle one, one that another run returns, or a new one.

        Args:
            kind: The kind.
            make: Creates one, and waits until it runs.
            has_room: Whether the cluster seems to have room for one.
        """
        if held := await self._take_idle(kind):
            return held
        line = self._lines.setdefault(kind, WaitQueue(make))
        asked: asyncio.Future[ActorHandle] = asyncio.get_running_loop().create_future()
        line.asked.append(asked)
        self._make_more(kind, line)
        pause = CROWDED_SECONDS
        try:
            while not (await asyncio.wait([asked], timeout=pause))[0]:
                if pause >= LONG_SECONDS or not await has_room():
                    self._idle.make_room(kind)
                pause = min(2 * pause, LONG_SECONDS)
            return asked.result()
        except asyncio.CancelledError:
            if asked.done() and asked.exception() is None:
                self.give(kind, asked.result())
            raise
        finally:
            if asked in line.asked:
                line.asked.remove(asked)
            # Cancel actors that nobody waits for any more, the latest first.
            while len(line.making) > len(line.asked):
                line.making.pop().cancel()
            if not line.asked and self._lines.get(kind) is line:
                del self._lines[kind]

    async def _take_idle(self, kind: Kind) -> ActorHandle | None:
        while held := self._idle.take(kind):
            try:
                if await held.is_there():
                    return held
            except asyncio.CancelledError:
                self.give(kind, held)
                raise
            self.end(held)
        return None

    def give(self, kind: Kind, held: ActorHandle) -> None:
        """Give an actor to the next waiting run, or keep it for a later one."""
        held.used = time.monotonic()
        line = self._lines.get(kind)
        if held.used - held.made > FAIR_SECONDS and self._is_owed_to_others(kind):
            self.end(held)
        elif line is None or not line.asked:
            self._idle.give(kind, held)
        else:
            line.served, line.patience = time.monotonic(), FAIR_SECONDS
            line.asked.popleft().set_result(held)

    def end(self, held: ActorHandle) -> None:
        """End an actor, without waiting for it."""
        self._idle.end(held)

    def forget(self, digest: str) -> None:
        """End the idle actors of a deleted release."""
        self._idle.forget(digest)

    async def close(self) -> None:
        """End the idle actors, and wait until all ended actors are gone."""
        await self._idle.close()

    def _is_owed_to_others(self, kind: Kind) -> bool:
        """Whether runs of another kind have waited so long that an actor of this kind must end for them."""
        now = time.monotonic()
        for other, line in self._lines.items():
            if other != kind and now - line.served > line.patience:
                line.served, line.patience = now, 2 * line.patience
                return True
        return False

    def _make_more(self, kind: Kind, line: WaitQueue) -> None:
        while len(line.making) < min(len(line.asked), MOST_MADE):
            line.making.append(asyncio.create_task(self._make(kind, line)))

    async def _make(self, kind: Kind, line: WaitQueue) -> None:
        """Create an actor for the first waiting run, or pass the error to it."""
        try:
            held = await line.make()
        except Exception as error:  # noqa: BLE001 - the waiting run handles it
            if line.asked:
                line.asked.popleft().set_exception(error)
        else:
            self.give(kind, held)
        finally:
            if (task := asyncio.current_task()) in line.making:
                line.making.remove(task)
                self._make_more(kind, line)
