"""How each flavour carries out several flows at the same time. What fails is left to the flow that asked for them.

Nothing outlives the call: no thread and no task is left while the caller holds an iterator and does not ask for more.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from typing import TYPE_CHECKING

from synapse_sdk.clients.agent import flow
from synapse_sdk.clients.agent.attempt import ATTEMPT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import httpx

GRACE_SECONDS = 1.0
"""How long an interrupted call waits for its threads, whose connections were ended."""


def on_threads(together: flow.Together, send: Callable[[httpx.Request], httpx.Response]) -> None:
    """Carry out flows on short-lived threads, of which the caller's is one."""
    crew = Crew(together.flows, send)
    threads: list[threading.Thread] = []
    try:
        with contextlib.suppress(RuntimeError):  # the system gives no more, or the interpreter ends: fewer do as well
            for _ in range(together.width - 1):
                # The context has the span that the requests belong to.
                run = contextvars.copy_context().run
                thread = threading.Thread(target=run, args=(crew.work,), name="synapse-sdk-page", daemon=True)
                thread.start()
                threads.append(thread)
        crew.work()
        for thread in threads:
            thread.join()
    except BaseException:
        crew.stop()
        until = time.monotonic() + GRACE_SECONDS
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
        raise


class Crew:
    """Threads that carry out flows, each the next one that nobody has begun."""

    def __init__(self, flows: Iterator[flow.Flow[None]], send: Callable[[httpx.Request], httpx.Response]) -> None:
        self._flows = flows
        self._send = send
        self._lock = threading.Lock()
        self._under_way: set[httpx.Request] = set()
        self._is_stopped = False

    def work(self) -> None:
        """Carry out flows until there is none left."""
        while (steps := self._next()) is not None:
            with contextlib.suppress(Exception):  # it shows again where the page is asked for in its turn
                flow.run(steps, self._watched, time.sleep)

    def _next(self) -> flow.Flow[None] | None:
        with self._lock:
            return None if self._is_stopped else next(self._flows, None)

    def _watched(self, request: httpx.Request) -> httpx.Response:
        self._under_way.add(request)
        if self._is_stopped:
            request.extensions[ATTEMPT].abort()  # it was on its way here when the others were ended
        try:
            return self._send(request)
        finally:
            self._under_way.discard(request)

    def stop(self) -> None:
        """Begin nothing more, and end what is under way."""
        self._is_stopped = True
        for request in [*self._under_way]:
            request.extensions[ATTEMPT].abort()


async def in_tasks(together: flow.Together, send: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> None:
    """Carry out flows in tasks, on whichever loop runs."""
    import anyio

    async def work() -> None:
        for steps in together.flows:
            with contextlib.suppress(Exception):  # it shows again where the page is asked for in its turn
                await flow.run_async(steps, send, anyio.sleep)

    async with anyio.create_task_group() as group:
        for _ in range(together.width):
            group.start_soon(work)
